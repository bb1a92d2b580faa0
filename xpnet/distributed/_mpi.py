import ctypes
import json
import sys
from typing import Any, NoReturn, final

import numpy as np

from xpnet._typing import Array
from xpnet.backend import Staging, backend_of, readable
from xpnet.distributed._communicator import check_operation, to_mean
from xpnet.distributed._launch import CommunicatorUnavailableError, launched_size, told_local_rank

_INSTALL = "pip install 'xpnet[mpi]', or mpi4py for the MPI of this cluster"


@final
class MPI:
    """Ranks that talk by MPI: arrays of the host from where they are, those of a GPU by pinned memory.

    MPI requires that the result of a reduction is the same on all ranks, bit for bit (MPI 4.1, section 6.9.6).

    Parameters
    ----------
    cuda_aware : whether MPI is handed arrays of a GPU as they are; None asks it whether it can.

    Raises
    ------
    CommunicatorUnavailableError : mpi4py or its MPI is missing, or is not that of the launcher.
    """

    recordable = False

    def __init__(self, *, cuda_aware: bool | None = None) -> None:
        self._mpi = _imported()
        self._comm = self._mpi.COMM_WORLD.Dup()  # what others send in this process is not taken for ours
        self.rank, self.size = int(self._comm.Get_rank()), int(self._comm.Get_size())
        launched = launched_size()
        if self.size == 1 and launched is not None and launched > 1:
            raise CommunicatorUnavailableError(
                f"communicator: {launched} processes were started together, but MPI finds each of them alone: the "
                f"launcher is not that of mpi4py's {_name(self._mpi)}. Start them with the mpiexec that belongs to it "
                "(beside this Python for the one of 'xpnet[mpi]'), or with srun --mpi=pmi2 or --mpi=pmix"
            )
        told = told_local_rank()
        self.local_rank = int(self._comm.Split_type(self._mpi.COMM_TYPE_SHARED).Get_rank()) if told is None else told
        self._cuda_aware = _takes_device_arrays(self._mpi) if cuda_aware is None else cuda_aware
        self._operations = {"sum": self._mpi.SUM, "mean": self._mpi.SUM, "max": self._mpi.MAX, "min": self._mpi.MIN}

    def __repr__(self) -> str:
        return f"MPI(rank {self.rank} of {self.size})"

    def all_reduce(self, array: Array, op: str = "sum") -> None:
        """Waits for the result."""
        check_operation(array, op)
        stage = self._staging(array)
        self._comm.Allreduce(self._mpi.IN_PLACE, stage.host, self._operations[op])
        stage.put()
        to_mean(array, op, self.size)

    def start_all_reduce(self, array: Array, op: str = "sum") -> "_Request":
        """MPI may go on with it only when it is called: `wait` does the rest."""
        check_operation(array, op)
        stage = self._staging(array)
        request = self._comm.Iallreduce(self._mpi.IN_PLACE, stage.host, self._operations[op])
        return _Request(request, stage, array, op, self.size)

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Byte by byte, so for arrays of any type."""
        stage = self._staging(array)
        values = stage.host
        self._comm.Bcast(values if self._as_it_is(array) else values.reshape(-1).view(np.uint8), root)
        stage.put()

    def all_gather_object(self, value: Any) -> list[Any]:
        """As JSON."""
        own = _encoded(value)
        sizes = np.empty(self.size, np.int64)
        self._comm.Allgather(np.asarray([own.size]), sizes)
        everything = np.empty(int(sizes.sum()), np.uint8)
        self._comm.Allgatherv(own, [everything, sizes])
        ends = np.cumsum(sizes)
        return [_decoded(everything[end - size : end]) for size, end in zip(sizes, ends, strict=True)]

    def broadcast_object(self, value: Any, root: int = 0) -> Any:
        """As JSON."""
        own = _encoded(value) if self.rank == root else np.empty(0, np.uint8)
        size = np.asarray([own.size])
        self._comm.Bcast(size, root)
        own = own if self.rank == root else np.empty(int(size[0]), np.uint8)
        self._comm.Bcast(own, root)
        return _decoded(own)

    def barrier(self) -> None:
        """By MPI's own."""
        self._comm.Barrier()

    def abort(self, message: str) -> NoReturn:
        """By MPI_Abort, which ends all processes of the launcher; its exit status is 1."""
        sys.stdout.flush()
        print(f"rank {self.rank} of {self.size}: {message}", file=sys.stderr, flush=True)
        self._comm.Abort(1)
        raise SystemExit(1)  # MPI_Abort does not return, but nothing says so to type checkers

    def _as_it_is(self, array: Array) -> bool:
        return self._cuda_aware and not readable(array)

    def _staging(self, array: Array) -> Staging:
        """What MPI is handed, with the array's values."""
        backend = backend_of(array)
        if self._as_it_is(array):
            backend.synchronize()  # MPI knows nothing of streams
            return Staging(array)
        stage = backend.staging(array)
        stage.fetch()
        return stage


@final
class _Request:
    """A reduction by MPI that was begun."""

    def __init__(self, request: Any, stage: Staging, array: Array, op: str, size: int) -> None:
        self._request, self._stage, self._array, self._op, self._size = request, stage, array, op, size

    def wait(self) -> None:
        """Waits for the other ranks; a second call does nothing."""
        if self._request is None:
            return
        self._request.Wait()
        self._request = None
        self._stage.put()
        to_mean(self._array, self._op, self._size)


def _imported() -> Any:
    """mpi4py's module, which begins MPI where that has not been done.

    Raises
    ------
    CommunicatorUnavailableError : it is not installed, or finds no MPI.
    """
    try:
        from mpi4py import MPI as module
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, but no MPI
        raise CommunicatorUnavailableError(
            f"communicator: processes that train together need mpi4py and an MPI ({error}): {_INSTALL}"
        ) from error
    return module


def _name(module: Any) -> str:
    return str(module.Get_library_version()).partition("\n")[0].strip("\0 ")


def _takes_device_arrays(module: Any) -> bool:
    """Whether MPI says that it can be handed addresses on a GPU; Open MPI and MPICH have a function that tells."""
    try:
        return bool(ctypes.CDLL(module.__file__).MPIX_Query_cuda_support())
    except (OSError, AttributeError):
        return False


def _encoded(value: Any) -> np.ndarray[Any, Any]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


def _decoded(values: np.ndarray[Any, Any]) -> Any:
    return json.loads(values.tobytes())

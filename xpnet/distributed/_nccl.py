from typing import Any, NoReturn, final

from xpnet._typing import Array
from xpnet.backend import CuPy, NcclGroup, backend_of
from xpnet.distributed._communicator import check_operation, to_mean
from xpnet.distributed._launch import CommunicatorUnavailableError
from xpnet.distributed._mpi import MPI


@final
class NCCL:
    """Ranks with a GPU each, whose arrays go by NCCL; everything else, and arrays of the host, by MPI.

    A reduction is asked of the current stream and the host does not wait, so it can be part of a recorded step.

    Parameters
    ----------
    mpi : the ranks, which exchange NCCL's identity by it.
    backend : CuPy on the GPU of this rank.

    Raises
    ------
    CommunicatorUnavailableError : on all ranks, where one finds no NCCL or two share a GPU.
    """

    recordable = True

    def __init__(self, mpi: MPI, backend: CuPy) -> None:
        self._mpi = mpi
        self.rank, self.size, self.local_rank = mpi.rank, mpi.size, mpi.local_rank
        identity, problem = None, None
        try:
            identity = backend.nccl_identity()
        except (ImportError, RuntimeError) as error:
            problem = f"rank {mpi.rank}: {error}"
        found = mpi.all_gather_object(problem)
        problems = [each for each in found if each is not None]
        if problems:
            raise CommunicatorUnavailableError(f"communicator: NCCL cannot be used: {'; '.join(problems)}")
        self._group: NcclGroup = backend.nccl_group(mpi.rank, mpi.size, mpi.broadcast_object(identity))
        self.all_reduce(backend.zeros(1))  # connections are made now, not inside of a recording
        backend.synchronize()

    def __repr__(self) -> str:
        return f"NCCL(rank {self.rank} of {self.size})"

    def all_reduce(self, array: Array, op: str = "sum") -> None:
        """On the current stream."""
        if not _on_gpu(array):
            return self._mpi.all_reduce(array, op)
        check_operation(array, op)
        self._group.all_reduce(array, _operation(op))
        to_mean(array, op, self.size)
        return None

    def start_all_reduce(self, array: Array, op: str = "sum") -> Any:
        """On a stream of its own, while the current one goes on."""
        if not _on_gpu(array):
            return self._mpi.start_all_reduce(array, op)
        check_operation(array, op)
        return _Request(self._group.start_all_reduce(array, _operation(op)), array, op, self.size)

    def broadcast(self, array: Array, root: int = 0) -> None:
        """On the current stream."""
        if _on_gpu(array):
            self._group.broadcast(array, root)
        else:
            self._mpi.broadcast(array, root)

    def all_gather_object(self, value: Any) -> list[Any]:
        """By MPI."""
        return self._mpi.all_gather_object(value)

    def broadcast_object(self, value: Any, root: int = 0) -> Any:
        """By MPI."""
        return self._mpi.broadcast_object(value, root)

    def barrier(self) -> None:
        """By MPI: the hosts are here, their GPUs may be behind."""
        self._mpi.barrier()

    def abort(self, message: str) -> NoReturn:
        """By MPI."""
        self._mpi.abort(message)


@final
class _Request:
    """A reduction by NCCL that was begun."""

    def __init__(self, wait: Any, array: Array, op: str, size: int) -> None:
        self._wait, self._array, self._op, self._size = wait, array, op, size

    def wait(self) -> None:
        """Makes the current stream wait; a second call does nothing."""
        if self._wait is None:
            return
        self._wait()
        self._wait = None
        to_mean(self._array, self._op, self._size)


def shared_gpus(mpi: MPI, place: tuple[str, str]) -> list[list[int]]:
    """The ranks that share a GPU, where some do; `place` is this rank's machine and GPU."""
    by_place: dict[tuple[str, ...], list[int]] = {}
    for rank, each in enumerate(mpi.all_gather_object(place)):
        by_place.setdefault(tuple(each), []).append(rank)
    return [ranks for ranks in by_place.values() if len(ranks) > 1]


def _on_gpu(array: Array) -> bool:
    return isinstance(backend_of(array), CuPy)


def _operation(op: str) -> str:
    return "sum" if op == "mean" else op

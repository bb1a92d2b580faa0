import platform
import warnings

from xpnet.backend import Backend, CuPy, get_backend, why_unavailable
from xpnet.distributed._communicator import Communicator
from xpnet.distributed._ending import end_together_at_last
from xpnet.distributed._launch import CommunicatorUnavailableError, CommunicatorWarning, launched_size
from xpnet.distributed._mpi import MPI
from xpnet.distributed._nccl import NCCL, shared_gpus
from xpnet.distributed._single import Single

KINDS = ("auto", "mpi", "nccl", "single")


def communicator(kind: str = "auto", *, backend: Backend | None = None, cuda_aware: bool | None = None) -> Communicator:
    """What this process knows of the others that were started with it, and sends them by. All of them call it.

    `mpiexec -n 4 python train.py` or `srun` starts them. From then on an error that nobody catches ends them all, with
    the number of the rank that raised it.

    Parameters
    ----------
    kind : `"mpi"`; `"nccl"`, for CuPy on a GPU of its own for each; `"single"`, for one that goes on alone; or
        `"auto"`: a process that was started alone is single, others take NCCL where the backend is CuPy and NCCL can be
        used on all of them, else MPI.
    backend : where the arrays will be; `get_backend()` if not given.
    cuda_aware : whether MPI is handed arrays of a GPU as they are; None asks it. They go by pinned memory otherwise.

    Returns
    -------
    A `Communicator`. For arrays of CuPy without NCCL, `"auto"` gives MPI, with a `CommunicatorWarning` on rank 0.

    Raises
    ------
    CommunicatorUnavailableError : mpi4py, MPI, NCCL or a GPU is missing, two ranks share a GPU that are to use NCCL, or
        the launcher belongs to another MPI; the message says what mends it.
    ValueError : an unknown kind, or NCCL for another backend than CuPy.

    Examples
    --------
    >>> communicator()
    Single()
    """
    if kind not in KINDS:
        raise ValueError(f"communicator: kind must be one of {', '.join(map(repr, KINDS))}, got {kind!r}")
    if kind == "single" or (kind == "auto" and launched_size() == 1):
        return Single()
    backend = backend or get_backend()
    if kind == "nccl":
        _check_nccl(backend)
    mpi = MPI(cuda_aware=cuda_aware)
    if mpi.size == 1 and kind == "auto":
        return Single()
    if mpi.size > 1:
        end_together_at_last(mpi)
    return mpi if kind == "mpi" else _with_nccl(mpi, backend, required=kind == "nccl")


def _check_nccl(backend: Backend) -> None:
    if isinstance(backend, CuPy):
        return
    why = why_unavailable("cupy")
    if why is not None:
        raise CommunicatorUnavailableError(f"communicator: 'nccl' needs CuPy and a GPU: {why}; 'mpi' needs neither")
    raise ValueError(
        f"communicator: 'nccl' is for arrays of CuPy, and the backend is {backend.name!r}: "
        "xpnet.set_backend('cupy', device=xpnet.distributed.local_rank()) comes first, or take 'mpi'"
    )


def _with_nccl(mpi: MPI, backend: Backend, *, required: bool) -> Communicator:
    """NCCL beside MPI; where it is not required and cannot be, MPI alone."""
    everywhere = all(mpi.all_gather_object(isinstance(backend, CuPy)))
    if not (everywhere and isinstance(backend, CuPy)):
        return mpi
    try:
        if shared := shared_gpus(mpi, (platform.node(), backend.gpu())):
            raise CommunicatorUnavailableError(
                f"communicator: NCCL needs a GPU for each rank, and ranks {', '.join(map(str, shared[0]))} share one: "
                "xpnet.set_backend('cupy', device=xpnet.distributed.local_rank()) gives each its own"
            )
        return NCCL(mpi, backend)
    except CommunicatorUnavailableError as error:
        if required:
            raise
        if mpi.rank == 0:
            warnings.warn(f"{error}. Arrays go by MPI meanwhile", CommunicatorWarning, stacklevel=3)
        return mpi

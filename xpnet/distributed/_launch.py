"""What the environment of a process tells of how it was started, before any MPI is asked."""

import os

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Set by MPICH's and Intel's mpiexec, Open MPI's, MVAPICH's, and srun; sbatch sets only others of Slurm's."""
_MARKS = ("PMI_RANK", "PMIX_RANK", "PALS_RANKID", "ALPS_APP_PE")
"""Set by those and by Cray's launchers, which leave the number of ranks to MPI."""
_LOCAL_RANKS = (
    "MPI_LOCALRANKID",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "PALS_LOCAL_RANKID",
    "SLURM_LOCALID",
)


class CommunicatorUnavailableError(RuntimeError):
    """MPI or NCCL cannot be used here; the message says what mends it. All ranks raise it alike."""

    on_all_ranks = True


class CommunicatorWarning(UserWarning):
    """Ranks talk by a slower way than they could; the message says why."""


def launched_size() -> int | None:
    """How many processes were started together with this one; 1 for one alone, None where only MPI can tell.

    Examples
    --------
    >>> launched_size()
    1
    """
    for name in _SIZES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return None if any(name in os.environ for name in _MARKS) else 1


def local_rank() -> int:
    """The number of this process among those started together on this machine; 0 for one alone.

    For the choice of a GPU, which comes before anything is sent: `set_backend("cupy", device=local_rank())`.

    Examples
    --------
    >>> local_rank()
    0
    """
    return 0 if launched_size() == 1 else told_local_rank() or 0


def told_local_rank() -> int | None:
    """What the launcher says of it, if it says anything."""
    return next((int(os.environ[name]) for name in _LOCAL_RANKS if os.environ.get(name, "").isdigit()), None)

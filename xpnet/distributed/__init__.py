"""Data-parallel training over MPI and NCCL: the processes that share it, what they send each other, how they end.

`mpiexec -n 4 python train.py` starts four processes, the ranks, that run the same script. A `Communicator` is what one
of them knows of the others.
"""

from xpnet.distributed._agreement import DisagreementError, agree, model_facts, version_facts
from xpnet.distributed._choice import communicator
from xpnet.distributed._communicator import Communicator, Request
from xpnet.distributed._ending import ending_together, raised_alike
from xpnet.distributed._launch import (
    CommunicatorUnavailableError,
    CommunicatorWarning,
    launched_size,
    local_rank,
)
from xpnet.distributed._single import Single

__all__ = [
    "Communicator",
    "CommunicatorUnavailableError",
    "CommunicatorWarning",
    "DisagreementError",
    "Request",
    "Single",
    "agree",
    "communicator",
    "ending_together",
    "launched_size",
    "local_rank",
    "model_facts",
    "raised_alike",
    "version_facts",
]

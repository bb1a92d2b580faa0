"""NCCL, by way of CuPy: sums and copies among the GPUs of several processes, on the stream that computes."""

import importlib
import warnings
from collections.abc import Callable, Sequence
from typing import Any, final

from xpnet._typing import Array

_TYPES = {
    "float16": "NCCL_FLOAT16",
    "float32": "NCCL_FLOAT32",
    "float64": "NCCL_FLOAT64",
    "int32": "NCCL_INT32",
    "int64": "NCCL_INT64",
}
_OPERATIONS = {"sum": "NCCL_SUM", "max": "NCCL_MAX", "min": "NCCL_MIN"}


def load() -> Any:
    """CuPy's module for NCCL.

    Raises
    ------
    ImportError : it is not there, or finds no NCCL; the message says what installs it.
    """
    with warnings.catch_warnings(action="ignore"):  # CuPy warns where it finds no library, and the error below says so
        nccl = importlib.import_module("cupy.cuda.nccl")
    if not nccl.available:
        raise ImportError(
            "CuPy finds no NCCL library: pip install nvidia-nccl-cu12 (CUDA 12) or nvidia-nccl-cu13 (CUDA 13)"
        )
    return nccl


@final
class NcclGroup:
    """The GPUs of several processes, one each: this process's current one and those of the others.

    Everything is asked of a stream and waits for nothing on the host, so it may be recorded.

    Parameters
    ----------
    cupy, nccl : the library, and what `load` gives.
    rank, size : this process's number and how many there are.
    identity : `nccl.get_unique_id()` of one of them, the same in all.
    """

    def __init__(self, cupy: Any, nccl: Any, rank: int, size: int, identity: Sequence[int]) -> None:
        self._cupy, self._nccl = cupy, nccl
        self._group = nccl.NcclCommunicator(size, tuple(identity), rank)
        self._side = cupy.cuda.Stream(non_blocking=True)

    def all_reduce(self, x: Array, operation: str, stream: Any = None) -> None:
        """The sum (or `"max"`, `"min"`) over all processes into `x`, on the current stream if none is given."""
        kind, address = self._type(x), _address(x)
        name = getattr(self._nccl, _OPERATIONS[operation])
        self._group.allReduce(address, address, int(x.size), kind, name, (stream or self._current()).ptr)

    def start_all_reduce(self, x: Array, operation: str) -> Callable[[], None]:
        """The same on a stream of its own, behind all that the current stream was asked so far.

        Returns
        -------
        A function that makes the current stream wait for the result.
        """
        self._side.wait_event(self._current().record())
        self.all_reduce(x, operation, self._side)
        done = self._side.record()
        return lambda: self._current().wait_event(done)

    def broadcast(self, x: Array, root: int) -> None:
        """The values of `x` in the process `root` into all others', byte by byte."""
        address = _address(x)
        self._group.broadcast(address, address, int(x.nbytes), self._nccl.NCCL_INT8, root, self._current().ptr)

    def _current(self) -> Any:
        return self._cupy.cuda.get_current_stream()

    def _type(self, x: Array) -> int:
        if x.dtype.name not in _TYPES:
            raise TypeError(f"NCCL: arrays of {x.dtype} cannot be summed; {', '.join(_TYPES)} can")
        return int(getattr(self._nccl, _TYPES[x.dtype.name]))


def _address(x: Array) -> int:
    if not x.flags.c_contiguous:
        raise ValueError(f"NCCL: an array of shape {tuple(x.shape)} is not contiguous; send a copy")
    return int(x.data.ptr)

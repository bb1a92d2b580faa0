"""Memory of large arrays, kept when they die and given to the next: fresh memory costs more than most operations.

The operating system hands memory out page by page, at its first use, and zeroes it: a quarter of a millisecond for one
MiB, on which an activation takes a tenth of that. And a training step asks for the same sizes again and again.
"""

import math
from collections import defaultdict, deque
from typing import Any

import numpy as np

SMALLEST = 2**16
"""Bytes from which memory is kept; smaller pieces NumPy and the C library keep themselves."""
MOST = 2**30
"""Bytes kept, beyond which all are given back as soon as a size is asked for that is not among them."""

_ALIGNED = 64
_kept: defaultdict[int, deque[Any]] = defaultdict(deque)


class _Block:
    """The owner of one piece of memory under an array, and under all views of it; keeps it when the last has died."""

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> None:
        self.size = _rounded(size)
        self.memory = _take(self.size)
        address = self.memory.__array_interface__["data"][0]
        start = -(-address // _ALIGNED) * _ALIGNED
        self.__array_interface__ = {"shape": shape, "typestr": dtype.str, "data": (start, False), "version": 3}

    def __del__(self, kept: defaultdict[int, deque[Any]] = _kept) -> None:
        if "memory" in vars(self):
            kept[self.size].append(self.memory)


def _rounded(size: int) -> int:
    """Up to an eighth more, so that arrays of nearly one size share memory."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


def _take(size: int) -> Any:
    try:
        return _kept[size].pop()
    except IndexError:
        if kept_bytes() > MOST:
            release()
    try:
        return np.empty(size + _ALIGNED, np.uint8)
    except MemoryError:
        release()
        return np.empty(size + _ALIGNED, np.uint8)


def empty(shape: tuple[int, ...], dtype: Any) -> Any:
    """A new array, as `np.empty` makes it, in memory that may have been another's before.

    Examples
    --------
    >>> a = empty((512, 512), np.float32)
    >>> address = a.ctypes.data
    >>> del a
    >>> empty((512, 512), np.float32).ctypes.data == address
    True
    """
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    return np.empty(shape, dtype) if size < SMALLEST else np.asarray(_Block(shape, dtype, size))


def kept_bytes() -> int:
    """How much is kept for reuse."""
    return sum(size * len(pieces) for size, pieces in list(_kept.items()))


def release() -> None:
    """Gives all that is kept back to the system."""
    _kept.clear()

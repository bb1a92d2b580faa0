"""Host arrays on their way to a GPU: from pinned memory, on a stream of their own, while the GPU computes."""

import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from xpnet._typing import Array

_PIECE = 2**26
"""Bytes that are gathered, then copied while the next ones are gathered."""
_MOST = 2**30
"""Bytes of pinned memory in use beyond which the host waits for the oldest copy: it has run far ahead of the GPU."""


class Uploads:
    """One GPU's stream of uploads. The host waits for nothing, and the GPU only for what it needs.

    There and back, memory passes between two streams. On its way there, the stream that computes waits for an event
    behind the copy before it uses an array. The way back: device memory for uploads comes from the upload stream's part
    of CuPy's pool, and once the last view of an array has died, the next upload may be given that memory, although the
    GPU may not have begun to read the array yet. So the upload stream then waits for an event behind all that the
    computing stream has been asked so far. Pinned memory is used again when the event behind its copy is done.

    Parameters
    ----------
    cupy : the library.
    device : the GPU's number.
    """

    def __init__(self, cupy: Any, device: int) -> None:
        self._cupy, self.device = cupy, device
        with cupy.cuda.Device(device):
            self.stream = cupy.cuda.Stream(non_blocking=True)
        self._lock = threading.Lock()
        self._copying: deque[tuple[Any, Any, int]] = deque()  # the event behind a copy, its buffer, the buffer's bytes
        self._pinned = 0
        self._left: deque[tuple[Any, Any]] = deque()  # arrays' memory that died while its user was being captured

    def start(self, host: np.ndarray[Any, Any], rows: Any, dtype: np.dtype[Any]) -> Callable[[], Array]:
        """Begins to upload rows of a host array, as this type; all of them for None.

        Returns
        -------
        A function that makes the current stream wait for the copy, and returns the array.
        """
        cupy = self._cupy
        n = (
            len(host)
            if rows is None
            else len(range(*rows.indices(len(host))))
            if isinstance(rows, slice)
            else len(rows)
        )
        shape = (n, *host.shape[1:])
        row_bytes = int(np.prod(shape[1:], dtype=np.int64)) * dtype.itemsize
        with cupy.cuda.Device(self.device):
            self._collect()
            with self.stream:
                memory = cupy.cuda.alloc(n * row_bytes)
            loan = _Loan(self, memory)
            unowned = cupy.cuda.UnownedMemory(memory.ptr, n * row_bytes, loan, self.device)
            array = cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(unowned, 0))
            step, ready = max(1, _PIECE // row_bytes), None
            for first in range(0, n, step):
                ready = self._copy(array[first : first + step], host, _part(rows, first, min(first + step, n)))

        def finish() -> Array:
            loan.user = cupy.cuda.get_current_stream(self.device)
            if ready is not None:
                loan.user.wait_event(ready)
            return array

        return finish

    def _copy(self, place: Array, host: np.ndarray[Any, Any], rows: Any) -> Any:
        """Gathers rows into a pinned buffer, has the upload stream copy them from there; the event behind that."""
        buffer = self._buffer(place.nbytes)
        staged = np.frombuffer(buffer, place.dtype, place.size).reshape(place.shape)
        gather(host, rows, staged)
        place.data.copy_from_host_async(staged.ctypes.data, place.nbytes, self.stream)
        event = self._event(self.stream)
        with self._lock:
            self._copying.append((event, buffer, place.nbytes))
            self._pinned += place.nbytes
        return event

    def _buffer(self, size: int) -> Any:
        """Pinned memory; where the system has none left, plain memory, from which CUDA copies before it returns."""
        runtime = self._cupy.cuda.runtime
        try:
            return self._cupy.cuda.alloc_pinned_memory(size)
        except runtime.CUDARuntimeError as error:
            if "cudaErrorMemoryAllocation" not in str(error):
                raise
            return np.empty(size, np.uint8)

    def _event(self, stream: Any) -> Any:
        event = self._cupy.cuda.Event(disable_timing=True)
        event.record(stream)
        return event

    def _collect(self) -> None:
        """Lets go of buffers whose copy is done, and of what could not be let go before."""
        with self._lock:
            while self._copying and (self._copying[0][0].done or self._pinned > _MOST):
                event, _, size = self._copying.popleft()
                self._pinned -= size
                event.synchronize()
        for _ in range(len(self._left)):
            with suppress(IndexError):  # another thread was faster
                self.take_back(*self._left.popleft())

    def take_back(self, memory: Any, user: Any) -> None:
        """Uploads that come later may be given this memory when its user's stream has done all it was asked so far."""
        if sys.is_finalizing():
            return
        with suppress(RuntimeError), self._cupy.cuda.Device(self.device):  # a GPU that is gone has nothing to wait for
            if user.is_capturing():  # an event would become part of the graph
                self._left.append((memory, user))
            else:
                self.stream.wait_event(self._event(user))


class _Loan:
    """Owns the memory of one array and all its views, and so learns when the last of them has died."""

    def __init__(self, uploads: Uploads, memory: Any) -> None:
        self.uploads, self.memory = uploads, memory
        self.user: Any = None
        """The stream that computes with the array; None before any may."""

    def __del__(self) -> None:
        if self.user is not None:
            self.uploads.take_back(self.memory, self.user)


def gather(host: np.ndarray[Any, Any], rows: Any, out: np.ndarray[Any, Any]) -> None:
    """Writes rows of an array into `out`, of the same or another type; without a copy in between where NumPy can."""
    if isinstance(rows, slice):
        out[...] = host[rows]
    elif host.dtype == out.dtype and host.flags.c_contiguous:
        np.take(host, rows, axis=0, out=out, mode="clip")  # "raise" would go through a copy; the numbers are in range
    else:
        out[...] = host[rows]


def _part(rows: Any, first: int, stop: int) -> Any:
    """The rows from the first-th to the stop-th of these."""
    if rows is None:
        return slice(first, stop)
    return slice(rows.start + first, rows.start + stop) if isinstance(rows, slice) else rows[first:stop]

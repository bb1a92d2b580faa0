"""NumPy: products by BLAS into a given place, blocks on threads, chains of operations as Numba loops."""

import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from xpnet._typing import Array, Result
from xpnet.backend import _blas, _numba
from xpnet.backend._backend import Backend
from xpnet.backend._elementwise import Body

_FEW_COLUMNS = 32
_KINDS = {"f": "float", "i": "int", "u": "int", "b": "bool"}


class NumPy(Backend):
    """NumPy, whose own namespace follows the standard since 2.1: no wrapper between."""

    has_devices = False

    def owns(self, kind: type) -> bool:
        """Plain arrays, memory maps and NumPy's scalars; matrices and masked arrays compute by rules of their own."""
        return issubclass(kind, (np.ndarray, np.generic)) and not issubclass(kind, (np.matrix, np.ma.MaskedArray))

    def _check_device(self) -> None:
        if self.device not in (None, "cpu"):
            raise ValueError(f"device: numpy has only 'cpu', got {self.device!r}")

    def kind(self, x: Array) -> str:
        return _KINDS.get(x.dtype.kind) or str(x.dtype)

    def _place(self, x: Array) -> Array:
        return x

    def _from_host(self, host: np.ndarray[Any, Any], dtype: Any) -> Array:
        return host.astype(dtype, copy=False)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        return np.asarray(x)

    def copy(self, x: Array) -> Array:
        return np.array(x)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        return _product(a, b, out, a.shape[0] * b.size, _blas.TINY_MATRIX)

    def column_sum(self, x: Array, out: Array | None = None) -> Array:
        return _product(self.ones_row(x.shape[0], x)[0], x, out, x.size, _blas.TINY_VECTOR)

    def row_max(self, x: Array) -> Array:
        """For few columns over a transposed copy: NumPy's loop over a short row costs more than the row."""
        if x.shape[1] > _FEW_COLUMNS:
            return np.max(x, axis=1, keepdims=True)
        return np.maximum.reduce(np.ascontiguousarray(x.T), axis=0)[:, None]

    def row_sum(self, x: Array) -> Array:
        return _product(x, self.ones_row(x.shape[1], x).T, None, x.size, _blas.TINY_VECTOR)

    def total(self, x: Array) -> Array:
        return np.add.reduce(x, axis=None)

    def sum_of_squares(self, x: Array) -> Array:
        if _blas.TINY_VECTOR < x.size < _blas.SMALL and _blas.several():
            return _blas.on_one_thread(np.dot, x, x)
        return np.dot(x, x)

    def compile(self, body: Body, updates: int, guarded: bool) -> Body:
        plain = super().compile(body, updates, False)
        run = _numba.compiled(body, updates, plain)
        return self._guard(run, updates) if guarded else run

    def for_blocks(self, n: int, bytes_each: int, body: Callable[[int, int], Result]) -> list[Result]:
        """Pieces that fit a core's second-level cache, on as many threads as BLAS would use, BLAS on one in each.

        Inside a block it runs in one piece: threads that wait for threads could wait for ever.
        """
        threads = _blas.threads()
        size = max(1, min(_cache_bytes() // max(1, bytes_each), -(-n // threads)))
        starts = range(0, n, size)
        if size >= n or getattr(_inside, "a_block", False):
            return super().for_blocks(n, bytes_each, body)
        if threads == 1:
            return [body(start, min(start + size, n)) for start in starts]

        def block(start: int) -> Result:
            _inside.a_block = True
            try:
                return body(start, min(start + size, n))
            finally:
                _inside.a_block = False

        with _blas.one_thread():
            # Each block sees the caller's context (use_backend, np.errstate), and none outlives the call.
            pool = _executor(threads)
            blocks = [pool.submit(copy_context().run, block, start) for start in starts]
            wait(blocks)
        return [future.result() for future in blocks]

    def memory(self) -> dict[str, int]:
        """The resident memory of the process."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"resident": pages * os.sysconf("SC_PAGE_SIZE")}

    def describe(self) -> list[str]:
        libraries = [
            f"{info['internal_api']} {info.get('version') or ''}".strip() + f", {info['num_threads']} threads"
            for info in threadpoolctl.threadpool_info()
            if info["user_api"] == "blas"
        ]
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        numba = _numba.version()
        loops = f"Numba {numba}" if numba else "no Numba (pip install 'xpnet[fast]' compiles element-wise chains)"
        return [
            f"CPU: {os.cpu_count()} cores, {total / 2**30:.1f} GiB; {'; '.join(libraries) or 'BLAS unknown'}; {loops}"
        ]


def _product(a: Array, b: Array, out: Array | None, work: int, tiny: int) -> Array:
    """a @ b, on one thread if its work, in multiply-adds, is small."""
    if tiny < work < _blas.SMALL and _blas.several():
        return _blas.on_one_thread(np.matmul, a, b, out=out)
    return np.matmul(a, b, out=out)


_inside = threading.local()
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}
os.register_at_fork(after_in_child=_pools.clear)


@functools.cache
def _cache_bytes() -> int:
    """The second-level cache of one core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
    except OSError:
        return 2**20
    return int(text.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(text[-1], 1)


def _executor(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, thread_name_prefix="xpnet")
        return _pools[threads]

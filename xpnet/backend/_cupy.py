"""CuPy: products through one cuBLAS call, chains of operations as one kernel."""

import contextlib
import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend import _cudnn, _cupy_products, _nccl
from xpnet.backend._backend import Backend
from xpnet.backend._convolution import Convolution
from xpnet.backend._cupy_graph import CudaRecorder
from xpnet.backend._cupy_kernels_columns import ColumnKernels
from xpnet.backend._cupy_uploads import Uploads
from xpnet.backend._elementwise import Body, fresh
from xpnet.backend._registry import BackendUnavailableError, open_backend
from xpnet.backend._staging import Staging
from xpnet.backend._windows import Windows

_ROW = 256
"""The flat store's parts are multiples of this."""
_SMALL = 2**14
"""Elements up to which one block of threads sums up as fast as two launches would."""


class CuPy(ColumnKernels, Backend):
    """CuPy on an NVIDIA GPU. `device` is the GPU's number."""

    uploads_ahead = True

    def __init__(self, name: str, xp: Any, *, device: int | None = None, dtype: str = "float32") -> None:
        import cupy

        self._cupy = cupy
        self._uploads: dict[int, Uploads] = {}
        super().__init__(name, xp, device=device, dtype=dtype)

    def _check_device(self) -> None:
        runtime = self._cupy.cuda.runtime
        try:
            count = runtime.getDeviceCount()
        except runtime.CUDARuntimeError as error:
            raise BackendUnavailableError(
                f"CuPy {self._cupy.__version__} is installed but finds no usable CUDA GPU ({error}). See whether "
                "`nvidia-smi` lists one; to go on without a GPU: xpnet.set_backend('numpy')"
            ) from error
        if self.device is not None and self.device not in range(count):
            raise ValueError(f"device: cupy has the GPUs 0 to {count - 1}, got {self.device!r}")

    def here(self) -> AbstractContextManager[Any]:
        """With the GPU of this backend as the current one, on which CuPy runs its kernels."""
        return contextlib.nullcontext() if self.device is None else self._cupy.cuda.Device(self.device)

    def make_current(self) -> None:
        if self.device is not None:
            self._cupy.cuda.Device(self.device).use()

    def _place(self, x: Array) -> Array:
        with self.here():
            return self._cupy.asarray(x)

    def _from_host(self, host: np.ndarray[Any, Any], dtype: Any) -> Array:
        with self.here():
            return self._cupy.asarray(host, dtype=dtype)

    def zeros(self, shape: Any) -> Array:
        with self.here():
            return self._cupy.zeros(shape, dtype=self.dtype)

    def upload(self, host: np.ndarray[Any, Any], rows: Any = None) -> Callable[[], Array]:
        """On a stream of its own, from pinned memory into which the rows are gathered."""
        if not self.bytes_of(host):
            return super().upload(host, rows)
        device = self._cupy.cuda.runtime.getDevice() if self.device is None else self.device
        uploads = self._uploads.get(device) or self._uploads.setdefault(device, Uploads(self._cupy, device))
        return uploads.start(host, rows, self.host_type(host))

    def room(self) -> int:
        """What the GPU has free and what the pool holds for reuse, within the pool's limit."""
        with self.here():
            pool = self._cupy.get_default_memory_pool()
            free = int(self._cupy.cuda.runtime.memGetInfo()[0]) + int(pool.free_bytes())
            limit = int(pool.get_limit())
            return min(free, limit - int(pool.used_bytes())) if limit else free

    def empty(self, shape: Any, like: Array) -> Array:
        with like.device:  # a third of the time that finding a device by its name would take
            return self._cupy.empty(shape, dtype=like.dtype)

    def to_host(self, x: Array) -> np.ndarray[Any, Any]:
        host: np.ndarray[Any, Any] = self._cupy.asnumpy(x)
        return host

    def staging(self, x: Array) -> Staging:
        """A copy in pinned memory, which the GPU reads and writes several times as fast."""
        if not x.size:
            return super().staging(x)
        memory = self._cupy.cuda.alloc_pinned_memory(x.nbytes)
        host = np.frombuffer(memory, x.dtype, x.size).reshape(x.shape)
        return Staging(host, lambda: x.get(out=host), lambda: x.set(host))

    def gpu(self) -> str:
        """The current GPU's place on its machine's bus: two processes that use one GPU find the same."""
        with self.here():
            return str(self._cupy.cuda.Device().pci_bus_id)

    def nccl_identity(self) -> list[int]:
        """What one process gives to all others that are to form a group with it.

        Raises
        ------
        ImportError : there is no NCCL; the message says what installs it.
        """
        return [int(byte) for byte in _nccl.load().get_unique_id()]

    def nccl_group(self, rank: int, size: int, identity: Sequence[int]) -> _nccl.NcclGroup:
        """This process's GPU as one of a group, which waits for the others."""
        with self.here():
            return _nccl.NcclGroup(self._cupy, _nccl.load(), rank, size, identity)

    def copy(self, x: Array) -> Array:
        return x.copy()

    def device_of(self, x: Array) -> int:
        return int(x.device.id)

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if not self.products_in_tf32 or a.dtype == self.half:
            return self.strict_matmul(a, b, out)
        return self._product(a, b, out, _cupy_products.TF32)

    def strict_matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if out is None or out.dtype == a.dtype:
            return self._cupy.matmul(a, b, out=out)
        return self._product(a, b, out, _cupy_products.FLOAT32)

    def _product(self, a: Array, b: Array, out: Array | None, compute: int) -> Array:
        place = self._cupy.empty((a.shape[0], b.shape[1]), dtype=a.dtype) if out is None else out
        if _cupy_products.fits(a, b, place):
            return _cupy_products.product(a, b, place, compute)
        return self._cupy.matmul(a, b, out=out)

    def matmul_planes(self, a: Array, b: Array) -> Array:
        """CuPy's own knows no TF32, copies transposed matrices, and takes float16 by way of float32."""
        if not (_cupy_products.fits(a, b) and a.shape[0] == b.shape[0]):
            return self._cupy.matmul(a, b)
        out = self._cupy.empty((a.shape[0], a.shape[1], b.shape[2]), dtype=a.dtype)
        in_tf32 = a.dtype != self.half and self.products_in_tf32
        return _cupy_products.planes(a, b, out, _cupy_products.TF32 if in_tf32 else _cupy_products.FLOAT32)

    def why_no_tf32(self) -> str | None:
        with self.here():
            capability = int(self._cupy.cuda.Device().compute_capability)
        if capability >= 80:
            return None
        return f"it needs a GPU of compute capability 8.0, this one has {capability / 10}"

    def column_sum(self, x: Array, out: Array | None = None) -> Array:
        """Sums of float16 are added up in float32, and are float32 unless a place in float16 is given."""
        if x.dtype != self.half:
            return super().column_sum(x, out)
        sums = self._cupy.empty((x.shape[1],), dtype="float32") if out is None else out
        self.strict_matmul(self.ones_row(x.shape[0], x), x, sums.reshape(1, -1))
        return sums

    def view(self, padded: Array, windows: Windows) -> Array:
        return self._cupy.lib.stride_tricks.as_strided(padded, *windows.strided(padded.shape, padded.strides))

    def convolution(
        self, n: int, weight: Array, windows: Windows, groups: int, *, required: bool = False
    ) -> Convolution | None:
        return _cudnn.convolution(self, n, weight, windows, groups, required)

    def total(self, x: Array) -> Array:
        """At once where one multiprocessor is enough."""
        return x.sum() if x.size <= _SMALL else super().total(x)

    def sum_of_squares(self, x: Array) -> Array:
        """Row by row, then over the rows: a reduction to one number would keep all but one multiprocessor idle."""
        rows = x.reshape(-1, _ROW) if x.size % _ROW == 0 else x.reshape(1, -1)
        return self._row_squares(rows, axis=1).sum()

    @functools.cached_property
    def _row_squares(self) -> Any:
        return self._cupy.ReductionKernel("T x", "T y", "x * x", "a + b", "y = a", "0", "xpnet_sum_of_squares")

    def compile(self, body: Body, updates: int, guarded: bool) -> Body:
        """One kernel by `cupy.fuse`; the guard is part of it.

        An argument that was updated and returned would be written out again, so only new results are returned.
        """
        cupy, xp = self._cupy, self.xp

        def fused(*arguments: Any) -> Any:
            if arguments[0].dtype == self.half:
                return self._widened(body, updates, arguments)
            return fresh(body(xp, *arguments), updates)

        def fused_guarded(guard: Array, *arguments: Any) -> None:
            before = [cupy.positive(a) for a in arguments[:updates]]
            body(xp, *arguments)
            for array, old in zip(arguments[:updates], before, strict=True):
                cupy.copyto(array, old, where=cupy.logical_not(guard))

        fused.__name__ = fused_guarded.__name__ = body.__name__
        if not guarded:
            kernel: Body = cupy.fuse(fused)
            return kernel
        kernel = cupy.fuse(fused_guarded)
        return lambda *arguments, guard: kernel(guard, *arguments)

    def _write(self, array: Array, values: Array) -> None:
        self._cupy.copyto(array, values)  # which `cupy.fuse` understands

    def scale_into(self, x: Array, factor: Array, out: Array) -> None:
        self._cupy.multiply(x, factor, out=out)

    def readable(self, x: Array) -> bool:
        return False

    def recorder(self) -> CudaRecorder:
        kept = open_backend(self.name)._kept  # where functions find it, whatever device and type were chosen
        with self.here():
            return CudaRecorder(self._cupy, kept)

    def synchronize(self) -> None:
        with self.here():
            self._cupy.cuda.get_current_stream().synchronize()

    def memory(self) -> dict[str, int]:
        """CuPy's pool: in use, and held for reuse."""
        pool = self._cupy.get_default_memory_pool()
        return {"used": pool.used_bytes(), "reserved": pool.total_bytes()}

    def release(self) -> None:
        self._cupy.get_default_memory_pool().free_all_blocks()

    def describe(self) -> list[str]:
        runtime = self._cupy.cuda.runtime
        lines = []
        for number in range(runtime.getDeviceCount()):
            properties = runtime.getDeviceProperties(number)
            name = properties["name"].decode()
            lines.append(f"GPU {number}: {name}, {properties['totalGlobalMem'] / 2**30:.1f} GiB")
        cuda = f"CUDA runtime {runtime.runtimeGetVersion()}, driver {runtime.driverGetVersion()}"
        return [*lines, cuda, _cudnn.describe()]

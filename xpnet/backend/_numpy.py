"""NumPy: products by BLAS into a given place, blocks on threads, chains of operations as Numba loops."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from numpy.lib.stride_tricks import as_strided

from xpnet._typing import Array, Result, Shape
from xpnet.backend import _blas, _memory, _numba, _threads
from xpnet.backend._backend import Backend
from xpnet.backend._elementwise import Body
from xpnet.backend._staging import Staging
from xpnet.backend._windows import Windows

_FEW_COLUMNS = 32
_FEW_CHANNELS = 8
"""Inputs of a convolution up to which one loop beats gathering windows for products, from as many outputs on."""
_PIECE = 2**16
"""Elements of the flat store that an optimizer's rule, in NumPy's own operations, updates at once."""
_EVEN = 16
"""Parts of a product are multiples of this, as BLAS's own blocks are."""
_HALF = np.dtype(np.float16)
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

    def staging(self, x: Array) -> Staging:
        return Staging(x) if x.flags.c_contiguous else super().staging(x)

    def copy(self, x: Array) -> Array:
        return np.array(x)

    def device_of(self, x: Array) -> str:
        return "cpu"

    def empty(self, shape: Shape, like: Array) -> Array:
        return _memory.empty(shape, like.dtype)

    def place(self, shape: Shape, like: Array, out: Array | None) -> Array:
        """In another order of axes, a change of shape would be a copy."""
        return super().place(shape, like, out if out is not None and out.flags.c_contiguous else None)

    def wide(self, x: Array) -> Array:
        return x.astype(np.float32) if x.dtype is _HALF else x

    def narrow(self, x: Array, like: Array) -> Array:
        return x.astype(_HALF, copy=False) if like.dtype is _HALF else x

    def scale_into(self, x: Array, factor: Array, out: Array) -> None:
        np.multiply(x, factor, out=out, casting="same_kind")

    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        if a.dtype is _HALF:  # BLAS has no such product
            return _into(out, self.matmul(self.wide(a), self.wide(b)))
        m, n, work = a.shape[0], b.shape[1], a.shape[0] * b.size
        y = _new((m, n), a, b) if out is None else out
        if work < _blas.LARGE or not _threads.several():
            return _alone(np.matmul, work, _blas.TINY_MATRIX, a, b, out=y)

        def some_rows(start: int, stop: int) -> None:
            np.matmul(a[start:stop], b, out=y[start:stop])

        def some_columns(start: int, stop: int) -> None:
            np.matmul(a, b[:, start:stop], out=y[:, start:stop])

        longest, part = (m, some_rows) if m >= n else (n, some_columns)
        if longest <= _EVEN:
            return _blas.on_one_thread(np.matmul, a, b, out=y)
        _threads.run(longest, _EVEN * -(-longest // (_EVEN * _threads.threads())), part)
        return y

    def matmul_planes(self, a: Array, b: Array) -> Array:
        if a.dtype is _HALF:
            return _into(None, self.matmul_planes(self.wide(a), self.wide(b)))
        planes = a.shape[0]
        y = _new((planes, a.shape[1], b.shape[2]), a, b)

        def some(start: int, stop: int) -> None:
            np.matmul(a[start:stop], b[start:stop], out=y[start:stop])

        with _blas.one_thread():
            _threads.run(planes, -(-planes // (_threads.threads() if a.shape[1] * b.size >= _blas.LARGE else 1)), some)
        return y

    def column_sum(self, x: Array, out: Array | None = None) -> Array:
        x = self.wide(x)
        ones = self.ones_row(x.shape[0], x)[0]
        if x.size < _threads.LARGE or not _threads.several():
            return _alone(np.matmul, x.size, _blas.TINY_VECTOR, ones, x, out=out)
        parts = _threads.share(len(x), x.size, lambda start, stop: np.matmul(ones[start:stop], x[start:stop]))
        return np.add.reduce(parts, axis=0, out=out)

    def row_max(self, x: Array) -> Array:
        """For few columns over a transposed copy: NumPy's loop over a short row costs more than the row."""
        if x.shape[1] > _FEW_COLUMNS:
            return np.max(x, axis=1, keepdims=True)
        return np.maximum.reduce(np.ascontiguousarray(x.T), axis=0)[:, None]

    def row_sum(self, x: Array) -> Array:
        x = self.wide(x)
        return _alone(np.matmul, x.size, _blas.TINY_VECTOR, x, self.ones_row(x.shape[1], x).T)

    def total(self, x: Array) -> Array:
        return np.add.reduce(x, axis=None)

    def sum_of_squares(self, x: Array) -> Array:
        if x.size < _threads.LARGE or not _threads.several():
            return _alone(np.dot, x.size, _blas.TINY_VECTOR, x, x)
        parts = _threads.share(x.size, x.size, lambda start, stop: np.dot(x[start:stop], x[start:stop]))
        return np.add.reduce(parts)

    def compile(self, body: Body, updates: int, guarded: bool) -> Body:
        plain = super().compile(body, updates, False)
        if not guarded:
            return _numba.compiled(body, updates, plain)
        return self._guard(_numba.compiled(body, updates, _in_pieces(plain)), updates)

    def for_blocks(self, n: int, bytes_each: int, body: Callable[[int, int], Result]) -> list[Result]:
        """Pieces that fit a core's second-level cache, on as many threads as BLAS would use, BLAS on one in each."""
        threads, fitting = _threads.threads(), max(1, _threads.cache_bytes() // max(1, bytes_each))
        rounds = max(1, -(-n // fitting) // threads)  # each thread has as many pieces as the others
        return _threads.run(n, max(1, -(-n // (rounds * threads))), body)

    def sum_blocks(
        self, n: int, bytes_each: int, body: Callable[[int, int], tuple[Array, ...]], at_least: int = 1
    ) -> tuple[Array, ...]:
        """As many sums as there are threads, each over pieces that fit the cache, and then their sum."""
        size = max(at_least, _threads.cache_bytes() // max(1, bytes_each))

        def several(start: int, stop: int) -> tuple[Array, ...]:
            sums = body(start, min(start + size, stop))
            for begin in range(start + size, stop, size):
                _add(sums, body(begin, min(begin + size, stop)))
            return sums

        if n == 0:
            return body(0, 0)
        sums, *others = _threads.run(n, max(at_least, -(-n // _threads.threads())), several)
        for other in others:
            _add(sums, other)
        return sums

    def column_statistics(self, x: Array, weight: Array, eps: float) -> tuple[Array, Array, Array, Array]:
        x, (n, channels) = self.wide(x), x.shape
        if not (n and _numba.fits(x)):
            return super().column_statistics(x, weight, eps)

        def part(start: int, stop: int) -> tuple[int, Array, Array]:
            mean, squares = np.empty((2, channels), x.dtype)
            _numba.loops().column_moments(mean, squares, x, start, stop)
            return stop - start, mean, squares

        parts = _threads.share(n, x.size, part)
        mean = sum(rows / n * own for rows, own, _ in parts)
        variance = sum(squares + rows * (own - mean) ** 2 for rows, own, squares in parts) / n
        inverse = 1.0 / np.sqrt(variance + eps)
        return mean, variance, inverse, weight * inverse

    def column_products(
        self, a: Array, b: Array, center: Array, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array, Array]:
        a, b, (n, channels) = self.wide(a), self.wide(b), a.shape
        if not (n and _numba.fits(a, b)):
            return super().column_products(a, b, center, out)

        def part(start: int, stop: int) -> tuple[Array, Array]:
            sums, products = np.empty((2, channels), a.dtype)
            _numba.loops().column_products(sums, products, a, b, center, start, stop)
            return sums, products

        sums, *others = _threads.share(n, a.size, part)
        for other in others:
            _add(sums, other)
        return sums

    def window_max(self, x: Array, windows: Windows) -> Array:
        flat = _plane(windows)
        if flat is None or not _numba.fits(x):
            return super().window_max(x, windows)
        n, channels = x.shape[0], x.shape[-1]
        images = x.reshape(n, *flat.size, channels)
        y = _memory.empty((n, *flat.output, channels), x.dtype)

        def part(start: int, stop: int) -> None:
            _numba.loops().window_max(y, images, flat.kernel, flat.stride, flat.before, start, stop)

        _threads.share(n, x.size, part)
        return y.reshape(n, *windows.output, channels)

    def window_max_gradient(self, dy: Array, x: Array, y: Array, windows: Windows) -> Array:
        flat = _plane(windows)
        if flat is None or not _numba.fits(dy, x, y):
            return super().window_max_gradient(dy, x, y, windows)
        n, channels = dy.shape[0], dy.shape[-1]
        images, size = (n, *flat.size, channels), (n, *flat.output, channels)
        arrays = _memory.empty(images, dy.dtype), dy.reshape(size), x.reshape(images), y.reshape(size)

        def part(start: int, stop: int) -> None:
            unclaimed = np.empty(channels, dy.dtype)
            _numba.loops().window_max_gradient(*arrays, unclaimed, flat.kernel, flat.stride, flat.before, start, stop)

        _threads.share(n, x.size, part)
        return arrays[0].reshape(n, *windows.size, channels)

    def view(self, padded: Array, windows: Windows) -> Array:
        return as_strided(padded, *windows.strided(padded.shape, padded.strides))

    def correlate(self, x: Array, weight: Array, windows: Windows, bias: Array | None) -> Array | None:
        flat = _plane(windows)
        channels, outputs = weight.shape[-2:]
        few = channels <= _FEW_CHANNELS and windows.taps > 1 and outputs >= _FEW_CHANNELS and x.size
        if flat is None or not few or flat.dilation[1] > 1 or not _numba.fits(x, weight):
            return None
        tiles, n = _numba.tiles(), x.shape[0]
        padded = self.pad(x.reshape(n, *flat.size, channels), flat)
        panels = tiles.panels_of(weight, bias)
        y = _memory.empty((n, *flat.output, outputs), x.dtype)

        def part(start: int, stop: int) -> None:
            tiles.correlate(y, padded, panels, flat.kernel[0], flat.stride, flat.dilation, start, stop)

        _threads.share(n * flat.output[0], y.size, part)
        return y.reshape(n, *windows.output, outputs)

    def spread(self, rows: Array, windows: Windows, out: Array) -> None:
        flat = _plane(windows)
        if flat is None or not _numba.fits(rows, out):
            super().spread(rows, windows, out)
            return
        images = out.reshape(out.shape[0], *flat.size, out.shape[-1])
        _numba.loops().spread(images, rows, flat.kernel, flat.stride, flat.dilation, flat.before, flat.output)

    def tiles_to_planes(self, x: Array, tiles: Windows) -> Array:
        if not _numba.fits(x):
            return super().tiles_to_planes(x, tiles)
        planes = _memory.empty((36, x.shape[0] * tiles.pixels, x.shape[-1]), x.dtype)
        _numba.winograd().tiles_to_planes(planes, x, *tiles.before, *tiles.output)
        return planes

    def planes_to_tiles(self, planes: Array, tiles: Windows, dx: Array) -> None:
        if _numba.fits(planes, dx):
            _numba.winograd().planes_to_tiles(dx, planes, *tiles.before, *tiles.output)
        else:
            super().planes_to_tiles(planes, tiles, dx)

    def planes_to_results(self, planes: Array, tiles: Windows, y: Array, bias: Array | None = None) -> None:
        if not _numba.fits(planes, y):
            super().planes_to_results(planes, tiles, y, bias)
            return
        if bias is not None:
            planes[self.ones_plane, ...] += bias
        _numba.winograd().planes_to_results(y, planes, *tiles.output)

    def results_to_planes(self, dy: Array, tiles: Windows) -> Array:
        if not _numba.fits(dy):
            return super().results_to_planes(dy, tiles)
        planes = _memory.empty((36, dy.shape[0] * tiles.pixels, dy.shape[-1]), dy.dtype)
        _numba.winograd().results_to_planes(planes, dy, *tiles.output)
        return planes

    def memory(self) -> dict[str, int]:
        """The resident memory of the process, and how much of it is kept for reuse."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"resident": pages * os.sysconf("SC_PAGE_SIZE"), "kept": _memory.kept_bytes()}

    def release(self) -> None:
        _memory.release()

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


def _in_pieces(plain: Body) -> Body:
    """A body without new results, such as an optimizer's rule, over pieces that fit the cache, on several threads."""

    def call(*arguments: Any) -> None:
        first = arguments[0]
        flat = all(np.size(a) == 1 or (a.shape == first.shape and a.flags.c_contiguous) for a in arguments)
        if first.size < _threads.LARGE or first.ndim != 1 or not flat:
            plain(*arguments)
            return

        def piece(start: int, stop: int) -> None:
            plain(*(a if np.size(a) == 1 else a[start:stop] for a in arguments))

        _threads.run(first.size, _PIECE, piece)

    return call


def _into(out: Array | None, product: Array) -> Array:
    """A product computed in float32, where its factors were float16."""
    if out is None:
        return product.astype(_HALF)
    out[...] = product
    return out


def _new(shape: Shape, a: Array, b: Array) -> Array:
    """A place for the product of two arrays."""
    return _memory.empty(shape, a.dtype if a.dtype == b.dtype else np.result_type(a, b))


def _alone(product: Callable[..., Array], work: int, tiny: int, *arguments: Array, **options: Any) -> Array:
    """A product with BLAS on one thread, which it takes by itself for a tiny number of multiply-adds."""
    if work > tiny and _threads.several():
        return _blas.on_one_thread(product, *arguments, **options)
    return product(*arguments, **options)


def _add(sums: tuple[Array, ...], others: tuple[Array, ...]) -> None:
    for total, other in zip(sums, others, strict=True):
        total += other


def _plane(windows: Windows) -> Windows | None:
    """The same windows over two axes, for which the loops are written; None for more than two."""
    if len(windows.size) == 1:
        values = (windows.size, windows.kernel, windows.stride, windows.dilation, windows.before, windows.output)
        return Windows(*((first, *value) for first, value in zip((1, 1, 1, 1, 0, 1), values, strict=True)))
    return windows if len(windows.size) == 2 else None

"""Loops over images that NumPy has no fast call for, compiled by Numba (needs `xpnet[fast]`).

All take contiguous arrays of float32 or float64, write into the arrays they are given first, and let several threads
share the work: each runs over the examples, or rows, from `start` to `stop`.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.compiler import Compiler


class _Apart(Compiler):  # type: ignore[misc]
    """Compiles for arrays that do not overlap: LLVM vectorizes no loop over several arrays without knowing that."""

    def define_pipelines(self) -> Any:
        if hasattr(self.state.flags, "noalias"):
            self.state.flags.noalias = True
        return super().define_pipelines()


OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "pipeline_class": _Apart}


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as machine code, which is kept on disk where there is a folder for it."""
    try:
        loop: Callable[..., Any] = numba.njit(function, cache=True, **OPTIONS)
    except RuntimeError:
        loop = numba.njit(function, **OPTIONS)
    return loop


# Windows of images ------------------------------------------------------------------------------------------------


@compiled
def spread(x: Any, rows: Any, kernel: Any, stride: Any, dilation: Any, before: Any, output: Any) -> None:
    """The adjoint of gathering windows: (n · pixels, taps · c), added up into (n, height, width, c)."""
    n, height, width, channels = x.shape
    target, source = x.reshape(-1), rows.reshape(-1)
    x[...] = 0.0
    at: Any = np.uintp(0)
    for i in range(n):
        for row in range(output[0]):
            for column in range(output[1]):
                for ty in range(kernel[0]):
                    for tx in range(kernel[1]):
                        top = row * stride[0] - before[0] + ty * dilation[0]
                        left = column * stride[1] - before[1] + tx * dilation[1]
                        if 0 <= top < height and 0 <= left < width:
                            to = np.uintp(((i * height + top) * width + left) * channels)
                            for c in range(np.uintp(channels)):
                                target[to + c] += source[at + c]
                        at += np.uintp(channels)


# Pooling of images (n, height, width, c) ----------------------------------------------------------------------------


@compiled
def window_max(y: Any, x: Any, kernel: Any, stride: Any, before: Any, start: int, stop: int) -> None:
    """The largest of each window; NaN counts as largest."""
    _, height, width, channels = x.shape
    source, largest = x.reshape(-1), y.reshape(-1)
    to = np.uintp(start * y.shape[1] * y.shape[2] * channels)
    for i in range(start, stop):
        for row in range(y.shape[1]):
            for column in range(y.shape[2]):
                first = True
                for ty in range(kernel[0]):
                    for tx in range(kernel[1]):
                        top, left = row * stride[0] - before[0] + ty, column * stride[1] - before[1] + tx
                        if not (0 <= top < height and 0 <= left < width):
                            continue
                        at = np.uintp(((i * height + top) * width + left) * channels)
                        if first:
                            for c in range(np.uintp(channels)):
                                largest[to + c] = source[at + c]
                            first = False
                        else:
                            for c in range(np.uintp(channels)):
                                value, best = source[at + c], largest[to + c]
                                largest[to + c] = value if (value > best) | (value != value) else best
                to += np.uintp(channels)


@compiled
def window_max_gradient(
    dx: Any, dy: Any, x: Any, y: Any, unclaimed: Any, kernel: Any, stride: Any, before: Any, start: int, stop: int
) -> None:
    """Adds each window's gradient to the element that was its largest, the first of equals."""
    _, height, width, channels = dx.shape
    target, gradient, source, largest = dx.reshape(-1), dy.reshape(-1), x.reshape(-1), y.reshape(-1)
    at = np.uintp(start * dy.shape[1] * dy.shape[2] * channels)
    dx[start:stop] = 0.0
    for i in range(start, stop):
        for row in range(dy.shape[1]):
            for column in range(dy.shape[2]):
                for c in range(np.uintp(channels)):
                    unclaimed[c] = 1.0  # as a number, of which a register holds as many as of the others
                for ty in range(kernel[0]):
                    for tx in range(kernel[1]):
                        top, left = row * stride[0] - before[0] + ty, column * stride[1] - before[1] + tx
                        if 0 <= top < height and 0 <= left < width:
                            to = np.uintp(((i * height + top) * width + left) * channels)
                            for c in range(np.uintp(channels)):
                                value = source[to + c]
                                wins = (value == largest[at + c]) | (value != value)
                                target[to + c] += gradient[at + c] if wins & (unclaimed[c] > 0.0) else 0.0
                                unclaimed[c] = 0.0 if wins else unclaimed[c]
                at += np.uintp(channels)


# Statistics of rows (n, c) ------------------------------------------------------------------------------------------


@compiled
def column_moments(mean: Any, squares: Any, x: Any, start: int, stop: int) -> None:
    """Mean of each column over some rows, and the sum of squares of the distances from it.

    Piece by piece, each while it is in the cache: its own mean, its squares around that, and both joined to those so
    far by the rule of T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample
    variances", 1979.
    """
    channels = x.shape[1]
    piece = max(16, 32768 // channels)
    part, spread, off = np.empty(channels, x.dtype), np.empty(channels, x.dtype), np.empty(channels, x.dtype)
    mean[...] = 0.0
    squares[...] = 0.0
    for begin in range(start, stop, piece):
        end = min(begin + piece, stop)
        part[...] = 0.0
        spread[...] = 0.0
        for i in range(begin, end):
            for c in range(channels):
                part[c] += x[i, c]
        for c in range(channels):
            part[c] /= end - begin
            off[c] = 0.0
        for i in range(begin, end):
            for c in range(channels):
                distance = x[i, c] - part[c]
                off[c] += distance
                spread[c] += distance * distance
        share = (end - begin) / (end - start)
        before = (begin - start) / (end - start)
        for c in range(channels):
            rounding = off[c] / (end - begin)  # what the sum lost of a mean far from zero
            spread[c] -= rounding * off[c]
            step = part[c] + rounding - mean[c]
            mean[c] += step * share
            squares[c] += spread[c] + step * step * before * (end - begin)


@compiled
def column_products(sums: Any, products: Any, a: Any, b: Any, center: Any, start: int, stop: int) -> None:
    """Sums over some rows of a, and of a · (b - center)."""
    channels = a.shape[1]
    piece = max(16, 32768 // channels)
    part, spread = np.empty(channels, a.dtype), np.empty(channels, a.dtype)
    sums[...] = 0.0
    products[...] = 0.0
    for begin in range(start, stop, piece):
        part[...] = 0.0
        spread[...] = 0.0
        for i in range(begin, min(begin + piece, stop)):
            for c in range(channels):
                part[c] += a[i, c]
                spread[c] += a[i, c] * (b[i, c] - center[c])
        for c in range(channels):
            sums[c] += part[c]
            products[c] += spread[c]

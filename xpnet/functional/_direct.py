"""Convolution as products of gathered windows, block by block."""

from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, Shape
from xpnet.backend import Backend, Windows, elementwise
from xpnet.functional._checks import into


@elementwise(updates=1)
def add_bias(xp: Any, y: Array, bias: Array) -> Array:
    y += bias
    return y


_FEW = 128
"""Rows of a product below which parting them among threads, or adding up parts' results, costs more than it gives."""


def correlate(
    backend: Backend, x: Array, weight: Array, windows: Windows, groups: int, bias: Array | None = None
) -> Array:
    """y[o] = Σ_t x[window o, element t] · weight[t] + bias: (n, *size, inputs) -> (n, *output, outputs)."""
    whole = backend.correlate(x, weight, windows, bias) if groups == 1 else None
    if whole is not None:
        return whole
    n, outputs, pixels = x.shape[0], weight.shape[-1], windows.pixels
    matrix = _split(backend, backend.xp.reshape(weight, (-1, outputs)), 1, groups)  # (groups, taps · i, o)
    rows = backend.empty((n * pixels, outputs), x)

    def block(start: int, stop: int) -> None:
        columns = backend.gather(x[start:stop, ...], windows)
        y = rows[start * pixels : stop * pixels, :]
        if groups == 1:
            backend.matmul(columns, matrix[0, ...], y)
        else:
            y[...] = _joined(backend, backend.matmul_planes(_split(backend, columns, windows.taps, groups), matrix))
        if bias is not None:
            add_bias(y, bias)

    _in_pieces(backend, x, windows, outputs, block)
    return backend.xp.reshape(rows, (n, *windows.output, outputs))


def adjoint(backend: Backend, dy: Array, weight: Array, windows: Windows, groups: int) -> Array:
    """The adjoint of `correlate` in x: (n, *output, outputs) -> (n, *size, inputs)."""
    n, outputs, pixels = dy.shape[0], weight.shape[-1], windows.pixels
    matrix = _split(backend, backend.xp.reshape(weight, (-1, outputs)), 1, groups)  # (groups, taps · i, o)
    rows = backend.xp.reshape(dy, (n * pixels, outputs))
    dx = backend.empty((n, *windows.size, weight.shape[-2] * groups), dy)
    if windows.trivial and groups == 1:
        backend.matmul(rows, matrix[0, ...].T, backend.xp.reshape(dx, (n * pixels, dx.shape[-1])))
        return dx

    def block(start: int, stop: int) -> None:
        dy = rows[start * pixels : stop * pixels, :]
        if groups == 1:
            columns = backend.matmul(dy, matrix[0, ...].T)
        else:
            stacked = backend.matmul_planes(_split(backend, dy, 1, groups), backend.xp.matrix_transpose(matrix))
            columns = _joined(backend, stacked, windows.taps)
        backend.spread(columns, windows, dx[start:stop, ...])

    _in_pieces(backend, dx, windows, outputs, block)
    return dx


def weight_gradient(
    backend: Backend, x: Array, dy: Array, windows: Windows, shape: Shape, groups: int, out: Array | None = None
) -> Array:
    """dweight[t] = Σ_o x[window o, element t] · dy[o], of `shape` (*kernel, inputs // groups, outputs)."""
    xp, outputs, pixels = backend.xp, shape[-1], windows.pixels
    rows = xp.reshape(dy, (x.shape[0] * pixels, outputs))

    at_least = -(-_FEW // max(1, pixels))
    if groups == 1 and (windows.trivial or x.shape[0] <= at_least):
        place = backend.place(shape, dy, out)
        backend.matmul(backend.gather(x, windows).T, rows, xp.reshape(place, (-1, outputs)))
        return into(out, place)

    def block(start: int, stop: int) -> tuple[Array]:
        columns, dy = backend.gather(x[start:stop, ...], windows), rows[start * pixels : stop * pixels, :]
        if groups == 1:
            whole = stop - start == x.shape[0]  # parts are added up first, those of float16 in float32
            place = backend.wide_place(shape, dy)
            place = backend.place(shape, dy, out if whole else None) if place is None else place
            backend.matmul(columns.T, dy, xp.reshape(place, (-1, outputs)))
            return (place,)
        columns, dy = _split(backend, columns, windows.taps, groups), _split(backend, dy, 1, groups)
        return (xp.reshape(_joined(backend, backend.matmul_planes(xp.matrix_transpose(columns), dy)), shape),)

    (dweight,) = backend.sum_blocks(x.shape[0], _bytes_each(backend, x, windows, outputs), block, at_least)
    return into(out, backend.narrow(dweight, dy))


def _in_pieces(backend: Backend, x: Array, windows: Windows, outputs: int, block: Callable[[int, int], None]) -> None:
    """`block(start, stop)` over the examples of x; in one piece where there is little to gather."""
    n = x.shape[0]
    if windows.trivial or n * windows.pixels <= _FEW:
        block(0, n)
    else:
        backend.for_blocks(n, _bytes_each(backend, x, windows, outputs), block)


def _bytes_each(backend: Backend, x: Array, windows: Windows, outputs: int) -> int:
    """The gathered windows and the results of one example."""
    inputs: int = x.shape[-1]
    return windows.pixels * (windows.taps * inputs + outputs) * backend.item_bytes(x)


def _split(backend: Backend, rows: Array, taps: int, groups: int) -> Array:
    """The groups of channels one after the other: (m, taps · groups · c) -> (groups, m, taps · c)."""
    xp, m = backend.xp, rows.shape[0]
    c = rows.shape[1] // (taps * groups)
    if groups == 1:
        return xp.reshape(rows, (1, m, taps * c))
    turned = xp.permute_dims(xp.reshape(rows, (m, taps, groups, c)), (2, 0, 1, 3))
    return xp.reshape(turned, (groups, m, taps * c))


def _joined(backend: Backend, stacked: Array, taps: int = 1) -> Array:
    """The adjoint of `_split`: (groups, m, taps · c) -> (m, taps · groups · c)."""
    xp, (groups, m, columns) = backend.xp, stacked.shape
    turned = xp.permute_dims(xp.reshape(stacked, (groups, m, taps, columns // taps)), (1, 2, 0, 3))
    return xp.reshape(turned, (m, groups * columns))

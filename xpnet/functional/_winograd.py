"""Winograd's convolution F(4×4, 3×3): 36 products instead of 144 for each 4 × 4 results of a 3×3 kernel.

    Y = Aᵀ [ (G w Gᵀ) ∘ (Bᵀ d B) ] A

summed over the channels, which makes each of the 36 places of a tile, a "plane", one matrix product. The pullback is
the same chain backwards, each transform by its adjoint. In float32 the results are within about 1e-5 of the largest,
where the direct sum is within 1e-6.

A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
"""

import math

from xpnet._typing import Array
from xpnet.backend import Backend, Windows
from xpnet.functional._checks import into


def applies(windows: Windows, groups: int) -> bool:
    """Whether the convolution is one that this file knows: 3×3, stride and dilation 1, one group."""
    return windows.kernel == (3, 3) and windows.stride == windows.dilation == (1, 1) and groups == 1


def correlate(backend: Backend, x: Array, weight: Array, windows: Windows, bias: Array | None) -> Array:
    """y[o] = Σ_t x[window o, element t] · weight[t] + bias: (n, *size, inputs) -> (n, *output, outputs)."""
    tiles, planes = _tiles(windows), backend.kernel_to_planes(weight)
    y = backend.empty((x.shape[0], *windows.output, weight.shape[-1]), x)

    def block(start: int, stop: int) -> None:
        products = backend.matmul_planes(backend.tiles_to_planes(x[start:stop, ...], tiles), planes)
        backend.planes_to_results(products, tiles, y[start:stop, ...], bias)

    backend.for_blocks(x.shape[0], _bytes_each(backend, weight, tiles), block)
    return y


def gradients(
    backend: Backend,
    x: Array,
    dy: Array,
    weight: Array,
    windows: Windows,
    *,
    input_gradient: bool,
    out: tuple[Array | None, Array | None],
) -> tuple[Array | None, Array, Array]:
    """The gradients by x (None unless asked for), weight and bias."""
    xp, tiles, n = backend.xp, _tiles(windows), x.shape[0]
    backwards = backend.kernel_to_planes(xp.matrix_transpose(weight)) if input_gradient else None
    dx = backend.empty(x.shape, x) if input_gradient else None

    def block(start: int, stop: int) -> tuple[Array, Array]:
        dproducts = backend.results_to_planes(dy[start:stop, ...], tiles)
        if dx is not None:
            backend.planes_to_tiles(backend.matmul_planes(dproducts, backwards), tiles, dx[start:stop, ...])
        dplanes = backend.matmul_planes(backend.tiles_to_transposed_planes(x[start:stop, ...], tiles), dproducts)
        place = out[1] if stop - start == n else None  # parts are added up first
        return dplanes, backend.column_sum(dproducts[backend.ones_plane, ...], place)

    # Adding up a piece's planes, inputs × outputs, costs about as much as a quarter of √(inputs · outputs) tiles.
    channels = math.sqrt(weight.shape[2] * weight.shape[3])
    at_least = math.ceil(channels / (4 * tiles.pixels))
    dplanes, dbias = backend.sum_blocks(n, _bytes_each(backend, weight, tiles), block, at_least)
    dweight = backend.place(weight.shape, weight, out[0])
    backend.planes_to_kernel(dplanes, dweight)
    return dx, into(out[0], dweight), into(out[1], dbias)


def _tiles(windows: Windows) -> Windows:
    """Tiles of 6 × 6 pixels, 4 apart, that cover the windows of a 3×3 kernel."""
    rows, columns = (-(-length // 4) for length in windows.output)
    return Windows(windows.size, (6, 6), (4, 4), (1, 1), windows.before, (rows, columns))


def _bytes_each(backend: Backend, weight: Array, tiles: Windows) -> int:
    """The planes of one example, before or after the product."""
    channels: int = max(weight.shape[2], weight.shape[3])
    return 36 * tiles.pixels * channels * backend.item_bytes(weight)

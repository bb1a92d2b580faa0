"""The transforms of Winograd's convolution F(4×4, 3×3) in plain Array API: each is one product with a kept matrix.

The one-dimensional transforms are those of A. Lavin, S. Gray, "Fast algorithms for convolutional neural networks",
CVPR 2016, section 4.3; both axes at once are their Kronecker square.
"""

from abc import abstractmethod
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend._window_seams import WindowSeams
from xpnet.backend._windows import Windows

INPUT = [
    [4, 0, -5, 0, 1, 0],
    [0, -4, -4, 1, 1, 0],
    [0, 4, -4, -1, 1, 0],
    [0, -2, -1, 2, 1, 0],
    [0, 2, -1, -2, 1, 0],
    [0, 4, 0, -5, 0, 1],
]
KERNEL = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]  # 24 times the matrix
OUTPUT = [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]


class WinogradSeams(WindowSeams):
    """To the 36 planes in which a 3×3 convolution is a product for each plane, and back.

    `tiles` are windows of 6 × 6 pixels, 4 apart, each of which gives 4 × 4 results.
    """

    _kept: dict[tuple[Any, ...], Array]
    ones_plane = 7
    """The plane that Aᵀ · A turns into ones at all 4 × 4 places: its row and column of A are (1, 1, 1, 1)."""

    def kernel_to_planes(self, weight: Array) -> Array:
        """G w Gᵀ: (3, 3, i, o) -> (36, i, o)."""
        *_, i, o = weight.shape
        planes = self.strict_matmul(self._square("kernel", weight), self.xp.reshape(weight, (9, i * o)))
        return self.xp.reshape(planes, (36, i, o))

    def planes_to_kernel(self, planes: Array, kernel: Array) -> None:
        """The adjoint of `kernel_to_planes`, written into `kernel`."""
        _, i, o = planes.shape
        place = self.xp.reshape(kernel, (9, i * o))
        self.strict_matmul(self._square("kernel", planes).T, self.xp.reshape(planes, (36, i * o)), place)

    def tiles_to_planes(self, x: Array, tiles: Windows) -> Array:
        """Bᵀ d B of each tile: (n, *size, c) -> (36, n · tiles, c)."""
        planes = self.strict_matmul(self._square("input", x), self.stack(x, tiles))
        return self.xp.reshape(planes, (36, x.shape[0] * tiles.pixels, x.shape[-1]))

    def tiles_to_transposed_planes(self, x: Array, tiles: Windows) -> Array:
        """Bᵀ d B of each tile, as the left side of a product over the tiles: (n, *size, c) -> (36, c, n · tiles)."""
        return self.xp.matrix_transpose(self.tiles_to_planes(x, tiles))

    def planes_to_tiles(self, planes: Array, tiles: Windows, dx: Array) -> None:
        """The adjoint of `tiles_to_planes`, written into dx."""
        n, channels = dx.shape[0], dx.shape[-1]
        stacked = self.strict_matmul(self._square("input", planes).T, self.xp.reshape(planes, (36, -1)))
        stacked = self.xp.reshape(stacked, (36, n, *tiles.output, channels))
        dx[...] = self._spread((stacked[t, ...] for t in range(36)), stacked[0, ...], tiles)

    def planes_to_results(self, planes: Array, tiles: Windows, y: Array, bias: Array | None = None) -> None:
        """Aᵀ m A + bias of each tile, (36, n · tiles, c), written into y, (n, *output, c), as far as that goes.

        The planes may be changed.
        """
        if bias is not None:
            planes[self.ones_plane, ...] += bias
        (rows, columns), channels = tiles.output, planes.shape[-1]
        results = self.strict_matmul(self._square("output", planes), self.xp.reshape(planes, (36, -1)))
        results = self.xp.reshape(results, (4, 4, -1, rows, columns, channels))
        results = self.xp.permute_dims(results, (2, 3, 0, 4, 1, 5))
        results = self.xp.reshape(results, (-1, 4 * rows, 4 * columns, channels))
        y[...] = results[:, : y.shape[1], : y.shape[2], :]

    def results_to_planes(self, dy: Array, tiles: Windows) -> Array:
        """The adjoint of `planes_to_results`."""
        n, channels, (rows, columns) = dy.shape[0], dy.shape[-1], tiles.output
        whole = Windows(tuple(dy.shape[1:-1]), (1, 1), (1, 1), (1, 1), (0, 0), (4 * rows, 4 * columns))
        dy = self.xp.reshape(self.pad(dy, whole), (n, rows, 4, columns, 4, channels))
        dy = self.xp.reshape(self.xp.permute_dims(dy, (2, 4, 0, 1, 3, 5)), (16, -1))
        return self.xp.reshape(self.strict_matmul(self._square("output", dy).T, dy), (36, n * tiles.pixels, channels))

    @abstractmethod
    def matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """The product of two 2-D arrays, written into `out` if given."""

    @abstractmethod
    def strict_matmul(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """The same without TF32, whatever is chosen."""

    def _square(self, name: str, like: Array) -> Array:
        """The Kronecker square of a 1-D transform, kept."""
        key = ("winograd", name, like.dtype, self.device_of(like))
        found = self._kept.get(key)
        if found is None:
            matrix = {"input": INPUT, "kernel": KERNEL, "output": OUTPUT}[name]
            square = np.kron(matrix, matrix) / (576.0 if name == "kernel" else 1.0)
            found = self._kept[key] = self.xp.asarray(square, dtype=like.dtype, device=self.device_of(like))
        return found

"""The seams of batch normalization: sums over the rows of (n, c), in few passes over them."""

from abc import abstractmethod
from typing import Any

from xpnet._typing import Array
from xpnet.backend._elementwise import elementwise
from xpnet.backend._half import HalfSeams


@elementwise()
def _squares_around(xp: Any, x: Array, total: Array, share: float) -> Array:
    centered = x - share * total
    return centered * centered


@elementwise()
def _statistics(
    xp: Any, squares: Array, total: Array, weight: Array, share: float, eps: float
) -> tuple[Array, Array, Array, Array]:
    variance = share * squares
    inverse = 1.0 / xp.sqrt(variance + eps)
    return share * total, variance, inverse, weight * inverse


@elementwise()
def _products(xp: Any, a: Array, b: Array, center: Array) -> Array:
    return a * (b - center)


class ColumnSeams(HalfSeams):
    """Two passes for a mean and a variance, so that no digits of the variance are lost to a large mean."""

    @abstractmethod
    def column_sum(self, x: Array, out: Array | None = None) -> Array:
        """Sums over the rows, (n, c) -> (c,), written into `out` if given."""

    def column_statistics(self, x: Array, weight: Array, eps: float) -> tuple[Array, Array, Array, Array]:
        """Of each column of (n, c): mean, (biased) variance, 1/√(variance + eps), and weight/√(variance + eps)."""
        x, share = self.wide(x), 1.0 / x.shape[0]
        total = self.column_sum(x)
        squares = self.column_sum(_squares_around(x, total, share))
        mean, variance, inverse, scale = _statistics(squares, total, weight, share, eps)
        return mean, variance, inverse, scale

    def column_products(
        self, a: Array, b: Array, center: Array, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array, Array]:
        """Sums over the rows of (n, c) of a, and of a · (b - center); in `out` where that saves a copy."""
        a, b = self.wide(a), self.wide(b)
        return self.column_sum(a, out[0]), self.column_sum(_products(a, b, center), out[1])

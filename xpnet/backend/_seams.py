"""The seams as functions: what generic code calls, whatever library its arrays belong to."""

from collections.abc import Callable

from xpnet._typing import Array, Result
from xpnet.backend._random import HostArray
from xpnet.backend._registry import backend_of


def matmul(a: Array, b: Array, out: Array | None = None) -> Array:
    """The product of two 2-D arrays, (n, k) @ (k, m) -> (n, m), written into `out` if given."""
    return backend_of(a).matmul(a, b, out)


def column_sum(x: Array, out: Array | None = None) -> Array:
    """Sums over the rows, (n, c) -> (c,), as the product ones(1, n) @ x.

    A plain `sum(axis=0)` is several times slower on NumPy and uses a fraction of a GPU.
    """
    return backend_of(x).column_sum(x, out)


def row_max(x: Array) -> Array:
    """The largest of each row, (n, c) -> (n, 1)."""
    return backend_of(x).row_max(x)


def row_sum(x: Array) -> Array:
    """Sums over the columns, (n, c) -> (n, 1); on NumPy a product, which is several times faster for few columns."""
    return backend_of(x).row_sum(x)


def sum_of_squares(x: Array) -> Array:
    """x · x of a 1-D array, as a 0-d array."""
    return backend_of(x).sum_of_squares(x)


def for_blocks(n: int, bytes_each: int, body: Callable[[int, int], Result], *, like: Array) -> list[Result]:
    """Runs `body(start, stop)` over `range(n)` in pieces that fit the cache, on several threads where that pays.

    Parameters
    ----------
    n : number of items.
    bytes_each : memory that one item needs while `body` works on it.
    body : must be safe to run in several threads at once; products inside it run on one thread each.
    like : an array of the library at work.

    Returns
    -------
    The results of the pieces, in order.
    """
    return backend_of(like).for_blocks(n, bytes_each, body)


def to_host(x: Array) -> HostArray:
    """The values of `x` as a NumPy array; on a device this waits for the device and copies."""
    return backend_of(x).to_host(x)


def readable(x: Array) -> bool:
    """Whether the host can read `x` without waiting for a device."""
    return backend_of(x).readable(x)

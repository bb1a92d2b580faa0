import math
import operator
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import Windows, backend_of, elementwise
from xpnet.functional._checks import check_floats, check_gradient


@elementwise()
def _square(xp: Any, x: Array) -> Array:
    return x * x


@elementwise()
def _divide(xp: Any, x: Array, total: Array, k: float, share: float, power: float) -> Array:
    return x * xp.exp(power * xp.log(k + share * total))


@elementwise()
def _dy_over_scale(
    xp: Any, dy: Array, x: Array, total: Array, k: float, share: float, power: float
) -> tuple[Array, Array]:
    scale = k + share * total
    direct = dy * xp.exp(power * xp.log(scale))
    return direct, direct * x / scale


@elementwise()
def _through_neighbours(xp: Any, direct: Array, x: Array, neighbours: Array, factor: float) -> Array:
    return direct + factor * x * neighbours


def local_response_norm(
    x: Array, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> tuple[Array, Pullback]:
    """Divides each channel by the strength of its neighbours at the same pixel.

        s_c = k + alpha / size · Σ x_j²  over j = c - ⌊size / 2⌋, …, c + ⌊(size - 1) / 2⌋,    y = x s^(-beta)
        dx_j = dy_j s_j^(-beta) - 2 alpha beta / size · x_j Σ_c dy_c x_c s_c^(-beta - 1)  over the c that j is in

    Parameters
    ----------
    x : (..., channels), floating-point.
    size : number of channels that count, >= 1.
    alpha, beta, k : as in the formula; alpha >= 0 and k > 0, so that no s is zero.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    ValueError : numbers out of their range, or `x` without an axis.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> local_response_norm(np.asarray([[3.0, 4.0]]), 2, alpha=2.0, beta=0.5, k=1e-9)[0].round(3)
    array([[1. , 0.8]])

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks", NIPS
    2012, section 3.3. Variant: PyTorch's, which divides alpha by the size; the paper's alpha is PyTorch's / size.
    """
    backend = backend_of(x)
    xp = backend.xp
    check_floats("local_response_norm", x=x)
    size = check_response("local_response_norm", size, alpha, beta, k)
    if x.ndim < 1:
        raise ValueError("local_response_norm: expected x (..., channels), got a 0-d array")
    shape, share = x.shape, float(alpha) / size
    rows = xp.reshape(backend.wide(x), (math.prod(shape[:-1]), shape[-1]))  # (..., channels) -> (n, channels)
    near = Windows((shape[-1],), (size,), (1,), (1,), (size // 2,), (shape[-1],))
    column = (*rows.shape, 1)  # each pixel as a sequence of its channels
    total = xp.reshape(backend.window_sum(xp.reshape(_square(rows), column), near), rows.shape)
    y = backend.narrow(xp.reshape(_divide(rows, total, float(k), share, -float(beta)), shape), x)

    def pullback(dy: Array) -> Array:
        check_gradient("local_response_norm", dy, shape, y)
        dy = xp.reshape(backend.wide(dy), rows.shape)
        direct, products = _dy_over_scale(dy, rows, total, float(k), share, -float(beta))
        neighbours = xp.reshape(backend.window_sum_gradient(xp.reshape(products, column), near), rows.shape)
        dx = _through_neighbours(direct, rows, neighbours, -2.0 * share * float(beta))
        return backend.narrow(xp.reshape(dx, shape), y)

    return y, pullback


def check_response(function: str, size: int, alpha: float, beta: float, k: float) -> int:
    """The numbers of `local_response_norm`; the size as a Python integer.

    Raises
    ------
    ValueError : one out of its range.
    """
    if isinstance(size, bool) or not hasattr(type(size), "__index__") or size < 1:
        raise ValueError(f"{function}: size must be a positive integer, got {size!r}")
    if not (math.isfinite(alpha) and alpha >= 0.0 and math.isfinite(beta) and math.isfinite(k) and k > 0.0):
        raise ValueError(f"{function}: expected alpha >= 0, a finite beta and k > 0, got {alpha!r}, {beta!r}, {k!r}")
    return operator.index(size)

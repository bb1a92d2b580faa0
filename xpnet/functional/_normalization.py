import math
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import array_namespace, column_sum, elementwise
from xpnet.functional._checks import check_features, check_floats, check_gradient


@elementwise()
def _center(xp: Any, x: Array, mean: Array) -> tuple[Array, Array]:
    centered = x - mean
    return centered, centered * centered


@elementwise()
def _scale(xp: Any, centered: Array, inverse: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    normalized = centered * inverse
    return normalized, normalized * weight + bias


@elementwise()
def _multiply(xp: Any, a: Array, b: Array) -> Array:
    return a * b


@elementwise()
def _dx(xp: Any, dy: Array, normalized: Array, mean_dy: Array, mean_product: Array, scale: Array) -> Array:
    return scale * (dy - mean_dy - normalized * mean_product)


def _check(function: str, x: Array, weight: Array, bias: Array, eps: float, **statistics: Array) -> None:
    check_floats(function, x=x, weight=weight, bias=bias, **statistics)
    if weight.ndim != 1 or any(a.shape != weight.shape for a in (bias, *statistics.values())):
        names = ", ".join(("weight", "bias", *statistics))
        shapes = ", ".join(str(tuple(a.shape)) for a in (weight, bias, *statistics.values()))
        raise ValueError(f"{function}: expected {names} of one shape (features,), got {shapes}")
    check_features(function, x, weight.shape[0])
    if not (math.isfinite(eps) and eps > 0.0):
        raise ValueError(f"{function}: expected eps > 0, got {eps!r}")


def batch_norm(
    x: Array, weight: Array, bias: Array, *, eps: float = 1e-5
) -> tuple[Array, Pullback, tuple[Array, Array]]:
    """Normalizes each feature over the batch, then scales and shifts it.

        x̂ = (x - μ) / √(σ² + eps),    y = w x̂ + b
        dx = w / √(σ² + eps) · (dy - mean(dy) - x̂ mean(dy x̂))

    Parameters
    ----------
    x : (..., features), floating-point; μ and σ² are taken over all axes but the last, from n >= 2 rows.
    weight, bias : (features,).
    eps : added to the variance, > 0.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx, dweight, dbias = pullback(dy)`; `out=(dweight, dbias)` gives places to write into.
    statistics : the batch's mean and (biased) variance, each (features,).

    Raises
    ------
    ValueError : fewer than two rows, or shapes that do not fit.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback, (mean, variance) = batch_norm(np.asarray([[1.0], [3.0]]), np.ones(1), np.zeros(1))
    >>> mean, variance, np.round(y[:, 0], 3)
    (array([2.]), array([1.]), array([-1.,  1.]))

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015, algorithm 1. Variant: eps 1e-5, as in PyTorch.
    """
    xp = array_namespace(x, weight, bias)
    _check("batch_norm", x, weight, bias, eps)
    rows = xp.reshape(x, (-1, x.shape[-1]))  # (..., features) -> (n, features)
    n = rows.shape[0]
    if n < 2:
        raise ValueError(
            f"batch_norm: expected at least 2 rows to take a variance of, got {n} (shape {tuple(x.shape)}); "
            "a last batch of one example is left out by data.batches(..., drop_last=True)"
        )
    shape = x.shape
    mean = column_sum(rows) / n
    centered, squares = _center(rows, mean)
    variance = column_sum(squares) / n
    inverse = 1.0 / xp.sqrt(variance + float(eps))
    normalized, y = _scale(centered, inverse, weight, bias)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array]:
        check_gradient("batch_norm", dy, shape, weight)
        dy = xp.reshape(dy, (-1, dy.shape[-1]))  # (..., features) -> (n, features)
        dweight = column_sum(_multiply(dy, normalized), out[0])
        dbias = column_sum(dy, out[1])
        if not input_gradient:
            return None, dweight, dbias
        dx = _dx(dy, normalized, dbias / n, dweight / n, weight * inverse)
        return xp.reshape(dx, shape), dweight, dbias

    return xp.reshape(y, shape), pullback, (mean, variance)


def batch_norm_inference(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, *, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Normalizes each feature by statistics that are given: what `batch_norm` becomes after training.

        x̂ = (x - mean) / √(variance + eps),    y = w x̂ + b,    dx = dy w / √(variance + eps)

    Parameters
    ----------
    x : (..., features), floating-point.
    weight, bias, mean, variance : (features,).
    eps : added to the variance, > 0.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx, dweight, dbias = pullback(dy)`; the statistics count as constants.

    Raises
    ------
    ValueError : shapes that do not fit.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> y, pullback = batch_norm_inference(np.asarray([[5.0]]), one, zero, mean=one, variance=4.0 * one)
    >>> np.round(y, 3)
    array([[2.]])

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015, algorithm 2, step 11.
    """
    xp = array_namespace(x, weight, bias, mean, variance)
    _check("batch_norm_inference", x, weight, bias, eps, mean=mean, variance=variance)
    rows = xp.reshape(x, (-1, x.shape[-1]))  # (..., features) -> (n, features)
    inverse = 1.0 / xp.sqrt(variance + float(eps))
    scale = weight * inverse
    y = xp.reshape(rows * scale + (bias - mean * scale), x.shape)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array]:
        check_gradient("batch_norm_inference", dy, x.shape, weight)
        dx = dy * scale if input_gradient else None
        dy = xp.reshape(dy, (-1, dy.shape[-1]))  # (..., features) -> (n, features)
        dweight = column_sum(_multiply(dy, (rows - mean) * inverse), out[0])
        dbias = column_sum(dy, out[1])
        return dx, dweight, dbias

    return y, pullback

import math
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of, column_sum, elementwise, row_sum
from xpnet.functional._checks import check_eps, check_gradient, check_normalized, into


@elementwise()
def _center(xp: Any, x: Array, mean: Array) -> tuple[Array, Array]:
    centered = x - mean
    return centered, centered * centered


@elementwise()
def _scale(xp: Any, centered: Array, inverse: Array, weight: Array, bias: Array) -> tuple[Array, Array]:
    normalized = centered * inverse
    return normalized, normalized * weight + bias


@elementwise()
def _weigh(xp: Any, dy: Array, normalized: Array, weight: Array) -> tuple[Array, Array, Array]:
    scaled = dy * weight
    return scaled, scaled * normalized, dy * normalized


@elementwise()
def _dx_of_rows(xp: Any, scaled: Array, normalized: Array, mean: Array, mean_product: Array, inverse: Array) -> Array:
    return inverse * (scaled - mean - normalized * mean_product)


def layer_norm(x: Array, weight: Array, bias: Array, *, eps: float = 1e-5) -> tuple[Array, Pullback]:
    """Normalizes each example over its last axes, then scales and shifts each feature.

        x̂ = (x - μ) / √(σ² + eps),    y = w x̂ + b
        dx = (w dy - mean(w dy) - x̂ mean(w dy x̂)) / √(σ² + eps)

    Parameters
    ----------
    x : (..., *features), floating-point; μ and σ² are taken over as many of the last axes as `weight` has.
    weight, bias : (*features,), of the type of `x`, or float32 for x of float16: all is computed in float32 then.
    eps : added to the variance, > 0.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx, dweight, dbias = pullback(dy)`; `dx` is None with `input_gradient=False`, and
        `out=(dweight, dbias)` gives places to write into.

    Raises
    ------
    ValueError : shapes that do not fit.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = layer_norm(np.asarray([[1.0, 3.0], [10.0, 30.0]]), np.ones(2), np.zeros(2))
    >>> np.round(y, 3)
    array([[-1.,  1.], [-1.,  1.]])

    References
    ----------
    J. Ba, J. Kiros, G. Hinton, "Layer normalization", 2016, section 3. Variant: eps 1e-5, as in PyTorch.
    """
    backend = backend_of(x, weight, bias)
    xp = backend.xp
    check_normalized("layer_norm", x, weight=weight, bias=bias)
    eps = check_eps("layer_norm", eps)
    features, shape = weight.shape, x.shape
    if weight.ndim < 1 or bias.shape != features or shape[x.ndim - weight.ndim :] != features or x.ndim < weight.ndim:
        raise ValueError(
            f"layer_norm: expected weight and bias of the shape of the last axes of x, got {tuple(features)} and "
            f"{tuple(bias.shape)} for x {tuple(shape)}"
        )
    columns = math.prod(features)
    if columns == 0:
        raise ValueError(f"layer_norm: expected features to normalize over, got shape {tuple(shape)}")
    rows = xp.reshape(backend.wide(x), (-1, columns))  # (..., *features) -> (n, columns)
    w = xp.reshape(weight, (1, columns))
    centered, squares = _center(rows, row_sum(rows) / columns)
    inverse = 1.0 / xp.sqrt(row_sum(squares) / columns + eps)
    normalized, y = _scale(centered, inverse, w, xp.reshape(bias, (1, columns)))
    y = backend.narrow(xp.reshape(y, shape), x)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array]:
        check_gradient("layer_norm", dy, shape, y)
        dy = xp.reshape(backend.wide(dy), (-1, columns))
        scaled, products, dw = _weigh(dy, normalized, w)
        dweight = into(out[0], xp.reshape(column_sum(dw), features))
        dbias = into(out[1], xp.reshape(column_sum(dy), features))
        if not input_gradient:
            return None, dweight, dbias
        dx = _dx_of_rows(scaled, normalized, row_sum(scaled) / columns, row_sum(products) / columns, inverse)
        return backend.narrow(xp.reshape(dx, shape), y), dweight, dbias

    return y, pullback

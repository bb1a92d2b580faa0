from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of, elementwise
from xpnet.functional._activations import through_relu
from xpnet.functional._checks import check_eps, check_features, check_gradient, check_normalized, into
from xpnet.functional._part import Part


@elementwise()
def _normalize(xp: Any, x: Array, mean: Array, scale: Array, bias: Array) -> Array:
    return (x - mean) * scale + bias


@elementwise()
def _normalize_relu(xp: Any, x: Array, mean: Array, scale: Array, bias: Array) -> Array:
    return xp.maximum((x - mean) * scale + bias, 0.0)


@elementwise(updates=1)
def _mean_gradients(xp: Any, dweight: Array, dbias: Array, inverse: Array, share: float) -> tuple[Array, Array, Array]:
    """From Σ dy (x - μ) to dweight, in place; and mean(dy), mean(dy x̂) / √(σ² + eps)."""
    dweight *= inverse
    return dweight, share * dbias, share * (dweight * inverse)


@elementwise()
def _around(xp: Any, mean: Array, variance: Array, center: Array, share: float) -> Array:
    return share * (variance + (mean - center) * (mean - center))


@elementwise()
def _scales(xp: Any, variance: Array, weight: Array, eps: float) -> tuple[Array, Array]:
    inverse = 1.0 / xp.sqrt(variance + eps)
    return inverse, weight * inverse


def _of_all(mean: Array, variance: Array, share: float, add: Callable[[Array], None]) -> tuple[Array, Array]:
    """Mean and variance of all rows, from those of each process, which has this share of the rows.

    No digits are lost to a large mean (T. Chan, G. Golub, R. LeVeque, "Algorithms for computing the sample variance",
    1983).
    """
    center = share * mean
    add(center)
    spread = _around(mean, variance, center, share)
    add(spread)
    return center, spread


@elementwise()
def _dx_of_columns(xp: Any, dy: Array, x: Array, mean: Array, scale: Array, mean_dy: Array, slope: Array) -> Array:
    return scale * (dy - mean_dy - (x - mean) * slope)


def _check(function: str, x: Array, weight: Array, bias: Array, eps: float, **statistics: Array) -> None:
    check_normalized(function, x, weight=weight, bias=bias, **statistics)
    if weight.ndim != 1 or any(a.shape != weight.shape for a in (bias, *statistics.values())):
        names = ", ".join(("weight", "bias", *statistics))
        shapes = ", ".join(str(tuple(a.shape)) for a in (weight, bias, *statistics.values()))
        raise ValueError(f"{function}: expected {names} of one shape (features,), got {shapes}")
    check_features(function, x, weight.shape[0])
    check_eps(function, eps)


def batch_norm(
    x: Array, weight: Array, bias: Array, *, eps: float = 1e-5, part: Part | None = None
) -> tuple[Array, Pullback, tuple[Array, Array]]:
    """Normalizes each feature over the batch, then scales and shifts it.

        x̂ = (x - μ) / √(σ² + eps),    y = w x̂ + b
        dx = w / √(σ² + eps) · (dy - mean(dy) - x̂ mean(dy x̂))

    Parameters
    ----------
    x : (..., features), floating-point; μ and σ² are taken over all axes but the last, from n >= 2 rows.
    weight, bias : (features,), of the type of `x`, or float32 for x of float16: all is computed in float32 then.
    eps : added to the variance, > 0.
    part : which part of a batch `x` is, where several processes share one: statistics, and the means in dx, are then
        those of the whole; dweight and dbias are this part's.

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
    return _by_batch("batch_norm", _normalize, x, weight, bias, eps, part)


def batch_norm_relu(
    x: Array, weight: Array, bias: Array, *, eps: float = 1e-5, part: Part | None = None
) -> tuple[Array, Pullback, tuple[Array, Array]]:
    """`batch_norm` and the rectified linear unit after it, in one pass over the array.

        y = max(w x̂ + b, 0)

    Parameters, results and errors are those of `batch_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback, statistics = batch_norm_relu(np.asarray([[1.0], [3.0]]), np.ones(1), np.zeros(1))
    >>> np.round(y[:, 0], 3)
    array([0., 1.])
    """
    y, pull, statistics = _by_batch("batch_norm_relu", _normalize_relu, x, weight, bias, eps, part)
    return y, through_relu("batch_norm_relu", y, pull), statistics


def _by_batch(
    function: str,
    normalize: Callable[..., Array],
    x: Array,
    weight: Array,
    bias: Array,
    eps: float,
    part: Part | None,
) -> tuple[Array, Pullback, tuple[Array, Array]]:
    backend = backend_of(x, weight, bias)
    xp = backend.xp
    _check(function, x, weight, bias, eps)
    rows = xp.reshape(x, (-1, x.shape[-1]))  # (..., features) -> (n, features)
    shape, add = x.shape, None if part is None else part.add
    n = rows.shape[0] if part is None or add is None else part.rows(rows.shape[0])
    if n < 2:
        raise ValueError(
            f"{function}: expected at least 2 rows to take a variance of, got {n} (shape {tuple(shape)}); "
            "a last batch of one example is left out by data.batches(..., drop_last=True)"
        )
    mean, variance, inverse, scale = backend.column_statistics(rows, weight, float(eps))
    if add is not None:
        mean, variance = _of_all(mean, variance, rows.shape[0] / n, add)
        inverse, scale = _scales(variance, weight, float(eps))
    y = normalize(rows, mean, scale, bias)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array]:
        check_gradient(function, dy, shape, rows)
        dy = xp.reshape(dy, rows.shape)  # (..., features) -> (n, features)
        dbias, dweight = backend.column_products(dy, rows, mean, out[::-1])
        if add is None:
            means = _mean_gradients(dweight, dbias, inverse, 1.0 / n)
        else:
            sums = xp.concat([dweight, dbias])
            add(sums)
            features = weight.shape[0]
            means = _mean_gradients(sums[:features], sums[features:], inverse, 1.0 / n)
            dweight *= inverse
        dx = xp.reshape(_dx_of_columns(dy, rows, mean, scale, *means), shape) if input_gradient else None
        return dx, into(out[0], dweight), into(out[1], dbias)

    return xp.reshape(y, shape), pullback, (mean, variance)


def batch_norm_inference(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, *, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """Normalizes each feature by statistics that are given: what `batch_norm` becomes after training.

        x̂ = (x - mean) / √(variance + eps),    y = w x̂ + b,    dx = dy w / √(variance + eps)

    Parameters
    ----------
    x : (..., features), floating-point.
    weight, bias, mean, variance : (features,), of the type of `x`, or float32 for x of float16.
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
    return _by_statistics("batch_norm_inference", _normalize, x, weight, bias, mean, variance, eps)


def batch_norm_relu_inference(
    x: Array, weight: Array, bias: Array, mean: Array, variance: Array, *, eps: float = 1e-5
) -> tuple[Array, Pullback]:
    """`batch_norm_inference` and the rectified linear unit after it, in one pass over the array.

        y = max(w x̂ + b, 0)

    Parameters, results and errors are those of `batch_norm_inference`.

    Examples
    --------
    >>> import numpy as np
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> y, pullback = batch_norm_relu_inference(np.asarray([[5.0], [-3.0]]), one, zero, mean=one, variance=4.0 * one)
    >>> np.round(y[:, 0], 3)
    array([2., 0.])
    """
    y, pull = _by_statistics("batch_norm_relu_inference", _normalize_relu, x, weight, bias, mean, variance, eps)
    return y, through_relu("batch_norm_relu_inference", y, pull)


def _by_statistics(
    function: str,
    normalize: Callable[..., Array],
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    eps: float,
) -> tuple[Array, Pullback]:
    backend = backend_of(x, weight, bias, mean, variance)
    xp = backend.xp
    _check(function, x, weight, bias, eps, mean=mean, variance=variance)
    rows, shape = xp.reshape(x, (-1, x.shape[-1])), x.shape  # (..., features) -> (n, features)
    inverse = 1.0 / xp.sqrt(variance + float(eps))
    scale = weight * inverse
    y = xp.reshape(normalize(rows, mean, scale, bias), shape)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array]:
        check_gradient(function, dy, shape, rows)
        dx = backend.narrow(dy * scale, rows) if input_gradient else None
        dy = xp.reshape(dy, rows.shape)  # (..., features) -> (n, features)
        dbias, dweight = backend.column_products(dy, rows, mean, out[::-1])
        dweight *= inverse
        return dx, into(out[0], dweight), into(out[1], dbias)

    return y, pullback

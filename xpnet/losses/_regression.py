"""Losses of one output against one target, summed or averaged over outputs and averaged over examples."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import elementwise
from xpnet.losses._checks import check_pair, check_range, example_weights
from xpnet.losses._reduction import loss_and_pullback


def _mean_over_outputs(
    name: str, y: Array, t: Array, weights: Array | None, body: Callable[..., Any], *constants: float
) -> tuple[Array, Pullback]:
    """The weighted mean over examples of the mean over outputs; `body` gives each element's loss and derivative."""
    check_pair(name, y, t)
    outputs = math.prod(y.shape[1:])
    return loss_and_pullback(*body(y, t, example_weights(name, weights, y) / outputs, *constants))


@elementwise()
def _squared_error(xp: Any, y: Array, t: Array, weight: Array | float) -> tuple[Array, Array]:
    difference = y - t
    gradient = difference * weight
    return 0.5 * (difference * gradient), gradient


def squared_error(y: Array, t: Array, weights: Array | None = None) -> tuple[Array, Pullback]:
    """Half the squared distance to the targets, averaged over the batch.

        E = 1/n Σ_i ½ ‖y_i - t_i‖²,    dy = (y - t) / n

    Parameters
    ----------
    y : (n, ...), outputs, floating-point.
    t : the shape and type of `y`, targets.
    weights : (n,), what each example counts in a weighted mean over the batch; None counts all the same.

    Returns
    -------
    loss : 0-d array.
    pullback : `dy = pullback()`; `pullback(dloss)` scales it.

    Raises
    ------
    ValueError : shapes differ (nothing is broadcast), the batch is empty, or weights are not one an example.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = squared_error(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 0.0]]))
    >>> float(loss), pullback()
    (2.0, array([[0., 2.]]))

    References
    ----------
    The course's E = ½‖y - d‖². Variant: summed over outputs and averaged over examples, where PyTorch's `MSELoss`
    averages over both and has no ½.
    """
    check_pair("squared_error", y, t)
    return loss_and_pullback(*_squared_error(y, t, example_weights("squared_error", weights, y)))


@elementwise()
def _mean_squared_error(xp: Any, y: Array, t: Array, weight: Array | float) -> tuple[Array, Array]:
    difference = y - t
    product = difference * weight
    return difference * product, 2.0 * product


def mean_squared_error(y: Array, t: Array, weights: Array | None = None) -> tuple[Array, Pullback]:
    """The mean squared difference to the targets, over examples and outputs.

        L = 1/(n k) Σ_ij (y_ij - t_ij)²,    dy = 2 (y - t) / (n k)

    Parameters
    ----------
    y : (n, ...), outputs, floating-point; k is the number of outputs of one example.
    t : the shape and type of `y`, targets.
    weights : (n,), what each example counts in a weighted mean over the batch; None counts all the same.

    Returns
    -------
    loss : 0-d array.
    pullback : `dy = pullback()`; `pullback(dloss)` scales it.

    Raises
    ------
    ValueError : shapes differ (nothing is broadcast), the batch is empty, or weights are not one an example.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = mean_squared_error(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, 0.0]]))
    >>> float(loss), pullback()
    (2.0, array([[0., 2.]]))
    """
    return _mean_over_outputs("mean_squared_error", y, t, weights, _mean_squared_error)


@elementwise()
def _huber(xp: Any, y: Array, t: Array, weight: Array | float, low: float, high: float) -> tuple[Array, Array]:
    difference = y - t
    clipped = xp.minimum(xp.maximum(difference, low), high)
    return clipped * (difference - 0.5 * clipped) * weight, clipped * weight


def huber(y: Array, t: Array, weights: Array | None = None, *, delta: float = 1.0) -> tuple[Array, Pullback]:
    """Squared for small differences, linear for large ones: outliers pull with a bounded force.

        l(r) = ½ r² where |r| <= δ, else δ (|r| - ½ δ);    L = 1/(n k) Σ_ij l(y_ij - t_ij)
        dy = max(-δ, min(r, δ)) / (n k)

    Parameters
    ----------
    y : (n, ...), outputs, floating-point; k is the number of outputs of one example.
    t : the shape and type of `y`, targets.
    weights : (n,), what each example counts in a weighted mean over the batch; None counts all the same.
    delta : where the square ends, > 0, in the units of `y`.

    Returns
    -------
    loss : 0-d array.
    pullback : `dy = pullback()`; `pullback(dloss)` scales it.

    Raises
    ------
    ValueError : delta <= 0, shapes differ, the batch is empty, or weights are not one an example.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = huber(np.asarray([[3.0]]), np.asarray([[0.0]]))
    >>> float(loss), pullback()
    (2.5, array([[1.]]))

    References
    ----------
    P. Huber, "Robust estimation of a location parameter", Annals of Mathematical Statistics 35 (1964). Variant:
    PyTorch's `HuberLoss`.
    """
    if not (math.isfinite(delta) and delta > 0.0):
        raise ValueError(f"huber: expected delta > 0, got {delta!r}")
    delta = float(delta)
    return _mean_over_outputs("huber", y, t, weights, _huber, -delta, delta)


@elementwise()
def _binary_cross_entropy(xp: Any, y: Array, t: Array, weight: Array | float) -> tuple[Array, Array]:
    small = xp.exp(-xp.abs(y))
    probability = xp.exp(xp.minimum(y, 0.0)) / (1.0 + small)
    return (xp.maximum(y, 0.0) - y * t + xp.log1p(small)) * weight, (probability - t) * weight


def binary_cross_entropy(y: Array, t: Array, weights: Array | None = None) -> tuple[Array, Pullback]:
    """The negative log-likelihood of yes-or-no targets, given logits: no sigmoid before it.

        L = 1/(n k) Σ_ij [max(y, 0) - y t + log(1 + exp(-|y|))],    dy = (sigmoid(y) - t) / (n k)

    Parameters
    ----------
    y : (n, ...), logits, floating-point; k is the number of outputs of one example.
    t : the shape and type of `y`, probabilities between 0 and 1.
    weights : (n,), what each example counts in a weighted mean over the batch; None counts all the same.

    Returns
    -------
    loss : 0-d array.
    pullback : `dy = pullback()`; `pullback(dloss)` scales it.

    Raises
    ------
    ValueError : targets outside [0, 1] (where reading waits for nothing), shapes differ, the batch is empty, or
        weights are not one an example.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> loss, pullback = binary_cross_entropy(np.asarray([[1e4]]), np.asarray([[0.0]]))
    >>> float(loss), pullback()
    (10000.0, array([[1.]]))
    """
    xp = check_pair("binary_cross_entropy", y, t)
    check_range("binary_cross_entropy", xp, t)
    return _mean_over_outputs("binary_cross_entropy", y, t, weights, _binary_cross_entropy)

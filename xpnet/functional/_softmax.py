from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import Backend, backend_of, elementwise
from xpnet.functional._checks import check_floats, check_gradient


@elementwise()
def shifted_exp(xp: Any, x: Array, largest: Array) -> tuple[Array, Array]:
    """x - largest and its exponential: with the largest of each row, no exponential overflows.

    Examples
    --------
    >>> import numpy as np
    >>> shifted_exp(np.asarray([[1e4, 0.0]]), np.asarray([[1e4]]))
    (array([[     0., -10000.]]), array([[1., 0.]]))
    """
    shifted = x - largest
    return shifted, xp.exp(shifted)


def _shift(function: str, x: Array) -> tuple[Backend, Array, Array, Array]:
    """The backend, x - max(x), exp of that, and its sum; every exponent is <= 0."""
    backend = backend_of(x)
    xp = backend.xp
    check_floats(function, x=x)
    if x.ndim < 1 or x.shape[-1] == 0:
        raise ValueError(f"{function}: expected x with classes in the last axis, got shape {tuple(x.shape)}")
    x = backend.wide(x)
    shifted, exponentials = shifted_exp(x, xp.max(x, axis=-1, keepdims=True))
    return backend, shifted, exponentials, xp.sum(exponentials, axis=-1, keepdims=True)


@elementwise()
def _dsoftmax(xp: Any, dy: Array, y: Array, mean: Array) -> Array:
    return y * (dy - mean)


def softmax(x: Array) -> tuple[Array, Pullback]:
    """Positive numbers that sum to 1 along the last axis.

        y_j = exp(x_j) / Σ_k exp(x_k),    dx = y ∘ (dy - Σ_k dy_k y_k)

    Parameters
    ----------
    x : (..., classes), floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.
    ValueError : the last axis is empty, or `dy` has another shape than `y`.

    Examples
    --------
    >>> import numpy as np
    >>> softmax(np.asarray([[1e4, 1e4, -1e4]]))[0]
    array([[0.5, 0.5, 0. ]])

    References
    ----------
    J. Bridle, "Probabilistic interpretation of feedforward classification network outputs", 1990. Variant: the largest
    x is subtracted first, which changes nothing but keeps the exponentials from overflowing.
    """
    backend, _, exponentials, total = _shift("softmax", x)
    y = backend.narrow(exponentials / total, x)

    def pullback(dy: Array) -> Array:
        check_gradient("softmax", dy, y.shape, y)
        return _dsoftmax(dy, y, backend.xp.sum(backend.wide(dy) * y, axis=-1, keepdims=True))

    return y, pullback


@elementwise()
def _dlog_softmax(xp: Any, dy: Array, y: Array, total: Array) -> Array:
    return dy - xp.exp(y) * total


def log_softmax(x: Array) -> tuple[Array, Pullback]:
    """The logarithm of the softmax along the last axis, without a logarithm of zero.

        y_j = x_j - log Σ_k exp(x_k),    dx = dy - exp(y) Σ_k dy_k

    Parameters
    ----------
    x : (..., classes), floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.
    ValueError : the last axis is empty, or `dy` has another shape than `y`.

    Examples
    --------
    >>> import numpy as np
    >>> log_softmax(np.asarray([[0.0, -1e4]]))[0]
    array([[     0., -10000.]])
    """
    backend, shifted, _, total = _shift("log_softmax", x)
    y = backend.narrow(shifted - backend.xp.log(total), x)

    def pullback(dy: Array) -> Array:
        check_gradient("log_softmax", dy, y.shape, y)
        return _dlog_softmax(dy, y, backend.xp.sum(backend.wide(dy), axis=-1, keepdims=True))

    return y, pullback

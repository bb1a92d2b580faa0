from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of, elementwise
from xpnet.functional._activations import drelu
from xpnet.functional._checks import check_floats, check_gradient, gradient_check


@elementwise()
def _add(xp: Any, a: Array, b: Array) -> Array:
    return a + b


@elementwise()
def _add_relu(xp: Any, a: Array, b: Array) -> Array:
    return xp.maximum(a + b, 0.0)


def add(a: Array, b: Array) -> tuple[Array, Pullback]:
    """The sum of two arrays of one shape.

        y = a + b,    da = db = dy

    Parameters
    ----------
    a, b : the same shape, floating-point; nothing is broadcast.

    Returns
    -------
    y : the shape and type of `a`.
    pullback : `da, db = pullback(dy)`: the same array twice, not to be written into.

    Raises
    ------
    ValueError : arrays of different shapes.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = add(np.ones(2), np.asarray([1.0, -3.0]))
    >>> y
    array([ 2., -2.])
    """
    y = _sum("add", _add, a, b)
    check = gradient_check("add", y)

    def pullback(dy: Array) -> tuple[Array, Array]:
        check(dy)
        return dy, dy

    return y, pullback


def add_relu(a: Array, b: Array) -> tuple[Array, Pullback]:
    """The rectified sum of two arrays of one shape, in one pass: the end of a residual block.

        y = max(a + b, 0),    da = db = dy where y > 0, else 0

    Parameters, results and errors are those of `add`.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = add_relu(np.ones(2), np.asarray([1.0, -3.0]))
    >>> y, pullback(y)[0]
    (array([2., 0.]), array([2., 0.]))
    """
    y = _sum("add_relu", _add_relu, a, b)

    def pullback(dy: Array) -> tuple[Array, Array]:
        check_gradient("add_relu", dy, y.shape, y)
        dsum = drelu(dy, y)
        return dsum, dsum

    return y, pullback


def _sum(function: str, body: Callable[..., Array], a: Array, b: Array) -> Array:
    backend_of(a, b)
    check_floats(function, a=a, b=b)
    if a.shape != b.shape:
        raise ValueError(f"{function}: expected two arrays of one shape, got {tuple(a.shape)} and {tuple(b.shape)}")
    return body(a, b)

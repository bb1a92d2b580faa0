"""The element-wise non-linearities, each with its derivative right under it."""

import math
from collections.abc import Callable
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import array_namespace, elementwise
from xpnet.functional._checks import check_floats, check_gradient


def _by_input(
    name: str, x: Array, value: Callable[..., Any], derivative: Callable[..., Any], *constants: float
) -> tuple[Array, Pullback]:
    """y = value(x), dx = derivative(dy, x, y): what functions of one element share."""
    array_namespace(x)
    check_floats(name, x=x)
    y = value(x, *constants)

    def pullback(dy: Array) -> Array:
        check_gradient(name, dy, y.shape, y)
        return derivative(dy, x, y, *constants)

    return y, pullback


def _by_value(name: str, x: Array, value: Callable[..., Any], derivative: Callable[..., Any]) -> tuple[Array, Pullback]:
    """y = value(x), dx = derivative(dy, y): where the value tells enough, x need not be kept."""
    array_namespace(x)
    check_floats(name, x=x)
    y = value(x)

    def pullback(dy: Array) -> Array:
        check_gradient(name, dy, y.shape, y)
        return derivative(dy, y)

    return y, pullback


@elementwise()
def _relu(xp: Any, x: Array) -> Array:
    return xp.maximum(x, 0.0)


@elementwise()
def drelu(xp: Any, dy: Array, y: Array) -> Array:
    return dy * xp.astype(y > 0.0, dy.dtype)


def relu(x: Array) -> tuple[Array, Pullback]:
    """The rectified linear unit.

        y = max(x, 0),    dx = dy where x > 0, else 0

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.
    ValueError : `dy` has another shape than `y` (so for every function of this module).

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = relu(np.asarray([-1.0, 2.0]))
    >>> y, pullback(np.asarray([5.0, 5.0]))
    (array([0., 2.]), array([0., 5.]))

    References
    ----------
    V. Nair, G. Hinton, "Rectified linear units improve restricted Boltzmann machines", ICML 2010.
    Variant: the derivative at 0 is 0, as in PyTorch.
    """
    return _by_value("relu", x, _relu, drelu)


def through_relu(function: str, y: Array, pull: Pullback) -> Pullback:
    """The pullback of what comes before a rectified linear unit, for gradients by its value y."""

    def pullback(dy: Array, **options: Any) -> Any:
        check_gradient(function, dy, y.shape, y)
        return pull(drelu(dy, y), **options)

    return pullback


@elementwise()
def _leaky_relu(xp: Any, x: Array, slope: float) -> Array:
    return xp.maximum(x, 0.0) + slope * xp.minimum(x, 0.0)


@elementwise()
def _dleaky_relu(xp: Any, dy: Array, x: Array, y: Array, slope: float) -> Array:
    positive = xp.astype(x > 0.0, dy.dtype)
    return dy * (positive + slope * (1.0 - positive))


def leaky_relu(x: Array, slope: float = 0.01) -> tuple[Array, Pullback]:
    """A rectified linear unit that lets a little through below zero.

        y = max(x, 0) + slope · min(x, 0)

    Parameters
    ----------
    x : any shape, floating-point.
    slope : the derivative below zero.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> leaky_relu(np.asarray([-1.0, 2.0]), slope=0.1)[0]
    array([-0.1,  2. ])

    References
    ----------
    A. Maas, A. Hannun, A. Ng, "Rectifier nonlinearities improve neural network acoustic models", ICML 2013.
    """
    return _by_input("leaky_relu", x, _leaky_relu, _dleaky_relu, float(slope))


@elementwise()
def _sigmoid(xp: Any, x: Array) -> Array:
    return xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))


@elementwise()
def _dsigmoid(xp: Any, dy: Array, y: Array) -> Array:
    return dy * y * (1.0 - y)


def sigmoid(x: Array) -> tuple[Array, Pullback]:
    """The logistic function, computed so that no exponential overflows.

        y = 1 / (1 + exp(-x)) = exp(min(x, 0)) / (1 + exp(-|x|)),    dx = dy · y (1 - y)

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`, between 0 and 1.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> sigmoid(np.asarray([-1e4, 0.0, 1e4]))[0]
    array([0. , 0.5, 1. ])
    """
    return _by_value("sigmoid", x, _sigmoid, _dsigmoid)


@elementwise()
def _tanh(xp: Any, x: Array) -> Array:
    return xp.tanh(x)


@elementwise()
def _dtanh(xp: Any, dy: Array, y: Array) -> Array:
    return dy * (1.0 - y * y)


def tanh(x: Array) -> tuple[Array, Pullback]:
    """The hyperbolic tangent.

        y = tanh(x),    dx = dy (1 - y²)

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`, between -1 and 1.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = tanh(np.asarray([0.0]))
    >>> y, pullback(np.asarray([3.0]))
    (array([0.]), array([3.]))
    """
    return _by_value("tanh", x, _tanh, _dtanh)


@elementwise()
def _softplus(xp: Any, x: Array) -> Array:
    return xp.maximum(x, 0.0) + xp.log1p(xp.exp(-xp.abs(x)))


@elementwise()
def _dsoftplus(xp: Any, dy: Array, x: Array, y: Array) -> Array:
    return dy * xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))


def softplus(x: Array) -> tuple[Array, Pullback]:
    """A smooth rectified linear unit.

        y = log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)),    dx = dy · sigmoid(x)

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> softplus(np.asarray([-1e4, 1e4]))[0]
    array([    0., 10000.])

    References
    ----------
    C. Dugas et al., "Incorporating second-order functional knowledge for better option pricing", NIPS 2000.
    Variant: exact everywhere; PyTorch returns x itself above its threshold of 20.
    """
    return _by_input("softplus", x, _softplus, _dsoftplus)


@elementwise()
def _silu(xp: Any, x: Array) -> Array:
    return x * xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))


@elementwise()
def _dsilu(xp: Any, dy: Array, x: Array, y: Array) -> Array:
    s = xp.exp(xp.minimum(x, 0.0)) / (1.0 + xp.exp(-xp.abs(x)))
    return dy * (s + y * (1.0 - s))


def silu(x: Array) -> tuple[Array, Pullback]:
    """The sigmoid linear unit, also called swish.

        y = x s,    dx = dy (s + y (1 - s))    with s = sigmoid(x)

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> silu(np.asarray([0.0, 1e4]))[0]
    array([    0., 10000.])

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", Neural Networks 107 (2018).
    """
    return _by_input("silu", x, _silu, _dsilu)


_ROOT = math.sqrt(2.0 / math.pi)
_CUBIC = 0.044715


@elementwise()
def _gelu(xp: Any, x: Array, root: float, cubic: float) -> Array:
    return 0.5 * x * (1.0 + xp.tanh(root * (x + cubic * x * x * x)))


@elementwise()
def _dgelu(xp: Any, dy: Array, x: Array, y: Array, root: float, cubic: float) -> Array:
    t = xp.tanh(root * (x + cubic * x * x * x))
    inner = root * (1.0 + 3.0 * (cubic * x * x))
    return dy * (0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner)


def gelu(x: Array) -> tuple[Array, Pullback]:
    """The Gaussian error linear unit, in its tanh form.

        y = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))

    Parameters
    ----------
    x : any shape, floating-point.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> gelu(np.asarray([-1e4, 0.0, 1e4]))[0]
    array([   -0.,     0., 10000.])

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", 2016, section 2. Variant: the approximation, which
    is PyTorch's `approximate="tanh"`; the Array API standard has no error function.
    """
    return _by_input("gelu", x, _gelu, _dgelu, _ROOT, _CUBIC)

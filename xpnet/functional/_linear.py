from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of, elementwise
from xpnet.functional._activations import through_relu
from xpnet.functional._checks import check_features, check_floats, check_gradient


@elementwise()
def _bias_relu(xp: Any, y: Array, bias: Array) -> Array:
    return xp.maximum(y + bias, 0.0)


def linear(x: Array, weight: Array, bias: Array | None = None) -> tuple[Array, Pullback]:
    """An affine map of the last axis: the fully connected layer.

        y = x W + b

    Parameters
    ----------
    x : (..., inputs), floating-point.
    weight : (inputs, outputs), of the type of `x`.
    bias : (outputs,), or None for no bias.

    Returns
    -------
    y : (..., outputs).
    pullback : `dx, dweight, dbias = pullback(dy)`; `dbias` is None without a bias, and `dx` with
        `input_gradient=False`, which saves its product. `out=(dweight, dbias)` gives places to write into; either may
        be None.

    Raises
    ------
    ValueError : the last axis of `x` is not `inputs` long, or `weight` and `bias` do not fit each other.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = linear(np.asarray([[1.0, 2.0]]), np.asarray([[1.0], [10.0]]), np.asarray([0.5]))
    >>> y
    array([[21.5]])
    >>> dx, dweight, dbias = pullback(np.asarray([[1.0]]))
    >>> dx
    array([[ 1., 10.]])

    References
    ----------
    D. Rumelhart, G. Hinton, R. Williams, "Learning representations by back-propagating errors", Nature 323 (1986).
    Variant: rows are examples, so the weight is (inputs, outputs), the transpose of PyTorch's.
    """
    return _linear("linear", x, weight, bias, relu=False)


def linear_relu(x: Array, weight: Array, bias: Array) -> tuple[Array, Pullback]:
    """`linear` and the rectified linear unit after it: bias and unit in one pass over the array.

        y = max(x W + b, 0)

    Parameters, results and errors are those of `linear`.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = linear_relu(np.asarray([[1.0, 2.0]]), np.asarray([[1.0, -1.0], [10.0, 0.0]]), np.zeros(2))
    >>> y, pullback(np.ones((1, 2)))[0]
    (array([[21.,  0.]]), array([[ 1., 10.]]))
    """
    y, pull = _linear("linear_relu", x, weight, bias, relu=True)
    return y, through_relu("linear_relu", y, pull)


def _linear(function: str, x: Array, weight: Array, bias: Array | None, *, relu: bool) -> tuple[Array, Pullback]:
    backend = backend_of(x, weight, bias)
    xp = backend.xp
    check_floats(function, x=x, weight=weight, bias=bias)
    if weight.ndim != 2 or (bias is not None and bias.shape != (weight.shape[1],)):
        raise ValueError(
            f"{function}: expected weight (inputs, outputs) and bias (outputs,), got shapes {tuple(weight.shape)}"
            f" and {None if bias is None else tuple(bias.shape)}"
        )
    check_features(function, x, weight.shape[0])
    rows = x if x.ndim == 2 else xp.reshape(x, (-1, x.shape[-1]))  # (..., inputs) -> (n, inputs)
    y = backend.matmul(rows, weight)
    if relu:
        y = _bias_relu(y, bias)
    elif bias is not None:
        y += bias
    shape = (*x.shape[:-1], y.shape[-1])
    y = y if x.ndim == 2 else xp.reshape(y, shape)  # (n, outputs) -> (..., outputs)

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array | None, Array, Array | None]:
        check_gradient(function, dy, shape, weight)
        dy = dy if dy.ndim == 2 else xp.reshape(dy, (-1, dy.shape[-1]))  # (..., outputs) -> (n, outputs)
        dx = xp.reshape(backend.matmul(dy, weight.T), x.shape) if input_gradient else None
        dweight = backend.matmul(rows.T, dy, out[0])
        dbias = None if bias is None else backend.narrow(backend.column_sum(dy, out[1]), dy)
        return dx, dweight, dbias

    return y, pullback

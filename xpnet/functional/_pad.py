from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of
from xpnet.functional._checks import check_floats, gradient_check
from xpnet.functional.shapes import Pads, pad_windows


def pad(x: Array, padding: Pads, *, value: float = 0.0) -> tuple[Array, Pullback]:
    """Puts elements of one value around the spatial axes.

        y[before : before + size] = x,  the rest is the value,    dx = dy[before : before + size]    on each axis

    Parameters
    ----------
    x : (n, *size, channels), floating-point.
    padding : how many on both sides of each axis; or one number, or one pair (before, after), for each spatial axis.
    value : what they are.

    Returns
    -------
    y : (n, *output, channels).
    pullback : `dx = pullback(dy)`, which is `dy` without the padding.

    Raises
    ------
    ValueError : `x` has no spatial axes, or `padding` does not fit them.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = pad(np.ones((1, 2, 1)), [(1, 2)])
    >>> y[0, :, 0], pullback(y)[0, :, 0]
    (array([0., 1., 1., 0., 0.]), array([1., 1.]))
    """
    backend = backend_of(x)
    check_floats("pad", x=x)
    windows = pad_windows("pad", x.shape, padding)
    y = backend.pad(x, windows, float(value))
    y = backend.copy(x) if y is x else y
    check = gradient_check("pad", y)

    def pullback(dy: Array) -> Array:
        check(dy)
        dx = backend.unpad(dy, windows)
        return backend.copy(dx) if dx is dy else dx

    return y, pullback

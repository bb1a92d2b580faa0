import math

from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of
from xpnet.functional._checks import check_floats, check_gradient


def channel_scale(x: Array, scale: Array) -> tuple[Array, Pullback]:
    """Multiplies each channel of each example by a number of its own.

        y = x ∘ s,    dx = dy ∘ s,    ds = Σ over the pixels of dy ∘ x

    Parameters
    ----------
    x : (n, *size, channels), floating-point.
    scale : (n, channels), of the type of `x`.

    Returns
    -------
    y : the shape and type of `x`.
    pullback : `dx, dscale = pullback(dy)`.

    Raises
    ------
    ValueError : shapes that do not fit.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = channel_scale(np.ones((1, 3, 2)), np.asarray([[0.0, 2.0]]))
    >>> y[0, 0], pullback(y)[1]
    (array([0., 2.]), array([[0., 6.]]))

    References
    ----------
    J. Hu, L. Shen, G. Sun, "Squeeze-and-excitation networks", CVPR 2018, equation 4.
    """
    backend = backend_of(x, scale)
    xp = backend.xp
    check_floats("channel_scale", x=x, scale=scale)
    if x.ndim < 2 or scale.shape != (x.shape[0], x.shape[-1]):
        raise ValueError(
            f"channel_scale: expected x (n, *size, channels) and scale (n, channels), got {tuple(x.shape)} and "
            f"{tuple(scale.shape)}"
        )
    n, *size, channels = x.shape
    pixels = (n, math.prod(size), channels)
    factor = xp.reshape(scale, (n, 1, channels))
    y = xp.reshape(xp.reshape(x, pixels) * factor, x.shape)

    def pullback(dy: Array) -> tuple[Array, Array]:
        check_gradient("channel_scale", dy, x.shape, x)
        dx = xp.reshape(xp.reshape(dy, pixels) * factor, x.shape)
        return dx, backend.narrow(xp.sum(xp.reshape(backend.wide(dy) * x, pixels), axis=1), dx)

    return y, pullback

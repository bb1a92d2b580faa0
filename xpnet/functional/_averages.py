import math
from typing import Any

from xpnet._typing import Array, Pullback
from xpnet.backend import Backend, backend_of
from xpnet.functional._checks import check_floats, check_gradient, gradient_check
from xpnet.functional._pooling import checked_axes
from xpnet.functional.shapes import Sizes, adaptive_shape, global_shape


def adaptive_avg_pool(x: Array, output_size: Sizes) -> tuple[Array, Pullback]:
    """Means over windows that share out the input as evenly as it goes, so that the result has a given size.

        y[o] = mean of x[⌊o · size / output⌋ : ⌈(o + 1) · size / output⌉]    on each axis

    Parameters
    ----------
    x : (n, *size, channels), floating-point.
    output_size : a number, or one for each spatial axis.

    Returns
    -------
    y : (n, *output, channels).
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    ValueError : shapes or numbers that do not fit.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool(np.asarray([[[1.0], [5.0], [3.0]]]), 2)[0][0, :, 0]
    array([3., 4.])

    References
    ----------
    K. He et al., "Spatial pyramid pooling in deep convolutional networks for visual recognition", ECCV 2014, section
    2.2. Variant: PyTorch's `adaptive_avg_pool2d`, whose windows may overlap by one element.
    """
    return _adaptive_avg_pool("adaptive_avg_pool", None, x, output_size)


def _adaptive_avg_pool(function: str, axes: int | None, x: Array, output_size: Sizes) -> tuple[Array, Pullback]:
    backend = backend_of(x)
    axes = checked_axes(function, x, axes)
    output = adaptive_shape(function, x.shape, output_size, axes)[1:-1]
    parts = [_parts(n, m) for n, m in zip(x.shape[1:-1], output, strict=True)]
    y = x
    for axis, axis_parts in enumerate(parts, 1):
        y = _means(backend, y, axis, axis_parts)
    check, size = gradient_check(function, y), x.shape

    def pullback(dy: Array) -> Array:
        check(dy)
        for axis, axis_parts in reversed(list(enumerate(parts, 1))):
            dy = _spread_means(backend, dy, axis, axis_parts, size[axis])
        return dy

    return y, pullback


def _parts(n: int, m: int) -> list[slice]:
    """The m windows over n elements."""
    return [slice(o * n // m, -(-(o + 1) * n // m)) for o in range(m)]


def _on(axis: int, place: slice | int) -> tuple[Any, ...]:
    return (*(slice(None),) * axis, place, ...)


def _means(backend: Backend, x: Array, axis: int, parts: list[slice]) -> Array:
    """The mean of each part of one axis."""
    y = backend.empty((*x.shape[:axis], len(parts), *x.shape[axis + 1 :]), x)
    for o, part in enumerate(parts):
        y[_on(axis, o)] = backend.xp.mean(x[_on(axis, part)], axis=axis)
    return y


def _spread_means(backend: Backend, dy: Array, axis: int, parts: list[slice], size: int) -> Array:
    """The adjoint of `_means`, part by part."""
    dx = backend.empty((*dy.shape[:axis], size, *dy.shape[axis + 1 :]), dy)
    dx[...] = 0.0
    for o, part in enumerate(parts):
        dx[_on(axis, part)] += dy[_on(axis, slice(o, o + 1))] / (part.stop - part.start)
    return dx


def global_avg_pool(x: Array) -> tuple[Array, Pullback]:
    """The mean of each channel over all pixels.

        y = mean of x over the spatial axes,    dx = dy / pixels

    Parameters
    ----------
    x : (n, *size, channels), floating-point.

    Returns
    -------
    y : (n, channels).
    pullback : `dx = pullback(dy)`.

    Raises
    ------
    ValueError : `x` has no spatial axes, or empty ones.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = global_avg_pool(np.asarray([[[1.0, 0.0], [5.0, 2.0]]]))
    >>> y, pullback(y)
    (array([[3., 1.]]), array([[[1.5, 0.5], [1.5, 0.5]]]))

    References
    ----------
    M. Lin, Q. Chen, S. Yan, "Network in network", ICLR 2014, section 3.2.
    """
    backend = backend_of(x)
    xp = backend.xp
    output = global_shape("global_avg_pool", x.shape)
    check_floats("global_avg_pool", x=x)
    n, *size, channels = x.shape
    pixels = math.prod(size)
    y = xp.mean(xp.reshape(x, (n, pixels, channels)), axis=1)

    def pullback(dy: Array) -> Array:
        check_gradient("global_avg_pool", dy, output, y)
        spread = xp.broadcast_to(xp.reshape(dy / pixels, (n, 1, channels)), (n, pixels, channels))
        return xp.reshape(xp.asarray(spread, copy=True), (n, *size, channels))

    return y, pullback


def adaptive_avg_pool1d(x: Array, output_size: Sizes) -> tuple[Array, Pullback]:
    """`adaptive_avg_pool` of sequences (n, length, channels).

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool1d(np.ones((1, 4, 3)), 2)[0].shape
    (1, 2, 3)
    """
    return _adaptive_avg_pool("adaptive_avg_pool1d", 1, x, output_size)


def adaptive_avg_pool2d(x: Array, output_size: Sizes) -> tuple[Array, Pullback]:
    """`adaptive_avg_pool` of images (n, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool2d(np.ones((1, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 3)
    """
    return _adaptive_avg_pool("adaptive_avg_pool2d", 2, x, output_size)


def adaptive_avg_pool3d(x: Array, output_size: Sizes) -> tuple[Array, Pullback]:
    """`adaptive_avg_pool` of volumes (n, depth, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> adaptive_avg_pool3d(np.ones((1, 4, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 2, 3)
    """
    return _adaptive_avg_pool("adaptive_avg_pool3d", 3, x, output_size)

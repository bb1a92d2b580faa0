from typing import TypedDict, Unpack

from xpnet._typing import Array, Pullback
from xpnet.backend import Backend, Windows, backend_of
from xpnet.functional._checks import check_floats, gradient_check
from xpnet.functional.shapes import Sizes, pool_windows


class MaxPoolOptions(TypedDict, total=False):
    """The keywords of `max_pool`."""

    stride: Sizes | None
    padding: Sizes
    ceil_mode: bool


class AvgPoolOptions(MaxPoolOptions, total=False):
    """The keywords of `avg_pool`."""

    count_include_pad: bool


def checked_axes(function: str, x: Array, axes: int | None) -> int:
    """The number of spatial axes, which is `axes` where that is given."""
    check_floats(function, x=x)
    if axes is None and x.ndim < 3:
        raise ValueError(f"{function}: expected x (n, *size, channels), got shape {tuple(x.shape)}")
    return x.ndim - 2 if axes is None else axes


def max_pool(
    x: Array, kernel_size: Sizes, *, stride: Sizes | None = None, padding: Sizes = 0, ceil_mode: bool = False
) -> tuple[Array, Pullback]:
    """The largest element of each window, channel by channel.

        y[o] = max_t x[o · stride + t - padding],    dx: dy[o] is added to the element that was the largest
        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    x : (n, *size, channels), floating-point.
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : before and after each axis, never the largest; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts; it must begin inside the input or the padding before it.

    Returns
    -------
    y : (n, *output, channels).
    pullback : `dx = pullback(dy)`. The first of equals takes the whole gradient.

    Raises
    ------
    ValueError : shapes or numbers that do not fit.
    TypeError : `x` is no floating-point array.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = max_pool(np.asarray([[[1.0], [5.0], [2.0], [3.0]]]), 2)
    >>> y[0, :, 0], pullback(y)[0, :, 0]
    (array([5., 3.]), array([0., 5., 0., 3.]))

    References
    ----------
    K. Yamaguchi et al., "A neural network for speaker-independent isolated word recognition", ICSLP 1990.
    Variant: PyTorch's `max_pool2d`.
    """
    return _max_pool("max_pool", None, x, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)


def _max_pool(
    function: str,
    axes: int | None,
    x: Array,
    kernel_size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
) -> tuple[Array, Pullback]:
    backend = backend_of(x)
    axes = checked_axes(function, x, axes)
    windows = pool_windows(function, x.shape, kernel_size, stride, padding, ceil_mode, axes)
    y = backend.window_max(x, windows)
    check = gradient_check(function, y)

    def pullback(dy: Array) -> Array:
        check(dy)
        return backend.window_max_gradient(dy, x, y, windows)

    return y, pullback


def avg_pool(
    x: Array,
    kernel_size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, Pullback]:
    """The mean of each window, channel by channel.

        y[o] = Σ_t x[o · stride + t - padding] / count[o],    dx: dy[o] / count[o] is added to each element of window o
        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    x : (n, *size, channels), floating-point.
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : zeros before and after each axis; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts; it must begin inside the input or the padding before it.
    count_include_pad : whether the padding's zeros count in the mean. What `ceil_mode` looks at beyond them never does.

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
    >>> avg_pool(np.asarray([[[1.0], [5.0], [2.0], [3.0]]]), 2)[0][0, :, 0]
    array([3. , 2.5])

    References
    ----------
    Y. LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998), section II-B.
    Variant: PyTorch's `avg_pool2d`, without weights of its own.
    """
    return _avg_pool(
        "avg_pool",
        None,
        x,
        kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def _avg_pool(
    function: str,
    axes: int | None,
    x: Array,
    kernel_size: Sizes,
    *,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> tuple[Array, Pullback]:
    backend = backend_of(x)
    axes = checked_axes(function, x, axes)
    windows = pool_windows(function, x.shape, kernel_size, stride, padding, ceil_mode, axes)
    share = _share(backend, x, windows, count_include_pad)
    y = backend.narrow(backend.window_sum(backend.wide(x), windows) * share, x)
    check = gradient_check(function, y)

    def pullback(dy: Array) -> Array:
        check(dy)
        return backend.window_sum_gradient(backend.narrow(dy * share, dy), windows)

    return y, pullback


def _share(backend: Backend, x: Array, windows: Windows, count_include_pad: bool) -> Array | float:
    """One over the number of elements that count in each window: a number where all are alike."""
    counted = Windows(
        tuple(n + 2 * p for n, p in zip(windows.size, windows.before, strict=True)),
        windows.kernel,
        windows.stride,
        windows.dilation,
        (0,) * len(windows.size),
        windows.output,
    )
    if not count_include_pad:
        counted = windows
    if all(b == 0 and r <= n for b, r, n in zip(counted.before, counted.reach, counted.size, strict=True)):
        return 1.0 / windows.taps
    ones = backend.wide(backend.empty((1, *counted.size, 1), x))
    ones[...] = 1.0
    return 1.0 / backend.window_sum(ones, counted)


def max_pool1d(x: Array, kernel_size: Sizes, **options: Unpack[MaxPoolOptions]) -> tuple[Array, Pullback]:
    """`max_pool` of sequences (n, length, channels).

    Examples
    --------
    >>> import numpy as np
    >>> max_pool1d(np.ones((1, 4, 3)), 2)[0].shape
    (1, 2, 3)
    """
    return _max_pool("max_pool1d", 1, x, kernel_size, **options)


def max_pool2d(x: Array, kernel_size: Sizes, **options: Unpack[MaxPoolOptions]) -> tuple[Array, Pullback]:
    """`max_pool` of images (n, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> max_pool2d(np.ones((1, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 3)
    """
    return _max_pool("max_pool2d", 2, x, kernel_size, **options)


def max_pool3d(x: Array, kernel_size: Sizes, **options: Unpack[MaxPoolOptions]) -> tuple[Array, Pullback]:
    """`max_pool` of volumes (n, depth, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> max_pool3d(np.ones((1, 4, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 2, 3)
    """
    return _max_pool("max_pool3d", 3, x, kernel_size, **options)


def avg_pool1d(x: Array, kernel_size: Sizes, **options: Unpack[AvgPoolOptions]) -> tuple[Array, Pullback]:
    """`avg_pool` of sequences (n, length, channels).

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool1d(np.ones((1, 4, 3)), 2)[0].shape
    (1, 2, 3)
    """
    return _avg_pool("avg_pool1d", 1, x, kernel_size, **options)


def avg_pool2d(x: Array, kernel_size: Sizes, **options: Unpack[AvgPoolOptions]) -> tuple[Array, Pullback]:
    """`avg_pool` of images (n, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool2d(np.ones((1, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 3)
    """
    return _avg_pool("avg_pool2d", 2, x, kernel_size, **options)


def avg_pool3d(x: Array, kernel_size: Sizes, **options: Unpack[AvgPoolOptions]) -> tuple[Array, Pullback]:
    """`avg_pool` of volumes (n, depth, height, width, channels).

    Examples
    --------
    >>> import numpy as np
    >>> avg_pool3d(np.ones((1, 4, 4, 4, 3)), 2)[0].shape
    (1, 2, 2, 2, 3)
    """
    return _avg_pool("avg_pool3d", 3, x, kernel_size, **options)

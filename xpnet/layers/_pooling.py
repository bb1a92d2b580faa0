from typing import ClassVar, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.functional import shapes
from xpnet.layers._function import FunctionLayer, settings, short


class _Pool(FunctionLayer):
    """What the largest and the mean of windows have in common, for any number of spatial axes."""

    axes: ClassVar[int]

    def __init__(
        self,
        kernel_size: shapes.Sizes,
        *,
        stride: shapes.Sizes | None = None,
        padding: shapes.Sizes = 0,
        ceil_mode: bool = False,
    ) -> None:
        checked = shapes.check_pooling(type(self).__name__, kernel_size, stride, padding, self.axes)
        self.kernel_size, self.stride, self.padding = checked
        self.ceil_mode = bool(ceil_mode)

    def _settings(self) -> str:
        return settings(
            short(self.kernel_size),
            stride=(short(self.stride), short(self.kernel_size)),
            padding=(short(self.padding), 0),
            ceil_mode=(self.ceil_mode, False),
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        windows = shapes.pool_windows(
            repr(self), input_shape, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.axes
        )
        return (input_shape[0], *windows.output, input_shape[-1])


class _MaxPool(_Pool):
    def _run(self, x: Array) -> tuple[Array, Pullback]:
        return F.max_pool(x, self.kernel_size, stride=self.stride, padding=self.padding, ceil_mode=self.ceil_mode)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: shapes.Sizes,
        *,
        stride: shapes.Sizes | None = None,
        padding: shapes.Sizes = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)
        self.count_include_pad = bool(count_include_pad)

    def _settings(self) -> str:
        return super()._settings() + ("" if self.count_include_pad else ", count_include_pad=False")

    def _run(self, x: Array) -> tuple[Array, Pullback]:
        return F.avg_pool(
            x,
            self.kernel_size,
            stride=self.stride,
            padding=self.padding,
            ceil_mode=self.ceil_mode,
            count_include_pad=self.count_include_pad,
        )


@final
class MaxPool1d(_MaxPool):
    """The largest element of each window, channel by channel, of sequences (n, length, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, which is never the largest; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> MaxPool1d(2).output_shape((8, 9, 3)), MaxPool1d(2, ceil_mode=True).output_shape((8, 9, 3))
    ((8, 4, 3), (8, 5, 3))

    See Also
    --------
    xpnet.functional.max_pool : the formula and its gradient.
    """

    axes = 1


@final
class MaxPool2d(_MaxPool):
    """The largest element of each window, channel by channel, of images (n, height, width, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, which is never the largest; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> MaxPool2d(2).output_shape((8, 9, 9, 3)), MaxPool2d(2, ceil_mode=True).output_shape((8, 9, 9, 3))
    ((8, 4, 4, 3), (8, 5, 5, 3))

    See Also
    --------
    xpnet.functional.max_pool : the formula and its gradient.
    """

    axes = 2


@final
class MaxPool3d(_MaxPool):
    """The largest element of each window, channel by channel, of volumes (n, depth, height, width, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, which is never the largest; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> MaxPool3d(2).output_shape((8, 9, 9, 9, 3)), MaxPool3d(2, ceil_mode=True).output_shape((8, 9, 9, 9, 3))
    ((8, 4, 4, 4, 3), (8, 5, 5, 5, 3))

    See Also
    --------
    xpnet.functional.max_pool : the formula and its gradient.
    """

    axes = 3


@final
class AvgPool1d(_AvgPool):
    """The mean of each window, channel by channel, of sequences (n, length, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, of zeros; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.
    count_include_pad : whether the padding's zeros count in the mean.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> AvgPool1d(2).output_shape((8, 9, 3)), AvgPool1d(2, ceil_mode=True).output_shape((8, 9, 3))
    ((8, 4, 3), (8, 5, 3))

    See Also
    --------
    xpnet.functional.avg_pool : the formula and its gradient.
    """

    axes = 1


@final
class AvgPool2d(_AvgPool):
    """The mean of each window, channel by channel, of images (n, height, width, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, of zeros; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.
    count_include_pad : whether the padding's zeros count in the mean.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> AvgPool2d(2).output_shape((8, 9, 9, 3)), AvgPool2d(2, ceil_mode=True).output_shape((8, 9, 9, 3))
    ((8, 4, 4, 3), (8, 5, 5, 3))

    See Also
    --------
    xpnet.functional.avg_pool : the formula and its gradient.
    """

    axes = 2


@final
class AvgPool3d(_AvgPool):
    """The mean of each window, channel by channel, of volumes (n, depth, height, width, channels).

        output = ⌊(size + 2 · padding - kernel) / stride⌋ + 1    on each axis, ⌈…⌉ with `ceil_mode`

    Parameters
    ----------
    kernel_size : a number, or one for each spatial axis.
    stride : steps from one window to the next; None takes `kernel_size`.
    padding : on both sides of each axis, of zeros; at most half of the kernel.
    ceil_mode : whether a last, incomplete window counts.
    count_include_pad : whether the padding's zeros count in the mean.

    Raises
    ------
    ValueError : numbers that are no sizes, too much padding; in running, an input smaller than the kernel.

    Examples
    --------
    >>> AvgPool3d(2).output_shape((8, 9, 9, 9, 3)), AvgPool3d(2, ceil_mode=True).output_shape((8, 9, 9, 9, 3))
    ((8, 4, 4, 4, 3), (8, 5, 5, 5, 3))

    See Also
    --------
    xpnet.functional.avg_pool : the formula and its gradient.
    """

    axes = 3

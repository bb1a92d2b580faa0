from typing import ClassVar, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.functional import shapes
from xpnet.layers._function import FunctionLayer, settings, short


class _AdaptiveAvgPool(FunctionLayer):
    axes: ClassVar[int]

    def __init__(self, output_size: shapes.Sizes) -> None:
        self.output_size = shapes.sizes(type(self).__name__, "output_size", output_size, self.axes)

    def _settings(self) -> str:
        return settings(short(self.output_size))

    def output_shape(self, input_shape: Shape) -> Shape:
        return shapes.adaptive_shape(repr(self), input_shape, self.output_size, self.axes)

    def _run(self, x: Array) -> tuple[Array, Pullback]:
        return F.adaptive_avg_pool(x, self.output_size)


@final
class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    """Means over windows that share out the input: a given size of result, of sequences (n, length, channels).

    Parameters
    ----------
    output_size : a number, or one for each spatial axis.

    Raises
    ------
    ValueError : numbers that are no sizes; in running, an empty input.

    Examples
    --------
    >>> AdaptiveAvgPool1d(2).output_shape((8, 9, 3))
    (8, 2, 3)

    See Also
    --------
    xpnet.functional.adaptive_avg_pool : the formula and its gradient.
    """

    axes = 1


@final
class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    """Means over windows that share out the input: a given size of result, of images (n, height, width, channels).

    Parameters
    ----------
    output_size : a number, or one for each spatial axis.

    Raises
    ------
    ValueError : numbers that are no sizes; in running, an empty input.

    Examples
    --------
    >>> AdaptiveAvgPool2d(2).output_shape((8, 9, 9, 3))
    (8, 2, 2, 3)

    See Also
    --------
    xpnet.functional.adaptive_avg_pool : the formula and its gradient.
    """

    axes = 2


@final
class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    """Means over windows that share out the input, of volumes (n, depth, height, width, channels).

    Parameters
    ----------
    output_size : a number, or one for each spatial axis.

    Raises
    ------
    ValueError : numbers that are no sizes; in running, an empty input.

    Examples
    --------
    >>> AdaptiveAvgPool3d(2).output_shape((8, 9, 9, 9, 3))
    (8, 2, 2, 2, 3)

    See Also
    --------
    xpnet.functional.adaptive_avg_pool : the formula and its gradient.
    """

    axes = 3


@final
class GlobalAvgPool(FunctionLayer):
    """The mean of each channel over all pixels, (n, *size, channels) -> (n, channels).

    Raises
    ------
    ValueError : in running, an input without pixels.

    Examples
    --------
    >>> GlobalAvgPool().output_shape((8, 7, 7, 512))
    (8, 512)

    See Also
    --------
    xpnet.functional.global_avg_pool : the formula and its gradient.
    """

    def _settings(self) -> str:
        return ""

    def output_shape(self, input_shape: Shape) -> Shape:
        return shapes.global_shape(repr(self), input_shape)

    def _run(self, x: Array) -> tuple[Array, Pullback]:
        return F.global_avg_pool(x)

from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.functional import shapes
from xpnet.initializers import Initializer, he_normal
from xpnet.layers._convolution import Convolution


class _ConvTranspose(Convolution):
    """A transposed convolution with a weight (*kernel, inputs, outputs // groups)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: shapes.Sizes,
        *,
        stride: shapes.Sizes = 1,
        padding: shapes.Sizes = 0,
        output_padding: shapes.Sizes = 0,
        dilation: shapes.Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        weight: Initializer = he_normal,
    ) -> None:
        axes = self.axes
        strides, pads, extra, dilations = shapes.check_transposed(
            type(self).__name__, stride, padding, output_padding, dilation, axes
        )
        kernel = self._keep(
            inputs,
            outputs,
            kernel_size,
            groups,
            stride=strides,
            padding=pads,
            output_padding=extra,
            dilation=dilations,
        )
        shape = (*kernel, self.inputs, self.outputs // self.groups)
        self._draw(shape, bias, weight, torch_axes=(axes, axes + 1, *range(axes)))

    def _result(self, input_shape: Shape) -> Shape:
        kernel = tuple(self.weight.data.shape[:-2])
        return shapes.transposed_windows(repr(self), input_shape, self.inputs, kernel, **self.options).size

    def _run(self, x: Array, weight: Array, bias: Array | None) -> tuple[Array, Pullback]:
        return F.conv_transpose(x, weight, bias, groups=self.groups, **self.options)


@final
class ConvTranspose1d(_ConvTranspose):
    """A transposed convolution of sequences, (n, length, inputs) -> (n, length, outputs): to a larger size.

        size = (input - 1) · stride - 2 · padding + dilation · (kernel - 1) + output_padding + 1    for length

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : how much is cut off on both sides of each axis: a number, or one for each.
    output_padding : how much longer each axis is made at its end; smaller than the stride or the dilation.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (size, inputs, outputs // groups).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels, or so small that nothing is left of it.

    Examples
    --------
    >>> ConvTranspose1d(16, 3, 2, stride=2).output_shape((8, 50, 16))
    (8, 100, 3)

    See Also
    --------
    xpnet.functional.conv_transpose : the formula. PyTorch's weight is (inputs, outputs // groups, size).
    """

    axes = 1


@final
class ConvTranspose2d(_ConvTranspose):
    """A transposed convolution of images, (n, height, width, inputs) -> (n, height, width, outputs): to a larger size.

        size = (input - 1) · stride - 2 · padding + dilation · (kernel - 1) + output_padding + 1    for height and width

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : how much is cut off on both sides of each axis: a number, or one for each.
    output_padding : how much longer each axis is made at its end; smaller than the stride or the dilation.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (height, width, inputs, outputs // groups).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels, or so small that nothing is left of it.

    Examples
    --------
    >>> ConvTranspose2d(16, 3, 2, stride=2).output_shape((8, 16, 16, 16))
    (8, 32, 32, 3)

    See Also
    --------
    xpnet.functional.conv_transpose : the formula. PyTorch's weight is (inputs, outputs // groups, height, width).
    """

    axes = 2


@final
class ConvTranspose3d(_ConvTranspose):
    """A transposed convolution of volumes, (n, depth, height, width, channels), to a larger size.

        size = (input - 1) · stride - 2 · padding + dilation · (kernel - 1) + output_padding + 1    for all three axes

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : how much is cut off on both sides of each axis: a number, or one for each.
    output_padding : how much longer each axis is made at its end; smaller than the stride or the dilation.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (depth, height, width, inputs, outputs // groups).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels, or so small that nothing is left of it.

    Examples
    --------
    >>> ConvTranspose3d(16, 3, 2, stride=2).output_shape((8, 8, 16, 16, 16))
    (8, 16, 32, 32, 3)

    See Also
    --------
    xpnet.functional.conv_transpose : the formula. PyTorch's weight is (inputs, outputs // groups, *kernel).
    """

    axes = 3

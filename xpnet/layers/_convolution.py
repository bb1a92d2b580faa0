from abc import abstractmethod
from typing import Any, ClassVar, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import Windows, array_namespace
from xpnet.functional import shapes
from xpnet.initializers import Initializer, he_normal, zeros
from xpnet.layers._checks import check_count
from xpnet.layers._function import settings, short
from xpnet.layers._layer import Layer
from xpnet.layers._layout import TorchLayout
from xpnet.layers._parameter import Parameter, new_parameter


class Convolution(Layer):
    """What convolutions and transposed ones share, for any number of spatial axes."""

    axes: ClassVar[int]
    outputs: int
    weight: Parameter
    bias: Parameter | None

    def _keep(self, inputs: int, outputs: int, kernel_size: shapes.Sizes, groups: int, **options: Shape | str) -> Shape:
        """Keeps the constructor's arguments, of which `options` have been checked; returns the kernel's sizes."""
        name = type(self).__name__
        self.inputs, self.outputs = check_count(name, "inputs", inputs), check_count(name, "outputs", outputs)
        kernel = shapes.sizes(name, "kernel_size", kernel_size, self.axes)
        self.groups = shapes.check_groups(name, groups, inputs=self.inputs, outputs=self.outputs)
        self.options: dict[str, Any] = options
        plain = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1}
        shown = {option: value if isinstance(value, str) else short(value) for option, value in options.items()}
        changed = {option: (value, plain[option]) for option, value in shown.items()}
        self._arguments = settings(self.inputs, self.outputs, short(kernel), **changed, groups=(self.groups, 1))
        return kernel

    def _draw(self, shape: Shape, bias: bool, weight: Initializer, torch_axes: Shape) -> None:
        self.weight = new_parameter(shape, weight, layout=TorchLayout(torch_axes))
        self.bias = new_parameter((self.outputs,), zeros, decay=False) if bias else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._arguments}{'' if self.bias else ', bias=False'})"

    @abstractmethod
    def _result(self, input_shape: Shape) -> Shape:
        """The spatial axes of the result."""

    @abstractmethod
    def _run(self, x: Array, weight: Array, bias: Array | None) -> tuple[Array, Pullback]:
        """The function."""

    def output_shape(self, input_shape: Shape) -> Shape:
        result = self._result(tuple(input_shape))
        return (input_shape[0], *result, self.outputs)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        weight, bias = self.weight, self.bias
        array_namespace(x)
        self.output_shape(x.shape)
        y, pull = self._run(x, weight.data, None if bias is None else bias.data)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            places = weight.place, None if bias is None else bias.place
            dx, dweight, dbias = pull(dy, input_gradient=input_gradient, out=places)
            weight.accumulate(dweight)
            if bias is not None:
                bias.accumulate(dbias)
            return dx

        return y, pullback


class _Conv(Convolution):
    """A convolution with a weight (*kernel, inputs // groups, outputs)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel_size: shapes.Sizes,
        *,
        stride: shapes.Sizes = 1,
        padding: shapes.Padding = 0,
        dilation: shapes.Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        weight: Initializer = he_normal,
    ) -> None:
        name, axes = type(self).__name__, self.axes
        kernel = self._keep(
            inputs,
            outputs,
            kernel_size,
            groups,
            stride=shapes.sizes(name, "stride", stride, axes),
            padding=shapes.check_padding(name, padding, axes),
            dilation=shapes.sizes(name, "dilation", dilation, axes),
        )
        shape = (*kernel, self.inputs // self.groups, self.outputs)
        self._draw(shape, bias, weight, torch_axes=(axes + 1, axes, *range(axes)))

    def _windows(self, input_shape: Shape) -> Windows:
        kernel = tuple(self.weight.data.shape[:-2])
        return shapes.conv_windows(repr(self), input_shape, self.inputs, kernel, **self.options)

    def _result(self, input_shape: Shape) -> Shape:
        return self._windows(input_shape).output

    def _run(self, x: Array, weight: Array, bias: Array | None) -> tuple[Array, Pullback]:
        return F.conv(x, weight, bias, groups=self.groups, **self.options)


@final
class Conv1d(_Conv):
    """A convolution of sequences, (n, length, inputs) -> (n, length, outputs).

        output = ⌊(size + 2 · padding - dilation · (kernel - 1) - 1) / stride⌋ + 1    for length

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : zeros on both sides of each axis: a number, one for each, `"valid"` for none, or `"same"` for an output of
        ⌈size / stride⌉.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (size, inputs // groups, outputs).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels or smaller than the kernel.

    Examples
    --------
    >>> Conv1d(3, 16, 3, stride=2, padding=1).output_shape((8, 100, 3))
    (8, 50, 16)

    See Also
    --------
    xpnet.functional.conv : the formula and its gradient. PyTorch's weight is (outputs, inputs // groups, *kernel).
    """

    axes = 1


@final
class Conv2d(_Conv):
    """A convolution of images, (n, height, width, inputs) -> (n, height, width, outputs).

        output = ⌊(size + 2 · padding - dilation · (kernel - 1) - 1) / stride⌋ + 1    for height and width

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : zeros on both sides of each axis: a number, one for each, `"valid"` for none, or `"same"` for an output of
        ⌈size / stride⌉.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (height, width, inputs // groups, outputs).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels or smaller than the kernel.

    Examples
    --------
    >>> Conv2d(3, 16, 3, stride=2, padding=1).output_shape((8, 32, 32, 3))
    (8, 16, 16, 16)

    The course's example: 6×6 pixels, a 2×2 kernel and padding 1 give (6 + 2 · 1 - 2) / 1 + 1 = 7 on each axis.

    >>> Conv2d(1, 1, 2, padding=1).output_shape((1, 6, 6, 1))
    (1, 7, 7, 1)
    >>> Conv2d(3, 16, 3).output_shape((8, 3, 32, 32))
    Traceback (most recent call last):
    ...
    ValueError: Conv2d(3, 16, 3): expected 3 channels in the last axis, got 32 (shape (8, 3, 32, 32)); the axes look
    like (n, channels, …), and xpnet wants the channels last: x.transpose(0, 2, 3, 1) or
    xp.permute_dims(x, (0, 2, 3, 1))

    See Also
    --------
    xpnet.functional.conv : the formula and its gradient. PyTorch's weight is (outputs, inputs // groups, *kernel).
    """

    axes = 2


@final
class Conv3d(_Conv):
    """A convolution of volumes, (n, depth, height, width, inputs) -> (n, depth, height, width, outputs).

        output = ⌊(size + 2 · padding - dilation · (kernel - 1) - 1) / stride⌋ + 1    for depth, height and width

    Parameters
    ----------
    inputs, outputs : numbers of channels, >= 1.
    kernel_size, stride, dilation : a number, or one for each spatial axis.
    padding : zeros on both sides of each axis: a number, one for each, `"valid"` for none, or `"same"` for an output of
        ⌈size / stride⌉.
    groups : the channels are parted into so many groups, and each sees only its own.
    bias : whether to add a number to each channel, which starts at zero.
    weight : the initializer of the weight (depth, height, width, inputs // groups, outputs).

    Raises
    ------
    ValueError : numbers that are no sizes, groups that do not divide the channels; in running, an input with other
        channels or smaller than the kernel.

    Examples
    --------
    >>> Conv3d(3, 16, 3, stride=2, padding=1).output_shape((8, 16, 32, 32, 3))
    (8, 8, 16, 16, 16)

    See Also
    --------
    xpnet.functional.conv : the formula and its gradient. PyTorch's weight is (outputs, inputs // groups, *kernel).
    """

    axes = 3

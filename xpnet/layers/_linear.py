import math
from collections.abc import Callable, Sequence
from typing import Any, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace
from xpnet.initializers import Initializer, he_normal, zeros
from xpnet.layers._checks import check_count
from xpnet.layers._layer import Layer
from xpnet.layers._layout import TorchLayout
from xpnet.layers._parameter import new_parameter


@final
class Linear(Layer):
    """A fully connected layer, y = x W + b, over the last axis.

    Parameters
    ----------
    inputs, outputs : numbers of features, >= 1.
    bias : whether to add b, which starts at zero.
    weight : the initializer of W, of shape (inputs, outputs).
    image : the (height, width, channels) that a `Flatten` made the inputs of, for files alone: PyTorch counts them
        channel by channel.

    Raises
    ------
    ValueError : `inputs` or `outputs` is not a positive integer, or `image` has not so many values.

    Examples
    --------
    >>> import numpy as np
    >>> layer = Linear(3, 2)
    >>> layer(np.ones((5, 3), np.float32)).shape
    (5, 2)
    >>> layer.output_shape((5, 4))
    Traceback (most recent call last):
    ...
    ValueError: Linear(3, 2): expected 3 features in the last axis, got 4 (shape (5, 4))

    See Also
    --------
    xpnet.functional.linear : the formula and its gradient. PyTorch's `Linear` keeps W transposed, as (outputs, inputs).
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        bias: bool = True,
        weight: Initializer = he_normal,
        image: Sequence[int] | None = None,
    ) -> None:
        self.inputs = check_count("Linear", "inputs", inputs)
        self.outputs = check_count("Linear", "outputs", outputs)
        self.weight = new_parameter((self.inputs, self.outputs), weight, layout=self._layout(image))
        self.bias = new_parameter((self.outputs,), zeros, decay=False) if bias else None

    def __repr__(self) -> str:
        return f"Linear({self.inputs}, {self.outputs}{'' if self.bias else ', bias=False'})"

    def _layout(self, image: Sequence[int] | None) -> TorchLayout:
        if image is None:
            return TorchLayout((1, 0))
        unfold = tuple(check_count("Linear", "each size of image", size) for size in image)
        if len(unfold) < 2 or math.prod(unfold) != self.inputs:
            raise ValueError(
                f"Linear: image must be the (…, channels) that Flatten made {self.inputs} inputs of, got {tuple(image)}"
            )
        axes = len(unfold)
        return TorchLayout((axes, axes - 1, *range(axes - 1)), unfold=(*unfold, self.outputs), fold=(1, axes))

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape or input_shape[-1] != self.inputs:
            got = f"{input_shape[-1]} (shape {tuple(input_shape)})" if input_shape else "a 0-d array"
            raise ValueError(f"{self!r}: expected {self.inputs} features in the last axis, got {got}")
        return (*input_shape[:-1], self.outputs)

    def with_relu(self) -> Layer | None:
        return None if self.bias is None else _LinearReLU(self)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.run(x, F.linear)

    def run(self, x: Array, function: Callable[..., Any]) -> tuple[Array, Pullback]:
        """Value and pullback by one of the functions of an affine map."""
        weight, bias = self.weight, self.bias
        array_namespace(x)
        self.output_shape(x.shape)
        y, pull = function(x, weight.data, None if bias is None else bias.data)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            places = weight.place, None if bias is None else bias.place
            dx, dweight, dbias = pull(dy, input_gradient=input_gradient, out=places)
            weight.accumulate(dweight)
            if bias is not None:
                bias.accumulate(dbias)
            return dx

        return y, pullback


@final
class _LinearReLU(Layer):
    """A fully connected layer and the ReLU after it."""

    def __init__(self, linear: Linear) -> None:
        self.linear = linear

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.linear.output_shape(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.linear.run(x, F.linear_relu)

from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace
from xpnet.functional import shapes
from xpnet.layers._activations import ReLU, Sigmoid
from xpnet.layers._averages import GlobalAvgPool
from xpnet.layers._checks import check_count
from xpnet.layers._containers import Sequential
from xpnet.layers._layer import Layer
from xpnet.layers._layout import TorchLayout
from xpnet.layers._linear import Linear


@final
class SqueezeExcite(Layer):
    """Weighs each channel of an example by what all its channels say: squeeze-and-excitation.

        s = sigmoid(relu(mean over the pixels · W₁ + b₁) · W₂ + b₂),    y = x ∘ s

    Parameters
    ----------
    channels : length of the last axis.
    reduction : how many times fewer features the layer between the two products has; it divides `channels`.

    Raises
    ------
    ValueError : numbers that are no positive integers, or a reduction that does not divide the channels.

    Examples
    --------
    >>> layer = SqueezeExcite(64)
    >>> layer.output_shape((8, 14, 14, 64)), layer.parameters()["fc1.weight"].data.shape
    ((8, 14, 14, 64), (64, 4))

    References
    ----------
    J. Hu, L. Shen, G. Sun, "Squeeze-and-excitation networks", CVPR 2018, section 3 (winner of ILSVRC 2017).
    """

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        self.channels = check_count("SqueezeExcite", "channels", channels)
        self.reduction = check_count("SqueezeExcite", "reduction", reduction)
        if channels % reduction:
            raise ValueError(f"SqueezeExcite: reduction must divide the {channels} channels, got {reduction}")
        features = channels // reduction
        self.gate = Sequential(
            pool=GlobalAvgPool(),
            fc1=Linear(channels, features),
            relu=ReLU(),
            fc2=Linear(features, channels),
            sigmoid=Sigmoid(),
        )
        for name, parameter in self.gate.parameters().items():
            if name.endswith("weight"):  # in files they are 1×1 convolutions
                parameter.layout = TorchLayout((3, 2, 0, 1), unfold=(1, 1, *parameter.data.shape))

    def members(self) -> dict[str, Layer]:
        return {"": self.gate}  # the paths are fc1.weight, …, without a level between

    def __repr__(self) -> str:
        return f"SqueezeExcite({self.channels}, reduction={self.reduction})"

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes.check_image(repr(self), input_shape, max(1, len(input_shape) - 2), self.channels)
        self.gate.output_shape(input_shape)
        return tuple(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        array_namespace(x)
        self.output_shape(x.shape)
        scale, pull_gate = self.gate.forward(x, training=training)
        y, pull = F.channel_scale(x, scale)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            dx, dscale = pull(dy)
            through = pull_gate(dscale, input_gradient=input_gradient)
            return dx + through if input_gradient else None

        return y, pullback

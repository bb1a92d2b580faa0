from typing import final

from xpnet._typing import Array, Pullback, Shape
from xpnet.functional import check_rate
from xpnet.initializers import normal
from xpnet.layers import (
    AdaptiveAvgPool2d,
    BatchNorm,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
    check_count,
)

_WEIGHT = normal(0.01)


def _conv(inputs: int, outputs: int, kernel_size: int, *, stride: int = 1) -> Sequential:
    """A convolution that keeps the image's size, stride apart, with batch norm and ReLU."""
    padding = kernel_size // 2
    return Sequential(
        conv=Conv2d(inputs, outputs, kernel_size, stride=stride, padding=padding, bias=False, weight=_WEIGHT),
        bn=BatchNorm(outputs, eps=1e-3),
        relu=ReLU(),
    )


def _pool(kernel_size: int = 3) -> MaxPool2d:
    return MaxPool2d(kernel_size, stride=2, ceil_mode=True)


def _inception(inputs: int, one: int, before_three: int, three: int, before_five: int, five: int, pool: int) -> Concat:
    """Convolutions of several sizes side by side, the larger ones behind a 1×1 that leaves them few channels."""
    return Concat(
        branch1=_conv(inputs, one, 1),
        branch2=Sequential(_conv(inputs, before_three, 1), _conv(before_three, three, 3)),
        branch3=Sequential(_conv(inputs, before_five, 1), _conv(before_five, five, 3)),
        branch4=Sequential(MaxPool2d(3, stride=1, padding=1, ceil_mode=True), _conv(inputs, pool, 1)),
    )


def _head(inputs: int, classes: int, dropout: float) -> Sequential:
    """Logits from the middle of the network."""
    return Sequential(
        pool=AdaptiveAvgPool2d(4),
        conv=_conv(inputs, 128, 1),
        flatten=Flatten(),
        fc1=Linear(2048, 1024, weight=_WEIGHT, image=(4, 4, 128)),
        relu=ReLU(),
        dropout=Dropout(dropout),
        fc2=Linear(1024, classes, weight=_WEIGHT),
    )


@final
class GoogLeNet(Layer):
    """GoogLeNet with its two auxiliary heads; `googlenet` builds it.

    Calling it is inference and gives the main logits. `forward` in training gives three:

        (main, aux2, aux1), pullback = model.forward(x)
        dx = pullback((dmain, daux2, daux1), input_gradient=True)

    where None stands for the gradient of a head that is left out. `losses.with_auxiliary` makes a loss of all three.

    Attributes
    ----------
    main : the network as inference runs it, a `Sequential`.
    aux1, aux2 : the heads behind inception4a and inception4d.
    """

    def __init__(self, main: Sequential, aux1: Sequential, aux2: Sequential) -> None:
        self._parts = {"": main, "aux1": aux1, "aux2": aux2}
        names = list(main.members())
        first, second = (names.index(name) + 1 for name in ("inception4a", "inception4d"))
        self._lower, self._middle, self._upper = main[:first], main[first:second], main[second:]
        self._heads = Sequential(aux1=aux1), Sequential(aux2=aux2)  # an error names the head

    @property
    def main(self) -> Sequential:
        return self._parts[""]

    @property
    def aux1(self) -> Sequential:
        return self._parts["aux1"]

    @property
    def aux2(self) -> Sequential:
        return self._parts["aux2"]

    def members(self) -> dict[str, Layer]:
        return dict(self._parts)

    def __repr__(self) -> str:
        parts = {"main": self.main, "aux1": self.aux1, "aux2": self.aux2}
        lines = [f"  {name}: {part!r}".replace("\n", "\n  ") for name, part in parts.items()]
        return "GoogLeNet(\n" + "\n".join(lines) + "\n)"

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.main.output_shape(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array | tuple[Array, Array, Array], Pullback]:
        if not training:
            return self.main.forward(x, training=False)
        head1, head2 = self._heads
        low, pull_low = self._lower.forward(x)
        aux1, pull_aux1 = head1.forward(low)
        mid, pull_mid = self._middle.forward(low)
        aux2, pull_aux2 = head2.forward(mid)
        main, pull_main = self._upper.forward(mid)

        def pullback(
            dy: tuple[Array | None, Array | None, Array | None], *, input_gradient: bool = False
        ) -> Array | None:
            dmain, daux2, daux1 = self._three(dy)
            dmid = _sum(_pulled(pull_main, dmain), _pulled(pull_aux2, daux2))
            dlow = _sum(_pulled(pull_mid, dmid), _pulled(pull_aux1, daux1))
            if dlow is None:
                raise ValueError("GoogLeNet: expected the gradient of one head at least, got None for all three")
            dx: Array | None = pull_low(dlow, input_gradient=input_gradient)
            return dx

        return (main, aux2, aux1), pullback

    def _three(self, dy: tuple[Array | None, ...]) -> tuple[Array | None, ...]:
        if not isinstance(dy, tuple) or len(dy) != 3:
            got = f"{len(dy)} values" if isinstance(dy, tuple) else f"a {type(dy).__name__}"
            raise TypeError(
                f"GoogLeNet: expected the gradients of (main, aux2, aux1), None for a head left out, got {got}; "
                "losses.with_auxiliary(loss) gives them"
            )
        return dy


def _pulled(pull: Pullback, dy: Array | None) -> Array | None:
    return None if dy is None else pull(dy, input_gradient=True)


def _sum(a: Array | None, b: Array | None) -> Array | None:
    return b if a is None else a if b is None else a + b


def googlenet(
    classes: int = 1000,
    in_channels: int = 3,
    *,
    aux: bool = True,
    dropout: float = 0.2,
    aux_dropout: float = 0.7,
) -> GoogLeNet | Sequential:
    """GoogLeNet: nine Inception blocks, with two auxiliary heads that bring gradients to its lower half.

    It won ILSVRC 2014 with a top-5 error of 6.67 %, seven networks together on 144 crops of each image; one network on
    one crop has 10.07 %. Made for 224×224 pixels; any size from 31×31 will do, because means over the whole image and
    over 4×4 windows stand before the fully connected layers, though one image in training must leave the last block
    more than one pixel: from 47 pixels on one side. 13,004,888 parameters, 6,624,904 of them without the heads.

    Parameters
    ----------
    classes : number of outputs of each head, which are logits.
    in_channels : of the images.
    aux : whether to have the auxiliary heads, which train with the network and are left out in inference.
    dropout, aux_dropout : rates before the logits of the main and the auxiliary heads.

    Returns
    -------
    A `GoogLeNet`, or without heads its `Sequential`, from (n, height, width, in_channels) to (n, classes), with
    torchvision's paths.

    Raises
    ------
    ValueError : numbers that are no sizes, or rates outside [0, 1); in running, an image too small.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.losses import softmax_cross_entropy, with_auxiliary
    >>> model = googlenet(classes=10)
    >>> y, pullback = model.forward(np.ones((2, 32, 32, 3), np.float32))
    >>> [head.shape for head in y]
    [(2, 10), (2, 10), (2, 10)]
    >>> loss, dloss = with_auxiliary(softmax_cross_entropy, 0.3)(y, np.asarray([3, 7]))
    >>> pullback(dloss())

    References
    ----------
    C. Szegedy et al., "Going deeper with convolutions", CVPR 2015, table 1 and section 5. Variant: torchvision's, with
    batch norm behind each convolution, no local response norm, and 3×3 convolutions where the paper has 5×5. The
    paper does not tell its initial weights; these are torchvision's, N(0, 0.01²).
    """
    for name, value in (("classes", classes), ("in_channels", in_channels)):
        check_count("googlenet", name, value)
    for rate in (dropout, aux_dropout):
        try:
            check_rate(rate)
        except ValueError as error:
            raise ValueError(f"googlenet: {error}") from error
    main = Sequential(
        conv1=_conv(in_channels, 64, 7, stride=2),
        maxpool1=_pool(),
        conv2=_conv(64, 64, 1),
        conv3=_conv(64, 192, 3),
        maxpool2=_pool(),
        inception3a=_inception(192, 64, 96, 128, 16, 32, 32),
        inception3b=_inception(256, 128, 128, 192, 32, 96, 64),
        maxpool3=_pool(),
        inception4a=_inception(480, 192, 96, 208, 16, 48, 64),
        inception4b=_inception(512, 160, 112, 224, 24, 64, 64),
        inception4c=_inception(512, 128, 128, 256, 24, 64, 64),
        inception4d=_inception(512, 112, 144, 288, 32, 64, 64),
        inception4e=_inception(528, 256, 160, 320, 32, 128, 128),
        maxpool4=_pool(2),
        inception5a=_inception(832, 256, 160, 320, 32, 128, 128),
        inception5b=_inception(832, 384, 192, 384, 48, 128, 128),
        avgpool=GlobalAvgPool(),
        dropout=Dropout(dropout),
        fc=Linear(1024, classes, weight=_WEIGHT),
    )
    return GoogLeNet(main, _head(512, classes, aux_dropout), _head(528, classes, aux_dropout)) if aux else main

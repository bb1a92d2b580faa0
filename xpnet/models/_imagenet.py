"""What the ImageNet networks share: checks before anything is drawn, the fully connected end, residual blocks."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

from xpnet._typing import Shape
from xpnet.functional import check_rate
from xpnet.initializers import Initializer
from xpnet.layers import (
    BatchNorm,
    Conv2d,
    Dropout,
    Layer,
    Linear,
    LocalResponseNorm,
    ReLU,
    Residual,
    Sequential,
    check_count,
)

Block: TypeAlias = Callable[[int, int, int], Sequential]
"""A block of a residual network from its numbers of inputs and planes and its stride."""


def check_task(model: str, classes: int, in_channels: int, *, dropout: float = 0.0, hidden: int = 1) -> None:
    """What a network is asked for, before millions of weights are drawn.

    Raises
    ------
    ValueError : `classes`, `in_channels` or `hidden` is no positive integer, or `dropout` is outside [0, 1).
    """
    check_count(model, "classes", classes)
    check_count(model, "in_channels", in_channels)
    check_count(model, "hidden", hidden)
    try:
        check_rate(dropout)
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from error


def fully_connected(image: Shape, hidden: int, classes: int, dropout: float, weight: Initializer) -> Sequential:
    """The end of AlexNet, ZFNet and VGG: two hidden layers with dropout behind each, then the logits.

    `image` is the (height, width, channels) that was flattened.
    """
    return Sequential(
        *(Linear(math.prod(image), hidden, weight=weight, image=image), ReLU(), Dropout(dropout)),
        *(Linear(hidden, hidden, weight=weight), ReLU(), Dropout(dropout)),
        Linear(hidden, classes, weight=weight),
    )


def response_norm() -> LocalResponseNorm:
    """What AlexNet's section 3.3 calls k = 2, n = 5, α = 1e-4, β = 0.75; here alpha is divided by the size n."""
    return LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)


def conv(inputs: int, outputs: int, kernel_size: int, *, stride: int = 1, groups: int = 1) -> Conv2d:
    """A convolution that keeps the image's size, stride apart, and has no bias, as batch norm follows it."""
    padding = kernel_size // 2
    return Conv2d(inputs, outputs, kernel_size, stride=stride, padding=padding, groups=groups, bias=False)


def normalized(*convolutions: Conv2d) -> dict[str, Layer]:
    """conv1, bn1, relu1, conv2, bn2, …: batch norm behind each convolution, and ReLU between one and the next."""
    layers: dict[str, Layer] = {}
    for i, convolution in enumerate(convolutions, 1):
        layers |= {f"conv{i}": convolution, f"bn{i}": BatchNorm(convolution.outputs), f"relu{i}": ReLU()}
    layers.popitem()
    return layers


def residual_block(body: Sequential, inputs: int, outputs: int, stride: int, *, kernel_size: int = 1) -> Sequential:
    """relu(body(x) + shortcut(x)): the shortcut is x itself, or a convolution of it where the shapes differ."""
    shortcut: Layer | None = None
    if stride > 1 or inputs != outputs:
        shortcut = Sequential(conv(inputs, outputs, kernel_size, stride=stride), BatchNorm(outputs))
    return Sequential(**{"": Residual(body, shortcut, body_name="", shortcut_name="downsample"), "relu": ReLU()})


def stages(block: Block, inputs: int, expansion: int, counts: Sequence[int]) -> dict[str, Sequential]:
    """`layer1` to `layer4`: each has twice the planes of the one before and, but for the first, half its image.

    A block gives `expansion` times as many channels as it has planes.
    """
    found = {}
    for stage, count in enumerate(counts):
        planes, blocks = 64 * 2**stage, []
        for i in range(count):
            stride = 2 if stage > 0 and i == 0 else 1
            blocks.append(block(inputs, planes, stride))
            inputs = planes * expansion
        found[f"layer{stage + 1}"] = Sequential(*blocks)
    return found

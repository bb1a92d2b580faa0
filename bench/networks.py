"""The networks that are timed, described without any library: each contender builds them from these descriptions."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Linear:
    """A fully connected layer; `image` is the (height, width, channels) that a `Flatten` made its inputs from."""

    inputs: int
    outputs: int
    image: Shape | None = None


@dataclass(frozen=True)
class Conv:
    """A convolution over images with a square kernel."""

    inputs: int
    outputs: int
    kernel_size: int
    stride: int = 1
    padding: int = 0
    bias: bool = True


@dataclass(frozen=True)
class BatchNorm:
    """Batch normalization by channel; `scale` is about what its weights are."""

    features: int
    scale: float = 1.0


@dataclass(frozen=True)
class MaxPool:
    """The largest value of each square window."""

    kernel_size: int
    stride: int
    padding: int = 0


@dataclass(frozen=True)
class ReLU:
    """max(x, 0)."""


@dataclass(frozen=True)
class Flatten:
    """All axes of an example in one, in the order height, width, channels."""


@dataclass(frozen=True)
class GlobalAvgPool:
    """The mean of each channel."""


@dataclass(frozen=True)
class Residual:
    """body(x) + shortcut(x); an empty shortcut is x itself."""

    body: tuple["Layer", ...]
    shortcut: tuple["Layer", ...] = ()


Layer: TypeAlias = Linear | Conv | BatchNorm | MaxPool | ReLU | Flatten | GlobalAvgPool | Residual


@dataclass(frozen=True)
class Network:
    """Layers one after the other, the shape of one example (channels last) and the batch it is timed with."""

    name: str
    layers: tuple[Layer, ...]
    input_shape: Shape
    batch: int

    @property
    def on_images(self) -> bool:
        """Whether examples are images."""
        return len(self.input_shape) == 3

    @property
    def depth(self) -> int:
        """The number of layers with weights."""
        return sum(isinstance(layer, (Linear, Conv)) for layer, _, _ in walk(self.layers, self.input_shape))

    @property
    def classes(self) -> int:
        """The number of outputs."""
        return math.prod(output_shape(self.layers, self.input_shape))


def walk(layers: Sequence[Layer], shape: Shape) -> Iterator[tuple[Layer, Shape, Shape]]:
    """Each layer with the shapes of one example before and after it.

    A `Residual` comes after the layers of its body and its shortcut, and stands for their sum: two arrays go in.
    """
    for layer in layers:
        if isinstance(layer, Residual):
            after = output_shape(layer.body, shape)
            yield from walk(layer.body, shape)
            yield from walk(layer.shortcut, shape)
            yield layer, (2, *after), after
        else:
            after = _after(layer, shape)
            yield layer, shape, after
        shape = after


def output_shape(layers: Sequence[Layer], shape: Shape) -> Shape:
    """The shape of one example after all layers."""
    for layer in layers:
        shape = output_shape(layer.body, shape) if isinstance(layer, Residual) else _after(layer, shape)
    return shape


def _after(layer: Layer, shape: Shape) -> Shape:
    match layer:
        case Linear():
            return (layer.outputs,)
        case Conv() | MaxPool():
            places = [(n + 2 * layer.padding - layer.kernel_size) // layer.stride + 1 for n in shape[:-1]]
            return (*places, layer.outputs if isinstance(layer, Conv) else shape[-1])
        case Flatten():
            return (math.prod(shape),)
        case GlobalAvgPool():
            return shape[-1:]
        case _:
            return shape


def mlp(sizes: Sequence[int], batch: int) -> Network:
    """Fully connected layers with ReLU after each but the last."""
    layers = [layer for i, o in pairwise(sizes) for layer in (Linear(i, o), ReLU())]
    return Network("-".join(map(str, sizes)), tuple(layers[:-1]), (sizes[0],), batch)


def simple_cnn() -> Network:
    """The layers of `xpnet.models.simple_cnn()`."""
    layers = (
        Conv(1, 30, 5),
        ReLU(),
        MaxPool(2, 2),
        Flatten(),
        Linear(12 * 12 * 30, 100, image=(12, 12, 30)),
        ReLU(),
        Linear(100, 10),
    )
    return Network("simple_cnn", layers, (28, 28, 1), batch=100)


def vgg_small() -> Network:
    """The layers of `xpnet.models.vgg_small()`."""
    layers: list[Layer] = []
    for inputs, outputs in pairwise((3, 64, 128, 256)):
        for channels in (inputs, outputs):
            layers += [Conv(channels, outputs, 3, padding=1), BatchNorm(outputs), ReLU()]
        layers.append(MaxPool(2, 2))
    layers += [Flatten(), Linear(4 * 4 * 256, 256, image=(4, 4, 256)), ReLU(), Linear(256, 10)]
    return Network("vgg_small", tuple(layers), (32, 32, 3), batch=64)


def resnet18(name: str = "resnet18", *, size: int = 64, batch: int = 16, classes: int = 10) -> Network:
    """ResNet-18 on square images."""
    layers: list[Layer] = _resnet_stem()
    for inputs, outputs in ((64, 64), (64, 128), (128, 256), (256, 512)):
        layers += [_basic_block(inputs, outputs), ReLU(), _basic_block(outputs, outputs), ReLU()]
    return Network(name, (*layers, GlobalAvgPool(), Linear(512, classes)), (size, size, 3), batch)


def resnet50(name: str = "resnet50", *, size: int = 64, batch: int = 16) -> Network:
    """ResNet-50 with a thousand classes on square images."""
    layers: list[Layer] = _resnet_stem()
    inputs = 64
    for channels, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            layers += [_bottleneck(inputs, channels, stride=2 if block == 0 and channels > 64 else 1), ReLU()]
            inputs = 4 * channels
    return Network(name, (*layers, GlobalAvgPool(), Linear(inputs, 1000)), (size, size, 3), batch)


def _resnet_stem() -> list[Layer]:
    return [Conv(3, 64, 7, stride=2, padding=3, bias=False), BatchNorm(64), ReLU(), MaxPool(3, 2, 1)]


def _basic_block(inputs: int, outputs: int) -> Residual:
    """Two 3x3 convolutions; where the channels become more, the first one and the shortcut halve the image."""
    stride = 1 if inputs == outputs else 2
    body = (
        Conv(inputs, outputs, 3, stride, padding=1, bias=False),
        BatchNorm(outputs),
        ReLU(),
        Conv(outputs, outputs, 3, padding=1, bias=False),
        BatchNorm(outputs),
    )
    shortcut = (Conv(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs)) if stride == 2 else ()
    return Residual(body, shortcut)


def _bottleneck(inputs: int, channels: int, stride: int) -> Residual:
    """A 3x3 convolution on few channels between two 1x1 convolutions, the last of which makes them four times more."""
    outputs = 4 * channels
    body = (
        Conv(inputs, channels, 1, bias=False),
        BatchNorm(channels),
        ReLU(),
        Conv(channels, channels, 3, stride, padding=1, bias=False),
        BatchNorm(channels),
        ReLU(),
        Conv(channels, outputs, 1, bias=False),
        BatchNorm(outputs, scale=0.2),  # near zero, as is usual: sixteen blocks in full would blow up rounding errors
    )
    shortcut = (Conv(inputs, outputs, 1, stride, bias=False), BatchNorm(outputs)) if inputs != outputs else ()
    return Residual(body, shortcut)


NETWORKS = {
    network.name: network
    for network in (
        mlp((784, 40, 20, 10), 100),
        mlp((784, 1024, 1024, 10), 128),
        simple_cnn(),
        vgg_small(),
        resnet18(),
        resnet18("resnet18-224", size=224, batch=4, classes=1000),
        resnet50(),
    )
}

GPU_NETWORKS = {
    network.name: network
    for network in (
        NETWORKS["784-1024-1024-10"],
        NETWORKS["simple_cnn"],
        resnet50("resnet50-224", size=224, batch=64),
        NETWORKS["vgg_small"],
        NETWORKS["resnet18"],
    )
}
"""Those for the GPU; the ones of which most is to be known come first, as the time there may be short."""

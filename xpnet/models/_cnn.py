import math
from collections.abc import Sequence

from xpnet._typing import Shape
from xpnet.layers import (
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    GlobalAvgPool,
    Layer,
    Linear,
    MaxPool1d,
    MaxPool2d,
    ReLU,
    Sequential,
    check_count,
)


def _start(model: str, input_shape: Sequence[int], axes: str) -> tuple[int, ...]:
    names = axes.split(", ")
    if len(input_shape) != len(names):
        raise ValueError(f"{model}: expected input_shape ({axes}), got {tuple(input_shape)}")
    return tuple(check_count(model, f"{name} of input_shape", n) for name, n in zip(names, input_shape, strict=True))


def _image(model: str, layers: list[Layer], input_shape: Shape) -> Shape:
    """What the layers so far make of one input of that shape, channels last.

    Raises
    ------
    ValueError : the input is too small for them.
    """
    try:
        return Sequential(*layers).output_shape((1, *input_shape))[1:]
    except ValueError as error:
        raise ValueError(f"{model}: input_shape {input_shape} is too small: {error}") from error


def _flat(image: Shape, outputs: int) -> tuple[Layer, Layer]:
    """The first fully connected layer, whose weights go to files in PyTorch's order of an image's values."""
    return Flatten(), Linear(math.prod(image), outputs, image=image)


def simple_cnn(
    input_shape: Sequence[int] = (28, 28, 1),
    classes: int = 10,
    *,
    channels: int = 30,
    kernel_size: int = 5,
    padding: int = 0,
    hidden: int = 100,
) -> Sequential:
    """A small convolutional network: convolution, ReLU, pooling, then two fully connected layers.

    Parameters
    ----------
    input_shape : (height, width, channels) of one image.
    classes : number of outputs, which are logits.
    channels, kernel_size, padding : of the convolution.
    hidden : features between the two fully connected layers.

    Returns
    -------
    A `Sequential`, from (n, *input_shape) to (n, classes).

    Raises
    ------
    ValueError : an image too small, or numbers that are no sizes.

    Examples
    --------
    >>> simple_cnn()
    Sequential(
      0: Conv2d(1, 30, 5)
      1: ReLU()
      2: MaxPool2d(2)
      3: Flatten()
      4: Linear(4320, 100)
      5: ReLU()
      6: Linear(100, 10)
    )

    References
    ----------
    K. Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 7.5 (`SimpleConvNet`). Variant: He's weights
    instead of N(0, 0.01²).
    """
    shape = _start("simple_cnn", input_shape, "height, width, channels")
    layers: list[Layer] = [Conv2d(shape[-1], channels, kernel_size, padding=padding), ReLU(), MaxPool2d(2)]
    return Sequential(*layers, *_flat(_image("simple_cnn", layers, shape), hidden), ReLU(), Linear(hidden, classes))


def deep_cnn(input_shape: Sequence[int] = (28, 28, 1), classes: int = 10, *, dropout: float = 0.5) -> Sequential:
    """Six 3×3 convolutions in three blocks, each with 2×2 pooling, then two fully connected layers with dropout.

    Parameters
    ----------
    input_shape : (height, width, channels) of one image.
    classes : number of outputs, which are logits.
    dropout : the rate of dropout after each fully connected layer.

    Returns
    -------
    A `Sequential`, from (n, *input_shape) to (n, classes).

    Raises
    ------
    ValueError : an image too small, or numbers that are no sizes.

    Examples
    --------
    >>> deep_cnn().output_shape((100, 28, 28, 1))
    (100, 10)

    References
    ----------
    K. Saito, "Deep Learning from Scratch", O'Reilly Japan 2016, section 8.1 (`DeepConvNet`): the padding of 2 before
    the second pooling makes 28 × 28 pixels 4 × 4 in the end, and dropout acts on the outputs, too.
    """
    shape = _start("deep_cnn", input_shape, "height, width, channels")
    layers: list[Layer] = []
    inputs = shape[-1]
    for channels, paddings in ((16, (1, 1)), (32, (1, 2)), (64, (1, 1))):
        for padding in paddings:
            layers += [Conv2d(inputs, channels, 3, padding=padding), ReLU()]
            inputs = channels
        layers.append(MaxPool2d(2))
    first = _flat(_image("deep_cnn", layers, shape), 50)
    return Sequential(*layers, *first, ReLU(), Dropout(dropout), Linear(50, classes), Dropout(dropout))


def cnn1d(
    input_shape: Sequence[int] = (128, 1),
    classes: int = 4,
    *,
    channels: Sequence[int] = (16, 32, 64),
    kernel_size: int = 7,
) -> Sequential:
    """A convolutional network for sequences: convolution, batch norm, ReLU and pooling by 2, several times.

    The mean over what is left of the length makes it take sequences of any length that pooling leaves something of.

    Parameters
    ----------
    input_shape : (length, channels) of one sequence.
    classes : number of outputs, which are logits.
    channels : of each convolution.
    kernel_size : of all of them.

    Returns
    -------
    A `Sequential`, from (n, length, channels) to (n, classes).

    Raises
    ------
    ValueError : a sequence too short, or numbers that are no sizes.

    Examples
    --------
    >>> cnn1d((128, 3), classes=6).output_shape((32, 128, 3))
    (32, 6)

    References
    ----------
    Z. Wang, W. Yan, T. Oates, "Time series classification from scratch with deep neural networks", IJCNN 2017,
    section II-B (their fully convolutional network). Variant: pooling between the blocks.
    """
    shape = _start("cnn1d", input_shape, "length, channels")
    layers: list[Layer] = []
    inputs = shape[-1]
    for outputs in channels:
        layers += [Conv1d(inputs, outputs, kernel_size, padding="same"), BatchNorm(outputs), ReLU(), MaxPool1d(2)]
        inputs = outputs
    _image("cnn1d", layers, shape)
    return Sequential(*layers, GlobalAvgPool(), Linear(inputs, classes))


def vgg_small(input_shape: Sequence[int] = (32, 32, 3), classes: int = 10) -> Sequential:
    """A small VGG for 32 × 32 images: three blocks of two 3×3 convolutions with batch norm, then two fully connected
    layers.

    Parameters
    ----------
    input_shape : (height, width, channels) of one image.
    classes : number of outputs, which are logits.

    Returns
    -------
    A `Sequential`, from (n, *input_shape) to (n, classes).

    Raises
    ------
    ValueError : an image too small, or numbers that are no sizes.

    Examples
    --------
    >>> model = vgg_small()
    >>> model.output_shape((64, 32, 32, 3))
    (64, 10)
    >>> sum(p.data.size for p in model.parameters().values())
    2198602

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015.
    Variant: 64, 128 and 256 channels, batch norm after each convolution, 256 units before the outputs.
    """
    shape = _start("vgg_small", input_shape, "height, width, channels")
    layers: list[Layer] = []
    inputs = shape[-1]
    for channels in (64, 128, 256):
        for _ in range(2):
            layers += [Conv2d(inputs, channels, 3, padding=1), BatchNorm(channels), ReLU()]
            inputs = channels
        layers.append(MaxPool2d(2))
    return Sequential(*layers, *_flat(_image("vgg_small", layers, shape), 256), ReLU(), Linear(256, classes))

from collections.abc import Sequence
from functools import partial

from xpnet.layers import GlobalAvgPool, Linear, MaxPool2d, ReLU, Sequential
from xpnet.models._imagenet import Block, check_task, conv, normalized, residual_block, stages


def _basic(inputs: int, planes: int, stride: int) -> Sequential:
    """Two 3×3 convolutions: the paper's figure 5, left."""
    body = normalized(conv(inputs, planes, 3, stride=stride), conv(planes, planes, 3))
    return residual_block(Sequential(**body), inputs, planes, stride)


def _bottleneck(inputs: int, planes: int, stride: int, *, groups: int = 1, group_width: int = 64) -> Sequential:
    """1×1, 3×3, 1×1: the paper's figure 5, right; in groups, ResNeXt's figure 3 (c)."""
    width, outputs = planes * group_width // 64 * groups, 4 * planes
    body = normalized(
        conv(inputs, width, 1), conv(width, width, 3, stride=stride, groups=groups), conv(width, outputs, 1)
    )
    return residual_block(Sequential(**body), inputs, outputs, stride)


def _resnet(
    model: str, block: Block, expansion: int, counts: Sequence[int], classes: int, in_channels: int
) -> Sequential:
    """The columns of the paper's table 1."""
    check_task(model, classes, in_channels)
    return Sequential(
        **normalized(conv(in_channels, 64, 7, stride=2)),
        relu=ReLU(),
        maxpool=MaxPool2d(3, stride=2, padding=1),
        **stages(block, 64, expansion, counts),
        avgpool=GlobalAvgPool(),
        fc=Linear(512 * expansion, classes),
    )


def resnet18(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNet-18: eight blocks of two 3×3 convolutions, each of which learns what to add to its input.

    The residual networks won ILSVRC 2015 with a top-5 error of 3.57 %, six networks together; this smallest one has
    a top-1 error of 27.88 % on the validation set (mean of ten crops). Made for 224×224 pixels; any size will do,
    though one image in training must leave the last stage more than one pixel: from 33 pixels on one side.
    11,689,512 parameters.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes), with torchvision's paths.

    Raises
    ------
    ValueError : numbers that are no sizes; in training, a batch of one image too small.

    Examples
    --------
    >>> model = resnet18(classes=10)
    >>> model.output_shape((32, 224, 224, 3))
    (32, 10)
    >>> list(model.parameters())[:4]
    ['conv1.weight', 'bn1.weight', 'bn1.bias', 'layer1.0.conv1.weight']

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, table 1 and tables 2 to
    5; shortcuts of its option B. The initial weights are those of K. He et al., "Delving deep into rectifiers", ICCV
    2015, which offers two and finds either good: here the one by the number of inputs (equation 10); torchvision
    draws the one by the number of outputs (equation 14). The last batch norm of a block starts at 1 like the others.
    """
    return _resnet("resnet18", _basic, 1, (2, 2, 2, 2), classes, in_channels)


def resnet34(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNet-34: sixteen blocks of two 3×3 convolutions.

    Top-5 error on ILSVRC's validation set, one network: 7.46 % by ten crops, 5.71 % at several scales.
    21,797,672 parameters. Sizes, arguments, errors and source are those of `resnet18`.

    Examples
    --------
    >>> resnet34(classes=10).output_shape((32, 64, 64, 3))
    (32, 10)

    See Also
    --------
    resnet18 : arguments, sizes, initial weights and the paper.
    """
    return _resnet("resnet34", _basic, 1, (3, 4, 6, 3), classes, in_channels)


def resnet50(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNet-50: sixteen bottleneck blocks of 1×1, 3×3 and 1×1 convolutions.

    Top-5 error on ILSVRC's validation set, one network: 6.71 % by ten crops, 5.25 % at several scales.
    25,557,032 parameters. Variant: torchvision's, where the 3×3 convolution has the stride that the paper gives to the
    first 1×1.

    Examples
    --------
    >>> resnet50(classes=10).output_shape((16, 64, 64, 3))
    (16, 10)

    See Also
    --------
    resnet18 : arguments, sizes, initial weights and the paper.
    """
    return _resnet("resnet50", _bottleneck, 4, (3, 4, 6, 3), classes, in_channels)


def resnet101(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNet-101: thirty-three bottleneck blocks.

    Top-5 error on ILSVRC's validation set, one network: 6.05 % by ten crops, 4.60 % at several scales.
    44,549,160 parameters. Variant: the stride as in `resnet50`.

    Examples
    --------
    >>> resnet101(classes=0)
    Traceback (most recent call last):
    ...
    ValueError: resnet101: classes must be a positive integer, got 0

    See Also
    --------
    resnet18 : arguments, sizes, initial weights and the paper.
    """
    return _resnet("resnet101", _bottleneck, 4, (3, 4, 23, 3), classes, in_channels)


def resnet152(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNet-152: fifty bottleneck blocks.

    Top-5 error on ILSVRC's validation set, one network: 5.71 % by ten crops, 4.49 % at several scales. Two of them
    were among the six that won in 2015 with 3.57 %. 60,192,808 parameters. Variant: the stride as in `resnet50`.

    Examples
    --------
    >>> resnet152(classes=0)
    Traceback (most recent call last):
    ...
    ValueError: resnet152: classes must be a positive integer, got 0

    See Also
    --------
    resnet18 : arguments, sizes, initial weights and the paper.
    """
    return _resnet("resnet152", _bottleneck, 4, (3, 8, 36, 3), classes, in_channels)


def resnext50_32x4d(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """ResNeXt-50 (32×4d): ResNet-50 whose 3×3 convolutions work in 32 groups, which have 4 channels each at first.

    Its family was second in ILSVRC 2016 with a top-5 error of 3.03 %, several networks together; this one has a top-1
    error of 22.2 % on the validation set (one network, one crop of 224×224). 25,028,904 parameters.

    Examples
    --------
    >>> resnext50_32x4d(classes=10).output_shape((16, 64, 64, 3))
    (16, 10)

    See Also
    --------
    resnet18 : arguments, sizes and initial weights.

    References
    ----------
    S. Xie, R. Girshick, P. Dollár, Z. Tu, K. He, "Aggregated residual transformations for deep neural networks", CVPR
    2017, table 1 and figure 3 (c).
    """
    block = partial(_bottleneck, groups=32, group_width=4)
    return _resnet("resnext50_32x4d", block, 4, (3, 4, 6, 3), classes, in_channels)

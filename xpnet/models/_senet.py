from collections.abc import Sequence

from xpnet.layers import Conv2d, Dropout, GlobalAvgPool, Layer, Linear, MaxPool2d, ReLU, Sequential, SqueezeExcite
from xpnet.models._imagenet import Block, check_task, conv, normalized, residual_block, stages


def _se_resnet_block(inputs: int, planes: int, stride: int) -> Sequential:
    """ResNet's bottleneck with the stride in its first convolution, weighed channel by channel."""
    outputs = 4 * planes
    three = normalized(conv(inputs, planes, 1, stride=stride), conv(planes, planes, 3), conv(planes, outputs, 1))
    body = Sequential(**three, se_module=SqueezeExcite(outputs))
    return residual_block(body, inputs, outputs, stride)


def _senet154_block(inputs: int, planes: int, stride: int) -> Sequential:
    """64 groups, a first convolution of half the width, and shortcuts of 3×3 where the image shrinks."""
    width, outputs = 2 * planes, 4 * planes
    three = normalized(
        conv(inputs, width, 1), conv(width, outputs, 3, stride=stride, groups=64), conv(outputs, outputs, 1)
    )
    body = Sequential(**three, se_module=SqueezeExcite(outputs))
    return residual_block(body, inputs, outputs, stride, kernel_size=3 if stride > 1 else 1)


def _three_convolutions(in_channels: int) -> tuple[Conv2d, Conv2d, Conv2d]:
    """What stands for ResNet's first convolution in SENet-154."""
    return conv(in_channels, 64, 3, stride=2), conv(64, 64, 3), conv(64, 128, 3)


def _senet(stem: Sequence[Conv2d], block: Block, counts: Sequence[int], **head: Layer) -> Sequential:
    """The stem's convolutions and pooling; four stages; the mean over the image, and the head."""
    return Sequential(
        layer0=Sequential(**normalized(*stem), relu=ReLU(), pool=MaxPool2d(3, stride=2, ceil_mode=True)),
        **stages(block, stem[-1].outputs, 4, counts),
        avg_pool=GlobalAvgPool(),
        **head,
    )


def se_resnet50(classes: int = 1000, in_channels: int = 3) -> Sequential:
    """SE-ResNet-50: ResNet-50 whose blocks weigh each channel by what all channels say.

    Top-5 error on ILSVRC's validation set: 6.62 % (one network, one crop of 224×224); its family won ILSVRC 2017, see
    `senet154`. Made for 224×224 pixels; any size from 5×5 will do, though one image in training must leave the last
    stage more than one pixel: from 35 pixels on one side. 28,088,024 parameters.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes), with the paths of Cadene's `senet.py`.

    Raises
    ------
    ValueError : numbers that are no sizes; in running, an image too small.

    Examples
    --------
    >>> model = se_resnet50(classes=10)
    >>> model.output_shape((16, 64, 64, 3))
    (16, 10)
    >>> [path for path in model.parameters() if path.startswith("layer1.0.se_module")]
    ['layer1.0.se_module.fc1.weight', 'layer1.0.se_module.fc1.bias', 'layer1.0.se_module.fc2.weight',
     'layer1.0.se_module.fc2.bias']

    References
    ----------
    J. Hu, L. Shen, G. Sun, "Squeeze-and-excitation networks", CVPR 2018, table 1 (second column) and table 2. Variant:
    Cadene's `senet.py`, which has the stride in the first 1×1 convolution, as ResNet's paper does, and pooling with a
    last, incomplete window; here the mean is over the whole image instead of 7×7 windows, which is the same at 224.
    Initial weights: K. He et al., "Delving deep into rectifiers", ICCV 2015, equation 10.
    """
    check_task("se_resnet50", classes, in_channels)
    stem = (conv(in_channels, 64, 7, stride=2),)
    return _senet(stem, _se_resnet_block, (3, 4, 6, 3), last_linear=Linear(2048, classes))


def senet154(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.2) -> Sequential:
    """SENet-154: a ResNeXt-152 of 64 groups with squeeze-and-excitation, the network behind the winner of 2017.

    The authors won ILSVRC 2017 with a top-5 error of 2.25 %, several networks together; this one has 4.47 % on the
    validation set with one crop of 224×224, 3.79 % with one of 320×320. Sizes as for `se_resnet50`.
    115,088,984 parameters.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.
    dropout : the rate of dropout before the last layer.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes), with the paths of Cadene's `senet.py`.

    Raises
    ------
    ValueError : numbers that are no sizes, or a rate outside [0, 1); in running, an image too small.

    Examples
    --------
    >>> senet154(dropout=1.0)
    Traceback (most recent call last):
    ...
    ValueError: senet154: dropout: expected 0 <= rate < 1, got 1.0

    References
    ----------
    J. Hu, L. Shen, G. Sun, E. Wu, "Squeeze-and-excitation networks", TPAMI 2019 (arXiv:1709.01507), appendix, which
    lists what changes against ResNeXt-152: half as wide first convolutions, three 3×3 instead of one 7×7 at the start,
    3×3 shortcuts, dropout. Variants and initial weights as for `se_resnet50`, but the 3×3 convolution has the stride.
    """
    check_task("senet154", classes, in_channels, dropout=dropout)
    stem, head = _three_convolutions(in_channels), Linear(2048, classes)
    return _senet(stem, _senet154_block, (3, 8, 36, 3), dropout=Dropout(dropout), last_linear=head)

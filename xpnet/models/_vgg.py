from xpnet.initializers import xavier_uniform
from xpnet.layers import AdaptiveAvgPool2d, BatchNorm, Conv2d, Flatten, Layer, MaxPool2d, ReLU, Sequential
from xpnet.models._imagenet import check_task, fully_connected

_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}
"""How many stand before each pooling: columns A, B, D and E of the paper's table 1."""


def _vgg(model: str, classes: int, in_channels: int, dropout: float, hidden: int) -> Sequential:
    check_task(model, classes, in_channels, dropout=dropout, hidden=hidden)
    features: list[Layer] = []
    inputs = in_channels
    for outputs, count in zip((64, 128, 256, 512, 512), _CONVOLUTIONS[model.removesuffix("_bn")], strict=True):
        for _ in range(count):
            features.append(Conv2d(inputs, outputs, 3, padding=1, weight=xavier_uniform))
            features += [BatchNorm(outputs), ReLU()] if model.endswith("_bn") else [ReLU()]
            inputs = outputs
        features.append(MaxPool2d(2))
    return Sequential(
        features=Sequential(*features),
        avgpool=AdaptiveAvgPool2d(7),
        flatten=Flatten(),
        classifier=fully_connected((7, 7, 512), hidden, classes, dropout, xavier_uniform),
    )


def vgg11(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-11: eight 3×3 convolutions in five blocks, each with 2×2 pooling, then three fully connected layers.

    The VGG networks were second in ILSVRC 2014 with a top-5 error of 7.3 % (seven networks); afterwards two of them had
    6.8 %, one 7.0 %. This smallest one has 10.4 % on the validation set (one network, one scale). Made for 224×224
    pixels; any size from 32×32 will do, because a mean over 7×7 windows, which changes nothing at 224, stands before
    the fully connected layers. 132,863,336 parameters.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.
    dropout : the rate of dropout behind the hidden fully connected layers.
    hidden : features of each hidden fully connected layer.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes), with torchvision's paths.

    Raises
    ------
    ValueError : numbers that are no sizes, or a rate outside [0, 1); in running, an image too small.

    Examples
    --------
    >>> model = vgg11(10, hidden=16)
    >>> model.output_shape((32, 224, 224, 3))
    (32, 10)
    >>> list(model.parameters())[:2]
    ['features.0.weight', 'features.0.bias']

    References
    ----------
    K. Simonyan, A. Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, column
    A of table 1; errors from tables 3, 5 and 7. Its section 3.1 trained deep networks from a shallower one's weights,
    and found later that the random weights of X. Glorot, Y. Bengio, AISTATS 2010, do without: these are drawn here
    (equation 16), with biases of 0.
    """
    return _vgg("vgg11", classes, in_channels, dropout, hidden)


def vgg11_bn(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-11 with batch normalization between each convolution and its ReLU; 132,868,840 parameters.

    Variant: torchvision's. The paper of 2014 is older than batch normalization, so it has no error for this one.

    Examples
    --------
    >>> vgg11_bn(dropout=1.0)
    Traceback (most recent call last):
    ...
    ValueError: vgg11_bn: dropout: expected 0 <= rate < 1, got 1.0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg11_bn", classes, in_channels, dropout, hidden)


def vgg13(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-13: ten 3×3 convolutions in five blocks, column B of the paper's table 1.

    Top-5 error on ILSVRC's validation set, one network: 9.9 % at one scale. 133,047,848 parameters.

    Examples
    --------
    >>> vgg13(0)
    Traceback (most recent call last):
    ...
    ValueError: vgg13: classes must be a positive integer, got 0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg13", classes, in_channels, dropout, hidden)


def vgg13_bn(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-13 with batch normalization between each convolution and its ReLU; 133,053,736 parameters.

    Variant: torchvision's. The paper of 2014 is older than batch normalization, so it has no error for this one.

    Examples
    --------
    >>> vgg13_bn(dropout=1.0)
    Traceback (most recent call last):
    ...
    ValueError: vgg13_bn: dropout: expected 0 <= rate < 1, got 1.0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg13_bn", classes, in_channels, dropout, hidden)


def vgg16(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-16: thirteen 3×3 convolutions in five blocks, column D of the paper's table 1.

    Top-5 error on ILSVRC's validation set, one network: 8.1 % at one scale, 7.2 % with several scales and crops.
    138,357,544 parameters.

    Examples
    --------
    >>> vgg16(0)
    Traceback (most recent call last):
    ...
    ValueError: vgg16: classes must be a positive integer, got 0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg16", classes, in_channels, dropout, hidden)


def vgg16_bn(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-16 with batch normalization between each convolution and its ReLU; 138,365,992 parameters.

    Variant: torchvision's. The paper of 2014 is older than batch normalization, so it has no error for this one.

    Examples
    --------
    >>> vgg16_bn(dropout=1.0)
    Traceback (most recent call last):
    ...
    ValueError: vgg16_bn: dropout: expected 0 <= rate < 1, got 1.0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg16_bn", classes, in_channels, dropout, hidden)


def vgg19(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-19: sixteen 3×3 convolutions in five blocks, column E of the paper's table 1.

    Top-5 error on ILSVRC's validation set, one network: 8.0 % at one scale, 7.1 % with several scales and crops.
    143,667,240 parameters.

    Examples
    --------
    >>> vgg19(0)
    Traceback (most recent call last):
    ...
    ValueError: vgg19: classes must be a positive integer, got 0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg19", classes, in_channels, dropout, hidden)


def vgg19_bn(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """VGG-19 with batch normalization between each convolution and its ReLU; 143,678,248 parameters.

    Variant: torchvision's. The paper of 2014 is older than batch normalization, so it has no error for this one.

    Examples
    --------
    >>> vgg19_bn(dropout=1.0)
    Traceback (most recent call last):
    ...
    ValueError: vgg19_bn: dropout: expected 0 <= rate < 1, got 1.0

    See Also
    --------
    vgg11 : arguments, sizes, initial weights and the paper.
    """
    return _vgg("vgg19_bn", classes, in_channels, dropout, hidden)

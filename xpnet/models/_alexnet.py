from xpnet.initializers import normal
from xpnet.layers import (
    AdaptiveAvgPool2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    ReLU,
    Sequential,
)
from xpnet.models._imagenet import check_task, fully_connected, response_norm

_WEIGHT = normal(0.01)
_BIASES_OF_ONE = {
    "one tower": ("features.3", "features.8", "features.10", "classifier.1", "classifier.4"),
    "two towers": ("features.4", "features.10", "features.12", "classifier.0", "classifier.3"),
}


def alexnet(
    classes: int = 1000,
    in_channels: int = 3,
    *,
    dropout: float = 0.5,
    hidden: int = 4096,
    original: bool = False,
) -> Sequential:
    """AlexNet: five convolutions with ReLU and overlapping pooling, three fully connected layers with dropout.

    It won ILSVRC 2012 with a top-5 error of 15.3 % (seven networks, two of them trained on more images; one network
    alone 18.2 % on the validation set). Made for 224×224 pixels; any size from 63×63 will do, because a mean over
    6×6 windows stands before the fully connected layers. 61,100,840 parameters; `original=True` has 60,965,224.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.
    dropout : the rate of dropout around the hidden fully connected layers.
    hidden : features of each hidden fully connected layer.
    original : False for the single tower of 2014, torchvision's; True for the two towers of 2012, which meet only in
        the third convolution (groups) and behind the fifth, with local response normalization.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes). The single tower has torchvision's paths.

    Raises
    ------
    ValueError : numbers that are no sizes, or a rate outside [0, 1); in running, an image too small.

    Examples
    --------
    >>> model = alexnet(10, hidden=16)
    >>> model.output_shape((32, 224, 224, 3))
    (32, 10)
    >>> list(model.parameters())[-1]
    'classifier.6.bias'

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks", NIPS
    2012. Section 3.3 gives the normalization, k = 2, n = 5, α = 1e-4, β = 0.75; `LocalResponseNorm` divides its alpha
    by the size, so it is told 5 · 1e-4. Section 5 gives the initial values of both forms: weights from N(0, 0.01²),
    biases of 1 in the second, fourth and fifth convolution and in the hidden layers, of 0 elsewhere. Variants: a
    padding of 2 makes the first convolution fit 224×224 pixels, where the mean changes nothing.
    A. Krizhevsky, "One weird trick for parallelizing convolutional neural networks", arXiv:1404.5997 (2014): the
    single tower. Variant: torchvision's, with dropout before, not behind, each hidden layer.
    """
    check_task("alexnet", classes, in_channels, dropout=dropout, hidden=hidden)
    features = _two_towers(in_channels) if original else _one_tower(in_channels)
    if original:
        classifier = fully_connected((6, 6, 256), hidden, classes, dropout, _WEIGHT)
    else:
        classifier = _dropout_first(hidden, classes, dropout)
    model = Sequential(features=features, avgpool=AdaptiveAvgPool2d(6), flatten=Flatten(), classifier=classifier)
    parameters = model.parameters()
    for path in _BIASES_OF_ONE["two towers" if original else "one tower"]:
        parameters[f"{path}.bias"].data[...] = 1.0
    return model


def _one_tower(in_channels: int) -> Sequential:
    return Sequential(
        *(Conv2d(in_channels, 64, 11, stride=4, padding=2, weight=_WEIGHT), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(64, 192, 5, padding=2, weight=_WEIGHT), ReLU(), MaxPool2d(3, stride=2)),
        *(Conv2d(192, 384, 3, padding=1, weight=_WEIGHT), ReLU()),
        *(Conv2d(384, 256, 3, padding=1, weight=_WEIGHT), ReLU()),
        *(Conv2d(256, 256, 3, padding=1, weight=_WEIGHT), ReLU(), MaxPool2d(3, stride=2)),
    )


def _dropout_first(hidden: int, classes: int, dropout: float) -> Sequential:
    return Sequential(
        *(Dropout(dropout), Linear(6 * 6 * 256, hidden, weight=_WEIGHT, image=(6, 6, 256)), ReLU()),
        *(Dropout(dropout), Linear(hidden, hidden, weight=_WEIGHT), ReLU()),
        Linear(hidden, classes, weight=_WEIGHT),
    )


def _two_towers(in_channels: int) -> Sequential:
    """Two groups of channels are two towers: neither sees the other's, but in the third convolution."""
    return Sequential(
        *(Conv2d(in_channels, 96, 11, stride=4, padding=2, weight=_WEIGHT), ReLU(), response_norm()),
        MaxPool2d(3, stride=2),
        *(Conv2d(96, 256, 5, padding=2, groups=2, weight=_WEIGHT), ReLU(), response_norm()),
        MaxPool2d(3, stride=2),
        *(Conv2d(256, 384, 3, padding=1, weight=_WEIGHT), ReLU()),
        *(Conv2d(384, 384, 3, padding=1, groups=2, weight=_WEIGHT), ReLU()),
        *(Conv2d(384, 256, 3, padding=1, groups=2, weight=_WEIGHT), ReLU(), MaxPool2d(3, stride=2)),
    )

from xpnet.initializers import normal
from xpnet.layers import AdaptiveAvgPool2d, Conv2d, Flatten, MaxPool2d, ReLU, Sequential
from xpnet.models._imagenet import check_task, fully_connected, response_norm

_WEIGHT = normal(0.01)


def zfnet(classes: int = 1000, in_channels: int = 3, *, dropout: float = 0.5, hidden: int = 4096) -> Sequential:
    """ZFNet: AlexNet with a first convolution of 7×7 and stride 2, found by looking at what its layers respond to.

    In ILSVRC 2013 the authors' networks had a top-5 error of 13.5 %; Clarifai, the first author's company, won with
    11.7 % (several networks both). The paper has 16.5 % for this network alone on the validation set, 14.8 % for six
    on the test set. Made for 224×224 pixels; any size from 63×63 will do, because a mean over 6×6 windows, which
    changes nothing at 224, stands before the fully connected layers. 62,357,608 parameters.

    Parameters
    ----------
    classes : number of outputs, which are logits.
    in_channels : of the images.
    dropout : the rate of dropout behind the hidden fully connected layers.
    hidden : features of each hidden fully connected layer.

    Returns
    -------
    A `Sequential`, from (n, height, width, in_channels) to (n, classes).

    Raises
    ------
    ValueError : numbers that are no sizes, or a rate outside [0, 1); in running, an image too small.

    Examples
    --------
    >>> zfnet(10, hidden=16).output_shape((32, 224, 224, 3))
    (32, 10)

    References
    ----------
    M. Zeiler, R. Fergus, "Visualizing and understanding convolutional networks", ECCV 2014 (arXiv:1311.2901, 2013),
    figure 3; section 3.1 starts weights at "10^-2", read here as N(0, 0.01²), and biases at 0. Variants: what the
    paper calls contrast normalization is AlexNet's local response normalization; the padding of 1 and the pooling's
    last, incomplete windows are those that give the figure's sizes of 110, 55, 26, 13 and 6.
    """
    check_task("zfnet", classes, in_channels, dropout=dropout, hidden=hidden)
    features = Sequential(
        *(Conv2d(in_channels, 96, 7, stride=2, padding=1, weight=_WEIGHT), ReLU()),
        *(MaxPool2d(3, stride=2, ceil_mode=True), response_norm()),
        *(Conv2d(96, 256, 5, stride=2, weight=_WEIGHT), ReLU()),
        *(MaxPool2d(3, stride=2, ceil_mode=True), response_norm()),
        *(Conv2d(256, 384, 3, padding=1, weight=_WEIGHT), ReLU()),
        *(Conv2d(384, 384, 3, padding=1, weight=_WEIGHT), ReLU()),
        *(Conv2d(384, 256, 3, padding=1, weight=_WEIGHT), ReLU(), MaxPool2d(3, stride=2)),
    )
    classifier = fully_connected((6, 6, 256), hidden, classes, dropout, _WEIGHT)
    return Sequential(features=features, avgpool=AdaptiveAvgPool2d(6), flatten=Flatten(), classifier=classifier)

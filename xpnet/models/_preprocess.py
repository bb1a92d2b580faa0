from dataclasses import dataclass
from typing import Any, TypeAlias

from xpnet._typing import Array, Shape
from xpnet.backend import Backend, array_namespace, backend_of, find_backend, get_backend
from xpnet.layers import check_count

Colour: TypeAlias = tuple[float, float, float]

_IMAGENET: tuple[Colour, Colour] = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the pixels of ImageNet: red, green, blue."""
_HALF: tuple[Colour, Colour] = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Values from -1 to 1, which TensorFlow's Inception networks take; torchvision's GoogLeNet came from there."""

_VGG = [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
_RESNETS = [f"resnet{depth}" for depth in (18, 34, 50, 101, 152)]
_COLOURS: dict[str, tuple[Colour, Colour]] = {
    **dict.fromkeys(["alexnet", "zfnet", *_VGG], _IMAGENET),
    "googlenet": _HALF,
    **dict.fromkeys([*_RESNETS, "resnext50_32x4d", "se_resnet50", "senet154"], _IMAGENET),
}


@dataclass(frozen=True)
class Preprocess:
    """Makes of pictures what a network was trained on: resized, cropped, and with standardised colours.

        y = (crop(resize(x)) - mean) / std

    The shorter side is resized to `size` with antialiasing, in proportion, and the middle `crop` × `crop` pixels are
    taken. `dataclasses.replace` makes a variant: `replace(preprocess("resnet50"), size=232)` is for torchvision's
    second weights of that network (`IMAGENET1K_V2`).

    Parameters
    ----------
    size : pixels of the shorter side after resizing.
    crop : pixels of both sides of the result, at most `size`.
    mean, std : for red, green and blue, where 0 is dark and 1 is bright.

    Raises
    ------
    ValueError : `size` or `crop` is no positive integer, or `crop` is larger than `size`.

    Examples
    --------
    >>> import numpy as np
    >>> Preprocess(4, 2, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))(np.ones((8, 12, 3))).shape
    (1, 2, 2, 3)
    """

    size: int
    crop: int
    mean: Colour
    std: Colour

    def __post_init__(self) -> None:
        check_count("Preprocess", "size", self.size)
        check_count("Preprocess", "crop", self.crop)
        if self.crop > self.size:
            raise ValueError(f"Preprocess: crop must be at most size, got crop {self.crop} and size {self.size}")

    def __call__(self, images: Any) -> Array:
        """The network's input for one picture, or for several of one size.

        Parameters
        ----------
        images : a Pillow image, or an array (height, width, 3) or (n, height, width, 3) of any registered library:
            red, green, blue as uint8 from 0 to 255 or as floats from 0 to 1. A Pillow image in grey, with a palette
            or with transparency becomes red, green, blue first.

        Returns
        -------
        (n, crop, crop, 3), floating-point, on the backend that `get_backend()` says; one picture is n = 1.

        Raises
        ------
        TypeError : no image and no array, or an array of other numbers.
        ValueError : another shape, no pixels, floats that are not in [0, 1], or a Pillow image whose pixels are not of
            8 bits.
        """
        backend = get_backend()
        x = _pixels(images, backend)
        height, width = x.shape[1:3]
        shorter = min(height, width)
        down, across = (self._rows(n, self.size * n // shorter, x) for n in (height, width))
        y = _resized(x, down, across)
        return (y - backend.asarray(self.mean)) / backend.asarray(self.std)

    def _rows(self, inputs: int, outputs: int, like: Array) -> Array:
        """The rows of the interpolation matrix that the crop leaves, (crop, inputs)."""
        start = round((outputs - self.crop) / 2)
        return _interpolation(inputs, outputs, range(start, start + self.crop), like)


def preprocess(name: str) -> Preprocess:
    """What a picture goes through before the network of that name, with the weights of its name.

    The shorter side becomes 256 pixels, the middle 224 × 224 are taken, and ImageNet's mean (0.485, 0.456, 0.406) and
    standard deviation (0.229, 0.224, 0.225) are taken out: so were torchvision's first weights (`IMAGENET1K_V1`) and
    Cadene's of SE-ResNet-50 and SENet-154 tested. GoogLeNet's mean and standard deviation are 0.5, values from -1 to 1:
    torchvision's network gets there from ImageNet's by itself (its `transform_input`), ours has no such step.

    Interpolation is computed on floats. Where Pillow or PyTorch rounds to 8 bits in between, theirs differs by that.

    Parameters
    ----------
    name : `"alexnet"`, `"zfnet"`, `"vgg11"`, `"vgg13"`, `"vgg16"`, `"vgg19"` and each with `"_bn"`, `"googlenet"`,
        `"resnet18"`, `"resnet34"`, `"resnet50"`, `"resnet101"`, `"resnet152"`, `"resnext50_32x4d"`, `"se_resnet50"`
        or `"senet154"`.

    Returns
    -------
    A `Preprocess`, to be called with a Pillow image or an array; `size`, `crop`, `mean` and `std` can be read.

    Raises
    ------
    ValueError : an unknown name.

    Examples
    --------
    >>> import numpy as np
    >>> prepare = preprocess("resnet50")
    >>> prepare(np.zeros((300, 400, 3), np.uint8)).shape
    (1, 224, 224, 3)
    >>> prepare.mean
    (0.485, 0.456, 0.406)

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks",
    NIPS 2012, section 2 (shorter side 256, middle crop). Variant: a crop of 224 as in torchvision, and the deviation
    divided by.
    """
    if name not in _COLOURS:
        raise ValueError(f"preprocess: unknown model {name!r}; expected one of {', '.join(map(repr, _COLOURS))}")
    mean, std = _COLOURS[name]
    return Preprocess(256, 224, mean, std)


def _pixels(images: Any, backend: Backend) -> Array:
    """Floats from 0 to 1, (n, height, width, 3)."""
    if hasattr(images, "convert") and hasattr(images, "mode"):
        x = backend.asarray(_red_green_blue(images))
        kind = "uint8"
    elif hasattr(images, "dtype") and find_backend(type(images)) is not None:
        x = backend.asarray(images)
        kind = str(images.dtype).rpartition(".")[2]
    else:
        raise TypeError(f"preprocess: expected a Pillow image or an array, got {type(images).__name__}")
    shape = _batch(tuple(x.shape))
    if kind == "uint8":
        x = backend.xp.astype(x, backend.dtype_for("float")) / 255.0
    elif backend.is_float(x):
        _check_range(x, backend)
    else:
        raise TypeError(f"preprocess: expected uint8 from 0 to 255 or floats from 0 to 1, got {kind}")
    return backend.xp.reshape(x, shape)  # (height, width, 3) -> (1, height, width, 3)


def _red_green_blue(image: Any) -> Any:
    if image.mode.startswith(("I", "F")):
        raise ValueError(
            f"preprocess: the image has mode {image.mode!r}, whose brightest value is not known; expected 8 bits for a "
            "pixel's colour, or an array of floats from 0 to 1"
        )
    image = image.convert("RGBA") if image.mode == "P" else image  # Pillow warns of transparent palettes otherwise
    return image.convert("RGB")


def _batch(shape: Shape) -> Shape:
    """The shape with a batch axis."""
    if len(shape) not in (3, 4) or shape[-1] != 3:
        raise ValueError(f"preprocess: expected shape (height, width, 3) or (n, height, width, 3), got {shape}")
    if 0 in shape[-3:]:
        raise ValueError(f"preprocess: expected images of at least one pixel, got shape {shape}")
    return shape if len(shape) == 4 else (1, *shape)


def _check_range(x: Array, backend: Backend) -> None:
    xp = backend.xp
    if not bool(xp.all((x >= 0.0) & (x <= 1.0))):
        lowest, highest = float(xp.min(x)), float(xp.max(x))
        raise ValueError(
            f"preprocess: floats must be from 0 to 1, got values from {lowest:.6g} to {highest:.6g}; "
            "divide values up to 255 by 255, or give them as uint8"
        )


def _interpolation(inputs: int, outputs: int, rows: range, like: Array) -> Array:
    """Rows of the matrix that resizes an axis, (rows, inputs): linear interpolation with antialiasing.

        W[i, j] ∝ max(0, 1 - |c(i) - (j + ½)| / max(s, 1)),    s = inputs / outputs,    c(i) = (i + ½) s

    and each row sums to 1: a triangle around where the new pixel's centre lies between the old ones', two old pixels
    wide in enlarging, two new ones in reducing. Both sides times 2 max(inputs, outputs) are integers, so computed
    without rounding.
    """
    backend = backend_of(like)
    xp = backend.xp
    i = backend.indices(rows.stop, like)[:, rows.start :].T  # (rows, 1)
    j = backend.indices(inputs, like)  # (1, inputs)
    distance = xp.abs((2 * i + 1) * inputs - (2 * j + 1) * outputs)
    triangle = xp.astype(xp.clip(2 * max(inputs, outputs) - distance, min=0), like.dtype)
    return triangle / xp.sum(triangle, axis=1, keepdims=True)


def _resized(x: Array, down: Array, across: Array) -> Array:
    """y[n, a, b, c] = Σ down[a, h] across[b, w] x[n, h, w, c]: a matrix along each axis."""
    xp = array_namespace(x, down, across)
    n, height, width, channels = x.shape
    rows = xp.matmul(down, xp.reshape(x, (n, height, width * channels)))  # (n, h, w, c) -> (n, h, w*c) -> (n, a, w*c)
    columns = xp.reshape(rows, (n, down.shape[0], width, channels))  # (n, a, w*c) -> (n, a, w, c)
    return xp.matmul(across, columns)  # (n, a, b, c)

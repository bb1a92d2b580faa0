"""Images changed at random, anew in each pass, so that a model does not learn single pictures by heart."""

from dataclasses import dataclass
from typing import Any, Protocol, final

from xpnet._typing import Array, Shape
from xpnet.backend import Backend, Key, array_namespace, backend_of, scramble


class Augmentation(Protocol):
    """A random change of inputs: `change(x, examples, key)` gives a new array of the shape and type of `x`.

    Its random numbers come from `random_bits(examples, key)`, so they belong to an example and a pass, and not to a
    batch: a pass that is taken up in its middle, or shared between processes, gives the same inputs.
    """

    def __call__(self, x: Array, examples: Array, key: Key) -> Array:
        """Change inputs (n, ...), given the numbers (n,) of their examples and the key of this change in this pass."""


def random_bits(examples: Array, key: Key, draw: int = 0) -> Array:
    """Return a random integer from 0 to 2³¹ - 1 for each example.

        bits = scramble(scramble(example ^ key₀) ^ key₁ ^ draw), without the sign

    The numbers are counted out, not drawn: the same example, key and draw give the same number, on every backend.

    Parameters
    ----------
    examples : (n,) integers, the numbers of the examples in the data set.
    key : two numbers of 32 bits (`xpnet.backend.random_key`).
    draw : a small number from 0; each gives an example another, unrelated random number.

    Returns
    -------
    (n,) of int64, on the device of `examples`.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.backend import random_key
    >>> bits = random_bits(np.asarray([7, 8, 7]), random_key(0, "pass 0"))
    >>> bool(bits[0] == bits[1]), bool(bits[0] == bits[2])
    (False, True)

    References
    ----------
    J. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011. The hash is that of dropout's masks.
    """
    xp = array_namespace(examples)
    return scramble(scramble(xp.astype(examples, xp.int64) ^ key[0]) ^ key[1] ^ draw) & 0x7FFFFFFF


@final
@dataclass(frozen=True)
class RandomCrop:
    """Crop each image, with a border of zeros around it, to its own size at a random place.

        y[i, r, c] = padded[i, r + downᵢ, c + rightᵢ],    down and right uniform on 0, 1, …, 2 padding

    So the picture moves by up to `padding` pixels each way. Images (n, h, w, channels) keep their shape and type.

    Parameters
    ----------
    padding : the width of the border in pixels, an integer from 0.

    Raises
    ------
    ValueError : `padding` is anything else; inputs are no images, or not as many as examples.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.backend import random_key
    >>> x = np.arange(1.0, 10.0).reshape(1, 3, 3, 1)
    >>> RandomCrop(1)(x, np.asarray([5]), random_key(0, "pass 0"))[0, :, :, 0]
    array([[2., 3., 0.],
           [5., 6., 0.],
           [8., 9., 0.]])

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun, "Deep residual learning for image recognition", CVPR 2016, section 4.2.
    """

    padding: int = 4

    def __post_init__(self) -> None:
        if isinstance(self.padding, bool) or not isinstance(self.padding, int) or self.padding < 0:
            raise ValueError(f"RandomCrop: padding must be an integer from 0, got {self.padding!r}")

    def __call__(self, x: Array, examples: Array, key: Key) -> Array:
        """Return the images cropped."""
        backend, (n, height, width, channels) = _images(self, x, examples)
        xp, device, p = backend.xp, backend.device_of(x), self.padding
        high, wide = height + 2 * p, width + 2 * p
        padded = xp.zeros((n, high, wide, channels), dtype=x.dtype, device=device)
        padded[:, p : p + height, p : p + width, :] = x
        down, right = (random_bits(examples, key, draw) % (2 * p + 1) for draw in (0, 1))
        first = (xp.arange(n, device=device) * high + down) * wide + right  # each window's first pixel, of all pixels
        column = xp.arange(width, device=device)
        row = xp.arange(height, device=device)[:, None] * wide
        pixels = xp.reshape(first, (n, 1, 1)) + (row + column)
        return xp.reshape(xp.take(xp.reshape(padded, (-1, channels)), xp.reshape(pixels, (-1,)), axis=0), x.shape)


@final
@dataclass(frozen=True)
class RandomFlip:
    """Mirror images at random, left to right.

        y[i, r, c] = x[i, r, w - 1 - c] with this probability, else x[i, r, c]

    Images (n, h, w, channels) keep their shape and type.

    Parameters
    ----------
    probability : that an image is mirrored, from 0 to 1.

    Raises
    ------
    ValueError : `probability` lies outside; inputs are no images, or not as many as examples.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.backend import random_key
    >>> x = np.asarray([[1.0, 2.0, 3.0]] * 4).reshape(4, 1, 3, 1)
    >>> RandomFlip()(x, np.arange(4), random_key(0, "pass 0"))[:, 0, :, 0]
    array([[1., 2., 3.],
           [1., 2., 3.],
           [3., 2., 1.],
           [3., 2., 1.]])

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. Hinton, "ImageNet classification with deep convolutional neural networks",
    NeurIPS 2012, section 4.1.
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise ValueError(f"RandomFlip: expected 0 <= probability <= 1, got {self.probability!r}")

    def __call__(self, x: Array, examples: Array, key: Key) -> Array:
        """Return the images, some of them mirrored."""
        backend, (n, *_) = _images(self, x, examples)
        mirrored = random_bits(examples, key) <= round(self.probability * 2**31) - 1
        return backend.xp.where(backend.xp.reshape(mirrored, (n, 1, 1, 1)), backend.xp.flip(x, axis=2), x)


def _images(owner: Any, x: Array, examples: Array) -> tuple[Backend, Shape]:
    """The backend and the shape of images (n, h, w, channels) with as many examples."""
    backend, shape = backend_of(x, examples), tuple(x.shape)
    if len(shape) != 4:
        raise ValueError(f"{owner}: expected images of shape (n, h, w, channels), got shape {shape}")
    if tuple(examples.shape) != shape[:1]:
        raise ValueError(f"{owner}: expected {shape[0]} examples for images of shape {shape}, got {examples.shape}")
    return backend, shape

"""Small handwritten digits that come with the package."""

from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

_TRAINING_EXAMPLES = 1437


def digits(
    *, flat: bool = True
) -> tuple[tuple[NDArray[np.float32], NDArray[np.int64]], tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return 1797 handwritten digits of 8x8 pixels: 1437 to train with and 360 to test with.

    The digits are shuffled by `numpy.random.default_rng(0).permutation(1797)`; the first 1437 are for training.

    Parameters
    ----------
    flat : True for images as vectors of 64 features, False for images of one channel, channels last.

    Returns
    -------
    `(x, t), (x_test, t_test)`: host arrays. x is float32 in [0, 1] (0 is paper, 1 is ink), of shape (n, 64)
    or (n, 8, 8, 1); t is int64 of shape (n,) with the labels 0 to 9.

    Examples
    --------
    >>> (x, t), (x_test, t_test) = digits()
    >>> x.shape, t.shape, x_test.shape, t_test.shape
    ((1437, 64), (1437,), (360, 64), (360,))
    >>> digits(flat=False)[0][0].shape
    (1437, 8, 8, 1)

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository,
    1998, doi 10.24432/C50P49, CC BY 4.0; the part of it that scikit-learn distributes.
    """
    with (
        (files("xpnet.data") / "files" / "digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        images, labels = arrays["images"], arrays["labels"]
    x = images.astype(np.float32) / 16.0
    x = x.reshape(-1, 64) if flat else x[..., np.newaxis]  # (n, 8, 8) -> (n, 64) or (n, 8, 8, 1)
    t = labels.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(x))
    training, test = order[:_TRAINING_EXAMPLES], order[_TRAINING_EXAMPLES:]
    return (x[training], t[training]), (x[test], t[test])

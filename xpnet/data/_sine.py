"""One hundred points of a sine: the smallest regression problem."""

from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from xpnet.data._csv import read_csv


def sine() -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return 100 training and 100 test points of a sine.

    t = sin(x), with x between -3 and 3.1 radians. Both are rounded to five decimals; there is no other noise.

    Returns
    -------
    `(x, t), (x_test, t_test)`: float32 host arrays of shape (100, 1), in random order, the same on every call.

    Examples
    --------
    >>> (x, t), (x_test, t_test) = sine()
    >>> x.shape, t.shape, x_test.shape, t_test.shape
    ((100, 1), (100, 1), (100, 1), (100, 1))
    >>> bool(np.all(np.abs(np.sin(x) - t) < 1e-5))
    True

    References
    ----------
    the course's `2D_nonlinear_train.csv` and `2D_nonlinear_test.csv`, shipped with the package.
    """
    return _read("sine_train.csv"), _read("sine_test.csv")


def _read(name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    with as_file(files("xpnet.data") / "files" / name) as path:
        _, points = read_csv(path)  # (n, 2)
    return points[:, :1].copy(), points[:, 1:].copy()

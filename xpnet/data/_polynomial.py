"""A polynomial of two variables: regression with as many examples as wanted."""

import numpy as np
from numpy.typing import NDArray


def polynomial(
    n: int = 1000, seed: int = 0
) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Return examples of a quadratic function of two variables.

    t = 3 x0^2 + 2 x1, with x0 and x1 uniform on [0, 1) and independent. There is no noise.

    Parameters
    ----------
    n : the number of training examples, and of test examples; at least 1.
    seed : the seed of the generator (PCG64) that draws x; at least 0.

    Returns
    -------
    `(x, t), (x_test, t_test)`: float32 host arrays, x of shape (n, 2) and t of shape (n, 1).

    Raises
    ------
    TypeError : `n` or `seed` is not an integer.
    ValueError : `n` or `seed` is too small.

    Examples
    --------
    >>> (x, t), (x_test, t_test) = polynomial(4, seed=1)
    >>> x.shape, t.shape, x_test.shape, t_test.shape
    ((4, 2), (4, 1), (4, 2), (4, 1))
    >>> bool(np.allclose(t[:, 0], 3 * x[:, 0] ** 2 + 2 * x[:, 1]))
    True

    References
    ----------
    xpnet's own.
    """
    for name, value, least in (("n", n, 1), ("seed", seed, 0)):
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool):
            raise TypeError(f"polynomial: {name} is {value!r}, expected an integer")
        if value < least:
            raise ValueError(f"polynomial: {name} is {value}, expected at least {least}")
    x = np.random.default_rng(seed).random((2 * n, 2), dtype=np.float32)
    t = 3.0 * x[:, :1] ** 2 + 2.0 * x[:, 1:]
    return (x[:n], t[:n]), (x[n:], t[n:])

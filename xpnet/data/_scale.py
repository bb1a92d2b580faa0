"""Bring features to a common scale that the training data alone decides."""

import math
from typing import Any, TypeVar, final

import numpy as np
from numpy.typing import NDArray

_Float = TypeVar("_Float", np.float32, np.float64)


@final
class Standardize:
    """Give every feature mean 0 and standard deviation 1 over the training data.

    y = (x - mean) / deviation, the inverse x = y * deviation + mean. A feature is an index of the last axis; the
    statistics are taken over all other axes, so a picture has one mean for each channel. The deviation is that of
    the data themselves (divided by n, not n - 1), and 1 where a feature is constant: its training values become 0.
    The arithmetic is in float64, results have the dtype of their input.

    Parameters
    ----------
    x : training data, a float32 or float64 host array of shape (..., features) with two or more axes.

    Attributes
    ----------
    mean : float64, (features,), in the units of x.
    deviation : float64, (features,), in the units of x.

    Raises
    ------
    TypeError : an input is no NumPy array, or not of float32 or float64.
    ValueError : an input has too few axes, another number of features or NaN or infinity in it; the training
        data are empty or spread too widely for float64.

    Examples
    --------
    >>> x = np.asarray([[1.0, 5.0], [3.0, 5.0]])
    >>> scale = Standardize(x)
    >>> scale(x).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    >>> scale.inverse(scale(x)).tolist()
    [[1.0, 5.0], [3.0, 5.0]]

    References
    ----------
    Y. LeCun, L. Bottou, G. Orr, K.-R. Müller, "Efficient BackProp" (1998), section 4.3.
    """

    def __init__(self, x: NDArray[_Float]) -> None:
        least, largest = _limits("Standardize", x)
        axes = tuple(range(x.ndim - 1))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = x.mean(axis=axes, dtype=np.float64)
            deviation = x.std(axis=axes, dtype=np.float64)
        _check_spread("Standardize", mean + deviation)
        self.mean = np.where(least == largest, least, mean)  # a rounded mean would leave a constant off 0
        self.deviation = _or_one(np.where(least == largest, 0.0, deviation))

    def __call__(self, x: NDArray[_Float]) -> NDArray[_Float]:
        """Return x, of shape (..., features), on the new scale."""
        _check("Standardize", "x", x, len(self.mean))
        y = np.subtract(x, self.mean, dtype=np.float64)
        y /= self.deviation
        return y.astype(x.dtype, copy=False)

    def inverse(self, y: NDArray[_Float]) -> NDArray[_Float]:
        """Return y, of shape (..., features), on the original scale."""
        _check("Standardize", "y", y, len(self.mean))
        x = np.multiply(y, self.deviation, dtype=np.float64)
        x += self.mean
        return x.astype(y.dtype, copy=False)


@final
class MinMax:
    """Stretch every feature so that its training data fill the range from low to high.

    y = low + (x - least) / spread * (high - low), with spread = largest - least of the training data and 1 where
    a feature is constant: its training values become low. A feature is an index of the last axis; least and largest
    are taken over all other axes. New data outside the training data's range land outside low to high. The
    arithmetic is in float64, results have the dtype of their input.

    Parameters
    ----------
    x : training data, a float32 or float64 host array of shape (..., features) with two or more axes.
    low : what the least training value becomes.
    high : what the largest training value becomes, above low.

    Attributes
    ----------
    least : float64, (features,), in the units of x.
    spread : float64, (features,), in the units of x.
    low, high : as given.

    Raises
    ------
    TypeError : an input is no NumPy array, or not of float32 or float64.
    ValueError : low and high are not finite and in this order; an input has too few axes, another number of
        features or NaN or infinity in it; the training data are empty or spread too widely for float64.

    Examples
    --------
    >>> x = np.asarray([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    >>> scale = MinMax(x, low=-1.0)
    >>> scale(x).tolist()
    [[-1.0, -1.0], [0.0, -1.0], [1.0, -1.0]]
    >>> scale.inverse(scale(x)).tolist()
    [[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]]

    References
    ----------
    J. Han, M. Kamber, J. Pei, "Data Mining: Concepts and Techniques", section 3.5 (min-max normalization).
    """

    def __init__(self, x: NDArray[_Float], low: float = 0.0, high: float = 1.0) -> None:
        if not (math.isfinite(high - low) and low < high):
            raise ValueError(f"MinMax: low is {low} and high is {high}, expected finite numbers with low < high")
        least, largest = _limits("MinMax", x)
        with np.errstate(over="ignore"):
            spread = largest - least
        _check_spread("MinMax", spread)
        self.low, self.high = low, high
        self.least = least
        self.spread = _or_one(spread)

    def __call__(self, x: NDArray[_Float]) -> NDArray[_Float]:
        """Return x, of shape (..., features), on the new scale."""
        _check("MinMax", "x", x, len(self.least))
        y = np.subtract(x, self.least, dtype=np.float64)
        y /= self.spread
        y *= self.high - self.low
        y += self.low
        return y.astype(x.dtype, copy=False)

    def inverse(self, y: NDArray[_Float]) -> NDArray[_Float]:
        """Return y, of shape (..., features), on the original scale."""
        _check("MinMax", "y", y, len(self.least))
        x = np.subtract(y, self.low, dtype=np.float64)
        x /= self.high - self.low
        x *= self.spread
        x += self.least
        return x.astype(y.dtype, copy=False)


def _limits(owner: str, x: NDArray[_Float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Check training data and return each feature's least and largest value."""
    _check(owner, "x", x)
    if x.size == 0:
        raise ValueError(f"{owner}: x has shape {x.shape}, expected at least one example and one feature")
    axes = tuple(range(x.ndim - 1))
    return x.min(axis=axes).astype(np.float64), x.max(axis=axes).astype(np.float64)


def _check(owner: str, name: str, x: NDArray[Any], features: int | None = None) -> None:
    if not isinstance(x, np.ndarray):
        raise TypeError(f"{owner}: {name} is a {type(x).__name__}, expected a NumPy array of float32 or float64")
    if x.dtype not in (np.float32, np.float64):
        raise TypeError(f"{owner}: {name} has dtype {x.dtype}, expected float32 or float64")
    if x.ndim < 2:
        raise ValueError(f"{owner}: {name} has shape {x.shape}, expected two or more axes, the features last")
    if features is not None and x.shape[-1] != features:
        raise ValueError(f"{owner}: {name} has {x.shape[-1]} features, expected {features} as in the training data")
    if not np.isfinite(x).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(x))[0])
        raise ValueError(f"{owner}: {name} is {x[at]} at index {at}, expected finite numbers")


def _check_spread(owner: str, statistic: NDArray[np.float64]) -> None:
    if not np.isfinite(statistic).all():
        feature = int(np.argmin(np.isfinite(statistic)))
        raise ValueError(f"{owner}: feature {feature} of x spreads too widely for float64")


def _or_one(spread: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(spread == 0.0, 1.0, spread)

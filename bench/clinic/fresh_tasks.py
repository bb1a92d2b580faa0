"""Problems of the programs in `fresh.py`: none is among those of the other sets."""

from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xpnet
from bench.clinic.tasks import Data, Pair, Task

ARMS = Task("arms", 2, 3, 1500, 50)
CHECKER = Task("checker", 2, 1, 2000, 40)
RIPPLE = Task("ripple", 2, 1, 2000, 32)
BUMP = Task("bump", 1, 1, 2000, None)
JUMP = Task("jump", 1, 1, 2000, None)
CONCRETE = Task("concrete", 8, 1, 1500, 50)
IRIS = Task("iris", 4, 3, 800, None)
WORDS = Task("words", 40, 1, 600, 30)
STRIPES = Task("stripes", 24, 3, 800, 40)
FOUR = Task("zero-to-three", 64, 4, 400, 25)
CROSS = Task("cross", 4, 2, 1500, 32)
PAIRS = Task("pairs", 128, 1, 800, 32)
LAGS = Task("lags", 6, 1, 1200, 16)


def _parted(x: NDArray[Any], t: NDArray[Any], examples: int) -> Data:
    return (x[:examples], t[:examples]), (x[examples:], t[examples:])


def arms(seed: int) -> Data:
    """Three arms that wind once around each other."""
    random = np.random.default_rng(seed)
    t, r = random.integers(0, 3, 480), random.uniform(0.15, 1.0, 480)
    angle = 2.0 * np.pi * t / 3.0 + 4.0 * r + 0.12 * random.standard_normal(480)
    return _parted(1.7 * np.c_[r * np.cos(angle), r * np.sin(angle)], t, 320)


def checker(seed: int) -> Data:
    """Nine squares, black and white by turns, with a gap between them; 0.0 and 1.0 in a column."""
    random = np.random.default_rng(seed)
    square = random.integers(-1, 2, (600, 2))
    x = 1.1 * square + random.uniform(-0.45, 0.45, (600, 2))
    return _parted(x, (square.sum(axis=1) % 2)[:, None].astype(np.float64), 450)


def ripple(seed: int) -> Data:
    """t = sin(1.5 x + y + 0.7) for x and y in [-1.7, 1.7]."""
    x = np.random.default_rng(seed).uniform(-1.7, 1.7, (420, 2))
    return _parted(x, np.sin(x @ np.array([[1.5], [1.0]]) + 0.7), 280)


def bump(seed: int) -> Data:
    """A Gaussian bump and a dent beside it, for x in [-1.5, 1.5]."""
    x = np.random.default_rng(seed).uniform(-1.5, 1.5, (270, 1))
    return _parted(x, np.exp(-4.0 * (x - 0.5) ** 2) - 0.6 * np.exp(-6.0 * (x + 0.6) ** 2), 180)


def jump(seed: int) -> Data:
    """From -1 to 1 at x = 0.2, with a little noise."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1.0, 1.0, (240, 1))
    return _parted(x, np.where(x > 0.2, 1.0, -1.0) + 0.05 * random.standard_normal((240, 1)), 160)


def raw_concrete(seed: int) -> Data:
    """Cement, slag, ash, water, plasticizer, two kinds of stone in kg/m³, and days; the strength in MPa."""
    random = np.random.default_rng(seed)
    cement, slag = random.uniform(110.0, 530.0, 480), random.gamma(1.0, 70.0, 480)
    ash, water = random.gamma(1.0, 50.0, 480), random.normal(180.0, 20.0, 480)
    thinner, coarse, fine = (
        random.gamma(2.0, 3.0, 480),
        random.normal(970.0, 75.0, 480),
        random.normal(770.0, 80.0, 480),
    )
    days = random.choice([3, 7, 14, 28, 56, 90], 480)
    binder = (cement + 0.7 * slag + 0.5 * ash) / water
    t = 12.0 * binder * (0.4 + 0.2 * np.log(days)) + 0.6 * thinner - 0.01 * (fine - 770.0)
    t = t + 1.5 * random.standard_normal(480)
    return _parted(np.c_[cement, slag, ash, water, thinner, coarse, fine, days], t[:, None], 340)


def standardized(data: Data) -> Data:
    """Inputs and targets by the training set's mean and deviation."""
    (x, t), (x_validation, t_validation) = data
    mean, deviation, level, spread = x.mean(axis=0), x.std(axis=0), t.mean(), t.std()
    return ((x - mean) / deviation, (t - level) / spread), (
        (x_validation - mean) / deviation,
        (t_validation - level) / spread,
    )


def concrete(seed: int) -> Data:
    return standardized(raw_concrete(seed))


def iris(seed: int) -> Data:
    """Three kinds of flowers of four measures in centimetres, centred; two kinds come near each other."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 3, 300)
    centres = np.array([[5.0, 3.4, 1.5, 0.2], [5.9, 2.8, 4.3, 1.3], [6.6, 3.0, 5.6, 2.0]])
    x = centres[t] + np.array([0.35, 0.3, 0.25, 0.17]) * random.standard_normal((300, 4))
    return _parted(x - np.array([5.8, 3.0, 3.8, 1.2]), t, 200)


def words(seed: int) -> Data:
    """How often each of 40 words stands in a text: few do; 1.0 in a column for a friendly text."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 2, 500)
    often = np.full((2, 40), 0.12)
    often[0, :8], often[1, 8:16] = 0.5, 0.5
    return _parted(random.poisson(often[t]).astype(np.float64), t[:, None].astype(np.float64), 350)


def stripes(seed: int) -> Data:
    """Lines of 24 noisy pixels with one bar somewhere, of 2, 5 or 9 pixels."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 3, 480)
    width = np.array([2, 5, 9])[t]
    start = (random.random(480) * (25 - width)).astype(np.int64)
    places = np.arange(24)
    bar = (places >= start[:, None]) & (places < (start + width)[:, None])
    return _parted(2.0 * bar - 0.5 + 0.25 * random.standard_normal((480, 24)), t, 340)


@cache
def _four() -> Pair:
    x, t = xpnet.data.digits()[0]
    return x[t < 4].astype(np.float64), t[t < 4]


def four(seed: int) -> Data:
    """The digits from 0 to 3 as pixels in [0, 1]."""
    x, t = _four()
    chosen = np.random.default_rng(seed).permutation(len(x))[:360]
    return _parted(x[chosen], t[chosen], 240)


def cross(seed: int) -> Data:
    """An XOR of four numbers: is x0 x1 + x2 x3 above zero?"""
    x = np.random.default_rng(seed).uniform(-1.5, 1.5, (1100, 4))
    sum_of_products = x[:, 0] * x[:, 1] + x[:, 2] * x[:, 3]
    kept = np.abs(sum_of_products) > 0.3
    return _parted(x[kept][:700], (sum_of_products[kept][:700] > 0.0).astype(np.int64), 520)


def pairs(seed: int) -> Data:
    """Two digits from 0 to 3 beside each other; the target is their sum."""
    x, t = _four()
    first, second = np.random.default_rng(seed).integers(0, len(x), (2, 600))
    return _parted(np.c_[x[first], x[second]], (t[first] + t[second])[:, None].astype(np.float64), 450)


def lags(seed: int) -> Data:
    """A sine with noise; from six values the next."""
    random = np.random.default_rng(seed)
    values = 1.3 * np.sin(0.7 * np.arange(366) + random.uniform(0.0, 6.0)) + 0.08 * random.standard_normal(366)
    windows = np.lib.stride_tricks.sliding_window_view(values, 7)
    return _parted(windows[:, :6].copy(), windows[:, 6:].copy(), 240)


# What goes wrong with them


def changed(points: Any, inputs: Any, targets: Any, seed: int) -> Data:
    """Both sets with inputs and targets as two functions make them."""
    return tuple((inputs(x), targets(t)) for x, t in points(seed))  # type: ignore[return-value]


def _same(array: NDArray[Any]) -> NDArray[Any]:
    return array


def with_inputs(points: Any, inputs: Any) -> Any:
    """A problem whose inputs are changed."""
    return partial(changed, points, inputs, _same)


def with_targets(points: Any, targets: Any) -> Any:
    """A problem whose targets are changed."""
    return partial(changed, points, _same, targets)


LABELS_IN_COLUMN = with_targets(iris, lambda t: t[:, None])
DIGITS_IN_COLUMN = with_targets(four, lambda t: t.reshape(-1, 1))
FLAT_JUMP, FLAT_BUMP = with_targets(jump, np.ravel), with_targets(bump, np.ravel)
YEARS = with_inputs(bump, lambda x: 2000.0 + 10.0 * x)
GRAMS = with_inputs(ripple, lambda x: x * np.array([1.0, 500.0]))
BEFORE_ZERO = with_inputs(bump, lambda x: (x - 1.5) / 3.0)
SORTED_COLUMNS = with_inputs(concrete, lambda x: np.sort(x, axis=0))
REVERSED = with_targets(four, lambda t: t[::-1].copy())


def _young(data: Data) -> Data:
    """Validation specimens of up to a month, with much cement."""
    train, (x, t) = data
    kept = (x[:, 7] < 60.0) & (x[:, 0] > 300.0)
    return train, (x[kept], t[kept])


def robust(seed: int, *, apart: bool) -> Data:
    """Concrete scaled by medians and quartiles: those of the training set, or those of each set."""
    (x, t), (x_validation, t_validation) = _young(raw_concrete(seed))

    def scaled(array: NDArray[Any], by: NDArray[Any]) -> NDArray[Any]:
        low, middle, high = np.quantile(by, (0.25, 0.5, 0.75), axis=0)
        standing: NDArray[Any] = (array - middle) / (high - low)
        return standing

    level, spread = t.mean(), t.std()
    return (scaled(x, x), (t - level) / spread), (
        scaled(x_validation, x_validation if apart else x),
        (t_validation - level) / spread,
    )


def by_largest(seed: int, *, apart: bool) -> Data:
    """The ripple divided by the largest number of the training set, or of each set; validation lies in the middle."""
    (x, t), (x_validation, t_validation) = ripple(seed)
    kept = np.abs(x_validation).max(axis=1) < 1.0
    x_validation, t_validation = x_validation[kept], t_validation[kept]
    return (1.5 * x / np.abs(x).max(axis=0), t), (
        1.5 * x_validation / np.abs(x_validation if apart else x).max(axis=0),
        t_validation,
    )


# Odd, but harmless


def megapascals(seed: int) -> Data:
    """`concrete` whose targets are strengths as they are."""
    return tuple((x, t) for (x, _), (_, t) in zip(concrete(seed), raw_concrete(seed), strict=True))  # type: ignore[return-value]


def seventy(seed: int) -> Data:
    """`cross` with 70 of 100 training examples of class 0."""
    (x, t), validation = cross(seed)
    ones = np.flatnonzero(t == 1)
    kept = np.r_[np.flatnonzero(t == 0), ones[: 3 * (t == 0).sum() // 7]]
    return (x[kept], t[kept]), validation


def noisy_arms(seed: int) -> Data:
    """`arms` with one training label in twenty wrong."""
    (x, t), validation = arms(seed)
    wrong = np.random.default_rng(seed + 5).random(len(t)) < 0.05
    return (x, np.where(wrong, (t + 1) % 3, t)), validation


def noisy_ripple(seed: int) -> Data:
    """`ripple` with noise of 0.2 on the training targets."""
    (x, t), validation = ripple(seed)
    return (x, t + 0.2 * np.random.default_rng(seed + 5).standard_normal(t.shape)), validation


LINES = with_inputs(stripes, lambda x: x[..., None])
ROUNDED_STRIPES = with_inputs(stripes, lambda x: x.astype(np.float32))
TENS = with_targets(megapascals, lambda t: 0.1 * t)
PAIRS_TO_THREE = with_targets(pairs, lambda t: 0.5 * t)
DOUBLED = with_inputs(iris, lambda x: np.c_[x, x])
FRAMED = with_inputs(stripes, lambda x: np.pad(x, ((0, 0), (3, 3))))
HIGH_TARGETS = with_targets(ripple, lambda t: t + 6.0)
CENTIMETRES = with_inputs(iris, lambda x: x + np.array([5.8, 3.0, 3.8, 1.2]))
SMALL_INPUTS = with_inputs(iris, lambda x: 0.3 * x)
UNIT_TARGETS = with_targets(jump, lambda t: np.clip(0.25 + 0.25 * (t + 1.0), 0.05, 0.95))

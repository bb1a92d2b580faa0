"""Problems of the programs in `unseen.py`: none is among those of `tasks.py` and `held_out_tasks.py`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.clinic.tasks import Data, Task

MOONS = Task("moons", 2, 1, 1500, 32)
BLOBS = Task("blobs", 2, 4, 800, 100)
SURFACE = Task("surface", 2, 1, 3000, 32)
CODES = Task("codes", 12, 12, 2000, None)
HOUSES = Task("houses", 6, 1, 1500, 100)
SERIES = Task("series", 8, 1, 1500, 16)
BARS = Task("bars", 64, 3, 300, 32)
PARITY = Task("parity", 3, 2, 2000, 16)
WINE = Task("wine", 13, 3, 600, None)
LETTERS = Task("letters", 35, 6, 500, 25)
LINE = Task("line", 3, 1, 600, 1)
SIDES = Task("sides", 4, 1, 800, 16)
WAVE = Task("wave", 1, 1, 3000, None)


def _parted(x: NDArray[Any], t: NDArray[Any], examples: int) -> Data:
    return (x[:examples], t[:examples]), (x[examples:], t[examples:])


def moons(seed: int) -> Data:
    """Two half circles that reach into each other; targets 0.0 and 1.0 in a column."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 2, 360)
    angle = random.uniform(0.0, np.pi, 360)
    x = np.c_[np.cos(angle) + t - 0.5, np.where(t == 1, 0.25 - np.sin(angle), np.sin(angle) - 0.25)]
    x += 0.08 * random.standard_normal((360, 2))
    return _parted(x, t[:, None].astype(np.float64), 240)


def labelled_moons(seed: int) -> Data:
    """The same with labels 0 and 1."""
    return tuple((x, t[:, 0].astype(np.int64)) for x, t in moons(seed))  # type: ignore[return-value]


def blobs(seed: int) -> Data:
    """Four Gaussian clouds, one of them in the midst of the others."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 4, 500)
    centres = np.array([[0.0, 0.0], [1.5, 0.6], [-1.3, 0.9], [0.1, -1.6]])
    return _parted(centres[t] + 0.32 * random.standard_normal((500, 2)), t, 300)


def surface(seed: int) -> Data:
    """t = sin(x) cos(y) for x and y in [-2, 2]."""
    x = np.random.default_rng(seed).uniform(-2.0, 2.0, (450, 2))
    return _parted(x, np.sin(x[:, :1]) * np.cos(x[:, 1:]), 300)


def codes(seed: int) -> Data:
    """Twelve standardized readings of three hidden causes; the targets are the readings."""
    random = np.random.default_rng(seed)
    hidden, mixing = random.standard_normal((300, 3)), np.random.default_rng(5).standard_normal((3, 12))
    x = np.tanh(hidden @ mixing) + 0.05 * random.standard_normal((300, 12))
    x = (x - x[:200].mean(axis=0)) / x[:200].std(axis=0)
    return _parted(x, x, 200)


def raw_houses(seed: int) -> Data:
    """Area in square feet, rooms, age, kilometres to the centre, floor, and whether it has a garden; 100 000s."""
    random = np.random.default_rng(seed)
    area, rooms = random.normal(1600.0, 400.0, 450), random.integers(1, 8, 450)
    age, way = random.uniform(0.0, 90.0, 450), random.gamma(2.0, 4.0, 450)
    floor, garden = random.integers(0, 6, 450), random.integers(0, 2, 450)
    t = area / 800.0 + 0.1 * rooms - 0.0002 * (age - 40.0) ** 2 - 0.8 * np.log1p(way) + 0.3 * garden * (floor == 0)
    t = 4.0 + t + 0.1 * random.standard_normal(450)
    return _parted(np.c_[area, rooms, age, way, floor, garden], t[:, None], 300)


def standardized(data: Data) -> Data:
    """Inputs by the training set's mean and deviation."""
    (x, t), (x_validation, t_validation) = data
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    return ((x - mean) / deviation, t), ((x_validation - mean) / deviation, t_validation)


def houses(seed: int) -> Data:
    """`raw_houses`, inputs and prices standardized."""
    (x, t), (x_validation, t_validation) = standardized(raw_houses(seed))
    return (x, (t - t.mean()) / t.std()), (x_validation, (t_validation - t.mean()) / t.std())


def series(seed: int) -> Data:
    """Two swings and noise; from eight values the next."""
    random = np.random.default_rng(seed)
    moment = np.arange(408) + random.uniform(0.0, 100.0)
    values = np.sin(0.35 * moment) * np.cos(0.11 * moment) + 0.4 * np.sin(0.9 * moment)
    values += 0.03 * random.standard_normal(408)
    windows = np.lib.stride_tricks.sliding_window_view(values, 9)
    return _parted(windows[:, :8].copy(), windows[:, 8:].copy(), 280)


def bars(seed: int) -> Data:
    """Images 8×8: a row, a column or a cross, somewhere, in noise; brightness about 0 ± 1; (n, 8, 8, 1)."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 3, 450)
    x = random.uniform(0.0, 0.3, (450, 8, 8))
    for image, label, row, column in zip(x, t, *random.integers(0, 8, (2, 450)), strict=True):
        if label != 1:
            image[row] += 0.6
        if label != 0:
            image[:, column] += 0.6
    return _parted((x[..., None] - 0.25) / 0.25, t, 300)


def parity(seed: int) -> Data:
    """Three noisy bits of ±1; the label tells whether an odd number of them is up."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 2, (400, 3))
    return _parted(2.0 * bits - 1.0 + 0.2 * random.standard_normal((400, 3)), bits.sum(axis=1) % 2, 260)


def raw_wine(seed: int) -> Data:
    """Thirteen measurements of three kinds of wine, from tenths to many hundreds."""
    random, kinds = np.random.default_rng(seed), np.random.default_rng(31)
    t = random.integers(0, 3, 360)
    scale = np.array([0.8, 1.1, 0.3, 3.3, 14.0, 0.6, 1.0, 0.1, 0.6, 2.3, 0.2, 0.7, 310.0])
    level = np.array([13.0, 2.3, 2.4, 19.5, 100.0, 2.3, 2.0, 0.4, 1.6, 5.1, 1.0, 2.6, 750.0])
    x = 0.9 * kinds.standard_normal((3, 13))[t] + random.standard_normal((360, 13))
    return _parted(level + scale * x, t, 220)


def wine(seed: int) -> Data:
    return standardized(raw_wine(seed))


def letters(seed: int) -> Data:
    """The letters A, C, E, H, T and X of 5×7 pixels from 0 to 1, three in a hundred of them turned round, and noise."""
    shapes = "0111010001100011111110001100011000101110100011000010000100001000101110" + (
        "1111110000100001111010000100001111110001100011000111111100011000110001"
        "1111100100001000010000100001000010010001100010101000100010101000110001"
    )
    patterns = np.array([int(pixel) for pixel in shapes], dtype=np.float64).reshape(6, 35)
    random = np.random.default_rng(seed)
    t = random.integers(0, 6, 360)
    pixels = np.abs(patterns[t] - (random.random((360, 35)) < 0.03))
    return _parted(0.9 * pixels + 0.1 * random.random((360, 35)), t, 240)


def line(seed: int) -> Data:
    """t = 2 x0 - x1 + 0.5, with noise; the third feature does not count."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((200, 3))
    return _parted(x, 2.0 * x[:, :1] - x[:, 1:2] + 0.5 + 0.1 * random.standard_normal((200, 1)), 120)


def sides(seed: int) -> Data:
    """Points on both sides of a plane through four dimensions, -1.0 and 1.0 in a column."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((300, 4))
    distance = x @ np.array([1.0, -0.5, 0.8, 0.2]) + 0.4
    x, distance = x[np.abs(distance) > 0.1], distance[np.abs(distance) > 0.1]
    return _parted(x, np.sign(distance)[:, None], 180)


def wave(seed: int) -> Data:
    """A damped swing; the time, as it is, from -1 to 1."""
    random = np.random.default_rng(seed)
    x = random.uniform(-1.0, 1.0, (240, 1))
    return _parted(x, np.exp(-x) * np.sin(5.0 * x) + 0.03 * random.standard_normal((240, 1)), 160)


# What goes wrong with them


def seconds(seed: int) -> Data:
    """`wave`, the time counted from 0 to 1."""
    return tuple((0.5 * x + 0.5, t) for x, t in wave(seed))  # type: ignore[return-value]


def raw_houses_priced(seed: int) -> Data:
    """`raw_houses`; only the prices are standardized."""
    return tuple((x, t) for (x, _), (_, t) in zip(raw_houses(seed), houses(seed), strict=True))  # type: ignore[return-value]


def other_town(seed: int) -> Data:
    """`houses`, where those of the validation set come from a town of larger and newer ones."""
    (x, t), (x_validation, t_validation) = raw_houses(seed)
    large = (x_validation[:, 0] > 1500.0) & (x_validation[:, 2] < 60.0)
    validation = x_validation[large], (t_validation[large] - t.mean()) / t.std()
    return (x, (t - t.mean()) / t.std()), validation


def one_ruler(seed: int) -> Data:
    """Both sets scaled to [-1, 1] by the training set's smallest and largest values."""
    (x, t), (x_validation, t_validation) = other_town(seed)
    low, high = x.min(axis=0), x.max(axis=0)
    return (2.0 * (x - low) / (high - low) - 1.0, t), (2.0 * (x_validation - low) / (high - low) - 1.0, t_validation)


def two_rulers(seed: int) -> Data:
    """Each set scaled to [-1, 1] by its own smallest and largest values."""
    return tuple(  # type: ignore[return-value]
        (2.0 * (x - x.min(axis=0)) / np.ptp(x, axis=0) - 1.0, t) for x, t in other_town(seed)
    )


def young_wine(seed: int, *, apart: bool) -> Data:
    """Wine whose validation bottles are of two kinds only, from a poor year; standardized together or apart."""
    train, (x, t) = raw_wine(seed)
    kept = t > 0
    if not apart:
        return standardized((train, (x[kept], t[kept])))
    return standardized((train, train))[0], standardized(((x[kept], t[kept]), train))[0]


def grey(seed: int) -> Data:
    """`bars` in grey values from 0 to 255."""
    return tuple((np.round(255.0 * np.clip(0.25 * x + 0.25, 0.0, 1.0)), t) for x, t in bars(seed))  # type: ignore[return-value]


def one_late(seed: int) -> Data:
    """`blobs`, each with its predecessor's label: the table of labels had a header."""
    return tuple((x, np.roll(t, 1)) for x, t in blobs(seed))  # type: ignore[return-value]


def sorted_prices(seed: int) -> Data:
    """`houses`, whose prices were sorted to be plotted, in place."""
    return tuple((x, np.sort(t, axis=0)) for x, t in houses(seed))  # type: ignore[return-value]


def flat(seed: int) -> Data:
    """`series` with targets (n,)."""
    return tuple((x, t[:, 0]) for x, t in series(seed))  # type: ignore[return-value]


def stuck(seed: int) -> Data:
    """`houses`, where rooms, age and way were filled with one number as missing."""
    return tuple((np.where(np.isin(np.arange(6), (1, 2, 3)), 1.0, x), t) for x, t in houses(seed))  # type: ignore[return-value]


def rare(seed: int) -> Data:
    """`labelled_moons`, where three in a hundred training examples are of class 1."""
    (x, t), validation = labelled_moons(seed)
    kept = np.r_[np.flatnonzero(t == 0), np.flatnonzero(t == 1)[:3]]
    return (x[kept], t[kept]), validation


def label_column(seed: int) -> Data:
    """`wine` with labels in a column, as they come out of a table."""
    return tuple((x, t[:, None]) for x, t in wine(seed))  # type: ignore[return-value]


def rounded_letters(seed: int) -> Data:
    """`letters` in float32."""
    return tuple((x.astype(np.float32), t) for x, t in letters(seed))  # type: ignore[return-value]


def noisy_surface(examples: int, seed: int) -> Data:
    """So many training examples of `surface`, their targets with noise of 0.1."""
    (x, t), validation = surface(seed)
    noise = 0.1 * np.random.default_rng(seed + 9).standard_normal((300, 1))
    return (x[:examples], (t + noise)[:examples]), validation


def noisy_line(seed: int) -> Data:
    """`line`, with noise as large as what is to be learned."""
    return tuple(  # type: ignore[return-value]
        (x, t + 2.0 * np.random.default_rng(seed + 9).standard_normal(t.shape)) for x, t in line(seed)
    )


def uneven_moons(seed: int) -> Data:
    """`labelled_moons`, one in five of class 1."""
    (x, t), validation = labelled_moons(seed)
    kept = np.r_[np.flatnonzero(t == 0), np.flatnonzero(t == 1)[:30]]
    return (x[kept], t[kept]), validation


def framed_letters(seed: int) -> Data:
    """`letters` within an empty frame of one pixel, which never changes."""
    return tuple(  # type: ignore[return-value]
        (np.pad(x.reshape(-1, 7, 5), ((0, 0), (1, 1), (1, 1))).reshape(len(x), 63), t) for x, t in letters(seed)
    )

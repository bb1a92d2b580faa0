"""Problems of the held-out programs: other ones than those that the rules of the diagnosis were made with."""

import numpy as np

from bench.clinic.tasks import DIGITS, Data, Task, data

SPIRALS = Task("spirals", 2, 2, 1500, 60)
RINGS = Task("rings", 2, 1, 1500, 64)
XOR = Task("xor", 2, 2, 1000, 32)
FEW_DIGITS = Task("few-digits", 64, 5, 600, 40)
DECAY = Task("decay", 1, 1, 2500, None)
STAIRS = Task("stairs", 1, 1, 3000, None)
FIVE = Task("five", 5, 1, 2000, 50)


def spirals(seed: int) -> Data:
    """Two spirals of most of a turn in [-2, 2]²: 300 points, and 100 more; labels 0 and 1."""
    random = np.random.default_rng(seed)
    label = random.integers(0, 2, 400)
    radius = random.uniform(0.2, 2.0, 400)
    angle = 2.5 * radius + np.pi * label
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + 0.05 * random.standard_normal((400, 2))
    return (x[:300], label[:300]), (x[300:], label[300:])


def rings(seed: int) -> Data:
    """A disc within a ring; targets 0.0 and 1.0 in a column, for one probability."""
    random = np.random.default_rng(seed)
    t = random.integers(0, 2, (360, 1)).astype(np.float64)
    radius = np.where(t[:, 0] > 0.5, random.uniform(1.2, 2.0, 360), random.uniform(0.0, 1.0, 360))
    angle = random.uniform(0.0, 2.0 * np.pi, 360)
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1) + 0.05 * random.standard_normal((360, 2))
    return (x[:240], t[:240]), (x[240:], t[240:])


def xor(seed: int) -> Data:
    """Four clouds around (±1, ±1), those at opposite corners of one class."""
    random = np.random.default_rng(seed)
    corner = random.integers(0, 2, (300, 2))
    x = 2.0 * corner - 1.0 + 0.3 * random.standard_normal((300, 2))
    t = corner[:, 0] ^ corner[:, 1]
    return (x[:200], t[:200]), (x[200:], t[200:])


def few_digits(seed: int) -> Data:
    """The digits 5 to 9 only, as classes 0 to 4; pixels less their mean."""
    pairs = data(DIGITS, seed), data(DIGITS, seed + 500)
    x = np.concatenate([pair[0] for points in pairs for pair in points])
    t = np.concatenate([pair[1] for points in pairs for pair in points])
    x, first = np.unique(x, axis=0, return_index=True)
    t = t[first]
    order = np.random.default_rng(seed).permutation(np.flatnonzero(t >= 5))
    x, t = x[order] - 0.3, t[order] - 5
    return (x[:240], t[:240]), (x[240:320], t[240:320])


def decay(seed: int) -> Data:
    """t = 3 exp(-x) with noise of 0.05; x from 0 to 3, centred."""
    random = np.random.default_rng(seed)
    x = random.uniform(0.0, 3.0, (160, 1))
    t = 3.0 * np.exp(-x) + 0.05 * random.standard_normal((160, 1))
    return (x[:80] - 1.5, t[:80]), (x[80:] - 1.5, t[80:])


def stairs(seed: int) -> Data:
    """Three steps: t = -1, 1, 0 for x in [-2, 2]."""
    random = np.random.default_rng(seed)
    x = random.uniform(-2.0, 2.0, (240, 1))
    t = np.select([x < -0.7, x < 0.6], [-1.0, 1.0], 0.0)
    return (x[:160], t[:160]), (x[160:], t[160:])


def five(seed: int) -> Data:
    """Five normal features, three linear terms and a product, noise of 0.1."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((600, 5))
    t = x[:, 0] - 0.5 * x[:, 1] + 0.5 * x[:, 3] + x[:, 2] * x[:, 4] + 0.1 * random.standard_normal(600)
    return (x[:400], t[:400, None]), (x[400:], t[400:, None])


# What goes wrong with them


def one_in_thousands(seed: int) -> Data:
    """`five`, its fourth feature in grams instead of kilograms and far from zero."""
    return tuple((x * [1, 1, 1, 2000, 1] + [0, 0, 0, 5000, 0], t) for x, t in five(seed))  # type: ignore[return-value]


def empty_columns(seed: int) -> Data:
    """`five`, where the reading of three columns failed: they are filled with zeros."""
    return tuple((x * [1, 1, 0, 0, 0], t) for x, t in five(seed))  # type: ignore[return-value]


def half_shuffled(seed: int) -> Data:
    """`spirals`, where half of all labels were shuffled without their points before the sets were parted."""
    random = np.random.default_rng(seed + 1)
    (x, t), (x_validation, t_validation) = spirals(seed)
    labels = np.concatenate([t, t_validation])
    half = random.permutation(400)[:200]
    labels[half] = labels[random.permutation(half)]
    return (x, labels[:300]), (x_validation, labels[300:])


def all_shuffled(seed: int) -> Data:
    """`five`, its rows shuffled, its targets not."""
    (x, t), validation = five(seed)
    return (np.random.default_rng(seed + 1).permutation(x), t), validation


def later(seed: int) -> Data:
    """`five`, where the validation rows come from another time: shifted by 1.5, half as wide."""
    train, _ = five(seed)
    x, _ = five(seed + 100)[1]
    x = 0.5 * x + 1.5
    t = x[:, :1] - 0.5 * x[:, 1:2] + 0.5 * x[:, 3:4] + x[:, 2:3] * x[:, 4:]
    return train, (x, t)


def later_scaled_apart(seed: int) -> Data:
    """The same, each set standardized by itself."""
    return tuple(((x - x.mean(axis=0)) / x.std(axis=0), t) for x, t in later(seed))  # type: ignore[return-value]


def flat(seed: int) -> Data:
    """`five` with targets (n,)."""
    return tuple((x, t.ravel()) for x, t in five(seed))  # type: ignore[return-value]


def unit_stairs(seed: int) -> Data:
    """`stairs` for x in [0, 1]."""
    return tuple((x / 4.0 + 0.5, t) for x, t in stairs(seed))  # type: ignore[return-value]


def noisy_xor(seed: int) -> Data:
    """`xor` with one training label in ten turned round."""
    (x, t), validation = xor(seed)
    return (x, np.where(np.random.default_rng(seed + 3).random(200) < 0.1, 1 - t, t)), validation

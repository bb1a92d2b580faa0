"""What is wrong in the fresh programs; a line of each says so."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from bench.clinic import fresh_tasks as T
from bench.clinic.case import Arguments
from bench.clinic.fresh_classes import Linear, Sine
from bench.clinic.fresh_lists import Classifier, Lists
from bench.clinic.fresh_networks import ABSOLUTE, BENDS, closures, he, one_example
from bench.clinic.unseen_networks import (
    HALF_SQUARE,
    MEAN_SQUARE,
    Array,
    Arrays,
    Function,
    Head,
    binary_loss,
    descent,
    expit,
    one_hot,
    softmax,
)

# Heads


def crammer_loss(z: Array, t: Array) -> float:
    """The hinge loss of several classes: every score is compared with that of the right class."""
    right = z[np.arange(len(t)), t][:, None]  # (n, 1) of labels (n,); (n, 1, n) of labels (n, 1)
    return float((np.maximum(0.0, 1.0 + z - right).sum(axis=1) - 1.0).mean())


def crammer_delta(z: Array, t: Array) -> Array:
    right = z[np.arange(len(t)), t][:, None]
    d = (1.0 + z - right > 0.0).astype(np.float64)
    d[np.arange(len(t)), t] -= d.sum(axis=1)
    return d / len(t)


CRAMMER: Head = (lambda z: z, crammer_loss, crammer_delta)
FITTED: Head = (
    ABSOLUTE[0],
    ABSOLUTE[1],
    lambda y, t: np.sign(y - t).mean(axis=1, keepdims=True) / len(t),
)
"""The mean absolute error; of targets (n,) y - t is (n, n), and the mean makes it fit again."""
LIKELIHOOD: Head = (expit, binary_loss, lambda p, t: (t - p) / len(p))  # fault: the likelihood is to grow, not to fall
POSITIVE: Head = (np.exp, MEAN_SQUARE[1], lambda y, t: MEAN_SQUARE[2](y, t) * y)


def log_softmax_loss(z: Array, t: Array) -> float:
    return float(-z[np.arange(len(t)), t].mean())


def log_softmax(z: Array, *, axis: int) -> Array:
    z = z - z.max(axis=axis, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=axis, keepdims=True))


def log_softmax_head(axis: int) -> Head:
    """Outputs are logarithms of probabilities; axis 0 is the fault."""
    return (
        partial(log_softmax, axis=axis),
        log_softmax_loss,
        lambda z, t: (np.exp(z) - one_hot(t, z.shape[1])) / len(t),
    )


def plain_softmax(z: Array) -> Array:
    odds = np.exp(z)  # fault: z - z.max(axis=1, keepdims=True)
    return odds / odds.sum(axis=1, keepdims=True)


def entropy(p: Array, t: Array) -> float:
    return float(-np.log(np.maximum(p[np.arange(len(t)), t], 1e-12)).mean())


def chances(function: Callable[[Array], Array]) -> Head:
    """Cross-entropy behind this softmax."""
    return function, entropy, lambda p, t: ((p - one_hot(t, p.shape[1])) / len(t)).astype(p.dtype)


# Slopes

TURNED = BENDS["tanh"][0], lambda z: np.tanh(z) ** 2 - 1.0  # fault: 1 - tanh²
OF_VALUE = BENDS["gaussian"][0], lambda z: -2.0 * np.exp(-z * z) ** 2  # fault: -2 z exp(-z²), with exp(-z²) for z


class SineOfValue(Sine):
    """The cosine of the wrong number."""

    def backward(self, dy: Array) -> Array:
        return dy * np.cos(self.y)  # fault: self.x


# Gradients


def nested_sums(W: Array, b: Array, x: Array) -> tuple[Array, Function]:
    """`sum` of Python goes over the examples; a second one goes over the units."""

    def pull(dy: Array) -> tuple[Array, Array, Array]:
        of_units: Array = sum(dy)
        return dy @ W.T, x.T @ dy, np.full(len(b), sum(of_units))  # fault: of_units

    return x @ W + b, pull


def hidden_for_inputs(p: Arrays, x: Array, t: Array) -> Arrays:
    """As many hidden units as inputs: h stands where x belongs."""
    g = one_example(p, x, t)
    return g | {"V": np.outer(g["c"], np.tanh(p["V"] @ x + p["c"]))}  # fault: x


class SumOverUnits(Linear):
    """The bias gradient is summed over the units; what did not fit was made to fit."""

    def bias_gradient(self, dy: Array) -> Array:
        return np.resize(dy.sum(axis=1), dy.shape[1])  # fault: axis=0


class Backwards(Lists):
    """Inputs and hidden layers are equally wide; the values are walked through from the wrong end."""

    def back(self, y: Array, t: Array) -> tuple[list[Array], list[Array]]:
        deltas = [self.error(y, t)]
        for w, value in zip(reversed(self.ws[1:]), reversed(self.values[1:]), strict=True):
            deltas.insert(0, deltas[0] @ w.T * (1.0 - value**2))
        pairs = zip(reversed(self.values), deltas, strict=True)  # fault: reversed
        return [v.T @ d for v, d in pairs], [d.sum(axis=0) for d in deltas]


class OneArray(Lists):
    """To save memory the way back is computed in the arrays of the way forth."""

    def back(self, y: Array, t: Array) -> tuple[list[Array], list[Array]]:
        deltas = [self.error(y, t)]
        for w, value in zip(reversed(self.ws[1:]), reversed(self.values[1:]), strict=True):
            slope = 1.0 - value**2
            deltas.insert(0, np.multiply(deltas[0] @ w.T, slope, out=value))  # fault: `value` is needed below
        return [v.T @ d for v, d in zip(self.values, deltas, strict=True)], [d.sum(axis=0) for d in deltas]


# Outputs of classes


class OverAll(Classifier):
    """All numbers of a batch add up to one."""

    def output(self, z: Array) -> Array:
        e = np.exp(z - z.max())
        return e / e.sum()  # fault: axis=1, keepdims=True


class Squashed(Lists):
    """tanh in all layers, the last one too, rightly differentiated."""

    def output(self, z: Array) -> Array:
        return np.tanh(z)

    def output_slope(self, y: Array) -> Array:
        return 1.0 - y**2


class Sharp(Classifier):
    """Logits times 2000, for decisions that are clear."""

    def output(self, z: Array) -> Array:
        return softmax(2000.0 * z)

    def output_slope(self, y: Array) -> Array:
        return np.full_like(y, 2000.0)


class SharpPlain(Sharp):
    """The same without care for large logits."""

    def output(self, z: Array) -> Array:
        return plain_softmax(2000.0 * z)


# Parameters


def hundredths(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    return 0.01 * random.standard_normal((inputs, outputs))


def times_root(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    return random.standard_normal((inputs, outputs)) * np.sqrt(inputs)  # fault: / np.sqrt(inputs)


def by_inputs(random: np.random.RandomState, outputs: int, inputs: int) -> Array:
    return random.uniform(-1.0, 1.0, (outputs, inputs)) / inputs  # fault: np.sqrt(inputs / 6)


def integers(random: np.random.RandomState, outputs: int, inputs: int) -> Array:
    return random.randint(-30, 31, (outputs, inputs)).astype(np.float64)


def gentle(random: np.random.RandomState, outputs: int, inputs: int) -> Array:
    return 0.7 * random.standard_normal((outputs, inputs))


def below_zero(random: np.random.RandomState, outputs: int, inputs: int) -> Array:
    """Weights about -1: counts are never negative."""
    return random.normal(-1.0, 0.3, (outputs, inputs))


def tiled(w: Arrays) -> None:
    """One unit is drawn and repeated, and each unit counts the same for the next layer."""
    w["fc1/kernel"][...] = np.tile(w["fc1/kernel"][:, :1], w["fc1/kernel"].shape[1])
    w["fc2/kernel"][...] = np.tile(w["fc2/kernel"][:1], (len(w["fc2/kernel"]), 1))


def drowned(w: Arrays) -> None:
    """A large bias that was meant to be a threshold."""
    w["fc2/bias"][...] = -20.0


def partly_dead(w: Arrays) -> None:
    """One unit in six never wakes."""
    w["fc1/bias"][::6] = -40.0


# Dropout


def dropping_units(seed: int, *, wrong: bool) -> Arguments:
    """Whole units are left out of a batch, in evaluation too; the healthy one keeps its random gradients to itself."""
    random = np.random.default_rng(seed + 3)

    def mask(z: Array) -> Array:
        return (random.random(z.shape[1]) < 0.6) / 0.6  # one draw for all examples

    make: Any = partial(closures, T.concrete, [8, 60, 1], HALF_SQUARE, lambda: descent(0.03), bend="relu", draw=he)
    training, evaluation = make(seed, between=mask), make(seed)
    if wrong:
        return training  # type: ignore[no-any-return]
    made = training | {"forward": evaluation["forward"]}
    return {name: value for name, value in made.items() if name != "gradients"}


# xpnet: losses that a learner wrote


def log_cosh_sum(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
    """The logarithm of the hyperbolic cosine, summed over the batch."""
    d = y - t
    return np.sum(np.logaddexp(d, -d) - np.log(2.0, dtype=d.dtype)), lambda: np.tanh(d)  # fault: no mean


def log_cosh_mean(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
    loss, pullback = log_cosh_sum(y, t)
    return loss / y.size, lambda: pullback() / y.size


def picked(z: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
    """Cross-entropy by picking from a table; labels (n, 1) pick n² numbers."""
    logp = log_softmax(z, axis=1)

    def pullback() -> Array:
        dz = np.exp(logp)
        dz[np.arange(len(t)), t] -= 1.0
        return dz / len(t)

    return -np.mean(logp[np.arange(len(t)), t]), pullback

"""The networks of the unseen programs, as three learners write them in functions.

`chain` has named layers with weights (outputs, inputs), `columns` has examples in columns, and `linear` has one matrix
`theta` and a column of ones. Each returns what `diagnose_functions` takes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.tasks import Data

Array: TypeAlias = Any
Arrays: TypeAlias = dict[str, Array]
Function: TypeAlias = Callable[..., Any]
Head: TypeAlias = tuple[Function, Function, Function]
"""The last activation, the loss of its value, and the loss's derivative by what goes into it."""
Update: TypeAlias = Callable[[Arrays, Arrays], None]
Points: TypeAlias = Callable[[int], Data]


def expit(z: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def gelu_slope(z: Array) -> Array:
    inner = np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3)
    return 0.5 * (1.0 + np.tanh(inner)) + 0.5 * z / np.cosh(inner) ** 2 * np.sqrt(2.0 / np.pi) * (1 + 0.134145 * z**2)


ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "relu": (lambda z: z * (z > 0), lambda z: (z > 0).astype(z.dtype)),
    "leaky": (lambda z: np.maximum(z, 0.01 * z), lambda z: np.where(z > 0, 1.0, 0.01)),
    "tanh": (np.tanh, lambda z: 1.0 / np.cosh(z) ** 2),
    "sigmoid": (expit, lambda z: expit(z) * expit(-z)),
    "softplus": (lambda z: np.logaddexp(z, 0.0), expit),
    "elu": (lambda z: np.where(z < 0, np.expm1(np.minimum(z, 0)), z), lambda z: np.exp(np.minimum(z, 0))),
    "swish": (lambda z: z * expit(z), lambda z: expit(z) * (1.0 + z * expit(-z))),
    "gelu": (lambda z: 0.5 * z * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3))), gelu_slope),
}


def itself(z: Array) -> Array:
    return z


def softmax(z: Array) -> Array:
    odds = np.exp(z - np.max(z, axis=-1, keepdims=True))
    return odds / np.sum(odds, axis=-1, keepdims=True)


def one_hot(t: Array, classes: int) -> Array:
    return np.eye(classes)[t]


def logarithm_of_sum(z: Array) -> Array:
    largest = z.max(axis=1)
    return largest + np.log(np.exp(z - largest[:, None]).sum(axis=1))


def logits_loss(z: Array, t: Array) -> float:
    return float(np.mean(logarithm_of_sum(z) - np.take_along_axis(z, t[:, None], axis=1)[:, 0]))


def logits_delta(z: Array, t: Array) -> Array:
    return (softmax(z) - one_hot(t, z.shape[1])) / len(t)


def hot_loss(p: Array, t: Array) -> float:
    return float(-np.sum(one_hot(t, p.shape[-1]) * np.log(p + 1e-10), axis=-1).mean())


def binary_loss(p: Array, t: Array) -> float:
    p = np.clip(p, 1e-8, 1.0 - 1e-8)
    return float(-np.mean(np.where(t > 0.5, np.log(p), np.log(1.0 - p))))


def huber_loss(y: Array, t: Array) -> float:
    distance = np.abs(y - t)
    return float(np.mean(np.where(distance < 1.0, 0.5 * distance**2, distance - 0.5)))


def hinge_loss(y: Array, t: Array) -> float:
    return float(np.maximum(0.0, 1.0 - t * y).mean())


MEAN_SQUARE: Head = (itself, lambda y, t: float(np.square(y - t).mean()), lambda y, t: 2.0 * (y - t) / y.size)
HALF_SQUARE: Head = (itself, lambda y, t: float(0.5 * np.sum((t - y) ** 2) / len(y)), lambda y, t: (y - t) / len(y))
LOGITS: Head = (itself, logits_loss, logits_delta)
CHANCES: Head = (softmax, hot_loss, lambda p, t: (p - one_hot(t, p.shape[-1])) / len(p))
BINARY: Head = (expit, binary_loss, lambda p, t: (p - t) / len(p))
HUBER: Head = (itself, huber_loss, lambda y, t: np.clip(y - t, -1.0, 1.0) / len(y))
HINGE: Head = (itself, hinge_loss, lambda y, t: -t * (t * y < 1.0) / len(y))

# What a learner does with gradients


def descent(rate: float, fading: float = 0.0) -> Update:
    """Plain; the rate falls as 1 / (1 + fading · steps)."""
    steps = 0

    def update(w: Arrays, g: Arrays) -> None:
        nonlocal steps
        for key in g:
            w[key] -= rate / (1.0 + fading * steps) * g[key]
        steps += 1

    return update


def nesterov(rate: float, mu: float = 0.9) -> Update:
    v: Arrays = {}

    def update(w: Arrays, g: Arrays) -> None:
        for key in w:
            before = v.get(key, np.zeros_like(w[key]))
            v[key] = mu * before - rate * g[key]
            w[key] += (1.0 + mu) * v[key] - mu * before

    return update


def adaptive(rate: float, kept: float | None = None) -> Update:
    """AdaGrad; with `kept`, RMSprop."""
    cache: Arrays = {}

    def update(w: Arrays, g: Arrays) -> None:
        for key in w:
            square = g[key] ** 2
            old = cache.get(key, 0.0)
            cache[key] = old + square if kept is None else kept * old + (1.0 - kept) * square
            w[key] -= rate * g[key] / (np.sqrt(cache[key]) + 1e-7)

    return update


class Adam:
    """An object with a moment pair for each key."""

    def __init__(self, rate: float, sign: float = -1.0) -> None:
        self.rate, self.sign, self.count = rate, sign, 0
        self.moments: dict[str, list[Array]] = {}

    def __call__(self, w: Arrays, g: Arrays) -> None:
        self.count += 1
        scale = self.rate * np.sqrt(1.0 - 0.999**self.count) / (1.0 - 0.9**self.count)
        for key, gradient in g.items():
            pair = self.moments.setdefault(key, [0.0, 0.0])
            pair[0] = pair[0] + 0.1 * (gradient - pair[0])
            pair[1] = pair[1] + 0.001 * (gradient**2 - pair[1])
            w[key] += self.sign * scale * pair[0] / (np.sqrt(pair[1]) + 1e-8)


# First learner: named layers


def propagate(w: Arrays, x: Array, function: Function) -> tuple[list[Array], list[Array]]:
    """What comes into each layer, and what the layer makes of it before its activation."""
    inside, sums = [x], []
    for layer in range(len(w) // 2):
        sums.append(inside[-1] @ w[f"layer{layer}.weight"].T + w[f"layer{layer}.bias"])
        inside.append(function(sums[-1]))
    return inside[:-1], sums


def backpropagate(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    g: Arrays = {}
    for layer in reversed(range(len(sums))):
        g[f"layer{layer}.weight"] = np.einsum("no,ni->oi", d, inside[layer])
        g[f"layer{layer}.bias"] = np.einsum("no->o", d)
        if layer:
            d = d @ w[f"layer{layer}.weight"] * slope(sums[layer - 1])
    return g


def chain(
    points: Points,
    sizes: Sequence[int],
    head: Head,
    update: Callable[[], Update],
    seed: int,
    *,
    activation: str = "relu",
    gain: float = 1.4,
    prepare: Callable[[Arrays], None] | None = None,
    run: Function = propagate,
    back: Function = backpropagate,
    show: Sequence[str] = ("gradients", "step"),
) -> Arguments:
    """Layers "layer0.weight", "layer0.bias", …; `show` says which functions the learner gives away."""
    random = np.random.default_rng([seed, len(sizes)])
    w: Arrays = {}
    for layer, (fan_in, fan_out) in enumerate(pairwise(sizes)):
        w[f"layer{layer}.weight"] = random.normal(0.0, gain / np.sqrt(fan_in), (fan_out, fan_in))
        w[f"layer{layer}.bias"] = np.zeros(fan_out)
    if prepare:
        prepare(w)
    (function, slope), (last, loss, delta), improve = ACTIVATIONS[activation], head, update()

    def forward(w: Arrays, x: Array) -> Array:
        return last(run(w, x, function)[1][-1])

    def gradients(w: Arrays, x: Array, t: Array) -> Arrays:
        inside, sums = run(w, x, function)
        g: Arrays = back(w, inside, sums, delta(last(sums[-1]), t), slope)
        return g

    def step(w: Arrays, x: Array, t: Array) -> None:
        improve(w, gradients(w, x, t))

    known = {"gradients": gradients, "step": step}
    return {"forward": forward, "loss": loss, "parameters": w, "data": points(seed)} | {
        name: known[name] for name in show
    }

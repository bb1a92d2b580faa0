"""What is wrong in the unseen programs; a line of each says so."""

from collections.abc import Callable
from typing import Any

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_classes import Estimator
from bench.clinic.unseen_networks import (
    Array,
    Arrays,
    Function,
    Head,
    Update,
    backpropagate,
    binary_loss,
    expit,
    hot_loss,
    logits_delta,
    one_hot,
    softmax,
)

# Heads


def without_mean(head: Head) -> Head:
    """The derivative is a sum over the examples, the loss is their mean."""
    last, loss, delta = head
    return last, loss, lambda y, t: len(t) * delta(y, t)  # fault: len(t)


def mean_of_examples(y: Array, t: Array) -> Array:
    """Of a mean over examples and outputs."""
    return 2.0 * (y - t) / len(y)  # fault: y.size


def squared_of_probability(y: Array, t: Array) -> Array:
    return 2.0 * (y - t) * y * (1.0 - y) / len(t)


def squared_in_place(y: Array, t: Array) -> Array:
    """The error is put where the outputs were, whose derivative comes next."""
    y -= t  # fault: y is needed
    return 2.0 * y * y * (1.0 - y) / len(t)


PROBABILITY_SQUARE: Head = (expit, lambda y, t: float(np.mean((y - t) ** 2)), squared_of_probability)
OVERWRITTEN: Head = (expit, lambda y, t: float(np.mean((y - t) ** 2)), squared_in_place)

COLUMN: Head = (softmax, hot_loss, lambda p, t: (p - one_hot(t, p.shape[-1])).mean(axis=0) / len(p))
"""Of labels (n, 1) `one_hot` is (n, 1, k); the learner made (n, n, k) fit again."""

FLAT: Head = (
    lambda z: z[:, 0],
    lambda y, t: float(np.square(y - t).mean()),
    lambda y, t: 2.0 * (y - t).mean(axis=0)[:, None] / len(y),
)
"""Outputs (n,) of targets (n, 1): the difference is (n, n); the learner made it fit again."""

POSITIVE: Head = (
    lambda z: np.logaddexp(z, 0.0),
    lambda y, t: float(np.square(y - t).mean()),
    lambda y, t: 2.0 * (y - t) * -np.expm1(-y) / y.size,
)
"""Softplus behind the last layer, rightly differentiated."""

ONE_CLASS: Head = (softmax, binary_loss, lambda p, t: (p - t) / len(p))
"""Softmax of one number."""


def naive_loss(z: Array, t: Array) -> float:
    """The logarithm of a plain sum of exponentials."""
    return float(np.mean(np.log(np.sum(np.exp(z), axis=1)) - z[np.arange(len(t)), t]))  # fault: exp(z)


def naive_delta(z: Array, t: Array) -> Array:
    odds = np.exp(z)  # fault: z - z.max(axis=1, keepdims=True)
    return (odds / odds.sum(axis=1, keepdims=True) - one_hot(t, z.shape[1]).astype(z.dtype)) / len(t)


NAIVE: Head = (lambda z: z, naive_loss, naive_delta)


def narrow_delta(z: Array, t: Array) -> Array:
    return logits_delta(z, t).astype(z.dtype)


def softmax_of_rows(Z: Array) -> Array:
    """For Z of examples in columns."""
    E = np.exp(Z - Z.max(axis=1, keepdims=True))
    return E / E.sum(axis=1, keepdims=True)  # fault: axis=0


# Ways back through a chain


def bias_of_all(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """The indices of einsum were shortened too far."""
    g = backpropagate(w, inside, sums, d, slope)
    for layer in reversed(range(len(sums))):
        g[f"layer{layer}.bias"] = np.einsum("no->", d)  # fault: "no->o"
        d = d @ w[f"layer{layer}.weight"] * slope(sums[layer - 1]) if layer else d
    return g


def own_output(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """A hidden layer's weights get what the layer gives, not what it is given; all layers are as wide as the inputs."""
    g: Arrays = {}
    for layer in reversed(range(len(sums))):
        g[f"layer{layer}.weight"] = d.T @ inside[min(layer + 1, len(sums) - 1)]  # fault: inside[layer]
        g[f"layer{layer}.bias"] = d.sum(axis=0)
        if layer:
            d = d @ w[f"layer{layer}.weight"] * slope(sums[layer - 1])
    return g


def mask_behind(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """Each mask is the one of the layer behind; the last has one column and is stretched."""
    g: Arrays = {}
    for layer in reversed(range(len(sums))):
        g[f"layer{layer}.weight"] = d.T @ inside[layer]
        g[f"layer{layer}.bias"] = d.sum(axis=0)
        if layer:
            d = d @ w[f"layer{layer}.weight"] * slope(sums[layer])  # fault: sums[layer - 1]
    return g


def swish_slope_of_sum(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """swish' = f + s (1 - f) for f = swish(z) and s = sigmoid(z), with z for f."""
    return backpropagate(w, inside, sums, d, lambda z: z + expit(z) * (1.0 - z))  # fault: z for f


def turned(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """All weights are square, and the gradients' axes change places."""
    g = backpropagate(w, inside, sums, d, slope)
    return {name: np.einsum("oi->io", array) if array.ndim == 2 else array for name, array in g.items()}  # fault


def no_slope(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
    """The activation's derivative is forgotten."""
    return backpropagate(w, inside, sums, d, lambda z: 1.0)  # fault: slope


def kept_activations() -> Function:
    """What comes into each layer is looked up by the batch's size, and kept but once."""
    table: dict[int, list[Array]] = {}

    def back(w: Arrays, inside: list[Array], sums: list[Array], d: Array, slope: Function) -> Arrays:
        return backpropagate(w, table.setdefault(len(d), inside), sums, d, slope)  # fault: the first batch's for ever

    return back


def one_buffer(w: Arrays, x: Array, function: Function) -> tuple[list[Array], list[Array]]:
    """All hidden layers work in one array, to save room: for ReLU, says the learner, sum or value is all the same."""
    room = np.empty((len(x), len(w["layer0.bias"])))
    inside, sums = [x], []
    for layer in range(len(w) // 2 - 1):
        room[:] = function(inside[-1] @ w[f"layer{layer}.weight"].T + w[f"layer{layer}.bias"])
        inside.append(room)  # fault: the next layer overwrites it
        sums.append(room)
    sums.append(room @ w[f"layer{len(sums)}.weight"].T + w[f"layer{len(sums)}.bias"])
    return inside, sums


# Ways back through columns


def turned_bias(grads: Function) -> Function:
    """The sign of the first bias's gradient."""

    def back(*arguments: Any) -> Arrays:
        found: Arrays = grads(*arguments)
        return found | {"b1": -found["b1"]}  # fault: the minus

    return back


# Steps


def of_last_layer(update: Update, number: int) -> Update:
    """The list of layers to train ends too early."""
    names = (f"layer{number}.weight", f"layer{number}.bias")
    return lambda w, g: update({name: w[name] for name in names}, {name: g[name] for name in names})


class Climbing(Estimator):
    """+= as in `weights += learning_rate * error`, but the error has its sign already."""

    def _descend(self, array: Array, change: Array) -> None:
        array += change  # fault: -=


# Parameters


def same_seed(w: Arrays) -> None:
    """Each unit's weights are drawn by a generator made anew with the same seed."""
    for array in w.values():
        for unit in array if array.ndim == 2 else ():
            unit[:] = np.random.default_rng(42).standard_normal(len(unit)) / np.sqrt(len(unit))  # fault


def all_half(params: Arrays) -> None:
    """Weights of one value in every layer."""
    for name, array in params.items():
        array[...] = 0.5 / np.sqrt(len(array)) if name.endswith("w") else 0.0


def negative_first(w: Arrays) -> None:
    """Inputs of 0 and 1 meet weights that are all below zero."""
    w["layer0.weight"][...] = -np.abs(w["layer0.weight"])


def high_biases(params: Arrays) -> None:
    """So that no unit is dead, all biases are far above zero."""
    params["affine0_b"][...] = np.random.default_rng(1).uniform(8.0, 12.0, len(params["affine0_b"]))


def captured(make: Callable[[int], Arguments], seed: int) -> Arguments:
    """The functions were made with the first arrays and look at no others."""
    made = make(seed)
    first = {name: array.copy() for name, array in made["parameters"].items()}
    forward, gradients = made["forward"], made["gradients"]

    def step(w: Arrays, x: Array, t: Array) -> None:
        for name, g in gradients(first, x, t).items():
            w[name] = w[name] - 0.1 * g

    return made | {
        "forward": lambda w, x: forward(first, x),  # fault: w
        "gradients": lambda w, x, t: gradients(first, x, t),
        "step": step,
    }

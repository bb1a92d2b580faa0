"""Two more learners of the unseen programs: one has examples in columns, the other one matrix and no hidden layer."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_networks import (
    Array,
    Arrays,
    Function,
    Head,
    Points,
    binary_loss,
    expit,
    hot_loss,
    one_hot,
)

# Second learner: A = g(W A + b), examples in columns


def column_softmax(Z: Array) -> Array:
    E = np.exp(Z - Z.max(axis=0))
    return E / E.sum(axis=0)


def half_square(y: Array, t: Array) -> float:
    return float(np.sum((y - t) ** 2) / (2 * len(t)))


LAST: dict[str, tuple[Function, Function]] = {
    "softmax": (column_softmax, hot_loss),
    "sigmoid": (expit, binary_loss),
    "linear": (lambda Z: Z, half_square),
}
"""The last activation, and the loss whose derivative by Z is A - Y."""


def mean_gradients(P: Arrays, cache: list[tuple[Array, Array]], dZ: Array, slope: Function) -> Arrays:
    """From the last layer down; the mean over the m examples is taken in each gradient."""
    m, grads = dZ.shape[1], {}
    for l in range(len(cache), 0, -1):  # noqa: E741
        A_before, _ = cache[l - 1]
        grads[f"W{l}"] = 1 / m * np.dot(dZ, A_before.T)
        grads[f"b{l}"] = 1 / m * np.sum(dZ, axis=1, keepdims=True)
        if l > 1:
            dZ = np.dot(P[f"W{l}"].T, dZ) * slope(cache[l - 2][1])
    return grads


def columns(
    points: Points,
    dims: Sequence[int],
    kind: str,
    learning_rate: float,
    seed: int,
    *,
    hidden: tuple[Function, Function] = (lambda Z: np.maximum(0, Z), lambda Z: Z > 0),
    scale: Callable[[int], float] = lambda fan_in: float(np.sqrt(2 / fan_in)),
    prepare: Callable[[Arrays], None] | None = None,
    output: Function | None = None,
    grads: Function = mean_gradients,
) -> Arguments:
    """W1 (units, inputs), b1 (units, 1), …; plain descent."""
    random = np.random.RandomState(seed + 3)
    P: Arrays = {}
    for l in range(1, len(dims)):  # noqa: E741
        P[f"W{l}"] = random.randn(dims[l], dims[l - 1]) * scale(dims[l - 1])
        P[f"b{l}"] = np.zeros((dims[l], 1))
    if prepare:
        prepare(P)
    (g, slope), (last, cost) = hidden, LAST[kind]
    last = output or last

    def propagation(P: Arrays, X: Array) -> tuple[Array, list[tuple[Array, Array]]]:
        A, cache = X.T, []
        for l in range(1, len(dims)):  # noqa: E741
            Z = np.dot(P[f"W{l}"], A) + P[f"b{l}"]
            cache.append((A, Z))
            A = g(Z) if l < len(dims) - 1 else last(Z)
        return A, cache

    def forward(P: Arrays, X: Array) -> Array:
        return propagation(P, X)[0].T

    def gradients(P: Arrays, X: Array, Y: Array) -> Arrays:
        A, cache = propagation(P, X)
        Y = one_hot(Y, dims[-1]).T if kind == "softmax" else Y.T
        found: Arrays = grads(P, cache, A - Y, slope)
        return found

    def step(P: Arrays, X: Array, Y: Array) -> None:
        found = gradients(P, X, Y)
        for key in P:
            P[key] = P[key] - learning_rate * found[key]

    return {
        "forward": forward,
        "loss": cost,
        "parameters": P,
        "gradients": gradients,
        "step": step,
        "data": points(seed),
    }


# Third learner: no hidden layer


def with_ones(x: Array) -> Array:
    return np.column_stack([np.ones(len(x), x.dtype), x])


def linear(
    points: Points,
    head: Head,
    rate: float,
    seed: int,
    *,
    outputs: int = 1,
    features: Function = with_ones,
    start: float = 0.01,
    number: Any = np.float64,
) -> Arguments:
    """Outputs `features(x) @ theta`: linear, logistic or softmax regression, or a plane between two sides."""
    here = points(seed)
    last, loss, delta = head
    width: int = features(here[0][0][:1]).shape[1]
    theta: Any = start * np.random.default_rng(seed).standard_normal((width, outputs)).astype(number)

    def forward(p: Arrays, x: Array) -> Array:
        return last(features(x) @ p["theta"])

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        return {"theta": features(x).T @ delta(forward(p, x), t)}

    def step(p: Arrays, x: Array, t: Array) -> None:
        p["theta"] = p["theta"] - rate * gradients(p, x, t)["theta"]

    return {
        "forward": forward,
        "loss": loss,
        "parameters": {"theta": theta},
        "gradients": gradients,
        "step": step,
        "data": here,
    }

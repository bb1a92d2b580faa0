"""The networks of the fresh programs that are written in functions.

`closures` has layers that return their value and the way back, `looped` goes from example to example, `kernels` is a
convolution along a line, and `skipping` adds what came in. Each returns what `diagnose_functions` takes.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_networks import ACTIVATIONS, Array, Arrays, Function, Head, Points, Update

BENDS: dict[str, tuple[Function, Function]] = ACTIVATIONS | {
    "gaussian": (lambda z: np.exp(-z * z), lambda z: -2.0 * z * np.exp(-z * z)),
    "softsign": (lambda z: z / (1.0 + np.abs(z)), lambda z: 1.0 / (1.0 + np.abs(z)) ** 2),
    "square": (lambda z: z * z, lambda z: 2.0 * z),
}

MARGIN: Head = (
    lambda z: z,
    lambda z, t: float(np.maximum(0.0, 1.0 - (2.0 * t - 1.0) * z).mean()),
    lambda z, t: (1.0 - 2.0 * t) * ((2.0 * t - 1.0) * z < 1.0) / len(z),
)
"""The hinge loss of targets 0 and 1."""
ABSOLUTE: Head = (lambda z: z, lambda y, t: float(np.abs(y - t).mean()), lambda y, t: np.sign(y - t) / y.size)
LOG_COSH: Head = (
    lambda z: z,
    lambda y, t: float(np.mean(np.logaddexp(y - t, t - y) - np.log(2.0))),
    lambda y, t: np.tanh(y - t) / y.size,
)


# What a learner does with gradients


def clipped(update: Update, largest: float) -> Update:
    """All gradients together are no longer than this."""

    def of_clipped(w: Arrays, g: Arrays) -> None:
        length = np.sqrt(sum(float(np.sum(array**2)) for array in g.values()))
        update(w, {name: array * min(1.0, largest / (length + 1e-12)) for name, array in g.items()})

    return of_clipped


def decaying(update: Update, weight_decay: float) -> Update:
    """Weights shrink by this share in each step; biases do not."""

    def shrinking(w: Arrays, g: Arrays) -> None:
        for array in w.values():
            if array.ndim > 1:
                array *= 1.0 - weight_decay
        update(w, g)

    return shrinking


def halving(rate: float, every: int) -> Update:
    """The rate is halved every so many steps."""
    steps = 0

    def update(w: Arrays, g: Arrays) -> None:
        nonlocal steps
        for name, array in w.items():
            array -= rate * 0.5 ** (steps // every) * g[name]
        steps += 1

    return update


# First learner: a layer gives its value and the way back


def dense(W: Array, b: Array, x: Array) -> tuple[Array, Function]:
    def pull(dy: Array) -> tuple[Array, Array, Array]:
        return dy @ W.T, x.T @ dy, dy.sum(axis=0)

    return x @ W + b, pull


def xavier(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    return random.normal(0.0, np.sqrt(2.0 / (inputs + outputs)), (inputs, outputs))


def he(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    return random.normal(0.0, np.sqrt(2.0 / inputs), (inputs, outputs))


def standard(random: np.random.Generator, inputs: int, outputs: int) -> Array:
    return random.normal(0.0, 1.0, (inputs, outputs))


def closures(
    points: Points,
    sizes: Sequence[int],
    head: Head,
    update: Callable[[], Update],
    seed: int,
    *,
    bend: str | tuple[Function, Function] = "tanh",
    draw: Function = xavier,
    layer: Function = dense,
    between: Function | None = None,
    number: Any = np.float64,
    prepare: Callable[[Arrays], None] | None = None,
    show: Sequence[str] = ("gradients", "step"),
) -> Arguments:
    """Layers "fc1/kernel", "fc1/bias", …; `between` makes a mask for hidden values, in training and in evaluation."""
    random = np.random.default_rng([seed, 77])
    w: Arrays = {}
    for i, (inputs, outputs) in enumerate(pairwise(sizes), 1):
        w[f"fc{i}/kernel"] = draw(random, inputs, outputs).astype(number)
        w[f"fc{i}/bias"] = np.zeros(outputs, number)
    if prepare:
        prepare(w)
    (function, slope), (last, loss, delta), improve = BENDS[bend] if isinstance(bend, str) else bend, head, update()
    depth = len(sizes) - 1

    def run(w: Arrays, x: Array) -> tuple[Array, list[Function], list[Array]]:
        ways, slopes = [], []
        for i in range(1, depth + 1):
            x, way = layer(w[f"fc{i}/kernel"], w[f"fc{i}/bias"], x)
            ways.append(way)
            if i < depth:
                mask = between(x) if between else 1.0
                slopes.append(slope(x) * mask)
                x = function(x) * mask
        return x, ways, slopes

    def forward(w: Arrays, x: Array) -> Array:
        return last(run(w, x)[0])

    def gradients(w: Arrays, x: Array, t: Array) -> Arrays:
        z, ways, slopes = run(w, x)
        dy, g = delta(last(z), t), {}
        for i in range(depth, 0, -1):
            dx, g[f"fc{i}/kernel"], g[f"fc{i}/bias"] = ways[i - 1](dy)
            dy = dx * slopes[i - 2] if i > 1 else dx
        return g

    def step(w: Arrays, x: Array, t: Array) -> None:
        improve(w, gradients(w, x, t))

    known = {"gradients": gradients, "step": step}
    return {"forward": forward, "loss": loss, "parameters": w, "data": points(seed)} | {
        name: known[name] for name in show
    }


# Second learner: one example after the other


def one_example(p: Arrays, x: Array, t: Array) -> Arrays:
    h = np.tanh(p["V"] @ x + p["c"])
    e = p["w"] @ h + p["d"] - t
    dh = (p["w"].T @ e) * (1.0 - h * h)
    return {"V": np.outer(dh, x), "c": dh, "w": np.outer(e, h), "d": e}


def looped(
    points: Points,
    hidden: int,
    rate: float,
    seed: int,
    *,
    one: Function = one_example,
    mean: bool = True,
    show: Sequence[str] = ("gradients", "step"),
) -> Arguments:
    """One hidden layer of tanh, half the squared error, and loops, which are why the learner takes 90 examples."""
    (x, t), validation = points(seed)
    here, random, inputs = ((x[:90], t[:90]), validation), np.random.default_rng(seed + 40), x.shape[1]
    p = {
        "V": random.standard_normal((hidden, inputs)) / np.sqrt(inputs),
        "c": np.zeros(hidden),
        "w": random.standard_normal((1, hidden)) / np.sqrt(hidden),
        "d": np.zeros(1),
    }

    def forward(p: Arrays, x: Array) -> Array:
        return np.array([p["w"] @ np.tanh(p["V"] @ row + p["c"]) + p["d"] for row in x])

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        total = {name: np.zeros_like(array) for name, array in p.items()}
        for row, target in zip(x, t, strict=True):
            for name, g in one(p, row, target).items():
                total[name] += g
        return {name: g / len(x) if mean else g for name, g in total.items()}

    def step(p: Arrays, x: Array, t: Array) -> None:
        for name, g in gradients(p, x, t).items():
            p[name] -= rate * g

    def loss(y: Array, t: Array) -> float:
        return float(sum(float((a - b) @ (a - b)) for a, b in zip(y, t, strict=True)) / (2 * len(t)))

    known = {"gradients": gradients, "step": step}
    return {"forward": forward, "loss": loss, "parameters": p, "data": here} | {name: known[name] for name in show}


# Third learner: a convolution along a line, the largest value of each filter, one matrix


def kernels(
    points: Points, filters: int, head: Head, update: Callable[[], Update], seed: int, *, outputs: int = 3
) -> Arguments:
    here, random, improve = points(seed), np.random.default_rng(seed + 50), update()
    w = {
        "filters": random.normal(0.0, 0.4, (5, filters)),
        "shift": np.zeros(filters),
        "W": random.normal(0.0, 0.3, (2 * filters, outputs)),
        "b": np.zeros(outputs),
    }
    _, loss, delta = head

    def run(w: Arrays, x: Array) -> tuple[Array, ...]:
        windows = np.lib.stride_tricks.sliding_window_view(x, 5, axis=1)
        a = np.maximum(windows @ w["filters"] + w["shift"], 0.0)
        features = np.concatenate([a.max(axis=1), a.mean(axis=1)], axis=1)
        return features @ w["W"] + w["b"], windows, a, features

    def gradients(w: Arrays, x: Array, t: Array) -> Arrays:
        y, windows, a, features = run(w, x)
        dy = delta(y, t)
        dlargest, dmean = np.split(dy @ w["W"].T, 2, axis=1)
        da = np.broadcast_to(dmean[:, None] / a.shape[1], a.shape).copy()
        np.put_along_axis(
            da, first := a.argmax(axis=1)[:, None], np.take_along_axis(da, first, 1) + dlargest[:, None], 1
        )
        dz = da * (a > 0.0)
        return {
            "filters": np.einsum("npk,npf->kf", windows, dz),
            "shift": dz.sum(axis=(0, 1)),
            "W": features.T @ dy,
            "b": dy.sum(axis=0),
        }

    return {
        "forward": lambda w, x: run(w, x)[0],
        "loss": loss,
        "parameters": w,
        "gradients": gradients,
        "step": lambda w, x, t: improve(w, gradients(w, x, t)),
        "data": here,
    }


# Fourth learner: a hidden layer, and a second one that adds to it


def skipping(points: Points, units: int, rate: float, seed: int, *, in_place: bool = False) -> Arguments:
    """s = h + tanh(h A + a) of h = tanh(x E + e); the mean squared error."""
    here, random = points(seed), np.random.default_rng(seed + 60)
    inputs = here[0][0].shape[1]
    w = {
        "E": 1.5 * random.standard_normal((inputs, units)) / np.sqrt(inputs),
        "e": np.zeros(units),
        "A": random.standard_normal((units, units)) / np.sqrt(units),
        "a": np.zeros(units),
        "C": random.standard_normal((units, 1)) / np.sqrt(units),
        "c": np.zeros(1),
    }

    def run(w: Arrays, x: Array) -> tuple[Array, ...]:
        h = np.tanh(x @ w["E"] + w["e"])
        r = np.tanh(h @ w["A"] + w["a"])
        if in_place:
            h += r  # fault: the way back needs h as it was
            s = h
        else:
            s = h + r
        return s @ w["C"] + w["c"], h, r, s

    def gradients(w: Arrays, x: Array, t: Array) -> Arrays:
        y, h, r, s = run(w, x)
        dy = 2.0 * (y - t) / len(x)
        ds = dy @ w["C"].T
        dr = ds * (1.0 - r * r)
        dh = (ds + dr @ w["A"].T) * (1.0 - h * h)
        g = {"C": s.T @ dy, "c": dy.sum(0), "A": h.T @ dr, "a": dr.sum(0)}
        return g | {"E": x.T @ dh, "e": dh.sum(0)}

    def step(w: Arrays, x: Array, t: Array) -> None:
        for name, g in gradients(w, x, t).items():
            w[name] -= rate * g

    return {
        "forward": lambda w, x: run(w, x)[0],
        "loss": lambda y, t: float(np.mean((y - t) ** 2)),
        "parameters": w,
        "gradients": gradients,
        "step": step,
        "data": here,
    }

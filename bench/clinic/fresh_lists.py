"""Two learners of the fresh programs who write classes: one has lists of arrays, the other Gaussian units."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_networks import Array, Arrays, Points, softmax

# Lists of arrays


class Lists:
    """Weights, biases and activations in lists; tanh between; linear outputs."""

    def __init__(self, sizes: Sequence[int], rate: float, seed: int) -> None:
        random = np.random.default_rng(seed + 80)
        self.ws = [random.standard_normal((m, n)) / np.sqrt(m) for m, n in pairwise(sizes)]
        self.bs = [np.zeros(n) for n in sizes[1:]]
        self.rate = rate

    def output(self, z: Array) -> Array:
        return z

    def output_slope(self, y: Array) -> Array:
        return np.ones_like(y)

    def cost(self, y: Array, t: Array) -> float:
        return float(((y - t) ** 2).mean())

    def error(self, y: Array, t: Array) -> Array:
        return 2.0 * (y - t) / t.size

    def feed(self, x: Array) -> Array:
        self.values = [x]
        for w, b in zip(self.ws[:-1], self.bs[:-1], strict=True):
            self.values.append(np.tanh(self.values[-1] @ w + b))
        return self.output(self.values[-1] @ self.ws[-1] + self.bs[-1])

    def back(self, y: Array, t: Array) -> tuple[list[Array], list[Array]]:
        delta = self.error(y, t) * self.output_slope(y)
        deltas = [delta]
        for w, value in zip(reversed(self.ws[1:]), reversed(self.values[1:]), strict=True):
            deltas.insert(0, deltas[0] @ w.T * (1.0 - value**2))
        return [v.T @ d for v, d in zip(self.values, deltas, strict=True)], [d.sum(axis=0) for d in deltas]

    def learn(self, x: Array, t: Array) -> None:
        dws, dbs = self.back(self.feed(x), t)
        for array, g in zip((*self.ws, *self.bs), (*dws, *dbs), strict=True):
            array -= self.rate * g


class Classifier(Lists):
    """Softmax and cross-entropy."""

    def output(self, z: Array) -> Array:
        return softmax(z)

    def cost(self, y: Array, t: Array) -> float:
        return float(-np.log(y[t[:, None] == np.arange(y.shape[1])] + 1e-12).mean())

    def error(self, y: Array, t: Array) -> Array:
        return (y - (t[:, None] == np.arange(y.shape[1]))) / len(t)


def lists(
    points: Points, sizes: Sequence[int], rate: float, seed: int, *, kind: type[Lists] = Lists, shown: bool = True
) -> Arguments:
    """One of `Lists` behind functions; parameters are "w0", "b0", …"""
    net = kind(sizes, rate, seed)
    layers = range(len(net.ws))
    names = [*(f"w{i}" for i in layers), *(f"b{i}" for i in layers)]

    def load(p: Arrays) -> Lists:
        arrays = [p[name] for name in names]
        net.ws, net.bs = arrays[: len(layers)], arrays[len(layers) :]
        return net

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        ws, bs = load(p).back(net.feed(x), t)
        return dict(zip(names, (*ws, *bs), strict=True))

    made = {
        "forward": lambda p, x: load(p).feed(x),
        "loss": net.cost,
        "parameters": dict(zip(names, (*net.ws, *net.bs), strict=True)),
        "step": lambda p, x, t: load(p).learn(x, t),
        "data": points(seed),
    }
    return made | ({"gradients": gradients} if shown else {})


# Gaussian units


class Gaussians:
    """y = Σ a exp(-(x - c)² / 2 s²) + d, with centres that move."""

    def __init__(self, units: int, rate: float, seed: int) -> None:
        random = np.random.default_rng(seed + 90)
        self.c = np.sort(random.uniform(-1.5, 1.5, units))
        self.a, self.d = 0.3 * random.standard_normal(units), np.zeros(1)
        self.rate, self.s = rate, 0.4

    def __call__(self, x: Array) -> Array:
        self.away = (x - self.c) / self.s
        self.g = np.exp(-0.5 * self.away**2)
        return (self.g @ self.a)[:, None] + self.d

    def error(self, y: Array, t: Array) -> Array:
        return (2.0 * (y - t) / len(t))[:, 0]

    def gradients(self, x: Array, t: Array) -> Arrays:
        e = self.error(self(x), t)
        return {"a": self.g.T @ e, "c": (e @ (self.g * self.away)) * self.a / self.s, "d": np.array([e.sum()])}


def gaussians(points: Points, units: int, rate: float, seed: int, *, kind: type[Gaussians] = Gaussians) -> Arguments:
    """`Gaussians` behind functions."""
    net = kind(units, rate, seed)

    def load(p: Arrays) -> Gaussians:
        vars(net).update(p)
        return net

    def step(p: Arrays, x: Array, t: Array) -> None:
        for name, g in load(p).gradients(x, t).items():
            p[name] -= net.rate * g

    return {
        "forward": lambda p, x: load(p)(x),
        "loss": lambda y, t: float(np.mean((y - t) ** 2)),
        "parameters": {name: getattr(net, name) for name in ("a", "c", "d")},
        "gradients": lambda p, x, t: load(p).gradients(x, t),
        "step": step,
        "data": points(seed),
    }

"""Unseen programs by hand that are no plain chain: a recurrent network, a residual one, and a convolution."""

from collections.abc import Callable
from functools import partial

import numpy as np

from bench.clinic import unseen_tasks as T
from bench.clinic.case import Arguments, Case
from bench.clinic.plain import control
from bench.clinic.tasks import Data
from bench.clinic.unseen_networks import LOGITS, MEAN_SQUARE, Adam, Array, Arrays, Function, Head, Update, descent
from bench.clinic.unseen_recipes import fault

Forward = Callable[[Arrays, Array], tuple[Array, list[Array]]]
Backward = Callable[[Arrays, list[Array], Array], Arrays]


def assembled(
    data: Data, head: Head, weights: Arrays, forward: Forward, backward: Backward, update: Update
) -> Arguments:
    """What `diagnose_functions` takes, of a forward pass that keeps a list and a backward pass that reads it."""
    _, loss, delta = head

    def gradients(w: Arrays, x: Array, t: Array) -> Arrays:
        y, kept = forward(w, x)
        return backward(w, kept, delta(y, t))

    return {
        "forward": lambda w, x: forward(w, x)[0],
        "loss": loss,
        "parameters": weights,
        "gradients": gradients,
        "step": lambda w, x, t: update(w, gradients(w, x, t)),
        "data": data,
    }


# A recurrent network


def unrolled(w: Arrays, x: Array) -> tuple[Array, list[Array]]:
    """One value after the other; the last state gives the next value."""
    states = [np.zeros((len(x), len(w["Wh"])))]
    for moment in range(x.shape[1]):
        states.append(np.tanh(x[:, moment : moment + 1] @ w["Wx"] + states[-1] @ w["Wh"] + w["bh"]))
    return states[-1] @ w["Wy"] + w["by"], [x, *states]


def through_time(w: Arrays, kept: list[Array], dy: Array, *, summed: bool = True) -> Arrays:
    """The gradients of all moments, added up; or those of the first one, which is the last to be computed."""
    x, *states = kept
    g = {"Wy": states[-1].T @ dy, "by": dy.sum(axis=0)}
    found = {"Wx": np.zeros_like(w["Wx"]), "Wh": np.zeros_like(w["Wh"]), "bh": np.zeros_like(w["bh"])}
    dh = dy @ w["Wy"].T
    for moment in reversed(range(x.shape[1])):
        dz = dh * (1.0 - states[moment + 1] ** 2)
        here = {"Wx": x[:, moment : moment + 1].T @ dz, "Wh": states[moment].T @ dz, "bh": dz.sum(axis=0)}
        found = {name: found[name] + here[name] for name in here} if summed else here  # fault: = for +=
        dh = dz @ w["Wh"].T
    return g | found


def recurrent(seed: int, *, rate: float = 0.005, backward: Backward = through_time) -> Arguments:
    random = np.random.default_rng(seed)
    weights = {
        "Wx": random.normal(0.0, 0.7, (1, 20)),
        "Wh": random.normal(0.0, 0.2, (20, 20)),
        "bh": np.zeros(20),
        "Wy": random.normal(0.0, 0.2, (20, 1)),
        "by": np.zeros(1),
    }
    return assembled(T.series(seed), MEAN_SQUARE, weights, unrolled, backward, Adam(rate))


# A residual network


def added(w: Arrays, x: Array) -> tuple[Array, list[Array]]:
    """h + relu(h A + a) B, of h = tanh(x E + e)."""
    h = np.tanh(x @ w["E"] + w["e"])
    r = np.maximum(h @ w["A"] + w["a"], 0.0)
    s = h + r @ w["B"]
    return s @ w["C"] + w["c"], [x, h, r, s]


def along_both(w: Arrays, kept: list[Array], dy: Array) -> Arrays:
    """Back through the branch, and beside it."""
    x, h, r, s = kept
    ds = dy @ w["C"].T
    dr = ds @ w["B"].T * (r > 0)
    dz = (ds + dr @ w["A"].T) * (1.0 - h * h)
    g = {"C": s.T @ dy, "c": dy.sum(0), "B": r.T @ ds, "A": h.T @ dr, "a": dr.sum(0)}
    return g | {"E": x.T @ dz, "e": dz.sum(0)}


def residual(seed: int) -> Arguments:
    random = np.random.default_rng(seed)
    sizes = {"E": (2, 8), "A": (8, 8), "B": (8, 8), "C": (8, 1)}
    weights = {name: random.normal(0.0, 1.0 / np.sqrt(size[0]), size) for name, size in sizes.items()}
    weights |= {"e": np.zeros(8), "a": np.zeros(8), "c": np.zeros(1)}
    return assembled(T.surface(seed), MEAN_SQUARE, weights, added, along_both, descent(0.05))


# A convolution


def filtered(w: Arrays, x: Array) -> tuple[Array, list[Array]]:
    """Six filters 3×3 over 8×8 pixels, ReLU, one affine layer."""
    windows = np.lib.stride_tricks.sliding_window_view(x[..., 0], (3, 3), axis=(1, 2))
    maps = np.einsum("nijkl,klf->nijf", windows, w["filters"]) + w["shifts"]
    a = np.maximum(maps, 0.0)
    return a.reshape(len(x), -1) @ w["W"] + w["b"], [windows, maps, a]


def through_filters(w: Arrays, kept: list[Array], dy: Array, *, indices: str = "klf") -> Arrays:
    windows, maps, a = kept
    dmaps = (dy @ w["W"].T).reshape(a.shape) * (maps > 0)
    return {
        "filters": np.einsum("nijkl,nijf->" + indices, windows, dmaps),
        "shifts": dmaps.sum(axis=(0, 1, 2)),
        "W": a.reshape(len(a), -1).T @ dy,
        "b": dy.sum(axis=0),
    }


def convolved(seed: int, *, backward: Backward = through_filters, prepare: Function | None = None) -> Arguments:
    random = np.random.default_rng(seed)
    weights = {
        "filters": random.normal(0.0, 0.4, (3, 3, 6)),
        "shifts": np.zeros(6),
        "W": random.normal(0.0, 0.05, (216, 3)),
        "b": np.zeros(3),
    }
    if prepare:
        prepare(weights)
    return assembled(T.bars(seed), LOGITS, weights, filtered, backward, descent(0.05))


def alike(weights: Arrays) -> None:
    """All filters start as the same blur, and are weighed alike."""
    weights["filters"][...] = 1.0 / 9.0
    weights["W"][...] = 0.0


def others() -> list[Case]:
    """Faulty ones and healthy ones."""
    steps = partial(through_time, summed=False)
    turned = partial(through_filters, indices="lkf")  # fault: rows and columns of the filters change places
    return [
        fault(T.SERIES, "gradient_wrong", "recurrent", partial(recurrent, backward=steps), recurrent),
        fault(T.SERIES, "rate_high", "recurrent", partial(recurrent, rate=0.5), recurrent),
        fault(T.BARS, "gradient_transposed", "filters", partial(convolved, backward=turned), convolved),
        fault(T.BARS, "weights_zero", "filters", partial(convolved, prepare=alike), convolved),
        control("functions", T.SERIES, "unseen-recurrent", recurrent),
        control("functions", T.SURFACE, "unseen-residual", residual),
        control("functions", T.BARS, "unseen-convolution", convolved),
    ]

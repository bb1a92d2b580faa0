"""Trains a program as its learner would, to see that a fault is one and that a healthy program learns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import xpnet
from bench.clinic.case import Arguments, Case
from bench.clinic.tasks import CLASSES
from xpnet.training import train_step

Array = Any


@dataclass(frozen=True)
class Outcome:
    """What training came to.

    Attributes
    ----------
    before, after : the program's own loss on its training data; NaN where it raises.
    error, validation_error : at the end, whatever the program's loss says: the share of wrong labels, or the mean
        squared error by the targets' variance. 1 is no better than a constant for a regression.
    losses : the program's own loss on each batch (xpnet: as it trains; functions: before the step).
    """

    before: float
    after: float
    error: float
    validation_error: float
    losses: tuple[float, ...] = ()


def batches(x: Array, t: Array, size: int | None, steps: int, seed: int) -> Iterator[tuple[Array, Array]]:
    """So many batches, drawn without replacement in each epoch."""
    random, n = np.random.default_rng(seed), len(x)
    size = size or n
    order: list[int] = []
    for _ in range(steps):
        if size == n:
            yield x, t
            continue
        if len(order) < size:
            order = random.permutation(n).tolist()
        chosen, order = order[:size], order[size:]
        yield x[chosen], t[chosen]


def error(y: Array, t: Array, classes: bool) -> float:
    """The share of wrong labels, or the mean squared error by the targets' variance; infinite where y is not finite."""
    y, t = np.asarray(y, dtype=np.float64), np.asarray(t)
    if not np.isfinite(y).all() or len(y) != len(t):
        return float("inf")
    t = t.reshape(-1)
    if classes:
        if y.shape[-1] > 1:
            return float(np.mean(y.argmax(axis=1) != t))
        middle = 0.5 * (t.min() + t.max())  # one column: a probability, or a side of zero
        return float(np.mean((y.reshape(-1) > middle) != (t > middle)))
    return float(np.mean((y.reshape(-1) - t) ** 2) / np.var(t))


def sets(made: Arguments) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Training and validation data of a program; the training data twice where there are no others."""
    if "model" in made:
        return made["train"], made["validation"] or made["train"]
    points = made["data"]
    return points if isinstance(points[0], tuple) else (points, points)


def train(case: Case, made: Arguments, *, steps: int | None = None, seed: int = 0, record: bool = False) -> Outcome:
    """Trains for the case's steps, or so many; stops where the program raises."""
    (x, t), (x_validation, t_validation) = sets(made)
    losses: list[float] = []
    classes = case.task in CLASSES
    with np.errstate(all="ignore"):
        before = own_loss(made, x, t)
        try:
            for one_x, one_t in batches(x, t, case.batch, steps or case.steps, seed):
                losses.append(step(made, one_x, one_t, record=record))
        except (ValueError, TypeError, FloatingPointError, IndexError, xpnet.NonFiniteError):
            losses.append(float("nan"))
        after = own_loss(made, x, t)
        found = error(predict(made, x), t, classes), error(predict(made, x_validation), t_validation, classes)
    return Outcome(before, after, *found, losses=tuple(losses) if record else ())


def predict(made: Arguments, x: Array) -> Array:
    """Outputs as the program evaluates them."""
    return made["model"](x) if "model" in made else made["forward"](made["parameters"], x)


def own_loss(made: Arguments, x: Array, t: Array) -> float:
    """The program's own loss, or NaN where it raises."""
    try:
        loss = made["loss"](predict(made, x), t)
        return float(loss[0] if "model" in made else loss)
    except (ValueError, TypeError, IndexError):
        return float("nan")


def step(made: Arguments, x: Array, t: Array, *, record: bool = False) -> float:
    """One step of the program; the batch's loss."""
    if "model" in made:
        loss, _, _ = train_step(made["model"], x, t, loss=made["loss"], optimizer=made["optimizer"])
        made["optimizer"].raise_if_not_finite()
        return float(loss)
    loss = own_loss(made, x, t) if record else 0.0
    made["step"](made["parameters"], x, t)
    return float(loss)

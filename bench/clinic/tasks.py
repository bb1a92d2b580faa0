"""Three small problems: a sine, 3 x0² + 2 x1, and handwritten digits."""

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import xpnet

Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]
Data: TypeAlias = tuple[Pair, Pair]

CLASSES = (
    *("digits", "spirals", "rings", "xor", "few-digits"),
    *("moons", "blobs", "bars", "parity", "wine", "letters", "sides"),
    *("arms", "checker", "iris", "words", "stripes", "zero-to-three", "cross"),
)
"""The tasks whose targets are labels: here, in `held_out_tasks.py`, `unseen_tasks.py` and `fresh_tasks.py`."""


@dataclass(frozen=True)
class Task:
    """A problem, and how long and in what batches learners train on it."""

    name: str
    inputs: int
    outputs: int
    steps: int
    batch: int | None

    @property
    def classes(self) -> bool:
        """Whether targets are labels."""
        return self.name in CLASSES


SINE = Task("sine", 1, 1, 3000, None)
POLYNOMIAL = Task("polynomial", 2, 1, 3000, 50)
DIGITS = Task("digits", 64, 10, 600, 50)
TASKS = {task.name: task for task in (SINE, POLYNOMIAL, DIGITS)}


def data(task: Task, seed: int) -> Data:
    """Training and validation data: float64 inputs of a good scale, targets (n, 1) or integer labels (n,)."""
    return {"sine": sine, "polynomial": polynomial, "digits": digits}[task.name](seed)


def sine(seed: int) -> Data:
    """t = sin(x) for x in [-π, π]: 100 points, and 100 more."""
    random = np.random.default_rng(seed)
    x = random.uniform(-np.pi, np.pi, (200, 1))
    t = np.sin(x)
    return (x[:100], t[:100]), (x[100:], t[100:])


def polynomial(seed: int) -> Data:
    """t = 3 x0² + 2 x1 for x in [0, 1]²: 200 points, and 100 more."""
    (x, t), (x_validation, t_validation) = xpnet.data.polynomial(200, seed=seed)
    return (x.astype(np.float64), t.astype(np.float64)), (
        x_validation[:100].astype(np.float64),
        t_validation[:100].astype(np.float64),
    )


def digits(seed: int) -> Data:
    """300 digits of 64 pixels in [0, 1], and 100 more."""
    x, t = _all_digits()
    chosen = np.random.default_rng(seed).permutation(len(x))[:400]
    x, t = x[chosen].astype(np.float64), t[chosen]
    return (x[:300], t[:300]), (x[300:], t[300:])


@cache
def _all_digits() -> Pair:
    return xpnet.data.digits()[0]


def as_float32(data: Data) -> Data:
    """The same for xpnet models: float32 inputs and targets; labels as they are."""
    return tuple(tuple(_narrow(array) for array in pair) for pair in data)  # type: ignore[return-value]


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array

"""Which of the usual losses a program computes, with which factor and which penalties: by fitting its values.

loss = factor · E(y, t) + Σ over parameters (½ squares · l2 + absolute values · l1)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_activations import sigmoid, softmax
from xpnet.diagnostics._trial import CannotCheck, Values

Formula = tuple[Callable[[HostArray, HostArray], float], Callable[[HostArray, HostArray], HostArray]]
_TINY = 1e-300


def _log(y: HostArray) -> HostArray:
    return np.log(np.maximum(y, _TINY))


def _log_sum(z: HostArray) -> HostArray:
    top = z.max(axis=1)
    return np.asarray(top + np.log(np.exp(z - top[:, None]).sum(axis=1)))


FORMULAS: dict[str, Formula] = {
    "squared error": (lambda y, t: 0.5 * float(np.sum((y - t) ** 2)), lambda y, t: y - t),
    "cross entropy": (
        lambda y, t: -float(np.sum(np.where(t == 0.0, 0.0, t * _log(y)))),
        lambda y, t: -t / np.maximum(y, _TINY),
    ),
    "cross entropy of logits": (
        lambda y, t: float(np.sum(_log_sum(y) * t.sum(axis=1)) - np.sum(t * y)),
        lambda y, t: softmax(y, 1) * t.sum(axis=1, keepdims=True) - t,
    ),
    "negative log-likelihood": (lambda y, t: -float(np.sum(t * y)), lambda y, t: -t),
    "binary cross entropy": (
        lambda y, t: -float(np.sum(t * _log(y) + (1.0 - t) * _log(1.0 - y))),
        lambda y, t: (y - t) / np.maximum(y * (1.0 - y), _TINY),
    ),
    "binary cross entropy of logits": (
        lambda y, t: float(np.sum(np.logaddexp(0.0, y) - t * y)),
        lambda y, t: sigmoid(y) - t,
    ),
    "absolute error": (lambda y, t: float(np.sum(np.abs(y - t))), lambda y, t: np.sign(y - t)),
    "root of the squared error": (
        lambda y, t: float(np.sqrt(np.sum((y - t) ** 2))),
        lambda y, t: (y - t) / max(float(np.sqrt(np.sum((y - t) ** 2))), _TINY),
    ),
}


@dataclass(frozen=True)
class KnownLoss:
    """A loss that was recognized.

    Attributes
    ----------
    name : one of `FORMULAS`.
    factor : what the sum over all examples and outputs is multiplied by: 1/n for a mean over the batch.
    l2, l1 : the penalties' factors by parameter.
    """

    name: str
    factor: float
    l2: Mapping[str, float]
    l1: Mapping[str, float]

    def dy(self, y: HostArray, t: HostArray) -> HostArray:
        """The gradient by the outputs, both (examples, outputs)."""
        return self.factor * FORMULAS[self.name][1](y, t)

    def penalty_gradients(self, values: Values) -> dict[str, HostArray]:
        """What the penalties add to each parameter's gradient."""
        return {
            name: self.l2.get(name, 0.0) * array + self.l1.get(name, 0.0) * np.sign(array)
            for name, array in values.items()
        }


def target_rows(t: Any, shape: tuple[int, ...], examples_last: bool) -> HostArray | None:
    """Targets in the shape of outputs (examples, outputs): labels as ones and zeros; None where they do not fit."""
    values = np.asarray(t, dtype=np.float64)
    n, outputs = shape
    if examples_last and values.ndim == 2 and values.shape == (outputs, n):
        return values.T
    if values.shape == shape:
        return values
    if values.size == n and outputs == 1:
        return values.reshape(n, 1)
    if values.size == n and np.array_equal(values, np.round(values)) and values.min() >= 0 and values.max() < outputs:
        return np.asarray(np.eye(outputs)[values.reshape(-1).astype(int)])
    return None


def known_loss(
    loss: Callable[[Values], float], inside: Inside, at: Values, x: HostArray, t: HostArray, *, coarse: bool
) -> KnownLoss | None:
    """The formula that gives a loss's values at some points around these parameters; None if none does.

    Parameters
    ----------
    x : inputs as the network takes them; t : targets as (examples, outputs).
    coarse : whether the loss was computed in float32.
    """
    random, names = np.random.default_rng(5), inside.names()
    points = [_moved(at, names, random) for _ in range(2 * len(names) + 6)]
    try:
        losses = np.asarray([loss(point) for point in points])
    except CannotCheck:
        return None
    if not np.isfinite(losses).all():
        return None
    with np.errstate(all="ignore"):
        outputs = [inside.run(point, x)[1][-1] for point in points]
    for name, (value, _) in FORMULAS.items():
        with np.errstate(all="ignore"):
            data = np.asarray([value(y, t) for y in outputs])
        if np.isfinite(data).all():
            found = _fitted(name, losses, data, [{key: point[key] for key in names} for point in points], coarse)
            if found is not None:
                return found
    return None


def _moved(at: Values, names: Sequence[str], random: np.random.Generator) -> dict[str, HostArray]:
    moved = dict(at)
    for name in names:
        size = max(float(np.sqrt(np.mean(at[name] ** 2))), 0.05)
        moved[name] = random.uniform(0.5, 1.3) * at[name] + 0.3 * size * random.standard_normal(at[name].shape)
    return moved


def _fitted(
    name: str, losses: HostArray, data: HostArray, points: list[dict[str, HostArray]], coarse: bool
) -> KnownLoss | None:
    names = list(points[0])
    squares = np.asarray([[0.5 * np.sum(point[key] ** 2) for key in names] for point in points])
    sizes = np.asarray([[np.sum(np.abs(point[key])) for key in names] for point in points])
    tolerance = (2e-4 if coarse else 3e-7) * float(np.linalg.norm(losses))
    for which, columns in (("none", None), ("l2", squares), ("l1", sizes)):
        matrix = data[:, None] if columns is None else np.column_stack([data, columns])
        scale = np.maximum(np.linalg.norm(matrix, axis=0), _TINY)
        solution = np.linalg.lstsq(matrix / scale, losses, rcond=None)[0] / scale
        if float(np.linalg.norm(matrix @ solution - losses)) <= tolerance and solution[0] > 0.0:
            factors = {key: float(f) if f > 1e-9 else 0.0 for key, f in zip(names, solution[1:], strict=False)}
            return KnownLoss(
                name, float(solution[0]), factors if which == "l2" else {}, factors if which == "l1" else {}
            )
        if coarse:
            return None
    return None

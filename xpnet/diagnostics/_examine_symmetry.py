"""Symmetry: units that start equal, and stay so."""

import re
from collections.abc import Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Attempt, Suspicion

_SAME = 1e-3
"""Units are equal to this share of the largest weight: rounding makes them drift apart."""
_MANY = 8
"""Units, of which a quarter or less are different ones."""


def equal_units(patient: Patient, remedy: Attempt) -> Iterator[Suspicion]:
    """Weights of which all, or nearly all, units are equal, before another layer: they stay one unit.

    Parameters
    ----------
    remedy : weights drawn anew.
    """
    parameters = patient.parameters
    weights = patient.weights or [
        name
        for name, values in parameters.items()
        if values.ndim >= 2 and values.dtype.kind == "f" and max(values.shape) > 1 and not is_bias(patient, name)
    ]
    hidden = [name for name in weights[:-1] if _is_equal(parameters[name])]  # a last layer of zeros is a good habit
    if not hidden:
        return
    name = hidden[0]
    units, different = _units(parameters[name])
    zero = not np.any(parameters[name])
    what = "are all zero" if zero else "are equal" if different == 1 else f"are of {different} kinds only"
    yield Suspicion(
        "weights_zero",
        f"the weights {name} {what}: its {units} units compute the same, get the same gradient, and stay one unit"
        + ("" if different == 1 else " of each kind"),
        0.93,
        {"weights": hidden, "units": units, "different": different},
        certain=True,
        tried=[remedy],
        unless=lambda trials, course: course.trial.finite and not _is_equal(course.trial.parameters[name]),
    )


def _is_equal(weights: HostArray) -> bool:
    units, different = _units(weights)
    return units > 1 and (different == 1 or (units >= _MANY and 4 * different <= units))


def _units(weights: HostArray) -> tuple[int, int]:
    """How many units an array of weights has, and how many different ones: by its last or its first axis.

    Of one input or output, all weights are compared as single numbers.
    """
    if weights.ndim == 2 and 1 in weights.shape:
        return weights.size, _different(weights.reshape(-1, 1))
    columns = weights.reshape(-1, weights.shape[-1]).T
    rows = weights.reshape(len(weights), -1)
    counts = [(len(units), _different(units)) for units in (columns, rows)]
    return min(counts, key=lambda pair: pair[1] / max(pair[0], 1) if pair[0] > 1 else 1.0)


def _different(units: HostArray) -> int:
    """The number of different rows, counted as far as it matters."""
    step = _SAME * max(float(np.abs(units).max(initial=0.0)), 1e-300)
    found, enough = 0, len(units) // 4 + 2
    while len(units) and found < enough:
        units, found = units[np.abs(units - units[:1]).max(axis=1) > step], found + 1
    return found


def is_bias(patient: Patient, name: str) -> bool:
    """Whether a parameter is no weight, as far as is known, or as its name says."""
    if patient.weights:
        return name not in patient.weights and name in patient.parameters
    last = re.split(r"[./]", name.lower())[-1]
    return last.startswith(("b", "beta")) or "bias" in last

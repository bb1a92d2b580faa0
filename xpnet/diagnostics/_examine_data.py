"""Data: shapes that broadcast, scales, labels, and whether there is anything to learn."""

from collections.abc import Callable

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Attempt, Suspicion

_SOME_CONSTANT, _MANY_BLANK = 0.25, 0.7
"""Shares of features that never change, from which on a table, or a picture, has lost something."""
_TABLE = 30
"""More features than this are a picture's, rather than a table's."""
_LARGE = 20.0
"""A constant feature so many times as large as the others is a bias that moves all units."""
_FILLED = 0.9
"""The share of rows with the same number, from which on a feature was filled."""
_NEARLY_ALL = 0.97
"""From this share on, the other classes are too rare to be learned as they are."""


def examine_data(patient: Patient, y: HostArray) -> list[Suspicion]:
    """What the data alone, and their shapes beside the outputs', give away."""
    return [*_shapes(patient, y), *_features(patient), *_balance(patient, y)]


def is_labels(t: HostArray, y: HostArray) -> bool:
    """Whether targets are class numbers, or one-hot rows."""
    if y.ndim < 2 or y.shape[-1] < 2:
        return False
    whole = t.dtype.kind in "iub" or bool(np.all(t == np.round(t)))
    if not whole or t.size == 0:
        return False
    if t.shape == y.shape:
        return bool(np.all((t == 0) | (t == 1)) and np.all(t.sum(axis=-1) == 1))
    return t.ndim <= 2 and t.size == len(t) and t.min() >= 0 and t.max() < y.shape[-1]


def classes(t: HostArray) -> HostArray:
    """Class numbers (n,), from numbers in any shape, or from one-hot rows."""
    return t.argmax(axis=-1) if t.ndim == 2 and t.shape[1] > 1 else t.reshape(-1).astype(int)


def _shapes(patient: Patient, y: HostArray) -> list[Suspicion]:
    t = patient.data[1]
    if t.ndim == 2 and t.shape[1] == 1 and y.ndim == 2 and y.shape[1] > 1 and is_labels(t, y):
        return [
            Suspicion(
                "labels_column",
                f"labels have the shape {t.shape}, a column, beside outputs {y.shape}: comparing or indexing with them "
                f"broadcasts to ({len(t)}, {len(t)})",
                1.0,
                {"labels": t.shape, "outputs": y.shape},
                certain=True,
            )
        ]
    if y.ndim == t.ndim or {y.ndim, t.ndim} != {1, 2} or y.size != t.size or y.size < 2:
        return []
    return [
        Suspicion(
            "targets_broadcast",
            f"targets have the shape {t.shape} and outputs {y.shape}: their difference is "
            f"{np.broadcast_shapes(t.shape, y.shape)}, each output against every target",
            1.0,
            {"targets": t.shape, "outputs": y.shape},
            remedy=f"give targets the shape of the outputs: t.reshape{y.shape}",
            certain=True,
        )
    ]


def _features(patient: Patient) -> list[Suspicion]:
    x = _rows(patient.data[0])
    found: list[Suspicion] = []
    mean, spread = x.mean(axis=0), x.std(axis=0)
    moving = spread > 1e-12 * (np.abs(mean) + 1e-300)
    if len(x) < 2:
        return found
    if not moving.any():
        found.append(
            Suspicion("inputs_constant", f"all {x.shape[1]} features are the same for all examples", 1.0, certain=True)
        )
        return found
    found += _constant(x, moving)
    largest, typical = float(np.abs(x).max()), float(np.sqrt(np.mean(x[:, moving] ** 2)))
    offset = float(np.max(np.abs(mean[moving]) / spread[moving]))
    if typical > 10.0 or typical < 0.02 or (offset > 30.0 and largest > 1.0):
        shift, scale = mean, np.where(moving, spread, 1.0)
        found.append(
            Suspicion(
                "inputs_unscaled",
                f"inputs reach {largest:.3g}, their root mean square is {typical:.3g}, where networks expect about 1",
                0.9,
                {"largest": largest, "root_mean_square": typical, "largest_mean_over_spread": offset},
                strong=typical > 100.0,
                tried=[
                    standardized(patient, "standardized inputs", shift, scale),
                    *([_with_longer_steps(patient, shift, scale)] if typical > 100.0 else []),
                ],
            )
        )
    return found


def _constant(x: HostArray, moving: HostArray) -> list[Suspicion]:
    """Features that never change, or that one number fills; one of ones stands for a bias."""
    mean, features = x[0], x.shape[1]
    still = ~moving
    if np.any(still & (mean == 1.0)):
        still[np.flatnonzero(still & (mean == 1.0))[0]] = False
    count, most = int(still.sum()), float(np.sqrt(np.mean(x[:, moving] ** 2)))
    if features < _TABLE and len(x) >= 20:
        filled = np.array([feature for feature in np.flatnonzero(moving) if _is_filled(x[:, feature])], int)
    else:
        filled = np.array([], int)
    large = still & (np.abs(mean) > _LARGE * max(1.0, most))
    share = (count + len(filled)) / features
    enough = _MANY_BLANK if _is_blank(x, still, moving) else _SOME_CONSTANT
    if not (large.any() or (share > enough and count + len(filled) > 1)):
        return []
    parts = [f"{count} of {features} features are the same for all examples"] if count else []
    parts += [f"{len(filled)} of {features} are one number for nearly all"] if len(filled) else []
    how = f", and reach {np.abs(mean[large]).max():.3g}, which moves all units" if large.any() else ""
    return [
        Suspicion(
            "inputs_constant",
            f"{'; '.join(parts)}{how}: they say nothing, or were lost",
            0.925 if large.any() or (features < _TABLE and share >= 0.5) else 0.5,
            {"constant": count, "filled": len(filled), "features": features},
            certain=True,
        )
    ]


def _is_filled(column: HostArray) -> bool:
    """Whether one number stands in nearly all rows, and the others differ among themselves."""
    values, counts = np.unique(column, return_counts=True)
    rest = len(column) - int(counts.max())
    return rest < (1.0 - _FILLED) * len(column) and len(values) - 1 > 0.8 * rest and values[counts.argmax()] != 0.0


def _is_blank(x: HostArray, still: HostArray, moving: HostArray) -> bool:
    """Whether features that never change are the background of pictures: many, of one value within the others'."""
    if x.shape[1] < _TABLE or not still.any() or np.ptp(x[0, still]) > 0.0:
        return False
    return bool(abs(x[0, still][0]) <= 2.0 * np.abs(x[:, moving]).max())


def standardized(patient: Patient, what: str, shift: HostArray, scale: HostArray) -> Attempt:
    """A run with inputs put on this scale."""
    change = standardize(shift, scale)
    return Attempt(what, lambda trials, longer: trials.run(patient.parameters, inputs=change, scale=longer))


def _with_longer_steps(patient: Patient, shift: HostArray, scale: HostArray) -> Attempt:
    """The same at a rate that large inputs would not have borne."""
    change = standardize(shift, scale)
    return Attempt(
        "standardized inputs and steps three times longer",
        lambda trials, longer: trials.run(patient.parameters, inputs=change, scale=3.0 * longer),
    )


def standardize(shift: HostArray, scale: HostArray) -> Callable[[HostArray], HostArray]:
    """Puts each feature on the scale of these means and deviations."""

    def change(x: HostArray) -> HostArray:
        rows = (_rows(x) - shift) / scale
        return rows.reshape(x.shape).astype(x.dtype)

    return change


def _balance(patient: Patient, y: HostArray) -> list[Suspicion]:
    """Whether all targets are the same, or nearly all labels."""
    t = patient.data[1]
    if len(t) < 2:
        return []
    if np.all(t == t[:1]):
        return [
            Suspicion(
                "labels_imbalanced",
                f"all {len(t)} targets are the same ({t[0].tolist()}), labels of one class: nothing can be told apart",
                0.97,
                {"share": 1.0},
                certain=True,
            )
        ]
    labels = labels_of(t, y)
    counts = np.unique(labels, return_counts=True)[1] if labels is not None else np.ones(len(t))
    share = float(counts.max() / len(t))
    if share < _NEARLY_ALL or len(t) < 50:
        return []
    return [
        Suspicion(
            "labels_imbalanced",
            f"{100 * share:.1f} % of the labels are of one class: always naming it is nearly always right",
            0.86,
            {"share": share},
            certain=True,
            unless=lambda trials, course: course.learned > 0.5,
        )
    ]


def labels_of(t: HostArray, y: HostArray) -> HostArray | None:
    """Class numbers (n,) of targets that are labels, or two numbers; None of others."""
    if is_labels(t, y):
        return classes(t)
    if t.size == len(t) and len(np.unique(t)) == 2:
        return np.asarray(t.reshape(-1) == t.max(), int)
    return None


def _rows(x: HostArray) -> HostArray:
    return x.reshape(len(x), -1)

"""Data: shapes that broadcast, scales, labels, and whether there is anything to learn."""

from collections.abc import Callable

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Attempt, Suspicion

_MANY_CONSTANT = 0.4
_NEARLY_ALL = 0.97
"""From this share on, the other classes are too rare to be learned as they are."""


def examine_data(patient: Patient, y: HostArray) -> list[Suspicion]:
    """What the data alone, and their shapes beside the outputs', give away."""
    return [*_shapes(patient, y), *_features(patient), *_apart(patient), *_overlap(patient), *_balance(patient, y)]


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
    ones = bool(np.any(~moving & (mean == 1.0)))  # such a column stands for a bias
    count = int(np.sum(~moving)) - ones
    if count > _MANY_CONSTANT * len(moving):
        found.append(
            Suspicion(
                "inputs_constant",
                f"{count} of {x.shape[1]} features are the same for all examples: they say nothing, or were lost",
                0.5,
                {"constant": count, "features": x.shape[1]},
                certain=True,
            )
        )
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
                tried=[standardized(patient, "standardized inputs", shift, scale)],
            )
        )
    return found


def standardized(patient: Patient, what: str, shift: HostArray, scale: HostArray) -> Attempt:
    """A run with inputs put on this scale."""
    change = standardize(shift, scale)
    return Attempt(what, lambda trials, longer: trials.run(patient.parameters, inputs=change, scale=longer))


def standardize(shift: HostArray, scale: HostArray) -> Callable[[HostArray], HostArray]:
    """Puts each feature on the scale of these means and deviations."""

    def change(x: HostArray) -> HostArray:
        rows = (_rows(x) - shift) / scale
        return rows.reshape(x.shape).astype(x.dtype)

    return change


def _apart(patient: Patient) -> list[Suspicion]:
    """Whether the validation inputs were put on a scale of their own."""
    if patient.validation is None:
        return []
    a, b = _rows(patient.data[0]), _rows(patient.validation[0])
    if a.shape[1] != b.shape[1] or min(len(a), len(b)) < 8:
        return []
    (mean_a, spread_a), (mean_b, spread_b) = ((rows.mean(axis=0), rows.std(axis=0)) for rows in (a, b))
    moving = (spread_a > 1e-9) & (spread_b > 1e-9)
    if not moving.any():
        return []
    spread_a, spread_b = spread_a[moving], spread_b[moving]
    shift = np.abs(mean_a[moving] - mean_b[moving]) / spread_a
    ratio = np.abs(np.log(spread_b / spread_a))
    noise = 1.0 / np.sqrt(min(len(a), len(b)))
    own = _standardized(a) and _standardized(b) and not np.array_equal(a, b)
    ranged = not own and _ranged(a) and _ranged(b)
    if own or ranged or float(np.median(shift)) > max(0.5, 8 * noise) or float(np.median(ratio)) > max(0.5, 8 * noise):
        how = "mean 0 and deviation 1" if own else "the range from 0 to 1" if ranged else "another scale"
        return [
            Suspicion(
                "inputs_scaled_apart",
                "training and validation inputs were scaled apart: "
                f"{'each has' if own or ranged else 'validation has'} {how}"
                f"{' to the last digit' if own or ranged else ''}, so that one value means two things",
                0.8,
                {"median_shift": float(np.median(shift)), "median_ratio": float(np.exp(np.median(ratio)))},
                certain=True,
            )
        ]
    return []


def _standardized(x: HostArray) -> bool:
    """Whether each feature has a mean of 0 to the last digit, and a deviation of about 1."""
    spread = x.std(axis=0)
    moving = spread > 0.1
    return bool(
        np.any(moving)
        and np.all(np.abs(x.mean(axis=0)[moving]) < 1e-5)
        and np.all(spread[moving] < 1.001)
        and np.median(spread[moving]) > 0.9
    )


def _ranged(x: HostArray) -> bool:
    """Whether each feature, of values that hardly repeat, has exactly the range from 0 to 1, or from -1 to 1."""
    if any(len(np.unique(column)) < len(column) // 2 for column in x.T):
        return False
    low, high = x.min(axis=0), x.max(axis=0)
    return bool(np.all(np.abs(high - 1.0) < 1e-7) and (np.all(np.abs(low) < 1e-7) or np.all(np.abs(low + 1.0) < 1e-7)))


def _overlap(patient: Patient) -> list[Suspicion]:
    if patient.validation is None:
        return []
    a, b = _rows(patient.data[0]), _rows(patient.validation[0])
    if a.shape[1] != b.shape[1] or a.shape[1] < 2 or (a.shape == b.shape and np.array_equal(a, b)):
        return []
    half = len(a) // 2
    share, usual = _known(a, b), _known(a[:half], a[half:])
    if share < 0.05 + 2.0 * usual:  # rows of few values repeat, as bits do
        return []
    return [
        Suspicion(
            "data_overlap",
            f"{100 * share:.0f} % of the validation examples are training examples: validation says too much good",
            0.35,
            {"share": share},
            certain=True,
        )
    ]


def _known(a: HostArray, b: HostArray) -> float:
    """The share of b's rows that are rows of a."""
    known = {row.tobytes() for row in np.ascontiguousarray(a)}
    return float(np.mean([row.tobytes() in known for row in np.ascontiguousarray(b.astype(a.dtype))]))


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
    whole = is_labels(t, y) or (t.size == len(t) and len(np.unique(t)) == 2)
    counts = np.unique(t if t.size == len(t) else classes(t), return_counts=True)[1] if whole else np.ones(len(t))
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


def _rows(x: HostArray) -> HostArray:
    return x.reshape(len(x), -1)

"""Training and validation examples beside each other: scales, examples in both, and classes."""

from collections.abc import Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_data import labels_of
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Suspicion

_RARE = 0.1
"""A class with less than this share of what validation has of it is too rare."""
_EXPECTED = 8
"""Of so many expected examples of a class, none is no chance."""
_FEW = 8
"""Fewer examples tell no spread."""


def examine_validation(patient: Patient, y: HostArray) -> list[Suspicion]:
    """What validation examples give away beside those for training."""
    if patient.validation is None:
        return []
    a, b = (x.reshape(len(x), -1).astype(float) for x in (patient.data[0], patient.validation[0]))
    if a.shape[1] != b.shape[1] or (a.shape == b.shape and np.array_equal(a, b)):
        return []
    labels = _both_labels(patient, y)
    return [*_apart(a, b, labels), *_overlap(a, b), *_rare(labels)]


def _both_labels(patient: Patient, y: HostArray) -> tuple[HostArray, HostArray] | None:
    """The class numbers of both sets; None where targets are no labels."""
    assert patient.validation is not None
    t, other = patient.data[1], patient.validation[1]
    if t.ndim != other.ndim or len(other) != len(patient.validation[0]) or len(t) != len(patient.data[0]):
        return None
    together = labels_of(np.concatenate([t, other]), y) if t.shape[1:] == other.shape[1:] else None
    return None if together is None else (together[: len(t)], together[len(t) :])


# Scales -----------------------------------------------------------------------------------------------------------


def _apart(a: HostArray, b: HostArray, labels: tuple[HostArray, HostArray] | None) -> list[Suspicion]:
    """Whether the validation inputs were put on a scale of their own."""
    if min(len(a), len(b)) < _FEW:
        return []
    own = next((how for how, has in _OWN if has(a) and has(b)), None) or _same_range(a, b)
    shift, ratio = _difference(a, b, labels)
    noise = 1.0 / np.sqrt(min(len(a), len(b)))
    one = None if own else _one_apart(a, b)
    if not (own or one or shift > max(0.5, 8 * noise) or ratio > max(0.5, 8 * noise)):
        return []
    what = f"each has {own} to the last digit" if own else one or "validation has another scale"
    return [
        Suspicion(
            "inputs_scaled_apart",
            f"training and validation inputs were scaled apart: {what}, so that one value means two things",
            0.8,
            {"median_shift": shift, "median_ratio": float(np.exp(ratio))},
            certain=True,
        )
    ]


def _difference(a: HostArray, b: HostArray, labels: tuple[HostArray, HostArray] | None) -> tuple[float, float]:
    """How far means, and logarithms of deviations, lie apart in the median feature.

    Where there are classes, also within these, and the less of both: classes may be more frequent in one set, and
    labels of one set may be wrong.
    """
    if labels is None:
        return _difference_within([(a, b)], a)
    classes = [(a[labels[0] == k], b[labels[1] == k]) for k in np.unique(labels[0])]
    both = _difference_within([(a, b)], a), _difference_within(classes, a)
    return min(shift for shift, _ in both), min(ratio for _, ratio in both)


def _difference_within(pairs: list[tuple[HostArray, HostArray]], a: HostArray) -> tuple[float, float]:
    pairs = [pair for pair in pairs if min(map(len, pair)) >= _FEW]
    if not pairs:
        return 0.0, 0.0
    spread, others = (np.sqrt(np.mean([pair[i].var(axis=0) for pair in pairs], axis=0)) for i in (0, 1))
    moving = (spread > 1e-9) & (others > 1e-9)
    if not moving.any():
        return 0.0, 0.0
    shifts = [np.abs(one.mean(axis=0) - other.mean(axis=0))[moving] / a.std(axis=0)[moving] for one, other in pairs]
    return float(np.median(shifts)), float(np.median(np.abs(np.log(others[moving] / spread[moving]))))


def _one_apart(a: HostArray, b: HostArray) -> str | None:
    """A single feature that lies elsewhere, or is much wider; features of few values tell nothing."""
    (low, middle, high), (low_b, middle_b, high_b) = (np.quantile(x, (0.25, 0.5, 0.75), axis=0) for x in (a, b))
    wide, wide_b = high - low, high_b - low_b
    for i in np.flatnonzero((wide > 0.0) & (wide_b > 0.0)):
        if min(len(a), len(b)) < 20 or len(np.unique(a[:, i])) < 20:
            continue
        if abs(middle[i] - middle_b[i]) > 5.0 * wide[i] or not 1.0 / 6.0 < wide_b[i] / wide[i] < 6.0:
            return f"feature {i} has another scale in validation"
    return None


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


def _standardized_together(x: HostArray) -> bool:
    return abs(float(x.mean())) < 1e-6 and abs(float(x.std()) - 1.0) < 1e-4


def _centred_by_medians(x: HostArray) -> bool:
    """Whether each feature has a median of 0 and quartiles 1 apart."""
    if not any(_is_drawn(column) for column in x.T):
        return False
    low, middle, high = np.quantile(x, (0.25, 0.5, 0.75), axis=0)
    return bool(np.all(np.abs(middle) < 1e-6) and np.all(np.abs(high - low - 1.0) < 1e-5))


_OWN = (
    ("mean 0 and deviation 1", _standardized),
    ("mean 0 and deviation 1 over all features", _standardized_together),
    ("median 0 and quartiles 1 apart", _centred_by_medians),
)


def _same_range(a: HostArray, b: HostArray) -> str | None:
    """Whether features of both sets have exactly the same smallest and largest values, and each once.

    Values that repeat, as clipped ones do, and evenly spaced ones may well have the same ends.
    """
    columns = [i for i in range(a.shape[1]) if _is_drawn(a[:, i]) and _is_drawn(b[:, i])]
    if not columns:
        return None
    ends = [np.stack([x[:, columns].min(axis=0), x[:, columns].max(axis=0)]) for x in (a, b)]
    wide = ends[0][1] - ends[0][0]
    if np.all(np.abs(ends[0] - ends[1]) < 1e-6 * wide):
        return f"the range from {ends[0][0][0]:.3g} to {ends[0][1][0]:.3g}"
    largest = [np.abs(x[:, columns]).max(axis=0) for x in (a, b)]
    if len(columns) > 1 and all(np.all(np.abs(each - 1.0) < 1e-6) for each in largest):
        return "a largest absolute value of 1"
    return None


def _is_drawn(column: HostArray) -> bool:
    """Whether values hardly repeat, and are not evenly spaced."""
    values = np.unique(column)
    if len(values) < max(3, 0.8 * len(column)):
        return False
    gaps = np.diff(values)
    ends_once = np.sum(column == values[0]) == np.sum(column == values[-1]) == 1
    return bool(ends_once and np.ptp(gaps) > 1e-3 * gaps.max())


# Examples and classes ---------------------------------------------------------------------------------------------


def _overlap(a: HostArray, b: HostArray) -> list[Suspicion]:
    if a.shape[1] < 2:
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
    return float(np.mean([row.tobytes() in known for row in np.ascontiguousarray(b)]))


def _rare(labels: tuple[HostArray, HostArray] | None) -> Iterator[Suspicion]:
    """A class that validation has many examples of, and training next to none."""
    if labels is None or min(map(len, labels)) < 20 or len(np.unique(labels[0])) == 1:
        return
    for k in np.unique(labels[1]):
        count, others = (int(np.sum(each == k)) for each in labels)
        share, usual = count / len(labels[0]), others / len(labels[1])
        if others >= 5 and usual * len(labels[0]) >= _EXPECTED and share < _RARE * usual:
            yield Suspicion(
                "labels_imbalanced",
                f"class {k} has {count} of {len(labels[0])} training examples, and {others} of {len(labels[1])} for "
                "validation: it is too rare to be learned",
                0.87,
                {"class": int(k), "share": share, "share_in_validation": usual},
                certain=True,
            )
            return

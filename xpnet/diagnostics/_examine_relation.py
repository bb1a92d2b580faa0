"""Whether targets have anything to do with the inputs: against the same targets, shuffled at random."""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._examine_outputs import baseline
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Suspicion
from xpnet.diagnostics._trials import Trials

_MANY = 400
"""Examples that are looked at."""
_SHUFFLES = 40
_ABOVE = 4.0
"""A relation lies so many deviations from that of shuffled targets."""
_PAIRS = 12
"""Up to so many features, their products are features, too."""
_UNSEEN = 25
"""On fewer examples a loss below the baseline's may be chance."""
_LESS = 0.93
"""A network that knows something of examples it has not seen brings their loss below this share of the baseline's."""


def examine_relation(patient: Patient) -> list[Suspicion]:
    """Whether neighbours have the same targets, or features go with them, more often than chance."""
    x, t = patient.data[0].reshape(len(patient.data[0]), -1), patient.data[1]
    if len(x) < 30 or len(t) != len(x):
        return []
    rows = np.random.default_rng(0).permutation(len(x))[:_MANY]
    x, values = x[rows].astype(float), t[rows].reshape(len(rows), -1).astype(float)
    if float(values.std()) == 0.0:
        return []
    whole = t.dtype.kind in "iub" and values.shape[1] == 1
    random = np.random.default_rng(1)
    shuffled = [random.permutation(values) for _ in range(_SHUFFLES)]
    spread = x.std(axis=0)
    scaled = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    near = _agreement(x, 5, whole)
    real, chance = near(values), [near(each) for each in shuffled]
    for measure in (near, *_neighbours(x, scaled, whole), *_fits(scaled, values, whole)):
        if _apart(measure(values), [measure(each) for each in shuffled]) > _ABOVE:
            return []
    return [
        Suspicion(
            "labels_shuffled",
            "targets have nothing to do with the inputs: among the five nearest neighbours of an example, "
            + (f"{100 * real:.0f} % share its label" if whole else f"the targets explain {100 * max(real, 0):.0f} %")
            + ", no more than with targets shuffled at random",
            0.92,
            {"agreement": real, "by_chance": float(np.mean(chance)), "deviations_above": _apart(real, chance)},
            certain=True,
            unless=lambda trials, course: generalizes(trials),
        )
    ]


def _apart(real: float, chance: list[float]) -> float:
    """How many deviations a measure lies from chance; neighbours that always differ are a relation, too."""
    return abs(real - float(np.mean(chance))) / (float(np.std(chance)) + 1e-12)


def _neighbours(x: HostArray, scaled: HostArray, whole: bool) -> Iterator[Callable[[HostArray], float]]:
    yield _agreement(scaled, 5, whole)
    for points in (x, scaled):
        yield _agreement(points, max(8, len(x) // 12), whole)


def _agreement(points: HostArray, count: int, whole: bool) -> Callable[[HostArray], float]:
    """How much the nearest other points say about targets: the share that is equal, or what their mean explains."""
    squares = (points**2).sum(axis=1)
    distances = squares[:, None] + squares[None, :] - 2.0 * points @ points.T
    np.fill_diagonal(distances, np.inf)
    near = np.argsort(distances, axis=1)[:, :count]

    def measure(values: HostArray) -> float:
        if whole:
            return float(np.mean(values[near] == values[:, None, :]))
        rest = values - values[near].mean(axis=1)
        total = values - values.mean(axis=0)
        return 1.0 - float((rest**2).sum() / max((total**2).sum(), 1e-300))

    return measure


def _fits(x: HostArray, values: HostArray, whole: bool) -> Iterator[Callable[[HostArray], float]]:
    """What features explain: single ones, all, and their products."""
    classes = np.unique(values) if whole else None

    def centred(values: HostArray) -> HostArray:
        columns = values if classes is None else (values == classes).astype(float)
        return np.asarray(columns - columns.mean(axis=0))

    def explained(features: HostArray) -> Callable[[HostArray], float]:
        u, s, _ = np.linalg.svd(features - features.mean(axis=0), full_matrices=False)
        weights = s**2 / (s**2 + np.mean(s**2) + 1e-300)  # of a ridge regression
        return lambda values: float(np.sum((weights[:, None] * (u.T @ centred(values))) ** 2))

    def largest(values: HostArray) -> float:
        t = centred(values)
        return float(np.max((x.T @ (t / np.maximum(np.linalg.norm(t, axis=0), 1e-12))) ** 2))

    yield largest
    yield explained(x)
    if x.shape[1] <= _PAIRS:
        i, j = np.triu_indices(x.shape[1])
        yield explained(np.concatenate([x, x[:, i] * x[:, j]], axis=1))


def generalizes(trials: Trials) -> bool:
    """Whether the network, trained on three quarters of the examples, knows something of the others."""
    (x, t), steps = trials.patient.data, max(1, trials.steps // 10)
    order = np.random.default_rng(2).permutation(len(x))
    rows, others = order[: 3 * len(x) // 4], order[3 * len(x) // 4 :]
    if len(others) < _UNSEEN:
        return False
    learner = dataclasses.replace(trials.patient, data=(x[rows], t[rows]))
    unseen = dataclasses.replace(trials.patient, data=(x[others], t[others]))
    parameters = trials.patient.parameters
    least = baseline(unseen, unseen.forward(parameters, x[others]))
    for _ in range(10):
        trial = trials.of(learner).run(parameters, steps=steps)
        parameters = trial.parameters
        if trial.finite and unseen.loss(parameters, *unseen.data) < _LESS * least:
            return True
    return False

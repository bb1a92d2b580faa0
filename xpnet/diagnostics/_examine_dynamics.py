"""Dynamics: what a short real run shows, and what steps of other lengths would."""

import dataclasses
import math

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Parameters, Patient
from xpnet.diagnostics._suspicion import Attempt, Suspicion
from xpnet.diagnostics._trials import Course, Trial, Trials

_SCALES = (1e-4, 1e-3, 1e-2, 0.1, 0.3, 3.0, 10.0, 100.0, 1000.0, 10000.0)
_LEAST = 4
"""So many runs with steps of other lengths are made in any case."""
_LONG = 0.01
"""Steps of this share of the weights are long."""
_LEAP = 0.5
"""Steps of this share of the weights leave little of what was learned."""
_LATE, _FADED = 300, 0.02
"""After so many steps, one is as long as this share of the first, or less, if steps die out."""
_FARTHEST = 1e12
_NOTHING = 1e-6
"""Steps of this share of the weights, or less, are lost in rounding."""
_SLOW = 2e-4
"""Steps of this share of the weights, or less, are slow; of more than five times that, they are not."""
_MUCH = 0.1
"""A run that ends below this share of another's loss is another kind of run."""
_HALF = 0.6
"""A network that takes this share of the baseline's loss away learns, if not as well as with another rate."""
_LITTLE, _HARDLY = 0.3, 0.05
"""A network whose loss falls by less than this share hardly learns."""


def examine_dynamics(patient: Patient, trials: Trials, course: Course) -> list[Suspicion]:
    """The learning rate, by steps of other lengths."""
    if patient.call_step is None:
        return []
    moved = _update_to_weight(patient)
    if moved < _NOTHING and abs(course.trial.end - course.trial.start) < 0.01 * course.trial.start:
        return [
            Suspicion(
                "rate_low",
                f"a step changes the weights by {100 * moved:.2g} % of their size, and after {course.trial.steps} "
                f"steps the loss is still {course.trial.end:.3g}",
                0.6,
                {"update_over_weight": moved, "loss": course.trial.end},
                certain=True,
            )
        ]
    fading = _fading(patient, trials, course)
    if fading:
        return fading
    runs = dict[float, Trial]()
    for scale in _order(course, moved):
        if len(runs) < _LEAST or not trials.over:
            runs[scale] = trials.run(patient.parameters, scale=scale)
    farthest = max(runs)
    while farthest < _FARTHEST and not trials.over and min(runs, key=lambda scale: _end(runs[scale])) == farthest:
        farthest *= 100.0
        runs[farthest] = trials.run(patient.parameters, scale=farthest)
    found = [(scale, trial) for scale, trial in runs.items() if trial.finite]
    if not found:
        return []
    scale, best = min(found, key=lambda pair: pair[1].end)
    if not course.trial.finite:
        scale, best = max((pair for pair in found if pair[1].end <= 2.0 * best.end), key=lambda pair: pair[0])
    evidence = {"best_scale": scale, "update_over_weight": moved, "loss": course.trial.end, "loss_at_best": best.end}
    if course.knew and course.trial.finite and scale < 1.0:
        return []
    much = best.end < _MUCH * course.trial.end
    lost = not course.trial.finite or (course.learned < 0.0 and much)
    stays = course.learned < _HALF and not course.trial.falls
    leaps = moved > _LEAP and best.end < 0.3 * course.trial.end
    if (scale < 0.3 and (lost or much or stays or leaps)) or (scale < 1.0 and lost):
        how = "diverges" if not course.trial.finite else f"ends at {course.trial.end:.3g}"
        return [
            Suspicion(
                "rate_high",
                f"the loss {how}, and with steps {1 / scale:.3g} times shorter it falls to {best.end:.3g}; a step "
                f"changes the weights by {100 * moved:.2g} %",
                0.6,
                evidence,
                remedy=f"a learning rate about {1 / scale:.3g} times lower",
                tried=[Attempt("", lambda trials, scale: best)],
            )
        ]
    if scale >= 100.0 and _hardly_moves(course, moved, much=much) and (much or not course.knew):
        return [
            Suspicion(
                "rate_low",
                f"after {course.trial.steps} steps the loss is {course.trial.end:.3g}, and {best.end:.3g} with steps "
                f"{scale:.3g} times longer; a step changes the weights by {100 * moved:.2g} %",
                0.6,
                evidence,
                remedy=f"a learning rate about {scale:.3g} times higher",
                tried=[Attempt("", lambda trials, scale: best)],
            )
        ]
    return []


def _order(course: Course, moved: float) -> list[float]:
    """Scales of steps, the most promising first: shorter ones where steps are long, and longer ones where not."""
    shorter = not course.trial.finite or course.learned < 0.0 or moved > _LONG
    return sorted(_SCALES, key=lambda scale: (scale > 1.0 if shorter else scale < 1.0, abs(math.log(scale))))


def _fading(patient: Patient, trials: Trials, course: Course) -> list[Suspicion]:
    """Steps that die out: at the same place, a late one is next to nothing beside the first, which did more good."""
    if not course.trial.finite or trials.over:
        return []
    x, t = patient.data[0][: trials.batch], patient.data[1][: trials.batch]
    count, parameters = min(trials.steps, _LATE), patient.parameters
    patient.reset()
    first = _moved(parameters, patient.step(parameters, x, t))
    for _ in range(count):
        new = patient.step(parameters, x, t)
    left = _moved(parameters, new) / max(first, 1e-300)
    if first == 0.0 or left > _FADED:
        return []

    def anew(parameters: Parameters, x: HostArray, t: HostArray) -> Parameters:
        patient.reset()
        return patient.step(parameters, x, t)

    steady = trials.run(parameters, advance=anew)
    if _end(steady) > (0.5 if course.learned < _HALF else 0.3) * course.trial.end:
        return []
    return [
        Suspicion(
            "rate_low",
            f"after {count} steps at the same place, a step is {100 * left:.2g} % as long as the first: steps die out "
            f"before the loss, {course.trial.end:.3g}, comes to {steady.end:.3g}, which steps like the first bring",
            0.6,
            {"late_over_first": left, "loss": course.trial.end, "loss_with_first": steady.end},
            remedy="let the learning rate fall later, or less",
            tried=[Attempt("", lambda trials, scale: steady)],
        )
    ]


def _hardly_moves(course: Course, moved: float, *, much: bool) -> bool:
    """Whether short steps, or quite short ones that change next to nothing, leave the loss about where it was."""
    if moved < _SLOW:
        return course.moved < (2.0 * _LITTLE if much else _LITTLE)
    return moved < 5.0 * _SLOW and course.moved < _HARDLY and course.trial.end > (1.0 - _HARDLY) * course.trial.start


def _end(trial: Trial) -> float:
    return trial.end if trial.finite else math.inf


def still_straight(patient: Patient, suspicion: Suspicion, course: Course, y: HostArray) -> Suspicion:
    """A network that starts as a straight line and, after a run, is no better than the best one: that is proof."""
    x, t = patient.data
    if suspicion.cause != "hinges_outside_data" or t.size != y.size or not course.trial.finite:
        return suspicion
    rows = np.concatenate([x.reshape(len(x), -1), np.ones((len(x), 1))], axis=1).astype(float)
    targets = t.reshape(y.shape).astype(float)
    line = rows @ np.linalg.lstsq(rows, targets, rcond=None)[0]
    best = patient.loss_of(line.reshape(y.shape).astype(y.dtype), t)
    if not (best > 0.01 * course.baseline and 0.7 * best < course.trial.end < 4.0 * best):
        return suspicion
    proof = f"; after {course.trial.steps} steps its loss is {course.trial.end:.3g}, and a straight line's {best:.3g}"
    return dataclasses.replace(suspicion, sentence=suspicion.sentence + proof, certain=True)


def _update_to_weight(patient: Patient) -> float:
    """How far one step moves the parameters, as a share of their size."""
    x, t = patient.data
    patient.reset()
    new = patient.step(patient.parameters, x[:64], t[:64])
    return _moved(patient.parameters, new) / max(_norm(patient.parameters), 1e-300)


def _moved(old: Parameters, new: Parameters) -> float:
    return _norm({n: new[n] - v for n, v in old.items() if v.dtype.kind == "f" and n in new})


def _norm(parameters: Parameters) -> float:
    return math.sqrt(sum(float(np.sum(np.square(v, dtype=float))) for v in parameters.values() if v.dtype.kind == "f"))

"""Remedies on a copy: the form that helps, the learning rate it bears, and what is told of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet.diagnostics._illustration import curves
from xpnet.diagnostics._patient import Patient, PatientError
from xpnet.diagnostics._suspicion import Attempt
from xpnet.diagnostics._trials import Course, Trial, Trials

_PAYS = 0.5
"""Another rate is named if it brings the loss below this share."""
_ENOUGH = 0.01
"""Below this share of the loss as it was, a remedy needs no other rate."""
_LONGER = (3.0, 10.0, 30.0, 100.0, 300.0)
_SHORTER = (0.3, 0.1)


def first_that_helps(attempts: Sequence[Attempt], trials: Trials, below: float) -> tuple[Attempt, Trial] | None:
    """The first form of a remedy that brings the loss below this; None if none does."""
    for i, attempt in enumerate(attempts):
        if i and trials.over:
            return None
        trial = attempt.run(trials, 1.0)
        if trial.finite and trial.end < below:
            return attempt, trial
    return None


def at_another_rate(attempt: Attempt, trial: Trial, trials: Trials, before: float) -> tuple[float, Trial]:
    """By how many times longer steps a remedy brings clearly more, and its run; 1 where none do.

    Steps are made longer as long as that pays; of those that are about as good, the shortest are taken.
    """
    if not attempt.what or trial.end < _ENOUGH * before:
        return 1.0, trial
    for scales in (_LONGER, _SHORTER):
        runs = [(1.0, trial)]
        for scale in scales:
            if trials.over:
                break
            run = attempt.run(trials, scale)
            if not run.finite or run.end > 1.5 * runs[-1][1].end:  # a plateau may lie between
                break
            runs.append((scale, run))
        least = min(run.end for _, run in runs)
        scale, best = next(pair for pair in runs if pair[1].end <= 2.0 * least)
        if best.end < _PAYS * trial.end:
            return scale, best
    return 1.0, trial


def rate_in_words(trials: Trials, scale: float) -> str:
    """A learning rate: its value, if it can be told from a step, and how many times another it is."""
    times = f"{scale:g} times higher" if scale > 1.0 else f"{1.0 / scale:.2g} times lower"
    rate = _rate(trials.patient) if trials.patient.call_step is not None else trials.rate
    return f"a learning rate {times}" if rate is None else f"a learning rate of {rate * scale:.2g} ({times})"


def _rate(patient: Patient) -> float | None:
    """The rate of a step that goes along the gradients, where both are given; None where it is no plain descent."""
    if patient.call_gradients is None:
        return None
    x, t = patient.data[0][:10], patient.data[1][:10]
    try:
        patient.reset()
        slopes = patient.gradients(patient.parameters, x, t)
        new = patient.step(patient.parameters, x, t)
    except PatientError:  # made for batches of another size
        return None
    moved = {name: patient.parameters[name].astype(float) - new[name] for name in slopes}
    g = np.concatenate([slope.reshape(-1) for slope in slopes.values()])
    d = np.concatenate([moved[name].reshape(-1) for name in slopes])
    sizes = np.abs(g)[np.abs(g) > 1e-3 * np.abs(g).max(initial=0.0)]
    if g.size != d.size or sizes.size < 3 or np.ptp(sizes) < 0.05 * sizes.max():  # it may as well go along signs
        return None
    rate = float(d @ g / float(g @ g))
    plain = float(np.linalg.norm(d - rate * g)) <= 1e-3 * float(np.linalg.norm(d))
    return rate if plain and rate > 0.0 else None


def told_of(course: Course, attempt: Attempt, trial: Trial) -> dict[str, Any]:
    """What a finding keeps of a remedy that was tried."""
    before = course.trial.end if course.trial.finite else math.inf
    told = {"before": before, "after": trial.end, "steps": trial.steps, "curves": curves(course.trial, trial)}
    return told | ({"what": attempt.what} if attempt.what else {})

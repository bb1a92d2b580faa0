"""Short runs of a patient: as it is, or with something changed on a copy."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._patient import Parameters, Patient, seeded

_BATCH = 64
_QUICK = 1.2e-3
"""Seconds of a step, below which runs are longer than there is time for on a busy machine."""
_LONG = 2.0
"""Seconds of a run, from which on there is time for the most needed runs only."""
_RATES = (0.1, 0.3, 0.03, 0.01, 1e-3, 1e-4, 1e-5)
_FALLING = 0.8
"""A loss falls if its end is below this share of the second quarter's."""
_BUDGET = 6.0
"""Seconds for all runs of a diagnosis together; the last one that was begun comes to its end."""
_SHOWN = 512
"""Examples that losses are looked at on."""


@dataclass(frozen=True)
class Trial:
    """What a short run showed.

    Attributes
    ----------
    start, end : the loss before and, as the median of the last looks, behind the run.
    losses : at all looks.
    steps : how many steps were taken.
    parameters : the last ones that are finite.
    """

    start: float
    end: float
    losses: tuple[float, ...]
    steps: int
    parameters: Parameters

    @property
    def falls(self) -> bool:
        """Whether the loss still falls at the end."""
        early = self.losses[len(self.losses) // 4 : len(self.losses) // 2]
        return self.finite and len(early) > 0 and self.end < _FALLING * float(np.median(early))

    @property
    def finite(self) -> bool:
        """Whether all losses were finite."""
        return all(map(math.isfinite, self.losses))


@dataclass(frozen=True)
class Course:
    """How the patient learns as it is, beside the loss of outputs that are the same for all examples."""

    trial: Trial
    baseline: float

    @property
    def learned(self) -> float:
        """The share of the baseline's loss that is gone at the end: 1 is all, 0 or less is nothing."""
        if not self.trial.finite or not math.isfinite(self.baseline):
            return 0.0 if not self.trial.finite else (1.0 - self.trial.end / max(self.trial.start, 1e-300))
        return 1.0 - self.trial.end / max(self.baseline, 1e-300)

    @property
    def moved(self) -> float:
        """The share of the loss at the start, or of the baseline's where that is less, that the run took away."""
        return 1.0 - self.trial.end / max(min(self.trial.start, self.baseline), 1e-300) if self.trial.finite else 0.0

    @property
    def knew(self) -> bool:
        """Whether the network was trained before: much better than the baseline from the start."""
        return math.isfinite(self.baseline) and self.trial.start < 0.2 * self.baseline


@final
class Trials:
    """Runs of one patient, all of the same length, which is chosen by what time there is.

    Parameters
    ----------
    patient : who is run.
    seconds : for one run.

    Attributes
    ----------
    rate : of plain gradient descent, for a patient without a step of its own.
    steps : of each run.
    quick : whether there is time for many runs.
    """

    def __init__(self, patient: Patient, seconds: float) -> None:
        self.patient = patient
        self.rate: float | None = None
        self.steps = 20
        self.batch = patient.batch_size(min(_BATCH, len(patient.data[0])))
        self._started = time.thread_time()  # a machine that is busy otherwise makes runs longer, not worse
        self.run(patient.parameters, steps=5)
        each = (time.thread_time() - self._started) / 6
        self.steps = int(min(3000, max(500 if each < _QUICK else 200, seconds / max(each, 1e-6))))
        self.quick = each * self.steps < _LONG
        if patient.call_step is None:
            self.rate = self._own_rate()

    def _own_rate(self) -> float:
        """The rate at which plain descent brings the loss down most."""
        ends = {}
        for self.rate in _RATES:
            trial = self.run(self.patient.parameters, steps=self.steps // 10)
            ends[self.rate] = trial.end if trial.finite else math.inf
        return min(ends, key=lambda rate: ends[rate])

    @property
    def over(self) -> bool:
        """Whether the time for runs that are not most needed is spent."""
        return time.thread_time() - self._started > _BUDGET

    def of(self, patient: Patient) -> Self:
        """Runs of another patient, of the same length."""
        others = copy.copy(self)
        others.patient = patient
        return others

    def run(
        self,
        parameters: Parameters,
        *,
        scale: float = 1.0,
        inputs: Callable[[HostArray], HostArray] = lambda x: x,
        targets: Callable[[HostArray], HostArray] = lambda t: t,
        steps: int | None = None,
        examples: int | None = None,
        advance: Callable[[Parameters, HostArray, HostArray], Parameters] | None = None,
    ) -> Trial:
        """Trains a copy.

        Parameters
        ----------
        parameters : where it starts.
        scale : each step is taken this many times as far.
        inputs, targets : what is done to the data first.
        examples : only so many are trained on.
        advance : the step, if not the patient's own.
        """
        patient, order = self.patient, np.random.default_rng(0)
        x, t = inputs(patient.data[0]), targets(patient.data[1])
        if examples is not None:
            x, t = x[:examples], t[:examples]
        n, steps = len(x), steps or self.steps
        advance = advance or self._own
        patient.reset()
        seen = slice(0, min(n, _SHOWN))
        looks = {round(i) for i in np.linspace(steps / 20, steps, 20)}
        losses = [patient.loss(parameters, x[seen], t[seen])]
        with seeded(0):
            for i in range(1, steps + 1):
                whole = self.batch == _BATCH and n <= 2 * _BATCH
                rows = slice(0, n) if whole else order.choice(n, min(n, self.batch), replace=False)
                new = advance(parameters, x[rows], t[rows])
                new = new if scale == 1.0 else _further(parameters, new, scale)
                if not all_finite(new):
                    losses.append(math.nan)
                    break
                parameters = new
                if i in looks:
                    losses.append(patient.loss(parameters, x[seen], t[seen]))
                    if not math.isfinite(losses[-1]):
                        break
        return Trial(losses[0], float(np.median(losses[-5:])), tuple(losses), i, parameters)

    def _own(self, parameters: Parameters, x: HostArray, t: HostArray) -> Parameters:
        if self.patient.call_step is not None:
            return self.patient.step(parameters, x, t)
        rate = self.rate or 0.1
        gradients = self.patient.gradients(parameters, x, t)
        return {
            name: values - np.asarray(rate * gradients[name].reshape(values.shape), values.dtype)
            if name in gradients and np.size(gradients[name]) == values.size
            else values
            for name, values in parameters.items()
        }


def all_finite(parameters: Parameters) -> bool:
    """Whether all parameters are."""
    return all(np.all(np.isfinite(values)) for values in parameters.values() if values.dtype.kind == "f")


def _further(old: Parameters, new: Parameters, scale: float) -> Parameters:
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is a finding
        return {
            name: np.asarray(old[name] + scale * (values - old[name]), values.dtype)
            if values.dtype.kind == "f"
            else values
            for name, values in new.items()
            if name in old
        }

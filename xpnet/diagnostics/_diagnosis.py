"""The order of an examination, and what its suspicions come to when remedies are tried."""

import contextlib
import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any, final

from tqdm.auto import tqdm

from xpnet.backend import HostArray
from xpnet.diagnostics._causes import CAUSES
from xpnet.diagnostics._examine_data import examine_data
from xpnet.diagnostics._examine_dynamics import examine_dynamics, still_straight
from xpnet.diagnostics._examine_fit import examine_fit
from xpnet.diagnostics._examine_gradients import examine_gradients
from xpnet.diagnostics._examine_initialization import examine_initialization
from xpnet.diagnostics._examine_outputs import baseline, examine_outputs, overflow_later
from xpnet.diagnostics._examine_program import check_outputs, examine_program, raised
from xpnet.diagnostics._examine_relation import examine_relation
from xpnet.diagnostics._examine_validation import examine_validation
from xpnet.diagnostics._illustration import illustrated
from xpnet.diagnostics._patient import Patient, PatientError, seeded
from xpnet.diagnostics._remedies import at_another_rate, first_that_helps, rate_in_words, told_of
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._suspicion import Attempt, Suspicion
from xpnet.diagnostics._trials import Course, Trial, Trials

_PARTS = 7
_SECONDS = 0.4
"""For one short run."""
_BETTER = 0.7
"""A remedy is one if it brings the loss below this share of what it was."""
_MUCH = 0.1
"""The same for a network that learns anyhow."""
_ANY = 0.95
"""The same where the evidence is strong."""
_LEARNED = 0.9
"""A network that loses this share of the baseline's loss in a short run learns."""
_ROOT = 0.85
"""What is certain and of this weight explains a failure: the learning rate need not be looked at."""


def examined(patient: Patient, progress: bool | None) -> Report:
    """The report on a patient.

    Parameters
    ----------
    patient : who is examined.
    progress : whether to show a bar; None shows it on a terminal.
    """
    hidden = None if progress is None else not progress
    with tqdm(total=_PARTS, desc="diagnosis", unit="part", disable=hidden, leave=False) as bar, seeded(0):
        diagnosis = _Diagnosis(patient, bar)
        try:
            diagnosis.run()
        except PatientError as error:
            diagnosis.suspicions.append(raised(patient, error))
        return illustrated(diagnosis.report(), patient)


@final
class _Diagnosis:
    """Suspicions, one part of the examination after the other; later parts need what earlier ones found."""

    def __init__(self, patient: Patient, bar: Any) -> None:
        self.patient, self._bar = patient, bar
        self.suspicions: list[Suspicion] = []
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self.tried: dict[int, dict[str, Any]] = {}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """A part of the examination, which counts as checked if it comes to its end."""
        self._bar.set_postfix_str(name)
        self.patient.reset()
        yield
        self.checked.append(name)
        self._bar.update()

    def run(self) -> None:
        """The examination, in its order.

        Raises
        ------
        PatientError : a function of the network raises.
        """
        patient, suspicions = self.patient, self.suspicions
        y = patient.forward(patient.parameters, patient.data[0])
        suspicions += check_outputs(patient, y)
        if suspicions:
            return
        with self.part("data"):
            suspicions += [*examine_data(patient, y), *examine_validation(patient, y), *examine_relation(patient)]
        with self.part("program"):
            patient.loss_of(y, patient.data[1])
            suspicions += examine_program(patient)
        with self.part("outputs"):
            suspicions += examine_outputs(patient, y)
        with self.part("gradients"):
            found, notes = examine_gradients(patient)
            suspicions += found
            self.unchecked += notes
        with self.part("initialization"):
            suspicions += examine_initialization(patient)
            if patient.look_inside(patient.parameters, patient.data[0][:2]) is None:
                self.unchecked.append(
                    "units and hinges: the network is no chain of layers that could be found in the parameters"
                )
        if patient.call_step is None and patient.call_gradients is None:
            self.unchecked.append("training: neither gradients nor a step was given")
            return
        with self.part("dynamics"):
            trials = Trials(patient, _SECONDS)
            course = self._course(trials, y)
        with self.part("remedies"):
            self._try_remedies(trials, course)
        if not self.ranked():
            suspicions += examine_fit(patient, trials, course)

    def _course(self, trials: Trials, y: HostArray) -> Course:
        """How it learns as it is, and what that says."""
        patient, suspicions = self.patient, self.suspicions
        course = Course(trials.run(patient.parameters), baseline(patient, y))
        after = (_after(suspicion, trials, course) for suspicion in suspicions)
        suspicions[:] = [still_straight(patient, suspicion, course, y) for suspicion in after if suspicion is not None]
        explained = any(suspicion.certain and suspicion.weight >= _ROOT for suspicion in suspicions)
        if not explained and not course.learned > _LEARNED:
            suspicions += examine_dynamics(patient, trials, course)
        if not course.trial.finite:
            suspicions += overflow_later(patient, course.trial.parameters)
        return course

    def _try_remedies(self, trials: Trials, course: Course) -> None:
        """Keeps what a remedy brings: much, or something where the network does not learn."""
        before = course.trial.end if course.trial.finite else math.inf
        kept: dict[int, tuple[Attempt, Trial]] = {}
        for i, suspicion in enumerate(self.suspicions):
            enough = _ANY if suspicion.strong else _MUCH if course.learned > _LEARNED else _BETTER
            tried = first_that_helps(suspicion.tried, trials, enough * before)
            if tried is not None:
                kept[i] = tried
                self.tried[i] = told_of(course, *tried)
        first = min(self.ranked(), default=None, key=lambda pair: -pair[1])
        if first is not None and first[0] in kept and trials.quick:
            self._with_another_rate(first[0], *kept[first[0]], trials, course)

    def _with_another_rate(self, i: int, attempt: Attempt, trial: Trial, trials: Trials, course: Course) -> None:
        """A remedy may bear other steps than the trouble did."""
        scale, better = at_another_rate(attempt, trial, trials, self.tried[i]["before"])
        if scale == 1.0:
            return
        rate = rate_in_words(trials, scale)
        self.tried[i] = told_of(course, Attempt(f"{attempt.what} and {rate}", attempt.run), better) | {
            "rate": scale,
            "at_the_same_rate": trial.end,
        }
        suspicion = self.suspicions[i]
        remedy = suspicion.remedy or CAUSES[suspicion.cause].remedy
        self.suspicions[i] = dataclasses.replace(suspicion, remedy=f"{remedy}; then {rate} pays")

    def ranked(self) -> list[tuple[int, float]]:
        """What is certain or a remedy has shown, with weights; one that brings little beside another stands behind."""
        gains = {i: _gain(result) for i, result in self.tried.items()}
        best = max(gains.values(), default=0.0)
        return [
            (i, suspicion.weight - (0.0 if suspicion.certain or gains[i] > 0.4 * best else 0.3))
            for i, suspicion in enumerate(self.suspicions)
            if suspicion.certain or i in self.tried
        ]

    def report(self) -> Report:
        """The findings, what was checked, and what could not be."""
        findings = [_finding(self.suspicions[i], self.tried.get(i), weight) for i, weight in self.ranked()]
        return Report(findings, checked=self.checked, unchecked=self.unchecked)


def _after(suspicion: Suspicion, trials: Trials, course: Course) -> Suspicion | None:
    """What is left of a suspicion behind runs that may clear it: one with a remedy still has to be tried."""
    if suspicion.unless is None or not suspicion.unless(trials, course):
        return suspicion
    return dataclasses.replace(suspicion, certain=False) if suspicion.tried else None


def _gain(result: Mapping[str, Any]) -> float:
    """How many powers of ten the loss falls by."""
    return min(6.0, math.log10(max(min(result["before"], 1e30), 1e-30) / max(result["after"], 1e-30)))


def _finding(suspicion: Suspicion, verified: Mapping[str, Any] | None, weight: float) -> Finding:
    return Finding(
        suspicion.cause, suspicion.sentence, suspicion.evidence, suspicion.remedy, verified=verified, weight=weight
    )

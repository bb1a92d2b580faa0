"""What an examination points at, and how it can be put to the test."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xpnet.diagnostics._trials import Course, Trial, Trials


@dataclass(frozen=True)
class Attempt:
    """A remedy on a copy.

    Attributes
    ----------
    what : what is done, such as `"centred inputs"`; empty where the remedy is another rate, which its sentence names.
    run : trains a copy with it, and with steps so many times as long.
    """

    what: str
    run: Callable[[Trials, float], Trial]


@dataclass(frozen=True)
class Suspicion:
    """A cause that an examination points at, before it is put to the test.

    Attributes
    ----------
    cause, sentence, evidence, remedy : as in `Finding`.
    weight : how much of a failure this cause explains where it is present.
    certain : whether the evidence alone proves it; otherwise a trial has to, or there is nothing wrong.
    strong : whether the evidence is far from anything usual, so that a modest gain of the remedy is proof enough.
    tried : the remedy, in the forms in which it can be tried, the one that is named first first.
    unless : whether a run, or others, show that nothing is wrong.
    """

    cause: str
    sentence: str
    weight: float
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    certain: bool = False
    strong: bool = False
    tried: Sequence[Attempt] = ()
    unless: Callable[[Trials, Course], bool] | None = None

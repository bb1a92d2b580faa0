from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xpnet.diagnostics._trials import Course, Trial, Trials


@dataclass(frozen=True)
class Suspicion:
    """A cause that an examination points at, before it is put to the test.

    Attributes
    ----------
    cause, sentence, evidence, remedy : as in `Finding`.
    weight : how much of a failure this cause explains where it is present.
    certain : whether the evidence alone proves it; otherwise a trial has to, or there is nothing wrong.
    strong : whether the evidence is far from anything usual, so that a modest gain of the remedy is proof enough.
    tried : runs a copy with the remedy.
    unless : whether a run, or others, show that nothing is wrong.
    """

    cause: str
    sentence: str
    weight: float
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    certain: bool = False
    strong: bool = False
    tried: Callable[[Trials], Trial] | None = None
    unless: Callable[[Trials, Course], bool] | None = None

"""All programs of the clinic."""

from collections.abc import Sequence

from bench.clinic.case import Case
from bench.clinic.controls import controls
from bench.clinic.faulty import faulty
from bench.clinic.fresh import fresh
from bench.clinic.held_out import held_out
from bench.clinic.unseen import unseen


def cases() -> list[Case]:
    """What the rules of the diagnosis were made with: faulty programs, then healthy ones."""
    return [*faulty(), *controls()]


def groups() -> dict[str, list[Case]]:
    """The same, and those that were written afterwards and are scored apart."""
    return {"main": cases(), "held out": held_out(), "unseen": unseen(), "fresh": fresh()}


def every_case() -> list[Case]:
    """All groups together."""
    return [case for group in groups().values() for case in group]


def chosen(
    among: Sequence[Case],
    faults: Sequence[str] | None = None,
    tasks: Sequence[str] | None = None,
    styles: Sequence[str] | None = None,
) -> list[Case]:
    """The cases of these faults (`"healthy"` for programs without one), tasks and styles; None means all."""
    return [
        case
        for case in among
        if (faults is None or (case.fault or "healthy") in faults)
        and (tasks is None or case.task in tasks)
        and (styles is None or case.style in styles)
    ]

"""How often a judge found a fault, named it, and was alarmed without one."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.clinic.case import FAULTS, Case, right

TITLES = {
    "main": "",
    "held out": "written after the rules were frozen",
    "unseen": "written after the rules were frozen again",
    "fresh": "written after the rules were made more general",
}
"""The groups of programs that are scored apart."""


@dataclass(frozen=True)
class Verdict:
    """What one judge said of one program.

    Attributes
    ----------
    judge, case, seed, fault, group : who, and of what; the group is one of `TITLES`.
    named : codes of causes, the likeliest first.
    place : of the first right one among them, from 1; 0 if none is right.
    alarm : whether a program is called faulty: any cause named, of a healthy one apart from those that it may have.
    seconds : how long the judge took.
    problem : "" or why there is no verdict: out of time, an error, arrays of the user changed.
    """

    judge: str
    case: str
    seed: int
    fault: str | None
    group: str
    named: tuple[str, ...]
    place: int
    alarm: bool
    seconds: float
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def verdict(
    judge: str,
    case: Case,
    seed: int,
    named: Sequence[str],
    seconds: float,
    problem: str = "",
    group: str = "main",
) -> Verdict:
    """Judges the judge."""
    places = [place for place, cause in enumerate(named, 1) if right(case, cause)]
    alarm = bool(named) if case.fault else any(not right(case, cause) for cause in named)
    place = places[0] if places and case.fault else 0
    return Verdict(judge, case.name, seed, case.fault, group, tuple(named), place, alarm, seconds, problem)


@dataclass(frozen=True)
class Score:
    """Shares of the programs of one kind: called faulty, right cause first, right cause in the first three."""

    programs: int
    alarmed: float
    first: float
    in_three: float
    seconds: float
    slowest: float
    problems: int


def score(verdicts: Sequence[Verdict]) -> Score:
    """Of at least one verdict; one that did not come counts as nothing named, and as an alarm on a healthy program."""
    n = len(verdicts)
    return Score(
        n,
        sum(each.alarm or (each.fault is None and bool(each.problem)) for each in verdicts) / n,
        sum(each.place == 1 for each in verdicts) / n,
        sum(1 <= each.place <= 3 for each in verdicts) / n,
        sum(each.seconds for each in verdicts) / n,
        max(each.seconds for each in verdicts),
        sum(bool(each.problem) for each in verdicts),
    )


def prefix(group: str) -> str:
    """What stands before a fault in the results of this group."""
    return f"{group}: " if TITLES[group] else ""


def table(verdicts: Sequence[Verdict]) -> str:
    """A row for each fault; for each judge the shares found, right at first and right in three, and seconds a case."""
    judges = list(dict.fromkeys(each.judge for each in verdicts))
    lines = []
    for group, title in TITLES.items():
        here = [each for each in verdicts if each.group == group]
        if here:
            lines += [*([title.capitalize()] if title else []), *_rows(here, judges), ""]
    problems = [f"{each.judge}, {each.case}, seed {each.seed}: {each.problem}" for each in verdicts if each.problem]
    return "\n".join([*lines, *(["No verdict:", *problems] if problems else [])]).rstrip()


def _rows(verdicts: Sequence[Verdict], judges: Sequence[str]) -> list[str]:
    faulty = [each for each in verdicts if each.fault]
    healthy = [each for each in verdicts if not each.fault]
    kinds = [(fault, [each for each in faulty if each.fault == fault]) for fault in _faults(faulty)]
    kinds += [("all faults", faulty)] if faulty else []
    kinds += [("healthy: false alarms", healthy)] if healthy else []
    heads = [f"{'':<24}{'':>6}", f"{'fault':<24}{'cases':>6}"]
    for judge in judges:
        heads[0] += f"  | {judge:<29}"
        heads[1] += f"  | {'found':>7}{'first':>7}{'three':>7}{'s':>8}"
    rows = [*heads, "-" * len(heads[1])]
    for kind, here in kinds:
        by_judge = {judge: [each for each in here if each.judge == judge] for judge in judges}
        row = f"{kind:<24}{max(map(len, by_judge.values())):>6}"
        for judge in judges:
            row += "  | " + (_cells(by_judge[judge]) if by_judge[judge] else " " * 29)
        rows.append(row.rstrip())
    return rows


def _cells(verdicts: Sequence[Verdict]) -> str:
    found = score(verdicts)
    named = f"{found.first:>7.0%}{found.in_three:>7.0%}" if verdicts[0].fault else f"{'':>14}"
    return f"{found.alarmed:>7.1%}{named}{found.seconds:>8.2f}"


def _faults(verdicts: Sequence[Verdict]) -> list[str]:
    """In the order of the list, then those that are not in it."""
    present = dict.fromkeys(each.fault for each in verdicts if each.fault)
    return [fault for fault in FAULTS if fault in present] + [fault for fault in present if fault not in FAULTS]

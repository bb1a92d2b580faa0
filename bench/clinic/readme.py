"""`python -m bench.clinic.readme`: writes the tables of docs/diagnosis.md; `--check` only looks."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.clinic.case import FAULTS
from bench.clinic.scoring import TITLES, prefix
from bench.readme import ROOT, replaced
from xpnet.diagnostics import CAUSES

CAUSES_MARKS = "<!-- causes: begin -->", "<!-- causes: end -->"
CLINIC_MARKS = "<!-- clinic: begin -->", "<!-- clinic: end -->"
ALL, HEALTHY = "all faults", "healthy"

Scores = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By judge, then by fault: what `bench.clinic.scoring.Score` has."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes both tables between their marks, or fails where they are not what causes and results say."""
    parser = argparse.ArgumentParser(prog="python -m bench.clinic.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the page is out of date")
    parser.add_argument("--page", type=Path, default=ROOT / "docs" / "diagnosis.md")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results" / "clinic.json")
    options = parser.parse_args(arguments)
    before = options.page.read_text(encoding="utf-8")
    after = replaced(replaced(before, causes(), *CAUSES_MARKS), figures(_scores(options.results)), *CLINIC_MARKS)
    if options.check and before != after:
        raise SystemExit(f"{options.page}: its tables are out of date; python -m bench.clinic.readme renews them")
    if before != after:
        options.page.write_text(after, encoding="utf-8")


def causes() -> str:
    """A table of all causes for each part of the examination."""
    parts = []
    for group in dict.fromkeys(cause.group for cause in CAUSES.values()):
        rows = [
            [f"`{code}`", cause.symptom, cause.test, cause.remedy]
            for code, cause in CAUSES.items()
            if cause.group == group
        ]
        parts.append(f"**{group.capitalize()}**\n\n{_table(['cause', 'symptom', 'test', 'remedy'], rows)}")
    return "\n\n".join(parts)


def figures(scores: Scores) -> str:
    """A row for each fault with the shares found and named, for each judge; each group of programs apart."""
    if not scores:
        return "Not measured yet: `python -m bench.clinic`."
    first = next(iter(scores.values()))
    parts = []
    for group, title in TITLES.items():
        before = prefix(group)
        kinds = [kind.removeprefix(before) for kind in first if kind.rpartition(": ")[0] == before.removesuffix(": ")]
        if kinds:
            heading = f"Programs that were {title}:\n\n" if title else ""
            parts.append(heading + _figures(scores, before, sorted(kinds, key=_place)))
    return "\n\n".join(parts)


def _scores(path: Path) -> Scores:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return dict(found["scores"])


def _place(kind: str) -> int:
    """Faults in their order, then those that are not in it, all of them, the healthy ones."""
    last = {ALL: len(FAULTS) + 1, HEALTHY: len(FAULTS) + 2}
    return FAULTS.index(kind) if kind in FAULTS else last.get(kind, len(FAULTS))


def _figures(scores: Scores, before: str, kinds: Sequence[str]) -> str:
    header = ["fault", "programs"]
    for number, judge in enumerate(scores):
        header += [f"{judge}: found", "first", "in three", "s"] if number == 0 else [f"{judge}: found", "first"]
    rows = []
    for kind in kinds:
        name = {ALL: f"**{ALL}**", HEALTHY: "healthy: false alarms"}.get(kind, f"`{kind}`")
        row = [
            name,
            str(max(int(each[before + kind]["programs"]) for each in scores.values() if before + kind in each)),
        ]
        for number, judge in enumerate(scores):
            row += _cells(scores[judge].get(before + kind), kind == HEALTHY, whole=number == 0)
        rows.append(row)
    return _table(header, rows)


def _cells(score: Mapping[str, float] | None, healthy: bool, *, whole: bool) -> list[str]:
    """Of the first judge all figures, of the others those found and those named first."""
    if score is None:
        return ["-"] * (4 if whole else 2)
    named = [f"{100 * score[name]:.0f} %" for name in ("first", "in_three")]
    named = ["", ""] if healthy else named
    found = f"{100 * score['alarmed']:.1f} %"
    return [found, *named, f"{score['seconds']:.1f}"] if whole else [found, named[0]]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()

"""The command: `python -m bench.clinic`, and `python -m bench.clinic --verify`."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from bench.clinic.case import FAULTS, STYLES
from bench.clinic.judges import JUDGES, missing
from bench.clinic.manifest import chosen, every_case, groups
from bench.clinic.running import run
from bench.clinic.scoring import TITLES, Verdict, prefix, score, table
from bench.clinic.tasks import TASKS
from bench.clinic.verify import verify

RESULTS = Path(__file__).parent.parent / "results" / "clinic.json"


def main(arguments: Sequence[str] | None = None) -> list[Verdict]:
    """Runs what the options say, prints the table and writes the figures."""
    options = _options(arguments)
    here = groups()[options.group] if options.group else every_case()
    here = chosen(here, options.faults, options.tasks, options.styles)
    if not here:
        raise SystemExit("clinic: no case is of these faults, tasks and styles")
    seeds = range(options.seeds)
    if options.verify:
        odd = verify(here, seeds)
        raise SystemExit("clinic: not as they should be: " + ", ".join(odd) if odd else 0)
    absent = {judge: missing(judge) for judge in options.judges}
    for judge, reason in absent.items():
        if reason:
            print(f"Left out: {judge}: {reason}")
    judges = [judge for judge in options.judges if not absent[judge]]
    verdicts = run(here, seeds, judges, limit=options.limit, jobs=options.jobs)
    found = list(tqdm(verdicts, total=len(here) * len(seeds) * len(judges), unit="verdict"))
    print(table(found))
    if options.out:
        _write(options.out, found)
        print(f"Written: {options.out}")
    return found


def _write(path: Path, verdicts: Sequence[Verdict]) -> None:
    kinds: dict[str, dict[str, dict[str, float]]] = {}
    for judge in dict.fromkeys(each.judge for each in verdicts):
        of_kind: dict[str, list[Verdict]] = {}
        for each in verdicts:
            if each.judge == judge:
                before = prefix(each.group)
                of_kind.setdefault(before + (each.fault or "healthy"), []).append(each)
                if each.fault:
                    of_kind.setdefault(before + "all faults", []).append(each)
        kinds[judge] = {kind: asdict(score(here)) for kind, here in of_kind.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"scores": kinds, "verdicts": [each.to_dict() for each in verdicts if each.judge == "diagnosis"]}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.clinic", description=__doc__)
    parser.add_argument("--faults", nargs="+", metavar="FAULT", help="codes of faults, and `healthy`; all if left out")
    parser.add_argument("--tasks", nargs="+", choices=tuple(TASKS))
    parser.add_argument("--styles", nargs="+", choices=STYLES)
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 0 (5)")
    parser.add_argument("--judges", nargs="+", choices=tuple(JUDGES), default=list(JUDGES))
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds for one verdict (60)")
    parser.add_argument("--out", type=Path, help=f"where figures go; {RESULTS} for a run of everything")
    only = parser.add_mutually_exclusive_group()
    for group in ("held out", "unseen", "fresh"):
        flag, text = "--" + group.replace(" ", "-"), f"only the programs {TITLES[group]}"
        only.add_argument(flag, dest="group", action="store_const", const=group, help=text)
    parser.add_argument(
        "--verify", action="store_true", help="train all programs instead, and see what becomes of them"
    )
    options = parser.parse_args(arguments)
    known = {*FAULTS, "healthy", *(case.fault for case in every_case() if case.fault)}
    for fault in options.faults or ():
        if fault not in known:
            parser.error(f"no fault {fault!r}; known are {', '.join(sorted(known))}")
    if options.seeds < 1 or options.jobs < 1 or options.limit <= 0:
        parser.error("--seeds, --jobs and --limit must be positive")
    if options.out is None and not (options.faults or options.tasks or options.styles or options.group):
        options.out = RESULTS
    return options


if __name__ == "__main__":
    main()

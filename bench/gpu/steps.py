"""The steps of `make gpu`: the test suite, the checks that need a GPU, and the figures."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from bench.contenders import CONTENDERS, NO_TF32
from bench.gpu.aims import AIMS, judge
from bench.gpu.processes import ROOT, run
from bench.gpu.report import Step
from bench.gpu.suite import Tally, check_files, processes, run_files, suite_files
from bench.results import Results

RunStep: TypeAlias = Callable[[dict[str, Any], float, Path], tuple[Step, str]]
"""From the machine, the seconds there are and a folder for files: the outcome, and output that is worth keeping."""

ALONE = "test_memory.py"
"""Checks that watch the whole GPU's memory, so that nothing else may run beside them."""

FIGURES = ("--turns", "5", "--seconds", "0.06", "--limit", "70")
LAST_CASE = 85.0
"""Seconds that the slowest case takes: none is begun when fewer are left."""

_ENVIRONMENT = {
    "XPNET_BACKENDS": "cupy",
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),  # many processes at a time
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # whatever is installed there
    "COLUMNS": "240",  # so that lines about failures have their reasons
}


def tests(machine: dict[str, Any], seconds: float, folder: Path) -> tuple[Step, str]:
    """Each test that runs over the backends, on CuPy."""
    started = time.monotonic()
    tally = run_files(
        suite_files(ROOT / "tests"),
        marks="backend and not long",
        until=started + seconds,
        workers=processes(machine["free"]),
        environment=_ENVIRONMENT,
    )
    return _step("tests", tally, started, seconds), "\n".join(tally.log)


def checks(machine: dict[str, Any], seconds: float, folder: Path) -> tuple[Step, str]:
    """What can only be seen on a GPU."""
    started = time.monotonic()
    files, without = check_files(ROOT / "tests", machine["absent"])
    tally = Tally(skipped=without)
    for some, workers in (
        ([file for file in files if file.name != ALONE], processes(machine["free"])),
        ([file for file in files if file.name == ALONE], 1),
    ):
        more = run_files(some, marks="not long", until=started + seconds, workers=workers, environment=_ENVIRONMENT)
        tally.counts += more.counts
        tally.bad += more.bad
        tally.skipped += more.skipped
        tally.log += more.log
    return _step("checks", tally, started, seconds), "\n".join(tally.log)


def _step(name: str, tally: Tally, started: float, seconds: float) -> Step:
    taken = time.monotonic() - started
    return Step(name, tally.passed, taken, seconds, str(tally), tally.bad, tally.skipped)


def bench(machine: dict[str, Any], seconds: float, folder: Path) -> tuple[Step, str]:
    """The figures. What fails here are contenders of xpnet that do not run, and aims that stay without a figure."""
    command = [sys.executable, "-m", "bench", "--device", "gpu", "--out", str(folder), *FIGURES]
    finished = run([*command, "--until", f"{max(1.0, seconds - LAST_CASE):.0f}"], seconds)
    results = measured(folder)
    last = (finished.output.strip().splitlines() or ["no output"])[-1]
    bad = []
    if finished.code is None:
        bad.append(f"the bench was ended after {finished.seconds:.0f} seconds, in the middle of a case")
    elif finished.code:
        bad.append(f"the bench ended with exit code {finished.code}: {last}")
    if results is None:
        return Step("bench", False, finished.seconds, seconds, "no figures", bad or [last]), finished.output
    left_out = list(results.about.get("left_out", []))
    titles = tuple(contender.title for contender in CONTENDERS.values() if contender.ours)
    bad += [line for line in left_out if line.removeprefix("Left out: ").startswith(titles) and NO_TF32 not in line]
    if "torch" not in machine["absent"]:
        without_tf32 = any(NO_TF32 in line for line in left_out)
        bad += [
            f"no figure for the aim of {aim.network} in {aim.precision} against {aim.called}"
            for aim in AIMS
            if judge(aim, results.records).met is None and not (without_tf32 and aim.precision == "tf32")
        ]
    cases = len({(record.network, record.precision) for record in results.records})
    met = sum(judge(aim, results.records).met is True for aim in AIMS)
    summary = f"{cases} cases, {len(results.records)} figures, {met} of {len(AIMS)} aims met"
    return Step("bench", not bad, finished.seconds, seconds, summary, bad, left_out), finished.output


def measured(folder: Path) -> Results | None:
    """What the bench has written so far."""
    for path in sorted(folder.glob("*.json")):
        results = Results.load(path)
        if results.records:
            return results
    return None


STEPS: dict[str, RunStep] = {"tests": tests, "checks": checks, "bench": bench}

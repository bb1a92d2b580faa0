"""Tests on the GPU: a process for each file, several at a time, so that a kernel that dies takes one file with it."""

import ast
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from bench.gpu.processes import ROOT, Finished, run

ELSEWHERE = ("dryrun", "bench", "examples", "gpu")
"""Folders of tests that are no part of the suite here: they replace parts of CuPy, touch no device, or come later."""

MEMORY_EACH = 3 * 2**29
"""Bytes of the GPU that a process of tests may need."""

CHECKS = ("gpu/test_*.py", "**/test_*_on_gpu.py", "**/test_cudnn_graphs.py", "test_readme.py")
"""What a GPU shows that does not run over the backends: it is run whole."""

_COUNT = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|deselected)")
_NOTHING_COLLECTED = 5
# The versions there are not ours to choose, and what they announce for later must not fail a test.
_WARNINGS = [f"-Wdefault::{kind}" for kind in ("DeprecationWarning", "PendingDeprecationWarning", "FutureWarning")]
# Nor is the cuDNN there: convolutions of odd shapes that it has no engine for are computed the generic way.
_WARNINGS.append("-Wdefault:cuDNN has no engine:RuntimeWarning")


@dataclass
class Tally:
    """What a set of test files has shown."""

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    """Tests that failed, and files that did not come to their end."""
    skipped: list[str] = field(default_factory=list)
    """Reasons for skips, and files that were left out."""
    log: list[str] = field(default_factory=list)
    """The output of files with failures."""

    @property
    def passed(self) -> bool:
        """Whether something ran, and nothing failed."""
        return self.counts["passed"] > 0 and not self.bad

    def __str__(self) -> str:
        words = [f"{self.counts[kind]} {kind}" for kind in ("passed", "failed", "skipped") if self.counts[kind]]
        files = sum(" was left out: " in line for line in self.skipped)
        return ", ".join([*(words or ["no test ran"]), *([f"{files} files left out"] if files else [])])


def suite_files(folder: Path) -> list[Path]:
    """The suite's files, the largest first."""
    found = [path for path in folder.rglob("test_*.py") if path.relative_to(folder).parts[0] not in ELSEWHERE]
    return sorted(found, key=lambda path: (-path.stat().st_size, path))


def check_files(folder: Path, absent: Container[str] = ()) -> tuple[list[Path], list[str]]:
    """The files of checks, and lines about those that are left out, for pytest collects any file that it is given."""
    found = sorted({path for pattern in CHECKS for path in folder.glob(pattern)})
    without = [path for path in found if "cudnn" in path.name and "cudnn" in absent]
    return [path for path in found if path not in without], [
        f"{_name(p)} was left out: there is no cudnn" for p in without
    ]


def processes(free_memory: int, cores: int | None = None) -> int:
    """How many processes of tests the processor and the GPU's memory have room for."""
    return max(1, min(cores or len(os.sched_getaffinity(0)), 14, free_memory // MEMORY_EACH))


def missing_imports(path: Path, present: Callable[[str], object] = find_spec) -> list[str]:
    """Packages that a test file, or the conftest.py beside it, imports at its top and that are not there."""
    names: dict[str, None] = {}
    for file in (path.with_name("conftest.py"), path):
        if file.exists():
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.Import):
                    names |= dict.fromkeys(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names[node.module.partition(".")[0]] = None
    return [name for name in names if not present(name)]


def run_files(
    files: Sequence[Path],
    *,
    marks: str,
    until: float,
    workers: int,
    environment: Mapping[str, str],
    present: Callable[[str], object] = find_spec,
) -> Tally:
    """Runs pytest on each file.

    Parameters
    ----------
    files : the longest first.
    marks : which tests, as pytest's `-m` takes it.
    until : the time, by `time.monotonic`, at which what still runs is ended.
    workers : processes at a time.
    environment : added to this process's.
    present : whether a module is there.
    """
    tally = Tally()

    def one(path: Path) -> Finished:
        chosen = [*_WARNINGS, "-p", "no:cacheprovider", "-m", marks, str(path)]
        return run([sys.executable, "-m", "pytest", "-q", *chosen], until - time.monotonic(), environment)

    able = []
    for path in files:
        absent = missing_imports(path, present)
        if absent:
            tally.skipped.append(f"{_name(path)} was left out: there is no {', no '.join(absent)}")
        else:
            able.append(path)
    with ThreadPoolExecutor(workers) as pool:
        for path, finished in zip(able, pool.map(one, able), strict=True):
            _count(tally, path, finished)
    return tally


def _count(tally: Tally, path: Path, finished: Finished) -> None:
    lines = finished.output.splitlines()
    last = next((line for line in reversed(lines) if _COUNT.search(line)), "")
    for number, kind in _COUNT.findall(last):
        tally.counts["failed" if kind.startswith("error") else kind] += int(number)
    tally.skipped += [line for line in lines if line.startswith("SKIPPED ")]
    if finished.code in (0, _NOTHING_COLLECTED):
        return
    failures = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if finished.code is None or finished.code < 0 or not failures:
        how = "had no time left" if finished.code is None else f"ended with exit code {finished.code}"
        failures.append(f"{_name(path)} {how}: {lines[-1] if lines else 'no output'}")
    tally.bad += failures
    tally.log.append(f"===== {_name(path)}\n{finished.output}")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name

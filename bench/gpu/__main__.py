"""`python -m bench.gpu` (`make gpu`): tests, checks and figures that need a GPU, in under ten minutes, and one report.

Everything runs on the python that runs this, with what is installed there. The exit code is 1 if anything has failed,
or if there is no GPU. Where OUT is set in the environment, that folder receives a copy of what is written, and the log.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench.gpu.surroundings import NotHere, look

TOTAL = 570.0
"""Seconds for everything."""
BUDGETS = {"tests": 230.0, "checks": 90.0, "bench": 400.0}
"""Seconds for each step; none gets more than what is left."""

_MOST = 8_000_000
"""Characters of the log."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs all steps, whatever becomes of each, and writes the report; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="folder for the figures and the report; default bench/results")
    parser.add_argument("--only", nargs="+", choices=list(BUDGETS), default=list(BUDGETS), help="default: all steps")
    parser.add_argument("--seconds", type=float, default=TOTAL, help=f"for everything, default {TOTAL:g}")
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        machine = look()
    except NotHere as error:
        print(f"make gpu cannot run here: {error}", file=sys.stderr)
        return 1
    print(
        f"{machine['gpu']}, CuPy {machine['cupy']}; not there: {', '.join(machine['absent']) or 'nothing'}", flush=True
    )

    from bench.gpu import steps, writing  # they import xpnet, which needs what `look` looks for

    with tempfile.TemporaryDirectory() as folder:
        done, log = [], []
        for name in options.only:
            left = options.seconds - (time.monotonic() - started)
            step, output = steps.STEPS[name](machine, min(BUDGETS[name], left), Path(folder))
            done.append(step)
            log.append(output)
            print(f"{name}: {'passed' if step.passed else 'FAILED'}, {step.seconds:.0f} s: {step.summary}", flush=True)
        written = writing.write(machine, done, Path(folder), options.out)
    _copy(written, log)
    print(f"\n{written[0].read_text(encoding='utf-8')}\nWritten: {', '.join(map(str, written))}")
    return 0 if all(step.passed for step in done) else 1


def _copy(written: Sequence[Path], log: Sequence[str]) -> None:
    out = os.environ.get("OUT")
    if out:
        Path(out).mkdir(parents=True, exist_ok=True)
        for path in written:
            if path.parent.resolve() != Path(out).resolve():
                shutil.copy(path, out)
        (Path(out) / f"{written[0].stem}.log").write_text("\n".join(log)[-_MOST:], encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())

"""Commands with an end in time."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Finished:
    """What a command has printed, its exit code (None: it was ended for its time), and its seconds."""

    code: int | None
    output: str
    seconds: float


def run(command: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None) -> Finished:
    """Runs a command in the repository's root, and ends it with all that it has started when its time is over."""
    started = time.monotonic()
    if seconds <= 0:
        return Finished(None, "not begun: no time was left", 0.0)
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=seconds)
        return Finished(process.returncode, output, time.monotonic() - started)
    except subprocess.TimeoutExpired:
        _end(process)
        output, _ = process.communicate()
        return Finished(None, f"{output}\nended after {seconds:.0f} seconds", time.monotonic() - started)
    except BaseException:
        _end(process)
        raise


def _end(process: subprocess.Popen[str]) -> None:
    """Its process group too: pytest and the bench have children."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()

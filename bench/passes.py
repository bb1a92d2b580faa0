"""What a contender offers to the clock: a forward pass, a forward and backward pass, and a whole training step."""

import re
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Run: TypeAlias = Callable[[], Any]
Clock: TypeAlias = Callable[[Run, int], float]

PASSES = ("forward", "backward", "step")
"""Inference; forward, loss and backward in training mode; the same with Adam's update."""


def wall_clock(run: Run, calls: int) -> float:
    """Seconds that a number of calls take."""
    started = time.perf_counter()
    for _ in range(calls):
        run()
    return time.perf_counter() - started


def event_clock(
    event: Callable[[], Any], synchronize: Callable[[], Any], milliseconds: Callable[[Any, Any], float]
) -> Clock:
    """Seconds between two events on a GPU.

    The second is recorded when the device has nothing left to do, so work on any other stream counts too.

    Parameters
    ----------
    event : makes an event.
    synchronize : waits for the device.
    milliseconds : the time between two events.
    """

    def clock(run: Run, calls: int) -> float:
        start, stop = event(), event()
        synchronize()
        start.record()
        for _ in range(calls):
            run()
        synchronize()
        stop.record()
        stop.synchronize()
        return float(milliseconds(start, stop)) * 1e-3

    return clock


def waiting_clock(wait: Callable[[Any], Any]) -> Clock:
    """Seconds until the last call's result is there; calls before it may still run when the next begins."""

    def clock(run: Run, calls: int) -> float:
        wait(run())
        started = time.perf_counter()
        for _ in range(calls):
            result = run()
        wait(result)
        return time.perf_counter() - started

    return clock


def resident_memory() -> int:
    """The most bytes of memory that this process has held so far.

    Linux's `ru_maxrss` begins with what the parent process held, so there the kernel's other count is read.
    """
    status = Path("/proc/self/status")
    peak = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    if peak:
        return 1024 * int(peak[1])
    return (1 if sys.platform == "darwin" else 1024) * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class Passes:
    """One contender, built for one case.

    Parameters
    ----------
    run : by name, the passes that it can do: "forward" returns logits (or log-probabilities, which are the same up to
        a constant a row), "backward" and "step" the loss, in the library's own arrays.
    to_host : turns what a pass returned into a NumPy array.
    clock : seconds that a number of calls take, all work on a device included.
    memory : the most bytes held so far.
    """

    run: Mapping[str, Run]
    to_host: Callable[[Any], NDArray[Any]] = np.asarray
    clock: Clock = wall_clock
    memory: Callable[[], int] = resident_memory

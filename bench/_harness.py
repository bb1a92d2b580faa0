"""Times contenders fairly: each in a process of its own, one at a time, in turns, on the same weights and data.

Thread pools of NumPy, Numba and PyTorch disturb each other in one process, so contenders never share one.
"""

import importlib
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

Step = Callable[[], float]

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True)
class Timing:
    """Seconds a step, over the turns of one contender."""

    turns: tuple[float, ...]
    first_loss: float

    @property
    def median(self) -> float:
        """The middle turn."""
        return statistics.median(self.turns)

    @property
    def spread(self) -> float:
        """Half the range between the quartiles, as a part of the median."""
        low, _, high = statistics.quantiles(self.turns, n=4)
        return 0.5 * (high - low) / self.median


class _Worker:
    """A process that holds one contender, ready to run."""

    def __init__(self, module: str, contender: str, case: Mapping[str, Any], threads: int) -> None:
        saved = {name: os.environ.get(name) for name in _THREAD_VARIABLES}
        os.environ.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        try:
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(
                target=_serve, args=(theirs, module, contender, dict(case), threads), daemon=True
            )
            self._process.start()
            theirs.close()
        finally:
            for name, value in saved.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def ask(self, request: float | None) -> float:
        self._pipe.send(request)
        answer: float = self._pipe.recv()
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.join(10)
        self._process.kill()


def _serve(pipe: Any, module: str, contender: str, case: dict[str, Any], threads: int) -> None:
    """Answers None with the loss of a first step, and a number with seconds a step over about that long."""
    step: Step = importlib.import_module(module).CONTENDERS[contender](case, threads)
    while True:
        try:
            request = pipe.recv()
        except EOFError:
            return
        if request is None:
            pipe.send(step())
            continue
        steps, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < request or steps == 0:
            step()
            steps += 1
        pipe.send(elapsed / steps)


def compare(
    module: str,
    contenders: Sequence[str],
    case: Mapping[str, Any],
    *,
    threads: int,
    turns: int,
    seconds: float,
    tolerance: float = 1e-4,
) -> dict[str, Timing]:
    """Runs all contenders of a module on one case.

    Parameters
    ----------
    module : import path of a module with `CONTENDERS`, name -> function (case, threads) -> step.
    threads : for each contender.
    turns, seconds : how often each has its turn, and how long one is.
    tolerance : how far a first loss may be from that of the first contender, relatively.

    Raises
    ------
    ValueError : first losses differ: the contenders do not compute the same.
    """
    workers = {name: _Worker(module, name, case, threads) for name in contenders}
    try:
        losses = {name: worker.ask(None) for name, worker in workers.items()}
        expected = losses[contenders[0]]
        for name, loss in losses.items():
            if abs(loss - expected) > tolerance * abs(expected):
                raise ValueError(f"{name} starts with loss {loss}, {contenders[0]} with {expected}: not the same work")
        for worker in workers.values():
            worker.ask(seconds)
        found: dict[str, list[float]] = {name: [] for name in contenders}
        for _ in range(turns):
            for name, worker in workers.items():
                time.sleep(0.01)  # until the last one's threads have stopped spinning
                found[name].append(worker.ask(seconds))
        return {name: Timing(tuple(found[name]), losses[name]) for name in contenders}
    finally:
        for worker in workers.values():
            worker.close()


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, cores, versions."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")
    packages = ("numpy", "numba", "torch", "array-api-compat")
    return {
        "processor": model or platform.processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None

"""A process for each contender: thread pools of NumPy, Numba, PyTorch and JAX disturb each other in one process."""

import importlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from bench.agreement import Outputs, outputs_of
from bench.case import Case
from bench.passes import Passes

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "PJRT_NPROC",  # the size of JAX's thread pools
)


class WorkerError(Exception):
    """A worker raised, died or took too long; the message holds what is known."""


class Worker:
    """A process that holds one contender built for one case, and runs what it is asked for.

    Parameters
    ----------
    module, options : where its `build(case, **options)` is.
    case : the case; the process gets its number of threads, and as many processors.
    limit : seconds that one answer may take.
    wait : whether to wait until the network is built; if not, `ready` does, before anything is asked.

    Raises
    ------
    WorkerError : from here and from every method, when no answer comes. The process is gone then.
    """

    def __init__(
        self, module: str, options: Mapping[str, Any], case: Case, *, limit: float = 900.0, wait: bool = True
    ) -> None:
        self._limit = limit
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, module, dict(options), case), daemon=True)
        with _surroundings(case.threads):
            self._process.start()
        theirs.close()
        self.passes: tuple[str, ...] = ()
        """What it can do."""
        self.idle_memory = 0
        """The bytes held by the process with its library loaded and the network built."""
        if wait:
            self.ready()

    def ready(self) -> None:
        """Waits until the network is built."""
        self.passes, self.idle_memory = self._answer()

    def check(self) -> tuple[Outputs, int]:
        """The outputs to be compared, before anything else has run, and the most bytes held since."""
        found: tuple[Outputs, int] = self._ask("check")
        return found

    def warm(self, name: str, seconds: float) -> None:
        """Runs a pass for about so long, and learns how many calls that takes."""
        self._ask("warm", name, seconds)

    def measure(self, name: str) -> float:
        """Seconds a call, over as many calls as fill the time given to `warm`."""
        found: float = self._ask("measure", name)
        return found

    def close(self) -> None:
        """Ends the process: by closing its pipe, and by force if that does not help."""
        self._pipe.close()
        self._process.join(5)
        self._process.kill()
        self._process.join()

    def _ask(self, method: str, *arguments: Any) -> Any:
        with suppress(BrokenPipeError):
            self._pipe.send((method, arguments))
        return self._answer()

    def _answer(self) -> Any:
        if not wait([self._pipe, self._process.sentinel], self._limit):
            self._process.kill()
            self._process.join()
            raise WorkerError(f"no answer within {self._limit:g} seconds")
        try:
            done, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            raise WorkerError(f"the process ended with exit code {self._process.exitcode}") from None
        if not done:
            raise WorkerError(answer)
        return answer


@contextmanager
def _surroundings(threads: int) -> Iterator[None]:
    """Environment variables and processors for a process that starts inside the block; both are then as before."""
    saved = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)))
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    try:
        if allowed:
            os.sched_setaffinity(0, processors(sorted(allowed))[:threads])
        yield
    finally:
        if allowed:
            os.sched_setaffinity(0, allowed)
        for name, value in saved.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def processors(allowed: list[int]) -> list[int]:
    """The allowed processors, one of each core first, then those that share a core with one of these."""
    places: list[tuple[int, str, int]] = []
    for number in allowed:
        siblings = Path(f"/sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list")
        core = siblings.read_text().strip() if siblings.exists() else str(number)
        places.append((sum(core == other for _, other, _ in places), core, number))
    return [number for _, _, number in sorted(places, key=lambda place: (place[0], place[2]))]


def _serve(pipe: Any, module: str, options: dict[str, Any], case: Case) -> None:
    """Builds the contender and answers (True, result) to each request; (False, traceback) is the last answer."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the bench itself ends its workers
    try:
        passes: Passes = importlib.import_module(module).build(case, **options)
        pipe.send((True, (tuple(passes.run), passes.memory())))
        bench = _Bench(passes)
        while True:
            method, arguments = pipe.recv()
            pipe.send((True, getattr(bench, method)(*arguments)))
    except EOFError:
        return  # the pipe was closed
    except Exception:
        pipe.send((False, traceback.format_exc()))


class _Bench:
    """The worker's side."""

    def __init__(self, contender: Passes) -> None:
        self._contender = contender
        self._calls: dict[str, int] = {}

    def check(self) -> tuple[Outputs, int]:
        return outputs_of(self._contender), self._contender.memory()

    def warm(self, name: str, seconds: float) -> None:
        calls = 1
        while (taken := self._contender.clock(self._contender.run[name], calls)) < seconds:
            calls *= 2
        self._calls[name] = max(1, round(calls * seconds / taken))

    def measure(self, name: str) -> float:
        calls = self._calls[name]
        return self._contender.clock(self._contender.run[name], calls) / calls

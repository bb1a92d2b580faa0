"""Brings programs before judges: in processes, with a limit of time for each."""

import multiprocessing
import signal
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from bench.clinic.case import Arguments, Case
from bench.clinic.judges import JUDGES, Judge
from bench.clinic.manifest import groups
from bench.clinic.scoring import Verdict, verdict


class OutOfTime(BaseException):
    """Not an `Exception`, so that a judge that catches those does not catch it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raises `OutOfTime` in the block after so many seconds, and again each second; on Windows there is no limit."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


def examine(name: str, judge: Judge, case: Case, seed: int, limit: float, group: str = "main") -> Verdict:
    """One judge on one program, built anew for it."""
    named: Sequence[str] = ()
    problem = ""
    made = case.build(seed)
    before = _bytes(made)
    started = time.perf_counter()
    try:
        with at_most(limit), warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            named = judge(case, made)
    except OutOfTime:
        problem = f"no answer within {limit:g} s"
    except Exception as error:
        problem = f"{type(error).__name__}: {error}".splitlines()[0]
    seconds = time.perf_counter() - started
    if name == "diagnosis" and not problem and _bytes(made) != before:
        problem = "arrays of the program, or the random state, were changed"
    return verdict(name, case, seed, named, seconds, problem, group)


def _bytes(made: Arguments) -> list[bytes]:
    """The arrays that are the user's: parameters, data, and NumPy's random state."""
    tensors = made["model"].tensors() if "model" in made else {}
    random: Any = np.random.get_state()  # noqa: NPY002
    arrays = [tensor.data for tensor in tensors.values()] or list(made["parameters"].values())
    return [np.asarray(array).tobytes() for array in (*arrays, *_flat(made), random[1])]


def _flat(made: Arguments) -> Iterator[Any]:
    def walk(value: Any) -> Iterator[Any]:
        if isinstance(value, tuple):
            for part in value:
                yield from walk(part)
        elif value is not None:
            yield value

    for name in ("train", "validation", "data"):
        yield from walk(made.get(name))


def _job(order: tuple[str, str, int, float]) -> Verdict:
    judge, name, seed, limit = order
    group, case = _by_name()[name]
    return examine(judge, JUDGES[judge], case, seed, limit, group)


@cache
def _by_name() -> dict[str, tuple[str, Case]]:
    return {case.name: (group, case) for group, here in groups().items() for case in here}


def run(
    cases: Sequence[Case],
    seeds: Sequence[int],
    judges: Sequence[str],
    *,
    limit: float = 60.0,
    jobs: int = 1,
) -> Iterator[Verdict]:
    """Verdicts in a fixed order: case by case, seed by seed, judge by judge."""
    orders = [(judge, case.name, seed, limit) for case, seed, judge in product(cases, seeds, judges)]
    if jobs == 1:
        yield from map(_job, orders)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(_job, orders)

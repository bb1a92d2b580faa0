"""Work on several threads, each with BLAS on one: for code that stays long inside calls that let other threads run."""

import functools
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from contextvars import copy_context
from pathlib import Path

from xpnet._typing import Result
from xpnet.backend import _blas

LARGE = 2**20
"""Elements from which a single pass over an array is shared among threads: a third of a millisecond on one."""

_inside = threading.local()
_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def _after_fork() -> None:
    """The child has none of the threads, nor what they held."""
    global _lock
    _lock = threading.Lock()
    _pools.clear()
    _inside.a_part = False


os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """How many threads work may be parted among: as many as BLAS would use, and one inside a part.

    Parts do not part again: threads that wait for threads could wait for ever.
    """
    return 1 if getattr(_inside, "a_part", False) else _blas.threads()


def several() -> bool:
    """Whether there is more than one: the user's setting, and not what other threads hold BLAS to at this moment.

    So how an operation is parted, and with it its rounding, does not depend on what else the process does.
    """
    return threads() > 1


def share(n: int, elements: int, body: Callable[[int, int], Result]) -> list[Result]:
    """`body(start, stop)` over `range(n)`, in as many parts as there are threads if the elements are many."""
    parts = threads() if elements >= LARGE else 1
    return run(n, max(1, -(-n // parts)), body)


def run(n: int, size: int, body: Callable[[int, int], Result]) -> list[Result]:
    """`body(start, stop)` over `range(n)` in parts of one size; the results in order.

    The calling thread takes parts like the others, and does not wait for one that a busy machine has not let begin.
    Each part sees the caller's context (use_backend, np.errstate), and none outlives the call.
    """
    starts = range(0, n, size)
    others = min(threads(), len(starts)) - 1
    if others < 1:
        return [body(start, min(start + size, n)) for start in starts]
    results: dict[int, Result] = {}
    waiting = list(reversed(starts))

    def work() -> None:
        with _a_part():
            try:
                while (start := _next(waiting)) is not None:
                    results[start] = body(start, min(start + size, n))
            finally:
                _stop(waiting)  # after an error no new part begins

    with _blas.one_thread():
        helpers = _submit(others, work)
        try:
            work()
        finally:
            begun = [helper for helper in helpers if not helper.cancel()]
            wait(begun)
    for helper in begun:
        helper.result()
    return [results[start] for start in starts]


def _submit(number: int, work: Callable[[], None]) -> list[Future[None]]:
    """`work` on other threads; on none where Python is ending or the system has no more: the caller does it all."""
    helpers: list[Future[None]] = []
    with suppress(RuntimeError):
        pool = _executor(number)
        helpers.extend(pool.submit(copy_context().run, work) for _ in range(number))
    return helpers


def _next(waiting: list[int]) -> int | None:
    with _lock:
        return waiting.pop() if waiting else None


def _stop(waiting: list[int]) -> None:
    with _lock:
        waiting.clear()


@contextmanager
def _a_part() -> Iterator[None]:
    before = getattr(_inside, "a_part", False)
    _inside.a_part = True
    try:
        yield
    finally:
        _inside.a_part = before


@functools.cache
def cache_bytes() -> int:
    """The second-level cache of one core; 1 MiB where the system does not tell."""
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cache/index2/size").read_text().strip()
        return int(text.rstrip("KM")) * {"K": 2**10, "M": 2**20}.get(text[-1:], 1)
    except (OSError, ValueError):
        return 2**20


def _executor(helpers: int) -> ThreadPoolExecutor:
    with _lock:
        if helpers not in _pools:
            _pools[helpers] = ThreadPoolExecutor(helpers, thread_name_prefix="xpnet")
        return _pools[helpers]

"""How many threads BLAS uses, which is a setting of the whole process: one for every product that xpnet makes.

Large products are parted among xpnet's own threads. OpenBLAS sends even small ones to all its threads and waits for the
slowest, which on a machine whose cores are busy is a turn of the scheduler; and its threads keep a core busy for some
25 ms after a product, waiting for the next, while the work between products runs at half the speed.
"""

import functools
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from xpnet._typing import Result

LARGE = 2**23
"""Multiply-adds from which a product is shared among threads: about 0.2 ms on one core."""
TINY_MATRIX, TINY_VECTOR = 2**18, 2**13
"""Multiply-adds up to which OpenBLAS takes one thread by itself, for a product of matrices and of a vector."""

_lock = threading.Lock()
_holders = 0
_before: list[int] = []


def _after_fork() -> None:
    """In the child nobody holds BLAS."""
    global _lock, _holders
    _lock = threading.Lock()
    if _holders:
        _holders = 1
        _leave()


os.register_at_fork(after_in_child=_after_fork)


@functools.cache
def _settings() -> list[tuple[Callable[[], int], Callable[[int], Any]]]:
    """How to read and set the number of threads, for each BLAS in the process."""
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    return [_functions(library) for library in libraries]


def _functions(library: Any) -> tuple[Callable[[], int], Callable[[int], Any]]:
    """OpenBLAS's own functions where it has threads of its own; they cost a tenth of a microsecond."""
    if library.internal_api == "openblas" and library.threading_layer == "pthreads":
        for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_", "_64")):
            get = getattr(library.dynlib, f"{prefix}openblas_get_num_threads{suffix}", None)
            if get is not None:
                return get, getattr(library.dynlib, f"{prefix}openblas_set_num_threads{suffix}")
    return library.get_num_threads, library.set_num_threads


def threads() -> int:
    """The number of threads that BLAS has when no one holds it."""
    with _lock:
        return max(_before if _holders else (get() for get, _ in _settings()), default=1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Holds BLAS to one thread until the last holder leaves."""
    _hold()
    try:
        yield
    finally:
        _leave()


def on_one_thread(function: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """`function(...)`, with BLAS held to one thread."""
    _hold()
    try:
        return function(*arguments, **options)
    finally:
        _leave()


def _hold() -> None:
    global _holders, _before
    with _lock:
        if _holders == 0:
            _before = [get() for get, _ in _settings()]
            for _, set_threads in _settings():
                set_threads(1)
        _holders += 1


def _leave() -> None:
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            for (_, set_threads), number in zip(_settings(), _before, strict=True):
                set_threads(number)

"""How many threads BLAS uses, which is a setting of the whole process: one for small products, one inside blocks.

OpenBLAS sends even small products to all its threads and waits for the slowest. On a machine whose cores are busy that
wait is a turn of the scheduler: a digits network trained ten times slower with two threads than with one.
"""

import functools
import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import threadpoolctl

from xpnet._typing import Result

SMALL = 5 * 2**19
"""Multiply-adds below which a product takes one thread: about 60 µs on one core."""
TINY_MATRIX, TINY_VECTOR = 2**18, 2**13
"""Multiply-adds up to which OpenBLAS takes one thread by itself, for a product of matrices and of a vector."""

_lock = threading.Lock()
_holders = 0
_before: list[int] = []


@functools.cache
def _settings() -> list[tuple[Callable[[], int], Callable[[int], Any]]]:
    """How to read and set the number of threads, for each BLAS in the process."""
    libraries = threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers
    return [_functions(library) for library in libraries]


@functools.cache
def _first_reader() -> Callable[[], int]:
    """How to read the number of threads of the first BLAS, which is NumPy's own."""
    return _settings()[0][0] if _settings() else lambda: 1


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


def several() -> bool:
    """Whether BLAS would use more than one thread now."""
    return _first_reader()() > 1


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

"""Random numbers: weights drawn on the host, dropout masks counted out on any backend."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import numpy as np

from xpnet._typing import Array, Shape
from xpnet.backend._elementwise import elementwise
from xpnet.backend._override import Override

Key: TypeAlias = tuple[int, int]
Generator: TypeAlias = np.random.Generator
HostArray: TypeAlias = np.ndarray[Any, Any]


class _Seed:
    """A seed, its generator for weights, and how many keys were handed out in order."""

    def __init__(self, value: int) -> None:
        self.value = value
        self.generator = np.random.Generator(np.random.PCG64(value))
        self.keys = 0


_lock = threading.Lock()
_process = _Seed(0)
_override: Override[_Seed] = Override("xpnet_seed")


def seed(n: int) -> None:
    """Starts all of xpnet's default randomness anew, for the whole process: initial weights, dropout outside `fit`.

    A process starts as if `seed(0)` had been called, so a script gives the same numbers each time.

    Parameters
    ----------
    n : any integer from 0.

    Raises
    ------
    TypeError, ValueError : `n` is no integer, or negative.

    Examples
    --------
    >>> seed(7)
    """
    global _process
    _process = _Seed(checked_seed(n))


@contextmanager
def use_seed(n: int) -> Iterator[None]:
    """Like `seed`, but only inside a `with` block, and only in this thread or task: a sequence of its own.

    What happens outside, `seed` too, changes nothing inside, nor the other way round. A thread that is started inside
    draws from the process's sequence, a task of asyncio from the block's.

    Parameters
    ----------
    n : any integer from 0.

    Raises
    ------
    TypeError, ValueError : `n` is no integer, or negative.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> seed(0)
    >>> with use_seed(7):
    ...     there = Linear(2, 1)
    >>> seed(7)
    >>> here = Linear(2, 1)
    >>> bool((there.weight.data == here.weight.data).all())
    True
    """
    with _override.by(_Seed(checked_seed(n))):
        yield


def _here() -> _Seed:
    return _override.get() or _process


def checked_seed(n: Any) -> int:
    """`n` as a Python integer, or the error that says why it is none."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"seed: expected an integer, got {n!r}")
    if n < 0:
        raise ValueError(f"seed: expected 0 or more, got {n}")
    return int(n)


def current_seed() -> int:
    """The number last given to `seed`, or to the `use_seed` around."""
    return _here().value


def generator() -> np.random.Generator:
    """The generator that initial weights are drawn from, in order of construction."""
    return _here().generator


def host_zeros(shape: Shape) -> HostArray:
    """Zeros on the host, for an initializer."""
    return np.zeros(shape)


def draw(initializer: Callable[[Generator, Shape], HostArray], shape: Shape) -> HostArray:
    """Initial weights on the host, from the generator here and now.

    Raises
    ------
    ValueError : the initializer returned another shape, or something that is not finite.
    """
    drawn = np.asarray(initializer(generator(), shape))
    if drawn.shape != shape:
        raise ValueError(f"initializer: expected values of shape {shape}, got {drawn.shape}")
    if not np.isfinite(drawn).all():
        raise ValueError("initializer: drew a value that is not finite")
    return drawn


def next_key() -> Key:
    """A key for a random layer that no optimizer has named yet: from the seed and the order of construction."""
    with _lock:
        state = _here()
        state.keys += 1
        return random_key(state.value, f"construction {state.keys}")


def random_key(n: int, path: str) -> Key:
    """Two odd 32-bit numbers from a seed and a layer's path: what makes its masks its own.

    Examples
    --------
    >>> random_key(0, "1") == random_key(0, "1"), random_key(0, "1") == random_key(0, "3")
    (True, False)
    """
    digest = hashlib.blake2b(f"{n}/{path}".encode(), digest_size=8).digest()
    low, high = (_int32(int.from_bytes(digest[i : i + 4], "little") | 1) for i in (0, 4))
    return low, high


def _int32(value: int) -> int:
    return (value + 2**31) % 2**32 - 2**31


_FIRST, _SECOND = _int32(0x7FEB352D), _int32(0x846CA68B)


@elementwise()
def scramble(xp: Any, h: Array) -> Array:
    """Mixes the bits of int32 numbers: neighbours become unrelated.

    The integer hash lowbias32 (C. Wellons, "Prospecting for hash functions", 2018), written with arithmetic right
    shifts whose copied sign bits are masked away: the standard promises no unsigned arithmetic, and PyTorch has none.
    Products wrap; only the low 32 bits are used, so wider integers give the same result.
    """
    h = (h ^ ((h >> 16) & 0xFFFF)) * _FIRST
    h = (h ^ ((h >> 15) & 0x1FFFF)) * _SECOND
    return h ^ ((h >> 16) & 0xFFFF)

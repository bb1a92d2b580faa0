"""Data that can only be sliced, in random order: slices from all over, a window of them shuffled together in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from xpnet.data._source import Source

SLICES = 32
"""Slices read together, each of the size of a batch."""

Numbers = NDArray[np.int64]


@final
@dataclass(frozen=True)
class Window:
    """What is read together, and what becomes of it.

    Attributes
    ----------
    slices : of the data.
    batches : the numbers of the examples of each batch that can be made now; in a batch in the order of the data, so
        that processes which share it read parts of the data that lie together.
    left : those of examples that fill no batch yet.
    """

    slices: list[slice]
    batches: list[Numbers]
    left: Numbers


def windows(examples: int, size: int, random: np.random.Generator) -> Iterator[Window]:
    """A pass over all examples, each once; nothing is read for it. The last window holds what fills no batch."""
    starts = random.permutation(np.arange(0, examples, size))
    left = np.arange(0)
    for begin in range(0, len(starts), SLICES):
        slices = [slice(int(s), min(int(s) + size, examples)) for s in starts[begin : begin + SLICES]]
        rows = np.concatenate([left, *(np.arange(s.start, s.stop) for s in slices)])
        shuffled = rows[random.permutation(len(rows))]
        *batches, left = np.split(shuffled, range(size, len(rows) + 1, size))
        yield Window(slices, [np.sort(batch) for batch in batches], left)
    if len(left):
        yield Window([], [np.sort(left)], left[:0])


@final
class Held:
    """Examples in memory: their numbers, inputs and targets."""

    def __init__(self, x: Source, t: Source) -> None:
        self._sources = x, t
        self.rows: Numbers = np.arange(0)
        self.x: NDArray[Any] | None = None
        self.t: NDArray[Any] | None = None

    def read(self, slices: Sequence[slice], wanted: Numbers) -> None:
        """Reads the slices from the first to the last that is wanted, and what else of that is not held, one by one."""
        ordered = np.sort(wanted)
        found = [ordered[slice(*np.searchsorted(ordered, (s.start, s.stop)))] for s in slices]
        parts = [slice(int(rows[0]), int(rows[-1]) + 1) for rows in found if len(rows)]
        there = np.concatenate([self.rows, *(np.arange(s.start, s.stop) for s in parts)])
        parts += [slice(int(row), int(row) + 1) for row in np.setdiff1d(wanted, there)]
        parts = parts or [slice(0, 0)]  # no rows, of the right shape
        self.rows = np.concatenate([self.rows, *(np.arange(s.start, s.stop) for s in parts)])
        self.x, self.t = (
            _joined(old, source, parts) for source, old in zip(self._sources, (self.x, self.t), strict=True)
        )

    def find(self, rows: Numbers) -> tuple[NDArray[Any], NDArray[Any], Numbers]:
        """Inputs and targets of all that is held, and where those of these rows are among them."""
        assert self.x is not None
        assert self.t is not None
        order = np.argsort(self.rows)
        return self.x, self.t, order[np.searchsorted(self.rows, rows, sorter=order)]

    def keep(self, rows: Numbers) -> None:
        """Forgets all others."""
        stays = np.isin(self.rows, rows)
        self.rows = self.rows[stays]
        self.x, self.t = (None if values is None else values[stays] for values in (self.x, self.t))


def _joined(old: NDArray[Any] | None, source: Source, parts: Sequence[slice]) -> NDArray[Any]:
    """What is there and the parts of a source behind it, each read into its place."""
    first, before = source.host_rows(parts[0]), 0 if old is None else len(old)
    joined = np.empty((before + sum(s.stop - s.start for s in parts), *first.shape[1:]), first.dtype)
    if old is not None:
        joined[:before] = old
    end = before + len(first)
    joined[before:end] = first
    for part in parts[1:]:
        start, end = end, end + part.stop - part.start
        joined[start:end] = source.host_rows(part)
    return joined

from array import array
from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np

from xpnet._typing import Array
from xpnet.backend import Backend, HostArray, elementwise, readable

_MOST = 1024
"""Steps that a table has room for: each step goes over all of its row."""


@elementwise(updates=1)
def _note(xp: Any, row: Array, numbers: Array, place: Array, value: Array) -> Array:
    row += xp.where(numbers == place, value, 0.0)
    return row


@final
class Ledger:
    """What the steps of an epoch show: the loss of each, its metrics, its penalty.

    Where the host would have to wait for a device, the values stay there, in a table that is read now and then. They
    are written by the step itself, in place, so a recorded step writes them as well.

    Parameters
    ----------
    backend : where the values are.
    like : an array there, of the type of the losses.
    names : of the quantities.
    every : how many steps come before the next `read`; where they are very many, it reads in between.

    Attributes
    ----------
    sizes : the number of examples of each step, in 8 bytes each.
    columns : for each name, the values of the steps that were read, in 8 bytes each.
    """

    def __init__(self, backend: Backend, like: Array, names: Sequence[str], every: int) -> None:
        self.names = tuple(names)
        self._agreed = 0
        self.sizes = array("q")
        self.columns = [array("d") for _ in self.names]
        self._backend = backend
        self._waits = not readable(like)
        if self._waits:
            capacity = self._capacity = min(every, _MOST)
            xp, place = backend.xp, {"device": backend.device_of(like)}
            self._table = xp.zeros((len(self.names), capacity), dtype=like.dtype, **place)
            self._place = xp.zeros((), dtype=xp.int64, **place)
            self._numbers = xp.reshape(backend.indices(capacity, like), (-1,))

    def begin(self) -> None:
        """Forgets what was noted: a new epoch."""
        self._agreed = 0
        del self.sizes[:]
        for column in self.columns:
            del column[:]

    def restore(self, sizes: Sequence[int], columns: Sequence[Sequence[float]]) -> None:
        """Goes on with an epoch of which these steps were read."""
        self.begin()
        self.sizes.extend(sizes)
        for column, values in zip(self.columns, columns, strict=True):
            column.extend(values)
        self._agreed = len(self.sizes)

    def note(self, *values: Array) -> None:
        """One step's values, a 0-d array for each name."""
        if not self._waits:
            numbers = [float(value) for value in values]  # all, before any is noted
            for column, number in zip(self.columns, numbers, strict=True):
                column.append(number)
            return
        for i, value in enumerate(values):
            known = value if hasattr(value, "dtype") else self._backend.asarray(value)
            _note(self._table[i, ...], self._numbers, self._place, known)
        self._place += 1

    def count(self, examples: int) -> None:
        """The number of examples of the step that was noted last."""
        self.sizes.append(examples)
        if self._waits and len(self.sizes) - self.read_steps == self._capacity:
            self.read()

    def read(self) -> None:
        """Brings what was noted since the last time to the host."""
        missing = len(self.sizes) - self.read_steps
        if missing > 0:
            table = self._backend.to_host(self._table)
            for column, values in zip(self.columns, table[:, :missing].tolist(), strict=True):
                column.extend(values)
            self._table[...] = 0.0
            self._place[...] = 0

    def agree(self, add: Callable[[HostArray], None]) -> None:
        """Where ranks share the steps: sizes, and values averaged over examples, of all of them together."""
        self.read()
        new = slice(self._agreed, len(self.sizes))
        sizes = np.asarray(self.sizes[new], np.float64)
        together = np.stack([sizes, *(sizes * np.asarray(column[new]) for column in self.columns)])
        add(together)
        self.sizes[new] = array("q", together[0].astype(np.int64).tolist())
        for column, sums in zip(self.columns, together[1:], strict=True):
            column[new] = array("d", (sums / together[0]).tolist())
        self._agreed = len(self.sizes)

    def give_up(self) -> None:
        """Forgets what was not read, as it cannot be read any more."""
        del self.sizes[self.read_steps :]

    @property
    def read_steps(self) -> int:
        """How many steps of the epoch were read."""
        return len(self.columns[0])

    def losses(self) -> "array[float]":
        """The first quantity of all steps that were read."""
        return self.columns[0]

    def last(self) -> dict[str, float]:
        """The latest values that were read."""
        return {name: column[-1] for name, column in zip(self.names, self.columns, strict=True)}

    def means(self) -> dict[str, float]:
        """The mean of each quantity over all examples."""
        total = sum(self.sizes)
        return {
            name: sum(value * n for value, n in zip(column, self.sizes, strict=True)) / total
            for name, column in zip(self.names, self.columns, strict=True)
        }

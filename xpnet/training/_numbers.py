from array import array
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, final, overload

import numpy as np


@final
class Numbers(MutableSequence[float]):
    """A list of floats in 8 bytes each, where a list takes 32: of each step of a run, one is kept.

    It is used as a list is, and equal to a list of the same numbers; slices and sums with lists are lists. Where it is
    full it moves to memory of twice the size, of which the system gives only what is written: memory that grows little
    by little leaves holes behind.

    Parameters
    ----------
    values : what it begins with.

    Examples
    --------
    >>> losses = Numbers([2.0, 1.0])
    >>> losses += [0.5]
    >>> losses, losses[-1], losses[:2]
    ([2.0, 1.0, 0.5], 0.5, [2.0, 1.0])
    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._memory, self._length = np.empty(0), 0
        self.extend(values)

    @property
    def view(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All of them as an array, without a copy. Numbers that are put at the end later do not change it."""
        return self._memory[: self._length]

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[float]:
        return iter(self.view.tolist())

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> list[float]: ...
    def __getitem__(self, place: int | slice) -> float | list[float]:
        found: float | list[float] = self.view[place].tolist()
        return found

    @overload
    def __setitem__(self, place: int, values: float) -> None: ...
    @overload
    def __setitem__(self, place: slice, values: Iterable[float]) -> None: ...
    def __setitem__(self, place: Any, values: Any) -> None:
        if isinstance(place, slice):
            changed = list(self)
            changed[place] = values
            self._become(changed)
        else:
            self.view[place] = values

    def __delitem__(self, place: int | slice) -> None:
        rest = list(self)
        del rest[place]
        self._become(rest)

    def insert(self, place: int, value: float) -> None:
        """Puts a number before that place."""
        values = list(self)
        values.insert(place, value)
        self._become(values)

    def append(self, value: float) -> None:
        """Puts a number at the end."""
        self.extend([value])

    def extend(self, values: Iterable[float]) -> None:
        """Puts numbers at the end."""
        added = array("d", values)  # which takes real numbers alone
        end = self._length + len(added)
        if end > len(self._memory):
            memory = np.empty(2 * end)
            memory[: self._length] = self.view
            self._memory = memory
        self._memory[self._length : end] = added
        self._length = end

    def _become(self, values: list[float]) -> None:
        self._memory, self._length = np.empty(0), 0  # views stay as they were
        self.extend(values)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.array(self.view, dtype, copy=True if copy is None else copy)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Numbers):
            return bool(np.array_equal(self.view, other.view))
        return list(self) == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Iterable[float]) -> list[float]:
        return [*self, *other]

    def __radd__(self, other: Iterable[float]) -> list[float]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(list(self))

from array import array
from collections.abc import Iterable, Iterator, MutableSequence
from typing import Any, final, overload

import numpy as np


@final
class Numbers(MutableSequence[float]):
    """A list of floats in 8 bytes each, where a list takes 32: of each step of a run, one is kept.

    It is used as a list is, and equal to a list of the same numbers; slices and sums with lists are lists.

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
        self._values = array("d", values)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    @overload
    def __getitem__(self, place: int) -> float: ...
    @overload
    def __getitem__(self, place: slice) -> list[float]: ...
    def __getitem__(self, place: int | slice) -> float | list[float]:
        found = self._values[place]
        return found.tolist() if isinstance(found, array) else found

    @overload
    def __setitem__(self, place: int, values: float) -> None: ...
    @overload
    def __setitem__(self, place: slice, values: Iterable[float]) -> None: ...
    def __setitem__(self, place: Any, values: Any) -> None:
        self._values[place] = array("d", values) if isinstance(place, slice) else values

    def __delitem__(self, place: int | slice) -> None:
        del self._values[place]

    def insert(self, place: int, value: float) -> None:
        """Puts a number before that place."""
        self._values.insert(place, value)

    def extend(self, values: Iterable[float]) -> None:
        """Puts numbers at the end."""
        self._values.extend(values._values if isinstance(values, Numbers) else values)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Numbers):
            return self._values == other._values
        return self._values.tolist() == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if copy is False:
            raise ValueError("Numbers: an array of them is a copy")
        return np.array(self._values, dtype)

    def __add__(self, other: Iterable[float]) -> list[float]:
        return [*self, *other]

    def __radd__(self, other: Iterable[float]) -> list[float]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(self._values.tolist())

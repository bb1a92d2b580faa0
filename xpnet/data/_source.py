"""Where examples come from: host arrays, arrays on a device, or files that are read a slice at a time."""

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import Array
from xpnet.backend import Backend, HostArray, find_backend

Rows = slice | NDArray[np.int64]
Check = Callable[[str, Array, Rows], None]
Pending = Callable[[], Array]
"""An array that may be on its way; called once, when it is needed."""


@final
class Order:
    """Which example comes when in one pass: on the host, and from its first use there on a device.

    Parameters
    ----------
    numbers : of the examples, in the order they come; None for the order of the data.
    """

    def __init__(self, numbers: NDArray[np.int64] | None) -> None:
        self.numbers = numbers
        self._there: dict[tuple[str, str], Array] = {}

    def rows(self, piece: slice) -> Rows:
        """Those of a piece of the pass."""
        return piece if self.numbers is None else self.numbers[piece]

    def beside(self, values: Array, backend: Backend, piece: slice) -> Array:
        """The numbers of the examples of a piece, where these values live: copied there once, all together."""
        xp, device = backend.xp, backend.device_of(values)
        if self.numbers is None:
            return xp.arange(piece.start, piece.stop, dtype=xp.int64, device=device)
        key = backend.name, str(device)
        if key not in self._there:
            self._there[key] = xp.asarray(self.numbers, dtype=xp.int64, device=device)
        return self._there[key][piece]


class Source(Protocol):
    """Something with a length whose rows can be taken."""

    scattered: bool
    """Whether rows from all over can be taken at once; otherwise only slices."""

    def __len__(self) -> int: ...

    def begin(self, order: Order, backend: Backend) -> Callable[[slice], Pending]:
        """A pass: what begins to bring the examples of a piece of it to a backend."""

    def host_rows(self, rows: slice) -> HostArray:
        """The examples of a slice, on the host."""


def open_source(name: str, values: Any, check: Check) -> Source:
    """The source for an array, a memory map, or anything else with a length and slicing.

    Parameters
    ----------
    name : the argument's name, for errors.
    check : raises where values of this argument cannot be used, told which rows they are; in-memory arrays are checked
        once and now, files as they are read.

    Raises
    ------
    TypeError : a value without a length or slicing.
    ValueError : a 0-d array, or a masked array with masked values.
    """
    backend = find_backend(type(values))
    if backend is not None and backend.name != "numpy":
        return DeviceSource(name, backend, values)
    if isinstance(values, np.memmap) or (not isinstance(values, np.ndarray) and _sliceable(values)):
        return FileSource(name, values, check)
    if np.ma.is_masked(values):
        raise ValueError(f"{name}: some values are masked; give them a value first: {name}.filled(0.0)")
    if isinstance(values, (list, tuple, np.ndarray)):
        return HostSource(name, np.asarray(values), check)
    raise TypeError(f"{name}: expected an array or anything with a length and slicing, got {type(values).__name__}")


def _sliceable(values: Any) -> bool:
    return hasattr(values, "__len__") and hasattr(values, "__getitem__") and hasattr(values, "shape")


@final
class HostSource:
    """A NumPy array in memory."""

    scattered = True

    def __init__(self, name: str, values: NDArray[Any], check: Check) -> None:
        _check_axes(name, values)
        check(name, values, slice(0, len(values)))
        self.name, self.values = name, values

    def __len__(self) -> int:
        return len(self.values)

    def begin(self, order: Order, backend: Backend) -> Callable[[slice], Pending]:
        values, numbers, upload = self.values, order.numbers, backend.upload
        if numbers is None:
            return lambda piece: upload(values, piece)
        return lambda piece: upload(values, numbers[piece])

    def host_rows(self, rows: slice) -> HostArray:
        return self.values[rows]


@final
class FileSource:
    """A memory map, or an HDF5 or Zarr dataset: read a part at a time, and checked as it is read."""

    def __init__(self, name: str, values: Any, check: Check) -> None:
        self.name, self.values, self.check = name, values, check
        self.scattered = isinstance(values, np.memmap)

    def __len__(self) -> int:
        return len(self.values)

    def begin(self, order: Order, backend: Backend) -> Callable[[slice], Pending]:
        return lambda piece: backend.upload(self._read(order.rows(piece)))

    def host_rows(self, rows: slice) -> HostArray:
        return self._read(rows)

    def _read(self, rows: Rows) -> HostArray:
        values = np.asarray(self.values[rows])
        self.check(self.name, values, rows)
        return values


@final
class DeviceSource:
    """An array that lives on a device already, and is indexed there.

    Parameters
    ----------
    kept : whether the array is our own copy, so that nobody may get a view of it.
    """

    scattered = True

    def __init__(self, name: str, backend: Backend, values: Array, *, kept: bool = False) -> None:
        _check_axes(name, values)
        self.name, self.backend, self.values, self.kept = name, backend, values, kept

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def begin(self, order: Order, backend: Backend) -> Callable[[slice], Pending]:
        def take(piece: slice) -> Array:
            if order.numbers is None:
                rows = self._slice(piece)
                return backend.asarray(self.backend.copy(rows) if self.kept else rows)
            return backend.asarray(self.backend.xp.take(self.values, self.examples(piece, order), axis=0))

        return lambda piece: partial(take, piece)

    def examples(self, piece: slice, order: Order) -> Array:
        """The numbers of the examples of a piece, beside the values."""
        return order.beside(self.values, self.backend, piece)

    def host_rows(self, rows: slice) -> HostArray:
        return self.backend.to_host(self._slice(rows))

    def _slice(self, rows: slice) -> Array:
        return self.values[rows.start : min(rows.stop, len(self)), ...]


def _check_axes(name: str, values: Array) -> None:
    if values.ndim == 0:
        raise ValueError(f"{name}: expected an array with one example a row, got a 0-d array")

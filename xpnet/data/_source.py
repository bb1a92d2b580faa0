"""Where examples come from: host arrays, arrays on a device, or files that are read a slice at a time."""

from collections.abc import Callable
from typing import Any, Protocol, final

import numpy as np
from numpy.typing import NDArray

from xpnet._typing import Array
from xpnet.backend import Backend, HostArray, find_backend

Rows = slice | NDArray[np.int64]
Check = Callable[[str, Array, Rows], None]


class Source(Protocol):
    """Something with a length whose rows can be taken."""

    scattered: bool
    """Whether rows from all over can be taken at once; otherwise only slices."""

    def __len__(self) -> int: ...

    def rows(self, rows: Rows) -> Array:
        """The examples of a slice, or those of these numbers."""

    def host_rows(self, rows: Rows) -> HostArray:
        """The same on the host."""


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
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, rows: Rows) -> Array:
        return self.values[rows]

    host_rows = rows


@final
class FileSource:
    """A memory map, or an HDF5 or Zarr dataset: read a part at a time, and checked as it is read."""

    def __init__(self, name: str, values: Any, check: Check) -> None:
        self.name, self.values, self.check = name, values, check
        self.scattered = isinstance(values, np.memmap)

    def __len__(self) -> int:
        return len(self.values)

    def rows(self, rows: Rows) -> Array:
        values = np.asarray(self.values[rows])
        self.check(self.name, values, rows)
        return values

    host_rows = rows


@final
class DeviceSource:
    """An array that lives on a device already, and is indexed there."""

    scattered = True

    def __init__(self, name: str, backend: Backend, values: Array) -> None:
        _check_axes(name, values)
        self.backend, self.values = backend, values

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def rows(self, rows: Rows) -> Array:
        if isinstance(rows, slice):
            return self.values[rows.start : min(rows.stop, len(self)), ...]
        xp = self.backend.xp
        return xp.take(self.values, xp.asarray(rows, device=self.backend.device_of(self.values)), axis=0)

    def host_rows(self, rows: Rows) -> HostArray:
        return self.backend.to_host(self.rows(rows))


def _check_axes(name: str, values: Array) -> None:
    if values.ndim == 0:
        raise ValueError(f"{name}: expected an array with one example a row, got a 0-d array")

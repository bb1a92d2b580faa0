"""Half precision, as mixed precision needs it: reductions and chains of operations on float16, computed in float32."""

from abc import ABC, abstractmethod
from typing import Any

from xpnet._typing import Array, Shape
from xpnet.backend._elementwise import Body, fresh


class HalfSeams(ABC):
    """What a backend does with float16, in plain Array API."""

    xp: Any
    half: Any

    @abstractmethod
    def device_of(self, x: Array) -> Any:
        """The device that `x` lives on, in the library's own terms."""

    @abstractmethod
    def is_float(self, x: Array) -> bool:
        """Whether `x` is of a real floating-point type."""

    def wide(self, x: Array) -> Array:
        """Float16 as float32, for reductions; anything else as it is."""
        return self.xp.astype(x, self.xp.float32) if self.half is not None and x.dtype == self.half else x

    def narrow(self, x: Array, like: Array) -> Array:
        """`x` in the type of `like`, where that is float16; else as it is."""
        return self.xp.astype(x, like.dtype, copy=False) if self.half is not None and like.dtype == self.half else x

    def wide_place(self, shape: Shape, like: Array) -> Array | None:
        """A float32 array to write products of float16 into that are to be added up; None for any other type."""
        if self.half is None or like.dtype != self.half:
            return None
        return self.xp.empty(shape, dtype=self.xp.float32, device=self.device_of(like))

    def scale_into(self, x: Array, factor: Array, out: Array) -> None:
        """x · factor, computed in the type of `factor` and rounded into `out`."""
        out[...] = self.xp.astype(x, factor.dtype, copy=False) * factor

    def _widened(self, body: Body, updates: int, arguments: tuple[Any, ...]) -> Any:
        """A body on float16: computed in float32, its results rounded to float16."""
        half, first = self.half, arguments[0]
        wide = [self.wide(a) if getattr(a, "dtype", None) == half else a for a in arguments]
        new = fresh(body(self.xp, *wide), updates)
        for array, values in zip(arguments[:updates], wide, strict=False):
            if array is not values:
                self._write(array, values)
        if isinstance(new, tuple):
            return tuple(self._rounded(result, first) for result in new)
        return None if new is None else self._rounded(new, first)

    def _write(self, array: Array, values: Array) -> None:
        array[...] = values

    def _rounded(self, result: Array, first: Array) -> Array:
        return self.xp.astype(result, first.dtype, copy=False) if self.is_float(result) else result

"""Calls of a user's functions, on copies: what they return, or the finding that says why nothing came back."""

import copy
import traceback
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._report import Finding
from xpnet.diagnostics._trial_arrays import duplicate, is_array, items_of, like, on_host, same_bits, type_of, write

Values: TypeAlias = Mapping[str, HostArray]


class CannotCheck(Exception):
    """A function of the user's does not give what can be checked; the finding says what it did."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.sentence)
        self.finding = finding


def guarded(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's value.

    Raises
    ------
    CannotCheck : it raised an error, which the finding tells with its place.
    """
    try:
        with np.errstate(all="ignore"):  # parameters are tried at which values may well overflow
            return function(*arguments)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename}, line {last.lineno}: {last.line}"
        text = f"{type(error).__name__}: {error}"
        raise CannotCheck(
            Finding(
                "function_raises",
                f"{what} raises {text}",
                {"error": text, "place": place, "function": what},
                weight=1.0,
            )
        ) from None


def number(what: str, value: Any) -> float:
    """A function's value as a float.

    Raises
    ------
    CannotCheck : it is no single real number.
    """
    shape = tuple(getattr(value, "shape", ())) if value is not None else None
    try:
        host = np.asarray(on_host(value) if is_array(value) else value)
        if host.size == 1 and host.dtype.kind in "fiub":
            return float(host.reshape(()))
    except (TypeError, ValueError):
        pass
    got = f"an array of shape {shape}" if shape else type(value).__name__ if value is not None else "None"
    raise CannotCheck(
        Finding("wrong_shape", f"{what} should give one number, and gives {got}", {"shape": shape}, weight=1.0)
    )


@final
class Trial:
    """Parameters of a user's, handed to a user's functions with other values.

    Parameters
    ----------
    parameters : a dict of arrays, or an object with arrays as attributes.
    names : which of the arrays are parameters.

    Attributes
    ----------
    dtype : the type of the copies: `"float64"`, or None for each array's own.
    in_place : whether values are written into the user's own arrays, because the functions read those and not the
        ones they are given. Whoever sets it restores the arrays.
    """

    def __init__(self, parameters: Any, names: Iterable[str]) -> None:
        self.parameters = parameters
        self.items = items_of(parameters)
        self.names = tuple(names)
        self.start: dict[str, HostArray] = {name: on_host(self.items[name]).astype(np.float64) for name in self.names}
        self.dtype: str | None = "float64"
        self.in_place = False
        self.original = dict(self.items)

    def type_of(self, name: str) -> str:
        """The type in which the function sees this parameter."""
        return self.dtype if self.dtype is not None and not self.in_place else type_of(self.original[name])

    def seen(self, name: str, values: HostArray) -> HostArray:
        """What the function sees of these values: rounded to the type of the copy."""
        rounded: HostArray = values.astype(self.type_of(name)).astype(np.float64)
        return rounded

    def argument(self, values: Values) -> Any:
        """What a function is called with: the user's dict or object, or a copy, with these values in it."""
        if self.in_place:
            for name in self.names:
                write(like(values[name], self.original[name]), self.original[name])
            return self.parameters
        new = {name: like(values[name], self.original[name], self.dtype) for name in self.names}
        rest = {key: duplicate(value) for key, value in self.original.items() if key not in new}
        if isinstance(self.parameters, Mapping):
            return {key: new.get(key, rest.get(key)) for key in self.original}
        copied = copy.copy(self.parameters)
        vars(copied).update(rest | new)
        return copied

    def call(self, what: str, function: Callable[..., Any], values: Values, *arguments: Any) -> Any:
        """The function's value at these values."""
        return guarded(what, function, self.argument(values), *arguments)

    def changed(self, what: str, function: Callable[..., Any], *arguments: Any) -> tuple[Any, list[str]]:
        """The function's value at the user's own values, and which parameters and other arguments it changed."""
        argument = self.argument(self.start)
        before = {name: duplicate(items_of(argument)[name]) for name in self.names}
        others = duplicate(list(arguments))
        value = guarded(what, function, argument, *arguments)
        after = items_of(argument)
        found = [name for name in self.names if name not in after or not _same(after[name], before[name])]
        found += [f"argument {i + 2}" for i, pair in enumerate(zip(arguments, others, strict=True)) if not _same(*pair)]
        return value, found


def _same(a: Any, b: Any) -> bool:
    return is_array(a) == is_array(b) and (not is_array(a) or same_bits(a, b))

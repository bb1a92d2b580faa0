import functools
from typing import Any, NoReturn, Protocol

from xpnet._typing import Array

OPERATIONS = ("sum", "mean", "max", "min")


class Request(Protocol):
    """A reduction that is on its way."""

    def wait(self) -> None:
        """Returns when the array holds the result; on a GPU, when what is asked of it from now on will find it."""


class Communicator(Protocol):
    """What one rank knows of the others, and sends them. `communicator` gives one.

    All ranks have to call the same methods in the same order, with arrays of the same shapes and types. A call waits
    for the others. Arrays are those of any backend and are changed in place.

    Attributes
    ----------
    rank : this rank's number, from 0.
    size : how many ranks there are.
    local_rank : its number among those of its machine.
    recordable : whether `all_reduce` may be part of a step that is recorded (`xpnet.capture`).
    """

    rank: int
    size: int
    local_rank: int
    recordable: bool

    def all_reduce(self, array: Array, op: str = "sum") -> None:
        """The `"sum"`, `"mean"`, `"max"` or `"min"` over all ranks into `array`: on all ranks the same bits."""

    def start_all_reduce(self, array: Array, op: str = "sum") -> Request:
        """Begins an `all_reduce`: the array may not be touched before `wait` of what is returned."""

    def broadcast(self, array: Array, root: int = 0) -> None:
        """The values that rank `root` has into `array`."""

    def all_gather_object(self, value: Any) -> list[Any]:
        """The values of all ranks, by rank: numbers, text, None, lists and dicts of them."""

    def broadcast_object(self, value: Any, root: int = 0) -> Any:
        """The value that rank `root` has."""

    def barrier(self) -> None:
        """Waits until all ranks are here."""

    def abort(self, message: str) -> NoReturn:
        """Ends all ranks, with this rank's number and the message on standard error."""


def check_operation(array: Array, op: str) -> None:
    """An operation that there is, on numbers that it is made for.

    Raises
    ------
    ValueError, TypeError : it is not.
    """
    _check(array.dtype, op)


@functools.lru_cache(maxsize=None, typed=True)  # types of two libraries do not like to be compared
def _check(dtype: Any, op: str) -> None:
    """What was right once is not looked at again: this is part of each step."""
    if op not in OPERATIONS:
        raise ValueError(f"all_reduce: op must be one of {', '.join(map(repr, OPERATIONS))}, got {op!r}")
    kind = str(dtype).rpartition(".")[2]
    if kind not in ("float32", "float64", "int32", "int64") or (op == "mean" and kind.startswith("int")):
        known = "float32 and float64" if op == "mean" else "float32, float64, int32 and int64"
        raise TypeError(f"all_reduce: the {op} is for arrays of {known}, got {kind}")


def to_mean(array: Array, op: str, size: int) -> None:
    """Turns a sum into what was asked for."""
    if op == "mean":
        array *= 1.0 / size

from typing import Any, NoReturn, final

from xpnet._typing import Array
from xpnet.distributed._communicator import check_operation


@final
class Single:
    """The communicator of one process that is alone: every value is already everybody's.

    Examples
    --------
    >>> import numpy as np
    >>> alone, gradient = Single(), np.ones(3)
    >>> alone.all_reduce(gradient, "mean")
    >>> gradient, alone.all_gather_object("here")
    (array([1., 1., 1.]), ['here'])
    """

    rank = 0
    size = 1
    local_rank = 0
    recordable = True

    def __repr__(self) -> str:
        return "Single()"

    def all_reduce(self, array: Array, op: str = "sum") -> None:
        """Leaves it as it is."""
        check_operation(array, op)

    def start_all_reduce(self, array: Array, op: str = "sum") -> "Single":
        """Leaves it as it is."""
        self.all_reduce(array, op)
        return self

    def wait(self) -> None:
        """There is nothing to wait for."""

    def broadcast(self, array: Array, root: int = 0) -> None:
        """Leaves it as it is."""

    def all_gather_object(self, value: Any) -> list[Any]:
        """The value alone."""
        return [value]

    def broadcast_object(self, value: Any, root: int = 0) -> Any:
        """The value."""
        return value

    def barrier(self) -> None:
        """Everybody is here."""

    def abort(self, message: str) -> NoReturn:
        """Ends the process.

        Raises
        ------
        SystemExit : with the message.
        """
        raise SystemExit(message)

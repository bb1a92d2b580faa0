"""What holds inside a block alone: a backend, a seed, a way to compute convolutions."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Generic, TypeVar, final

Value = TypeVar("Value")


@final
class Override(Generic[Value]):
    """A value for the inside of a `with` block, in the context (thread or task) that entered it.

    Blocks nest. The latest of those that still run counts, in whatever order they end: one inside a generator ends
    with its generator.

    Parameters
    ----------
    name : of the context variable behind it.

    Examples
    --------
    >>> colour = Override("colour")
    >>> with colour.by("red"):
    ...     with colour.by("blue"):
    ...         print(colour.get())
    ...     print(colour.get())
    blue
    red
    >>> colour.get() is None
    True
    """

    def __init__(self, name: str) -> None:
        self._blocks: ContextVar[tuple[list[Value], ...]] = ContextVar(name, default=())

    def get(self) -> Value | None:
        """The value here and now; None outside all blocks."""
        blocks = self._blocks.get()
        return blocks[-1][0] if blocks else None

    @contextmanager
    def by(self, value: Value) -> Iterator[None]:
        """Inside, `get` gives this value."""
        block = [value]  # a list is itself alone, even where the same value holds in two blocks
        self._blocks.set((*self._blocks.get(), block))
        try:
            yield
        finally:
            self._blocks.set(tuple(other for other in self._blocks.get() if other is not block))

"""Names and lists in messages: short, and printable whatever a file holds."""

import reprlib
from collections.abc import Sequence
from typing import Any

from xpnet._typing import Shape

_MOST_LINES = 10
_MOST_CHARACTERS = 100
_MOST_AXES = 8

_REPR = reprlib.Repr()
"""Which looks at few of the members and not deep: the text of all that a file holds may be long."""
_REPR.maxlist = _REPR.maxdict = 50
_REPR.maxstring = _MOST_CHARACTERS


def shown(name: str) -> str:
    """A name from a file, as it may stand in a message."""
    name = name if name.isprintable() and name.strip() == name != "" else repr(name)
    return name if len(name) <= _MOST_CHARACTERS else f"{name[:_MOST_CHARACTERS]}…"


def described(value: Any) -> str:
    """A value from a file's JSON, as it may stand in a message."""
    return shown(value if isinstance(value, str) else _REPR.repr(value))


def shown_shape(shape: Shape) -> str:
    """A shape, as it may stand in a message."""
    return str(tuple(shape)) if len(shape) <= _MOST_AXES else f"({', '.join(map(str, shape[:_MOST_AXES]))}, …)"


def counted(number: int, noun: str) -> str:
    """`1 byte`, `2 bytes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def cut(lines: Sequence[str]) -> list[str]:
    """The first ten, and how many more there are."""
    rest = len(lines) - _MOST_LINES
    return list(lines) if rest <= 0 else [*lines[:_MOST_LINES], f"… and {rest} more"]

import operator
from typing import Any


def check_count(layer: str, name: str, value: Any) -> int:
    """A positive integer, such as a number of features, as a Python integer.

    Raises
    ------
    ValueError : anything else.
    """
    if isinstance(value, bool) or not hasattr(type(value), "__index__") or value < 1:
        raise ValueError(f"{layer}: {name} must be a positive integer, got {value!r}")
    return operator.index(value)

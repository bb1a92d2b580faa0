import math


def check_fraction(optimizer: str, name: str, value: float) -> float:
    """A number from 0, below 1.

    Raises
    ------
    ValueError : anything else.
    """
    if not 0.0 <= value < 1.0:
        raise ValueError(f"{optimizer}: {name} must be from 0 and below 1, got {value!r}")
    return value


def check_positive(optimizer: str, name: str, value: float) -> float:
    """A finite number above 0.

    Raises
    ------
    ValueError : anything else.
    """
    if not (math.isfinite(value) and value > 0.0):
        raise ValueError(f"{optimizer}: {name} must be above 0, got {value!r}")
    return value

def check_count(layer: str, name: str, value: object) -> int:
    """A positive integer, such as a number of features.

    Raises
    ------
    ValueError : anything else.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{layer}: {name} must be a positive integer, got {value!r}")
    return value

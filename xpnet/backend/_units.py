"""Bytes in words."""


def in_units(size: int) -> str:
    """A number of bytes, short.

    Examples
    --------
    >>> in_units(1536), in_units(3 * 2**30)
    ('1.5 KiB', '3.0 GiB')
    """
    value, units = float(size), ["B", "KiB", "MiB", "GiB"]
    while abs(round(value, 1)) >= 1024 and len(units) > 1:
        value = value / 1024
        del units[0]
    return f"{size} B" if units[0] == "B" else f"{value:.1f} {units[0]}"

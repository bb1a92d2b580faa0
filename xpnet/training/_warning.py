import sys
import warnings


def warn(warning: Warning) -> None:
    """Warns with the file and line from which this package was called, however deep it is inside."""
    level, frame = 2, sys._getframe(1)
    while frame.f_globals.get("__name__", "").partition(".")[0] == __name__.partition(".")[0] and frame.f_back:
        level, frame = level + 1, frame.f_back
    warnings.warn(warning, stacklevel=level)

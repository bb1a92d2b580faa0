from os import PathLike
from pathlib import Path


def path_of(what: str, path: str | PathLike[str]) -> Path:
    """A path as the user gave it.

    Raises
    ------
    TypeError : something else.
    """
    try:
        return Path(path)
    except TypeError as error:
        raise TypeError(f"{what}: path must be a str or a pathlib.Path, got {type(path).__name__}") from error


def target(what: str, path: str | PathLike[str]) -> Path:
    """A path that a file can be written to.

    Raises
    ------
    TypeError : no path.
    FileNotFoundError : its folder is not there.
    IsADirectoryError : it is a folder itself.
    """
    found = path_of(what, path)
    if not found.parent.is_dir():
        raise FileNotFoundError(f"{what}: there is no folder {found.parent}")
    if found.is_dir():
        raise IsADirectoryError(f"{what}: {found} is a folder, expected the path of a file")
    return found

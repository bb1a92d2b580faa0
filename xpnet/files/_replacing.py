import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

PART = ".part"
"""How the name of a file ends that is not whole yet."""


@contextmanager
def replacing(path: Path) -> Iterator[BufferedWriter]:
    """A file to write into that, when the block ends without an error, is forced to the disk and becomes `path`.

    Until then it has another name, so that an older file stays whole. The folder is forced to the disk as well: the
    file has its name also after the machine has lost its power.

    Raises
    ------
    OSError : it cannot be written; the older file stays as it was.
    """
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}{PART}")
    try:
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Forces to the disk which files a folder has."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(place)
    finally:
        os.close(place)

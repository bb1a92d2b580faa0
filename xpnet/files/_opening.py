import os
import stat
from io import BufferedReader
from pathlib import Path


def open_file(path: Path, where: str, expected: str) -> BufferedReader:
    """A file opened for reading. It is one: a pipe could keep the reader waiting, a device never end.

    Raises
    ------
    ValueError : it is a folder, a pipe, a socket or a device.
    OSError : it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError(f"{where} is a folder or a device, expected {expected}")
    return open(descriptor, "rb")


def size_of(file: BufferedReader) -> int:
    """Bytes of an open file."""
    return os.fstat(file.fileno()).st_size

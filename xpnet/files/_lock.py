import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path, what: str) -> Iterator[None]:
    """Inside the block no other process, and no other place in this one, can lock the same file.

    The system takes the lock back when its holder ends, however it ends. The file stays.

    Raises
    ------
    BlockingIOError : another one holds it; the message names that process.
    OSError : the file cannot be made.
    """
    place = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(place, 100).decode("utf-8", "replace").strip() or "another process"
            raise BlockingIOError(error.errno, f"{what}: {path.parent} is in use by {holder}") from error
        os.ftruncate(place, 0)
        os.write(place, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        yield
    finally:
        os.close(place)

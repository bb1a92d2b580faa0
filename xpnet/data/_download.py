"""Download one file from several mirrors: resumed where it was cut, kept only with the right checksum."""

import fcntl
import hashlib
import http.client
import os
import re
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedRandom, BufferedReader
from pathlib import Path
from urllib.error import HTTPError, URLError

from tqdm import tqdm

from xpnet.data._http import ask
from xpnet.files import sync_folder

_TRIES = 3  # for each mirror
_CHUNK = 1 << 16
_PATIENCE = 600.0  # seconds without a byte from another process that downloads the same file
_GLANCE = 0.05  # seconds between two looks at it


class _MirrorError(Exception):
    """Why a mirror did not deliver, and whether asking it again may help."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def download(urls: Sequence[str], path: str | os.PathLike[str], sha256: str, *, limit: int = 1 << 30) -> Path:
    """Download a file that several mirrors offer, and check it.

    The mirrors are asked in order. What arrives is kept in `<name>.part` beside `path`, so a download that was cut
    goes on from there, in this call or a later one. The file appears under its own name only once its checksum is
    right and it is on the disk; a file with another checksum is deleted and the next mirror is asked. So is it where a
    mirror is silent for 30 seconds or sends less than 128 KiB in them. A progress bar is shown where standard error is
    a terminal. Processes that download to the same path at once take turns, and find the file there when the first is
    done.

    Parameters
    ----------
    urls : the addresses of the same file, http or https.
    path : where to put the file; its folder is made if it is not there. A file already there is replaced, unless it
        is this one.
    sha256 : the file's SHA-256, 64 hexadecimal digits.
    limit : bytes; a mirror that sends more is given up.

    Returns
    -------
    `path`.

    Raises
    ------
    ValueError : an address or `sha256` is malformed, or `urls` is empty.
    ConnectionError : no mirror delivered the file. The message gives each one's reason, and says which file to
        put into which folder by hand. Or another process has begun and does not go on.
    OSError : the file cannot be written; what there is of it stays for a later call.

    Examples
    --------
    >>> download(["ftp://example.org/a.gz"], "a.gz", "0" * 64)
    Traceback (most recent call last):
    ValueError: download: urls[0] is 'ftp://example.org/a.gz', expected http://... or https://...

    References
    ----------
    RFC 9110, section 14 (range requests).
    """
    if not urls:
        raise ValueError("download: urls is empty, expected at least one address")
    for i, url in enumerate(urls):
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"download: urls[{i}] is {url!r}, expected http://... or https://...")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ValueError(f"download: sha256 is {sha256!r}, expected 64 hexadecimal digits")
    path = Path(path)
    part = path.with_name(path.name + ".part")
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    with _taken(part) as file:
        if path.is_file() and digest(path) == sha256.lower():
            return path
        for url in urls:
            try:
                _fetch(url, file, sha256.lower(), limit, path.name)
            except _MirrorError as error:
                failures.append(f"  {url}: {error}")
            else:
                os.fsync(file.fileno())
                os.replace(part, path)
                sync_folder(path.parent)
                return path
    raise ConnectionError(
        "\n".join([f"{path.name} could not be downloaded:", *failures])
        + f"\nTo go on without network, put the file {path.name} (SHA-256 {sha256}) into the folder {path.parent}"
    )


@contextmanager
def _taken(part: Path) -> Iterator[BufferedRandom]:
    """The part as an open file that no other process has; an empty one is removed at last."""
    while True:
        with _opened(part) as file:
            _lock(file, part)
            if not _is(file, part):  # it was finished or given up by the process that had it
                continue
            try:
                yield file
                return
            finally:
                if not _size(file) and _is(file, part):
                    part.unlink()


def _opened(part: Path) -> BufferedRandom:
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(f"{part} is a pipe or a device, expected a file or nothing")
    return open(descriptor, "r+b")


def _lock(file: BufferedRandom, part: Path) -> None:
    """Waits for another process that has the file. Where files cannot be locked, none is."""
    began, size = time.monotonic(), _size(file)
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_GLANCE)
        except OSError:
            return None
        if size != _size(file):
            began, size = time.monotonic(), _size(file)
        if time.monotonic() - began > _PATIENCE:
            raise ConnectionError(f"{part} is held by another process, which has added nothing for {_PATIENCE:g} s")


def _is(file: BufferedRandom, path: Path) -> bool:
    """Whether the open file is the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _size(file: BufferedRandom) -> int:
    return os.fstat(file.fileno()).st_size


def _empty(file: BufferedRandom) -> None:
    file.seek(0)
    file.truncate()


def _fetch(url: str, file: BufferedRandom, sha256: str, limit: int, name: str) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            _try_once(url, file, sha256, limit, name)
            return
        except _MirrorError as error:
            if not (error.again and tries_left):
                raise


def _try_once(url: str, file: BufferedRandom, sha256: str, limit: int, name: str) -> None:
    if _size(file) > limit:
        _empty(file)
    start = _size(file)
    if start and _digest(file) == sha256:
        return
    _receive(url, file, start, limit, name)
    found = _digest(file)
    if found != sha256:
        _empty(file)
        # After a resumed download the first piece, perhaps another mirror's, may be the wrong one.
        raise _MirrorError(f"sent a file of SHA-256 {found}, expected {sha256}", again=start > 0)


def _receive(url: str, file: BufferedRandom, start: int, limit: int, name: str) -> None:
    with _ask(url, file, start) as response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _MirrorError("sent an HTML page, expected a file")
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        content_range = response.headers.get("Content-Range", "")
        if resumed and not content_range.startswith(f"bytes {start}-"):
            _empty(file)
            raise _MirrorError(f"sent the range {content_range!r}, expected bytes {start}-", again=start > 0)
        first = start if resumed else 0
        if not resumed:
            _empty(file)
        file.seek(first)
        total = None if response.length is None else first + response.length
        received, cut = first, ""
        with tqdm(total=total, initial=first, unit="B", unit_scale=True, desc=name, disable=None) as bar:
            while received <= limit:
                try:
                    chunk = response.read1(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    cut = f" ({error})"
                    break
                if not chunk:
                    break
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
        file.flush()
    if received > limit:
        _empty(file)
        raise _MirrorError(f"sent more than {limit} bytes")
    if cut or (total is not None and received < total):
        expected = "an unknown number of" if total is None else total
        raise _MirrorError(f"cut after {received} of {expected} bytes{cut}", again=received > first)


def _ask(url: str, file: BufferedRandom, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "xpnet"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return ask(url, headers)
    except HTTPError as error:
        error.close()
        out_of_range = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if out_of_range:
            _empty(file)
        phrase = http.client.responses.get(error.code, "unknown status")
        raise _MirrorError(f"HTTP {error.code} {phrase}", again=out_of_range and start > 0) from error
    except URLError as error:
        raise _MirrorError(f"not reached: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: sent on to a malformed address
        raise _MirrorError(f"not reached: {error}") from error


def _digest(file: BufferedRandom | BufferedReader) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()


def digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return _digest(file)

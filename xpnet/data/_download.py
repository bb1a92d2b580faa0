"""Download one file from several mirrors: resumed where it was cut, kept only with the right checksum."""

import hashlib
import http.client
import os
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

_TIMEOUT = 30.0  # seconds of silence
_TRIES = 3  # for each mirror
_CHUNK = 1 << 16


class _MirrorError(Exception):
    """Why a mirror did not deliver, and whether asking it again may help."""

    def __init__(self, reason: str, *, again: bool = False) -> None:
        super().__init__(reason)
        self.again = again


def download(urls: Sequence[str], path: str | os.PathLike[str], sha256: str, *, limit: int = 1 << 30) -> Path:
    """Download a file that several mirrors offer, and check it.

    The mirrors are asked in order. What arrives is kept in `<name>.part` beside `path`, so a download that was cut
    goes on from there, in this call or a later one. The file appears under its own name only once its checksum is
    right; a file with another checksum is deleted and the next mirror is asked. A progress bar is shown where
    standard error is a terminal. Two processes must not download to the same path at once.

    Parameters
    ----------
    urls : the addresses of the same file, http or https.
    path : where to put the file; its folder is made if it is not there, and a file already there is replaced.
    sha256 : the file's SHA-256, 64 hexadecimal digits.
    limit : bytes; a mirror that sends more is given up.

    Returns
    -------
    `path`.

    Raises
    ------
    ValueError : an address or `sha256` is malformed, or `urls` is empty.
    ConnectionError : no mirror delivered the file. The message gives each one's reason, and says which file to
        put into which folder by hand.
    OSError : the file cannot be written.

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
    for url in urls:
        try:
            _fetch(url, part, sha256.lower(), limit)
        except _MirrorError as error:
            failures.append(f"  {url}: {error}")
        else:
            os.replace(part, path)
            return path
    raise ConnectionError(
        "\n".join([f"{path.name} could not be downloaded:", *failures])
        + f"\nTo go on without network, put the file {path.name} (SHA-256 {sha256}) into the folder {path.parent}"
    )


def _fetch(url: str, part: Path, sha256: str, limit: int) -> None:
    for tries_left in reversed(range(_TRIES)):
        try:
            _try_once(url, part, sha256, limit)
            return
        except _MirrorError as error:
            if not (error.again and tries_left):
                raise


def _try_once(url: str, part: Path, sha256: str, limit: int) -> None:
    start = part.stat().st_size if part.exists() else 0
    if start and digest(part) == sha256:
        return
    _receive(url, part, start, limit)
    found = digest(part)
    if found != sha256:
        part.unlink()
        # After a resumed download the first piece, perhaps another mirror's, may be the wrong one.
        raise _MirrorError(f"sent a file of SHA-256 {found}, expected {sha256}", again=start > 0)


def _receive(url: str, part: Path, start: int, limit: int) -> None:
    response = _ask(url, part, start)
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise _MirrorError("sent an HTML page, expected a file")
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        content_range = response.headers.get("Content-Range", "")
        if resumed and not content_range.startswith(f"bytes {start}-"):
            part.unlink(missing_ok=True)
            raise _MirrorError(f"sent the range {content_range!r}, expected bytes {start}-", again=start > 0)
        first = start if resumed else 0
        total = None if response.length is None else first + response.length
        received = first
        cut = ""
        with (
            open(part, "ab" if resumed else "wb") as file,
            tqdm(total=total, initial=first, unit="B", unit_scale=True, desc=part.stem, disable=None) as bar,
        ):
            while received <= limit:
                try:
                    chunk = response.read(_CHUNK)
                except (OSError, http.client.HTTPException) as error:
                    cut = f" ({error})"
                    break
                if not chunk:
                    break
                file.write(chunk)
                received += len(chunk)
                bar.update(len(chunk))
    if received > limit:
        part.unlink()
        raise _MirrorError(f"sent more than {limit} bytes")
    if cut or (total is not None and received < total):
        expected = "an unknown number of" if total is None else total
        raise _MirrorError(f"cut after {received} of {expected} bytes{cut}", again=received > first)


def _ask(url: str, part: Path, start: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": "xpnet"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        response: http.client.HTTPResponse = urlopen(Request(url, headers=headers), timeout=_TIMEOUT)
    except HTTPError as error:
        error.close()
        out_of_range = error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
        if out_of_range:
            part.unlink(missing_ok=True)
        phrase = http.client.responses.get(error.code, "unknown status")
        raise _MirrorError(f"HTTP {error.code} {phrase}", again=out_of_range and start > 0) from error
    except URLError as error:
        raise _MirrorError(f"not reached: {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: sent on to a malformed address
        raise _MirrorError(f"not reached: {error}") from error
    return response


def digest(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

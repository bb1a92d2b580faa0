import json
from collections import Counter
from typing import Any

from xpnet.files._text import shown

_MOST = 2**19
"""Bytes. What Python makes of JSON may take 26 times as much memory: of `[{},{},{}]`, for example."""
_MOST_OF_ALL = 2**22
"""Bytes; they are parsed within two seconds."""


def most_json(size: int) -> int:
    """How many bytes of JSON may stand in a file of this size: 512 KiB, or a sixteenth of it up to 4 MiB.

    So what Python makes of them takes no more memory than twice the file, or 16 MiB.
    """
    return min(max(_MOST, size // 16), _MOST_OF_ALL)


def json_object(content: bytes, where: str, what: str, start: int = 0) -> dict[str, Any]:
    """An object of JSON in which no name stands twice. The caller has compared its length with `most_json`.

    Parameters
    ----------
    content : UTF-8.
    where, what : the file, and what of it this is, for messages.
    start : the number of the file's byte that `content` begins with.

    Raises
    ------
    ValueError : it is none.
    """
    try:
        text = content.decode("utf-8")
        found = json.loads(text, object_pairs_hook=_unique)
    except _DuplicateError as error:
        raise ValueError(f"{where}: {error} stands twice in {what}, expected once") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{where}: byte {start + error.start} of {what} is no UTF-8") from error
    except json.JSONDecodeError as error:
        place = start + len(text[: error.pos].encode())
        raise ValueError(f"{where}: {what} is no JSON at byte {place} ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # a number of too many digits, brackets in too many brackets
        raise ValueError(f"{where}: {what} is no JSON that can be read ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{where}: {what} is a {type(found).__name__}, expected an object: values by name")
    return found


class _DuplicateError(Exception):
    """A name that stands twice in one object of JSON: readers differ in which one they take."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _DuplicateError(shown(Counter(name for name, _ in pairs).most_common(1)[0][0]))
    return found

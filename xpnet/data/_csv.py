"""Read tables of numbers from text, strictly: rows of one length, numbers and nothing else."""

import csv
import os
import re
from collections.abc import Iterator
from io import BufferedReader
from pathlib import Path

import numpy as np

from xpnet.backend import HostArray
from xpnet.files import counted, open_file, path_of, shown, size_of

_CHUNK = 1 << 16
_LONGEST_LINE = 1 << 20  # bytes; of a hundred thousand numbers and more
_LONGEST_HEADER = 1 << 18
_DELIMITERS = (",", ";", "\t", " ", "|")
_MARK = b"\xef\xbb\xbf"  # that Windows writes before UTF-8
_OTHERS = {
    b"\x1f\x8b": "compressed by gzip, expected text: unpack it first",
    b"PK\x03\x04": "a spreadsheet or an archive, expected text: save it as CSV",
    b"\xff\xfe": "UTF-16, expected UTF-8",
    b"\xfe\xff": "UTF-16, expected UTF-8",
}
_NUMBER = rb"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?"
_NOT_FINITE = rb"[+-]?(?i:nan|inf(?:inity)?)"


def read_csv(
    path: str | os.PathLike[str],
    *,
    delimiter: str = ",",
    header: bool = False,
    dtype: str = "float32",
    allow_nonfinite: bool = False,
) -> tuple[tuple[str, ...], HostArray]:
    """Read a table of numbers from a text file.

    Each line holds the same number of fields, each field a number such as `-3`, `.5` or `1e-3`, with blanks around it
    or not. There is nothing else: no quotes, comments, blank lines or missing values, but `nan` and `inf` where they
    are allowed. The file may be hostile: it is read in pieces, no line may be longer than a MiB, and memory stays
    within twice the file or the array, whichever is larger, and 16 MiB.

    Parameters
    ----------
    path : the file, in UTF-8, its lines ended by `\\n` or `\\r\\n`.
    delimiter : what stands between two fields: a comma, a semicolon, a tab, a blank or `|`.
    header : whether the first line holds names, in double quotes or not.
    dtype : the array's type, "float32" or "float64".
    allow_nonfinite : whether `nan` and `inf`, and numbers that are infinite in this type, are read.

    Returns
    -------
    `names, values`: the names, none without a header; and a host array of shape (lines, fields).

    Raises
    ------
    ValueError : the file is no such table; the message names the line, the column and what was expected there. Or it
        is a folder, a pipe or a device; or an argument is none of those above.
    OSError : the file cannot be opened or read.
    TypeError : no path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "table.csv"
    ...     _ = path.write_text("x,t\\n-2.5,1\\n3,.5\\n")
    ...     read_csv(path, header=True)
    (('x', 't'), array([[-2.5,  1. ],
           [ 3. ,  0.5]], dtype=float32))

    References
    ----------
    RFC 4180, of which this reads a part.
    """
    path = path_of("read_csv", path)
    if delimiter not in _DELIMITERS:
        raise ValueError(f"read_csv: delimiter is {delimiter!r}, expected one of {', '.join(map(repr, _DELIMITERS))}")
    if dtype not in ("float32", "float64"):
        raise ValueError(f"read_csv: dtype is {dtype!r}, expected 'float32' or 'float64'")
    with open_file(path, str(path), "a text file") as file:
        return _Table(path, delimiter, dtype, allow_nonfinite).read(file, header)


class _Table:
    """Turns pieces of the text into numbers, or says what is wrong with them."""

    def __init__(self, path: Path, delimiter: str, dtype: str, allow_nonfinite: bool) -> None:
        self.path = path
        self.delimiter = delimiter
        self.dtype = dtype
        self.allow_nonfinite = allow_nonfinite
        blank = rb"" if delimiter == " " else rb" *+" if delimiter == "\t" else rb"[ \t]*+"
        self.field = blank + (rb"(?:%b|%b)" % (_NUMBER, _NOT_FINITE) if allow_nonfinite else _NUMBER) + blank
        self.between = delimiter.encode()

    def read(self, file: BufferedReader, header: bool) -> tuple[tuple[str, ...], HostArray]:
        names: tuple[str, ...] = ()
        columns, line, body = 0, 1, bytearray()
        for piece in _pieces(file, self.path):
            if header and line == 1:
                first, _, piece = piece.partition(b"\n")
                names, line = self.names(first), 2
                columns = len(names)
            if piece:
                if not columns:
                    columns = piece.count(self.between, 0, piece.index(b"\n")) + 1
                body += self.numbers(piece, columns, line).view(np.uint8).data
                line += piece.count(b"\n")
        if not body:
            raise ValueError(f"{self.path}: ends at line {line}, expected numbers there")
        return names, np.frombuffer(body, self.dtype).reshape(-1, columns)

    def names(self, text: bytes) -> tuple[str, ...]:
        """What the first line names the columns."""
        if len(text) > _LONGEST_HEADER:
            raise ValueError(f"{self.path}: line 1 has {len(text)} bytes, expected names of {_LONGEST_HEADER} at most")
        try:
            found = [name.strip() for name in next(csv.reader([text.decode()], delimiter=self.delimiter, strict=True))]
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path}: byte {error.start} of line 1 is no UTF-8") from error
        except csv.Error as error:
            raise ValueError(f"{self.path}: line 1 holds no names ({error})") from error
        if not found:
            raise ValueError(f"{self.path}: line 1 is blank, expected names")
        seen: set[str] = set()
        for column, name in enumerate(found, start=1):
            if name in seen or not name.isprintable():
                expected = "another name, as it stands twice" if name in seen else "a name that can be printed"
                raise ValueError(f"{self.path}: line 1, column {column} is {shown(name)}, expected {expected}")
            seen.add(name)
        if all(re.fullmatch(_NUMBER, name.encode()) for name in found):
            raise ValueError(f"{self.path}: line 1 holds numbers, expected names; header=False reads it as numbers")
        return tuple(found)

    def numbers(self, lines: bytes, columns: int, line: int) -> HostArray:
        """Those of whole lines, the first of which has this number."""
        row = self.field + rb"(?:%b%b){%d}+" % (re.escape(self.between), self.field, columns - 1) + rb"\n"
        whole = re.compile(rb"(?:%b)*+" % row).match(lines)
        if whole is None or whole.end() < len(lines):
            raise self.error(lines, whole.end() if whole else 0, columns, line)
        separator = " " if self.delimiter in " \t" else f" {self.delimiter} "  # a blank stands for any number of them
        values = np.fromstring(lines.replace(b"\n", self.between), np.float64, sep=separator)
        with np.errstate(over="ignore"):
            values = values.astype(self.dtype, copy=False)
        if not (self.allow_nonfinite or np.isfinite(values).all()):
            row_number, column = divmod(int(np.isfinite(values).argmin()), columns)
            text = lines.split(b"\n", row_number + 1)[row_number]
            field = text.split(self.between, column + 1)[column]
            raise ValueError(
                f"{self.path}: line {line + row_number}, column {column + 1} is {_field(field)}, which is infinite in "
                f"{self.dtype}, expected a finite number"
            )
        return values

    def error(self, lines: bytes, begin: int, columns: int, line: int) -> ValueError:
        """What is wrong with the line that begins there."""
        text = lines[begin : lines.index(b"\n", begin)]
        line += lines.count(b"\n", 0, begin)
        fields = text.count(self.between) + 1
        if not text.strip():
            return ValueError(f"{self.path}: line {line} is blank, expected {counted(columns, 'number')}")
        good = re.match(rb"(?:%b%b)*+" % (self.field, re.escape(self.between)), text)
        at = good.end() if good else 0
        column = text.count(self.between, 0, at) + 1
        found = text[at:].partition(self.between)[0]
        if re.fullmatch(self.field, found) or (fields != columns and line > 1):
            return ValueError(f"{self.path}: line {line} has {counted(fields, 'field')}, expected {columns}")
        expected = "a number"
        if re.fullmatch(rb"\s*" + _NOT_FINITE + rb"\s*", found):
            expected = "a finite number; allow_nonfinite=True reads others"
        elif line == 1:
            expected = "a number; header=True reads the first line as names"
        return ValueError(
            f"{self.path}: line {line}, column {column} (byte {at} of the line) is {_field(found)}, expected {expected}"
        )


def _field(text: bytes) -> str:
    return shown(text[:200].decode("utf-8", "backslashreplace")) if text else "empty"


def _pieces(file: BufferedReader, path: Path) -> Iterator[bytes]:
    """Whole lines of the file, several at a time, each ended by a newline."""
    size, rest, line = size_of(file), b"", 1
    beginning = file.peek()
    for begins, kind in _OTHERS.items():
        if beginning.startswith(begins):
            raise ValueError(f"{path}: is {kind}")
    done = file.seek(len(_MARK) if beginning.startswith(_MARK) else 0)
    while done < size:
        chunk = file.read(min(_CHUNK, size - done))
        if not chunk:
            raise ValueError(f"{path}: was cut at byte {done} while it was read, expected {size} bytes")
        done += len(chunk)
        whole, newline, rest = (rest + chunk).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            line += whole.count(b"\n") + len(newline)
            raise ValueError(f"{path}: line {line} has more than {_LONGEST_LINE} bytes, expected a newline within them")
        if newline:
            line += whole.count(b"\n") + 1
            yield whole.replace(b"\r\n", b"\n").removesuffix(b"\r") + b"\n"
    if rest:
        yield rest.replace(b"\r\n", b"\n").removesuffix(b"\r") + b"\n"

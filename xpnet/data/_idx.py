"""Read IDX files, the format of MNIST, without trusting what they declare."""

import math
import os
import zlib
from io import BufferedReader
from pathlib import Path
from typing import Protocol, final

import numpy as np
from numpy.typing import NDArray

from xpnet.files import open_file, path_of, size_of

_GZIP_MAGIC = b"\x1f\x8b"
_UBYTE = 0x08
_MOST_DIMENSIONS = 4
_DEFLATE_RATIO = 1032  # deflate makes at most 258 bytes of two bits
_CHUNK = 1 << 18
_PACKED_CHUNK = 1 << 14
_MOST_EMPTY = 1000  # gzip members that hold nothing: bgzip writes one at the end of each file


def read_idx(path: str | os.PathLike[str]) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, compressed by gzip or not.

    The first bytes tell whether the file is compressed, its name does not matter. The file may be hostile: what its
    header declares is compared with what is there, and memory is taken only for bytes that were read: at most twice
    what is declared. At most one byte more than declared is read from a compressed file; so it may grow to 1032
    times its size, the most that gzip can reach, and no further.

    Parameters
    ----------
    path : the file. It starts with the bytes 0, 0, 8 and the number of dimensions (1 to 4), then holds each
        dimension as a big-endian 32-bit number and then the elements, the last dimension changing fastest.

    Returns
    -------
    A new uint8 host array of the declared shape.

    Raises
    ------
    ValueError : the file is no IDX file of unsigned bytes, is damaged, too short or too long, or is empty; or it is a
        folder, a pipe or a device. The message names the file, the byte and what was expected there.
    OSError : the file cannot be opened or read.
    TypeError : no path.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1]) + bytes([0, 0, 0, 3]) + bytes([7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)

    References
    ----------
    the description of the format that accompanies Y. LeCun, C. Cortes, C. Burges, "The MNIST database".
    """
    path = path_of("read_idx", path)
    with open_file(path, str(path), "an IDX file") as file:
        size = size_of(file)
        zipped = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not zipped:
            return _read(file, path, most=size)
        try:
            return _read(_Unzipped(file), path, most=size * _DEFLATE_RATIO)
        except zlib.error as error:
            place = f"within the first {file.tell()} of {size} bytes"
            raise ValueError(f"{path}: damaged gzip data {place}, expected a complete file: {error}") from error


class _Stream(Protocol):
    def read(self, most: int, /) -> bytes: ...


@final
class _Unzipped:
    """What a gzip file holds, in order. Zeros may follow its last member, and members that hold nothing are few.

    The standard library's reader takes names and zeros byte by byte, a second for ten million of them.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._packed = b""
        self._member = zlib.decompressobj(wbits=31)
        self._empty = 0
        self._found = 0

    def read(self, most: int, /) -> bytes:
        """So many bytes; fewer only at the end.

        Raises
        ------
        zlib.error : the data are damaged or cut off.
        """
        pieces = []
        while most and (piece := self._piece(most)):
            pieces.append(piece)
            most -= len(piece)
        return b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        """At most so many bytes; none only at the end."""
        while True:
            self._packed = self._packed or self._file.read(_PACKED_CHUNK)
            ended = not self._packed
            if self._member.eof:
                self._packed = self._packed.lstrip(b"\0")
                if ended:
                    return b""
                if not self._packed:
                    continue
                self._begin()
            data = self._member.decompress(self._packed, most)
            self._found += len(data)
            self._packed = self._member.unused_data or self._member.unconsumed_tail
            if data:
                return data
            if ended and not self._member.eof:
                raise zlib.error("it ends inside compressed data")

    def _begin(self) -> None:
        self._empty += not self._found
        if self._empty > _MOST_EMPTY:
            raise zlib.error(f"more than {_MOST_EMPTY} members hold nothing")
        self._member = zlib.decompressobj(wbits=31)
        self._found = 0


def _read(stream: _Stream, path: Path, most: int) -> NDArray[np.uint8]:
    shape = _read_shape(stream, path)
    start = 4 + 4 * len(shape)
    declared = math.prod(shape)
    end = start + declared
    if end > most:
        raise ValueError(f"{path}: dimensions {shape} need {end} bytes, the file can hold at most {most}")
    body = bytearray()
    while chunk := stream.read(min(_CHUNK, declared - len(body))):
        body += chunk
    if len(body) < declared:
        raise ValueError(f"{path}: ends at byte {start + len(body)}, dimensions {shape} need {end} bytes")
    if stream.read(1):
        raise ValueError(f"{path}: goes on after byte {end}, where dimensions {shape} expect it to end")
    return np.frombuffer(body, dtype=np.uint8).reshape(shape)


def _read_shape(stream: _Stream, name: Path) -> tuple[int, ...]:
    magic = stream.read(4)
    if len(magic) < 4:
        raise ValueError(f"{name}: ends at byte {len(magic)}, inside the magic number, expected 4 bytes")
    if magic[:2] != b"\0\0":
        raise ValueError(f"{name}: the magic number at byte 0 is 0x{magic.hex()}, expected 0x00000801 to 0x00000804")
    if magic[2] != _UBYTE:
        raise ValueError(f"{name}: the element type at byte 2 is 0x{magic[2]:02x}, expected 0x08 (unsigned byte)")
    count = magic[3]
    if not 1 <= count <= _MOST_DIMENSIONS:
        raise ValueError(f"{name}: the number of dimensions at byte 3 is {count}, expected 1 to {_MOST_DIMENSIONS}")
    header = stream.read(4 * count)
    if len(header) < 4 * count:
        raise ValueError(f"{name}: ends at byte {4 + len(header)}, inside the header of {4 + 4 * count} bytes")
    shape = tuple(int.from_bytes(header[at : at + 4], "big") for at in range(0, 4 * count, 4))
    if 0 in shape:
        at = shape.index(0)
        raise ValueError(f"{name}: dimension {at} at byte {4 + 4 * at} is 0, expected at least 1")
    return shape

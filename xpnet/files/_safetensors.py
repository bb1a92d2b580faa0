import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Protocol, TypeGuard, final

import numpy as np

from xpnet._typing import Shape
from xpnet.backend import HostArray
from xpnet.files._json import json_object, most_json
from xpnet.files._opening import open_file, size_of
from xpnet.files._replacing import replacing
from xpnet.files._text import counted, described, shown, shown_shape

_SIZES = {
    **{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1, "C64": 8, "BOOL": 1},
    **{"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1},
}
"""Bytes of an element, by the format's name of its type."""

_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_READABLE = _FLOATS | {"I64": "<i8", "I32": "<i4"}
"""What is read as which type of NumPy's, which has no bfloat16: that is the upper half of a float32."""

_WRITABLE = {
    **{"float64": ("F64", "<f8"), "float32": ("F32", "<f4")},
    **{"int64": ("I64", "<i8"), "int32": ("I32", "<i4")},
}

_MOST_AXES = 64

_PICKLE = (
    "it is a pickle of PyTorch's (.pt, .pth), which may run any code when it is opened. Convert it where PyTorch is: "
    "state = torch.load(path, weights_only=True); safetensors.torch.save_file(state, 'weights.safetensors')"
)
_OTHERS = {
    b"PK": _PICKLE,
    b"\x80": _PICKLE,
    b"<": "it is a web page: the download was answered with one",
    b"version https://git-lfs": "it is Git LFS's pointer to the file: fetch the file itself, with `git lfs pull`",
}
"""What a file is that begins so; a safetensors file may too, but has a brace at its ninth byte."""


@final
@dataclass(frozen=True, slots=True)
class Stored:
    """An array of a file or of a state dict, whose values are read when all names and shapes fit.

    Parameters
    ----------
    shape : its shape.
    dtype : the name of its type, for messages.
    is_float : whether it holds floating-point values that can be read.
    read : its values, in new memory, as NumPy's type of the given name; "" for the type that they have.
    """

    shape: Shape
    dtype: str
    is_float: bool
    read: Callable[[str], HostArray]


# Reading ------------------------------------------------------------------------------------------------------------


@contextmanager
def open_safetensors(path: Path, where: str) -> Iterator[dict[str, Stored]]:
    """The arrays of a file by name, to be read one at a time while the context is open.

    The header is checked against itself and against the file's size before anything is made of its size. Values are
    read rather than mapped: a file that shrinks meanwhile is an error, not the end of the process.

    Raises
    ------
    ValueError : it is no whole safetensors file.
    OSError : it cannot be read.
    """
    with open_file(path, where, "a safetensors file") as file:
        size = size_of(file)
        start = _start(file, size, where)
        yield {
            name: Stored(shape, dtype, dtype in _FLOATS, _Reader(file, name, shape, dtype, start + begin, where))
            for name, (dtype, shape, begin) in _places(_header(file, start, where), size - start, where).items()
        }


def _start(file: BufferedReader, size: int, where: str) -> int:
    """The number of the first byte of data, which is where the header ends."""
    if size < 10:
        raise ValueError(
            f"{where} has {counted(size, 'byte')}: expected 8 for the header's length, the header and the values"
        )
    beginning = file.read(32)
    for begins, kind in _OTHERS.items():
        if beginning[8:9] != b"{" and beginning.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(begins):
            raise ValueError(f"{where} is no safetensors file: {kind}")
    length = int.from_bytes(beginning[:8], "little")
    if length > size - 8:
        raise ValueError(
            f"{where} claims a header of {length} bytes from byte 8 on, but only {size - 8} are there: it is cut off "
            "or no safetensors file"
        )
    if length > most_json(size):
        raise ValueError(
            f"{where} claims a header of {length} bytes, expected at most {most_json(size)} in a file of {size}"
        )
    return 8 + length


def _header(file: BufferedReader, start: int, where: str) -> dict[str, Any]:
    file.seek(8)
    return json_object(file.read(start - 8), where, "the header", 8)


def _places(header: Mapping[str, Any], size: int, where: str) -> dict[str, tuple[str, Shape, int]]:
    """Type, shape and first byte of each array. Together they fill the data's `size` bytes, each byte once."""
    metadata = header.get("__metadata__", {})
    if not (isinstance(metadata, dict) and all(isinstance(text, str) for text in metadata.values())):
        raise ValueError(f"{where}: __metadata__ must be texts by name")
    entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
    places = {name: _place(entry, size, f"{where}: {shown(name)}") for name, entry in entries.items()}
    filled = 0
    for name, (_, _, begin, end) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin != filled:
            what = "overlaps what lies before it" if begin < filled else "leaves a hole before it"
            raise ValueError(f"{where}: {shown(name)} begins at byte {begin} of the data and {what}, expected {filled}")
        filled = end
    if filled != size:
        raise ValueError(f"{where}: the arrays end at byte {filled} of the data, which has {size}")
    return {name: (dtype, shape, begin) for name, (dtype, shape, begin, _) in places.items()}


def _place(entry: Any, size: int, where: str) -> tuple[str, Shape, int, int]:
    if not (isinstance(entry, dict) and entry.keys() == {"dtype", "shape", "data_offsets"}):
        raise ValueError(f"{where} is described by {described(entry)}, expected dtype, shape and data_offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and dtype in _SIZES):
        raise ValueError(f"{where} has the dtype {described(dtype)}, expected one of {', '.join(_SIZES)}")
    if not (_counts(shape) and len(shape) <= _MOST_AXES):
        raise ValueError(
            f"{where} has the shape {described(shape)}, expected at most {_MOST_AXES} whole numbers from 0 on"
        )
    if not (_counts(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise ValueError(f"{where} has the data_offsets {described(offsets)}, expected its first byte and its end")
    begin, end = offsets
    if end > size:
        raise ValueError(f"{where} ends at byte {end} of the data, which has {size}: the file is cut off")
    needed = math.prod(shape) * _SIZES[dtype]
    if needed != end - begin:
        raise ValueError(
            f"{where} of shape {shown_shape(tuple(shape))} and dtype {dtype} needs {shown(str(needed))} bytes, but has "
            f"{end - begin} (from byte {begin} to {end})"
        )
    return dtype, tuple(shape), begin, end


def _counts(values: Any) -> TypeGuard[list[int]]:
    """A list of integers from 0 to 2⁶³, booleans not among them."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


@final
@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads the values of one array, when its turn comes."""

    file: BufferedReader
    name: str
    shape: Shape
    dtype: str
    start: int
    where: str

    def __call__(self, wanted: str) -> HostArray:
        if self.dtype not in _READABLE:
            readable = ", ".join(_READABLE)
            raise ValueError(f"{self.where}: {shown(self.name)} is {self.dtype}, expected one of {readable}")
        raw = np.empty(math.prod(self.shape), _READABLE[self.dtype])
        self.file.seek(self.start)
        received = self.file.readinto(raw.view(np.uint8).data)
        if received != raw.nbytes:
            name, expected = shown(self.name), counted(raw.nbytes, "byte")
            raise ValueError(f"{self.where}: {name} was cut after {received} of {expected}")
        values = _widened(raw) if self.dtype == "BF16" else raw
        return values.astype(wanted or values.dtype.newbyteorder("="), copy=False).reshape(self.shape)


def _widened(bfloat16: HostArray) -> HostArray:
    bits = bfloat16.astype("<u4")
    bits <<= 16
    return bits.view("<f4")


# Writing ------------------------------------------------------------------------------------------------------------


@final
@dataclass(frozen=True)
class Written:
    """An array for a file: its shape, the name of its NumPy type, and its values, made when their turn comes."""

    shape: Shape
    dtype: str
    values: Callable[[], HostArray]


class Sink(Protocol):
    """What takes bytes: a file, or one that computes a checksum of what is written."""

    def write(self, data: Any, /) -> Any:
        """Takes these bytes."""


def writable(dtype: Any) -> bool:
    """Whether arrays of this NumPy type can be written."""
    return str(dtype) in _WRITABLE


def write_safetensors(path: Path, arrays: Mapping[str, Written]) -> None:
    """Writes a file, whole or not at all.

    Raises
    ------
    OSError : it cannot be written; an older file stays as it was.
    """
    with replacing(path) as file:
        write_arrays(file, arrays)


def write_arrays(file: Sink, arrays: Mapping[str, Written]) -> None:
    """Writes the bytes of a safetensors file."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    ordered = sorted(arrays.items(), key=lambda item: -np.dtype(item[1].dtype).itemsize)  # so that all are aligned
    end = 0
    for name, array in ordered:
        begin, end = end, end + math.prod(array.shape) * np.dtype(array.dtype).itemsize
        header[name] = {"dtype": _WRITABLE[array.dtype][0], "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for _, array in ordered:
        file.write(_bytes(array))


def _bytes(array: Written) -> memoryview:
    values = np.asarray(array.values(), _WRITABLE[array.dtype][1], order="C")
    return values.reshape(-1).view(np.uint8).data

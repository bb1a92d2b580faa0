"""CIFAR-10, read from a folder and downloaded into it where it is missing."""

import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xpnet.data._download import digest, download
from xpnet.files import open_file, replacing, size_of

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""What the labels 0 to 9 of `cifar10` stand for."""

_FILES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
_FOLDER = "cifar-10-batches-bin"  # of the files in the archive
_ARCHIVE = "cifar-10-binary.tar.gz"
_MIRRORS = (f"https://www.cs.toronto.edu/~kriz/{_ARCHIVE}",)
_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
_LARGEST_ARCHIVE = 256 << 20  # bytes; the one published has 170 MB
_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the pixels, channel by channel

_Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def cifar10(folder: str | os.PathLike[str]) -> tuple[_Split, _Split]:
    """Return CIFAR-10: 50 000 colour photographs of 32x32 pixels to train with and 10 000 to test with.

    The six files of its binary version, `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin`, are read from
    the folder or from `cifar-10-batches-bin` in it. Where some are missing, they are taken from the archive
    `cifar-10-binary.tar.gz` in the folder, which is downloaded first if need be, 170 MB. No other archive than the
    published one is unpacked: its checksum is compared. It may be deleted afterwards. Several processes may call
    at once: one downloads, the others wait.

    Parameters
    ----------
    folder : where the files are or shall be; `~` is the home folder.

    Returns
    -------
    `(x, t), (x_test, t_test)`: host arrays. x is float32 in [0, 1] of shape (n, 32, 32, 3), the channels red, green,
    blue last; t is int64 of shape (n,) with the labels 0 to 9, which `CIFAR10_CLASSES` names. The training images
    take 614 MB; reading takes a quarter of that more.

    Raises
    ------
    ConnectionError : files are missing and cannot be downloaded; the message says which to put where.
    ValueError : a file is damaged, or the archive is not the published one.
    OSError : a file cannot be read or written.

    Examples
    --------
    With a folder that holds two images in each file instead of 10 000:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
    ...         _ = (Path(folder) / name).write_bytes(bytes([3]) + bytes(3072) + bytes([8]) + bytes(3072))
    ...     (x, t), (x_test, t_test) = cifar10(folder)
    >>> x.shape, [CIFAR10_CLASSES[label] for label in t_test]
    ((10, 32, 32, 3), ['cat', 'ship'])

    References
    ----------
    A. Krizhevsky, "Learning multiple layers of features from tiny images" (2009).
    """
    folder = Path(folder).expanduser()
    _complete(folder)
    *training, test = (_local(folder, name) for name in _FILES)
    return _read_split(training), _read_split([test])


def _local(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / _FOLDER / name


def _complete(folder: Path) -> None:
    missing = [name for name in _FILES if not _local(folder, name).is_file()]
    if not missing:
        return
    archive = folder / _ARCHIVE
    if not archive.is_file():
        try:
            download(_MIRRORS, archive, _SHA256, limit=_LARGEST_ARCHIVE)
        except ConnectionError as error:
            needed = ", ".join(missing)
            raise ConnectionError(
                f"{error}\ncifar10 needs in the folder {folder} that archive, or: {needed}"
            ) from error
    elif (found := digest(archive)) != _SHA256:
        raise ValueError(
            f"{archive}: has SHA-256 {found}, expected {_SHA256}; once it is deleted, cifar10 downloads the right one"
        )
    _unpack(archive, missing, folder / _FOLDER)


def _unpack(archive: Path, names: Sequence[str], folder: Path) -> None:
    """Copy what these members of the archive hold into files of the same names, each whole or not at all."""
    folder.mkdir(exist_ok=True)
    wanted = {f"{_FOLDER}/{name}": name for name in names}
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            source = members.extractfile(member) if member.name in wanted and member.isfile() else None
            if source is not None:
                with source, replacing(folder / wanted.pop(member.name)) as file:
                    shutil.copyfileobj(source, file)
    if wanted:
        raise ValueError(f"{archive}: holds no file {', '.join(wanted)}")


def _read_split(paths: Sequence[Path]) -> _Split:
    files = [_read_records(path) for path in paths]
    t = np.concatenate([records[:, 0] for records in files]).astype(np.int64)
    x = np.empty((len(t), 32, 32, 3), np.float32)
    start = 0
    for records in files:
        planes = records[:, 1:].reshape(-1, 3, 32, 32)  # (n, 3072) -> (n, 3, 32, 32)
        np.divide(planes.transpose(0, 2, 3, 1), np.float32(255), out=x[start : start + len(records)])
        start += len(records)
    return x, t


def _read_records(path: Path) -> NDArray[np.uint8]:
    """Records of a label and an image, (n, 3073)."""
    with open_file(path, str(path), f"records of {_RECORD} bytes") as file:
        size = size_of(file)
        records, rest = divmod(size, _RECORD)
        if rest:
            begin = records * _RECORD
            raise ValueError(
                f"{path}: ends at byte {size} in the record that begins at byte {begin}, expected {_RECORD} bytes"
            )
        if not records:
            raise ValueError(f"{path}: is empty, expected records of {_RECORD} bytes")
        found = np.empty((records, _RECORD), np.uint8)
        received = file.readinto(found.data)
    if received != size:
        raise ValueError(f"{path}: was cut at byte {received} while it was read, expected {size} bytes")
    largest = int(found[:, 0].argmax())
    if found[largest, 0] > 9:
        raise ValueError(f"{path}: the label at byte {largest * _RECORD} is {found[largest, 0]}, expected 0 to 9")
    return found

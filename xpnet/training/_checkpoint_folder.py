"""Checkpoints in a folder: each two files, whole or not there, and found again whatever has happened to the newest."""

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from xpnet.backend import HostArray
from xpnet.files import (
    PART,
    Written,
    cut,
    json_object,
    locked,
    open_file,
    open_safetensors,
    replacing,
    size_of,
    sync_folder,
    write_arrays,
)

FORMAT, VERSION = "xpnet checkpoint", 1
_NAME = re.compile(r"(\d{6,18})-step-(\d{1,18})")
_OURS = re.compile(rf"{_NAME.pattern}\.(json|safetensors)(\.\d+\.\d+{re.escape(PART)})?")
_HEAD = re.compile(rb'\{\n"sha256": "([0-9a-f]{64})",\n"content": ')
_MOST = 2**20
"""Bytes of a manifest, which has a few thousand: what grows with a run is in arrays."""


_NOT_ITS_FAULT = {errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE}
"""Why a file cannot be read that may be whole."""


class CheckpointError(ValueError):
    """No checkpoint of a folder is whole, or the one that is belongs to another run."""


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written, or is damaged and an older one was taken."""


@final
@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: plain values, and arrays by name."""

    values: dict[str, Any]
    arrays: Mapping[str, HostArray]


@final
class CheckpointFolder:
    """A folder with checkpoints: `000012-step-3400.safetensors` with the arrays, and `000012-step-3400.json` with the
    rest and the SHA-256 of both. The second is written last: where it is, the checkpoint is whole.

    Parameters
    ----------
    path : the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: set[str] = set()
        self.without_manifest: list[str] = []

    def names(self) -> list[str]:
        """The checkpoints with a manifest, oldest first."""
        found = self.path.glob("*.json") if self.path.is_dir() else ()
        return sorted((file.stem for file in found if _NAME.fullmatch(file.stem)), key=_number)

    def run(self) -> str | None:
        """Of which run the newest checkpoint is that has a manifest, if there is one."""
        for name in reversed(self.names()):
            with contextlib.suppress(ValueError, OSError):
                return str(_content(self.manifest(name)).get("run"))
        return None

    def manifest(self, name: str) -> Path:
        """The file that tells that the checkpoint is whole."""
        return self.path / f"{name}.json"

    def _tensors(self, name: str) -> Path:
        return self.path / f"{name}.safetensors"

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Makes the folder, holds it against other processes, and removes what a killed writer has left.

        Raises
        ------
        OSError : the folder cannot be made or written, or another process holds it.
        """
        try:
            new = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
            for folder in new:
                sync_folder(folder.parent)
            lock = locked(self.path / ".lock", "Checkpoint")
            with contextlib.ExitStack() as stack:
                stack.enter_context(lock)
                self._clean()
                held = stack.pop_all()
        except BlockingIOError:
            raise
        except OSError as error:
            reason = f"Checkpoint: cannot write into the folder {self.path}: {error.strerror or error}"
            raise type(error)(error.errno, reason) from error
        with held:
            yield

    def _clean(self) -> None:
        whole, self.without_manifest = set(self.names()), []
        for file in list(self.path.iterdir()):
            ours = _OURS.fullmatch(file.name) and not file.is_dir()
            if ours and (file.suffix == PART or file.stem not in whole):
                self.without_manifest += [file.stem] if file.suffix != PART else []
                _remove(file)

    def write(self, saved: Saved) -> Path:
        """One more checkpoint; returns its manifest.

        Raises
        ------
        OSError : it could not be written; older ones are as they were.
        """
        newest = max((_number(file.name) for file in self.path.iterdir() if _OURS.fullmatch(file.name)), default=0)
        name = f"{newest + 1:06d}-step-{saved.values['step']}"
        tensors = self._tensors(name)
        try:
            with replacing(tensors) as file:
                sink = _Hashing(file)
                write_arrays(sink, {key: _written(array) for key, array in saved.arrays.items()})
            described = {"bytes": sink.size, "sha256": sink.hash.hexdigest()}
            content = {"format": FORMAT, "version": VERSION, **saved.values, "tensors": described}
            rest = json.dumps(content, indent=1, default=_plain).encode() + b"\n}\n"
            if len(rest) > _MOST - 100:
                raise OSError(
                    errno.EFBIG,
                    f"what callbacks and the history's rows hold besides arrays takes {len(rest)} bytes as JSON, "
                    f"expected less than {_MOST}",
                )
            with replacing(self.manifest(name)) as file:
                file.write(b'{\n"sha256": "' + hashlib.sha256(rest).hexdigest().encode() + b'",\n"content": ' + rest)
        except BaseException:
            with contextlib.suppress(OSError):  # the manifest first: it may be there, where the folder was not forced
                _remove(self.manifest(name))
                _remove(tensors)
            raise
        return self.manifest(name)

    def prune(self, keep: int) -> None:
        """Removes all but the newest whole ones."""
        names = self.names()
        whole = [name for name in names if name not in self.damaged]
        gone = names[: names.index(whole[-keep])] if len(whole) >= keep else []
        for name in gone:
            _remove(self.manifest(name))
            _remove(self._tensors(name))
        if gone:
            sync_folder(self.path)

    def newest(self) -> tuple[Path, Saved, list[str]]:
        """The newest whole checkpoint: its manifest, what it holds, and what is wrong with those newer than it.

        Raises
        ------
        FileNotFoundError : the folder has no checkpoint.
        CheckpointError : none is whole.
        """
        names = self.names()
        lost = [name for name in self.without_manifest if not names or _number(name) > _number(names[-1])]
        problems = [f"{self._tensors(name)} had no manifest: its writer was killed, or it is lost" for name in lost]
        for name in reversed(names):
            try:
                return self.manifest(name), self.read(name), problems
            except (ValueError, OSError) as error:
                if isinstance(error, OSError) and error.errno in _NOT_ITS_FAULT:
                    raise
                if name not in self.names():  # a run that goes on has removed it, and has written newer ones
                    return self.newest()
                self.damaged.add(name)
                problems.append(str(error))
        if not names:
            raise FileNotFoundError("\n  ".join([f"there is no checkpoint in {self.path}", *problems]))
        raise CheckpointError(f"no checkpoint in {self.path} is whole:\n  " + "\n  ".join(cut(problems)))

    def read(self, name: str) -> Saved:
        """What a checkpoint holds; all of it is checked against the checksums first.

        Raises
        ------
        ValueError, OSError : it is damaged, or not there.
        """
        content = _content(self.manifest(name))
        path, expected = self._tensors(name), content["tensors"]
        with open_file(path, str(path), "the arrays of a checkpoint") as file:
            if size_of(file) != expected["bytes"]:
                raise ValueError(f"{path} has {size_of(file)} bytes, expected {expected['bytes']}")
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != expected["sha256"]:
            raise ValueError(f"{path}: the SHA-256 is {found}, expected {expected['sha256']}")
        with open_safetensors(path, str(path)) as stored:
            return Saved(content, {key: array.read("") for key, array in stored.items()})


def passed_over(problems: Sequence[str], taken: Path) -> str:
    """What to say where an older checkpoint was taken."""
    return f"damaged checkpoints were passed over; {taken} is taken instead\n  " + "\n  ".join(cut(problems))


def _remove(file: Path) -> None:
    """A file that may be gone; a folder of that name is not ours."""
    if file.is_symlink() or not file.is_dir():
        file.unlink(missing_ok=True)


def _number(name: str) -> int:
    return int(name.partition("-")[0])


def _content(path: Path) -> dict[str, Any]:
    """What a manifest says, when its checksum is right."""
    with open_file(path, str(path), "a manifest") as file:
        if size_of(file) > _MOST:
            raise ValueError(f"{path} has {size_of(file)} bytes, expected a manifest of at most {_MOST}")
        text = file.read()
    head = _HEAD.match(text)
    if head is None:
        raise ValueError(f'{path}: expected a manifest, which begins with {{"sha256": at byte 0')
    found = hashlib.sha256(text[head.end() :]).hexdigest()
    if found != head[1].decode():
        raise ValueError(f"{path}: the SHA-256 from byte {head.end()} on is {found}, expected {head[1].decode()}")
    content = json_object(text, str(path), "the manifest").get("content")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path}: expected the format {FORMAT!r}")
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is of version {content.get('version')!r}, expected {VERSION}, which this xpnet reads")
    tensors = content.get("tensors")
    if not (isinstance(tensors, dict) and type(tensors.get("bytes")) is int and isinstance(tensors.get("sha256"), str)):
        raise ValueError(f"{path}: expected the size and the SHA-256 of the tensors")
    return content


@final
class _Hashing:
    """Writes into a file, and keeps the size and the SHA-256 of what was written."""

    def __init__(self, file: Any) -> None:
        self.file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> None:
        self.hash.update(data)
        self.file.write(data)
        self.size += len(data)


def _written(array: HostArray) -> Written:
    return Written(array.shape, str(array.dtype), lambda: array)


def copied(values: Any) -> Any:
    """Plain values as they will be read again, which nobody changes while they are written.

    Raises
    ------
    TypeError : they are not plain.
    """
    return json.loads(json.dumps(values, default=_plain))


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    if getattr(value, "shape", None) == ():
        return value.item()
    raise TypeError(f"Checkpoint: {value!r} is neither a plain value nor an array, and cannot be saved")

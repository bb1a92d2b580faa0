"""What is fuzzed: each loader with honest files to begin with, and how much memory an honest file may take.

A loader is added by one more entry of `LOADERS`; it is given a folder, so it may read several files.
"""

import gzip
import hashlib
import json
import math
import struct
import tempfile
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import xpnet
from bench.fuzz.mutations import ANY, Mutation, json_changed, safetensors_header, with_tokens, within_gzip
from xpnet import layers as L
from xpnet import optimizers
from xpnet.training import Checkpoint, CheckpointError, CheckpointWarning

Files = dict[str, bytes]
"""What a folder holds, by name."""

JSON_FACTOR = 13
"""A byte of JSON counts for so many: what Python makes of it may take twice that."""


@dataclass(frozen=True)
class Loader:
    """A loader under test.

    Parameters
    ----------
    name : what the command line calls it.
    honest : some folders of honest files.
    begin : makes what reads a folder. It is called once, and returns two functions: one reads the folder, the other
        returns all that an error has to leave as it was.
    size : the honest size of a folder in bytes: that of its files or of the arrays that they hold, if that is more.
    mutations : those that know the format, by the name of the file that they are for; "" stands for any other.
    settled : sets checksums right after every other mutation, so that what lies behind them is reached.
    errors : the types that are documented.
    part : of the files that others have, for those that take longer.
    """

    name: str
    honest: Callable[[], list[Files]]
    begin: Callable[[], tuple[Callable[[Path], Any], Callable[[], bytes]]]
    size: Callable[[Files], int]
    mutations: dict[str, tuple[Mutation, ...]] = field(default_factory=dict)
    settled: Callable[[Files], Files] = lambda files: files
    errors: tuple[type[Exception], ...] = (ValueError,)
    part: float = 1.0


def total(files: Files) -> int:
    """Bytes of all files."""
    return sum(map(len, files.values()))


def reads(load: Callable[[Path], Any]) -> Callable[[], tuple[Callable[[Path], Any], Callable[[], bytes]]]:
    """A loader that changes nothing but what it returns."""
    return lambda: (load, bytes)


# Weights ------------------------------------------------------------------------------------------------------------

WEIGHTS = "weights.safetensors"


def network() -> L.Layer:
    """A small one with all that a file of weights has to do with: layouts, buffers, a shared layer."""
    shared = L.Linear(4, 4)
    convolution = L.Sequential(L.Conv1d(2, 4, 3, groups=2), L.BatchNorm(4), L.Flatten())
    return L.Sequential(convolution, L.Linear(8, 4, image=(2, 4)), shared, L.ReLU(), shared)


def weights() -> list[Files]:
    """Files of the network, one of them as PyTorch may have written it: wrapped, in several types."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / WEIGHTS
        xpnet.save_weights(network(), path)
        written = path.read_bytes()
    end = 8 + int.from_bytes(written[:8], "little")
    header, at = {}, 0
    for name, place in json.loads(written[8:end]).items():
        if name != "__metadata__":
            dtype = {"F32": "BF16"}.get(place["dtype"], place["dtype"])
            size = {"BF16": 2, "I64": 8}[dtype] * math.prod(place["shape"])
            header[f"module.{name}"] = {"dtype": dtype, "shape": place["shape"], "data_offsets": [at, at + size]}
            at += size
    text = json.dumps(header).encode()
    return [{WEIGHTS: written}, {WEIGHTS: len(text).to_bytes(8, "little") + text + bytes(at)}]


def begin_weights() -> tuple[Callable[[Path], Any], Callable[[], bytes]]:
    """Loading into one model, whose values are watched."""
    model = network()

    def state() -> bytes:
        return b"".join(array.tobytes() for array in model.state().values())

    return lambda folder: xpnet.load_weights(model, folder / WEIGHTS), state


def weights_size(files: Files) -> int:
    """That of the model or of the file, its header counted as JSON."""
    header = min(int.from_bytes(files[WEIGHTS][:8], "little"), len(files[WEIGHTS]))
    return max(len(files[WEIGHTS]), 1000) + JSON_FACTOR * header


# Checkpoints --------------------------------------------------------------------------------------------------------

TENSORS, MANIFEST = "000001-step-2.safetensors", "000001-step-2.json"


def trained(folder: Path | None, **options: Any) -> tuple[L.Layer, optimizers.Optimizer]:
    """A small run of one epoch of two steps."""
    xpnet.seed(0)
    model = L.Sequential(L.Linear(2, 3), L.BatchNorm(3), L.Dropout(0.5), L.Linear(3, 2))
    optimizer = optimizers.Adam(model, 0.01)
    go_on(model, optimizer, [Checkpoint(folder)] if folder else [], **options)
    return model, optimizer


def go_on(model: L.Layer, optimizer: optimizers.Optimizer, callbacks: list[Any], **options: Any) -> None:
    """That run, or what is left of it."""
    x, t = np.ones((8, 2), np.float32), np.arange(8) % 2
    loss = xpnet.losses.softmax_cross_entropy
    xpnet.fit(
        model, xpnet.data.batches(x, t, 4), loss=loss, optimizer=optimizer, epochs=1, callbacks=callbacks, **options
    )


def checkpoints() -> list[Files]:
    """One at the end of the run, so that nothing is left to train when it is taken up."""
    with tempfile.TemporaryDirectory() as folder:
        trained(Path(folder))
        return [{name: (Path(folder) / name).read_bytes() for name in (TENSORS, MANIFEST)}]


def begin_checkpoints() -> tuple[Callable[[Path], Any], Callable[[], bytes]]:
    """Resuming one run again and again, whose model and optimizer are watched."""
    model, optimizer = trained(None)

    def state() -> bytes:
        return b"".join(np.asarray(array).tobytes() for array in (model.state() | optimizer.state()).values())

    def resumed(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CheckpointWarning)
            go_on(model, optimizer, [], resume=folder)

    return resumed, state


def manifest_changed(content: bytes, random: Random) -> bytes:
    """What a manifest says is changed, its checksum set right."""
    try:
        whole = json.loads(json_changed(content, random))
        return manifest_of(whole["content"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return content


def manifest_of(content: Any) -> bytes:
    """A manifest with this content and its checksum."""
    rest = json.dumps(content, indent=1).encode() + b"\n}\n"
    return b'{\n"sha256": "' + hashlib.sha256(rest).hexdigest().encode() + b'",\n"content": ' + rest


def checkpoint_settled(files: Files) -> Files:
    """The manifest speaks of the arrays as they are."""
    tensors = files[TENSORS]
    try:
        content = json.loads(files[MANIFEST])["content"]
        content["tensors"] |= {"bytes": len(tensors), "sha256": hashlib.sha256(tensors).hexdigest()}
        return files | {MANIFEST: manifest_of(content)}
    except (ValueError, KeyError, TypeError, RecursionError):
        return files


def checkpoint_size(files: Files) -> int:
    """Of the arrays, which are there twice while they are taken over, and of JSON."""
    tensors = files[TENSORS]
    header = min(int.from_bytes(tensors[:8], "little"), len(tensors))
    return 2 * len(tensors) + JSON_FACTOR * (header + len(files[MANIFEST]))


# IDX ----------------------------------------------------------------------------------------------------------------

MNIST_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
IDX_TOKENS = (b"\0\0\x08\1", b"\0\0\x08\3", b"\0\0\x0d\1", b"\x1f\x8b\x08", b"\xff" * 4, b"\x7f\xff\xff\xff", bytes(4))


def idx(*shape: int) -> bytes:
    """A file of that shape whose elements are 0 to 9."""
    body = bytes(i % 10 for i in range(math.prod(shape)))
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + body


def idx_files() -> list[Files]:
    """Of one to four dimensions, compressed and not, and one that gzip makes much smaller."""
    plain = [idx(7), idx(3, 4), idx(2, 3, 4), idx(2, 1, 3, 2)]
    packed = [gzip.compress(each, mtime=0) for each in plain]
    bomb = bytes([0, 0, 8, 1]) + (50_000).to_bytes(4, "big") + bytes(50_000)
    return [{"idx": each} for each in (*plain, *packed, gzip.compress(bomb, mtime=0))]


def unzipped_size(content: bytes) -> int:
    """Bytes that a gzip file really holds, up to where it is damaged."""
    found, member = 0, zlib.decompressobj(wbits=31)
    try:
        while content:
            found += len(member.decompress(content[:4096]))
            content = member.unused_data + content[4096:]
            if member.eof:
                member, content = zlib.decompressobj(wbits=31), content.lstrip(b"\0")
    except zlib.error:
        pass
    return found


def idx_size(files: Files) -> int:
    """Bytes of the file, or of what is compressed in it."""
    return max(total(files), sum(map(unzipped_size, files.values())))


IDX_MUTATIONS = (with_tokens(IDX_TOKENS), within_gzip((*ANY, with_tokens(IDX_TOKENS))))


def mnist_files() -> list[Files]:
    """Two images in each part, compressed and not."""
    plain = dict(zip(MNIST_NAMES, (idx(2, 28, 28), idx(2), idx(2, 28, 28), idx(2)), strict=True))
    return [plain, {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in plain.items()}]


def mnist_size(files: Files) -> int:
    """Of the arrays: float32 of what are bytes in the files, and labels of eight bytes."""
    return 8 * idx_size(files)


# CIFAR-10 -----------------------------------------------------------------------------------------------------------

CIFAR_NAMES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def cifar_files() -> list[Files]:
    """One image in each file, and two."""
    record = bytes([3]) + bytes(3072)
    return [{name: record * (1 + i % 2) for i, name in enumerate(CIFAR_NAMES)}]


def record_lost_or_doubled(content: bytes, random: Random) -> bytes:
    """Whole records, so that the size is right, and one byte changed, which may be a label."""
    records = [content[at : at + 3073] for at in range(0, len(content), 3073)] * random.randint(0, 3)
    random.shuffle(records)
    changed = bytearray(b"".join(records[: random.randint(0, 4)]))
    if changed:
        changed[random.choice((0, random.randrange(len(changed))))] = random.randrange(256)
    return bytes(changed)


# CSV ----------------------------------------------------------------------------------------------------------------

CSV_TOKENS = (
    *(b",", b"\n", b"\r\n", b"\r", b";", b'"', b'""', b"\0", b" ", b"\t", b"-", b"+", b".", b"e", b"1e5", b"1e999"),
    *(b"nan", b"-inf", b"Infinity", b"1_0", b"0x1", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc3\xa9", "١".encode(), b"# "),
    *(
        b"1" * 400,
        b"0." + b"0" * 400,
        b",,,,",
        b"\n\n",
        b"PK\x03\x04",
        b"\x1f\x8b",
        b"1e-400",
        b".5",
        b"5.",
        b"\x1b[2J",
    ),
)


def csv_files() -> list[Files]:
    """With a header and without; with all that a number may look like."""
    rows = ["1,2,3", "-0.5,1e-3,+7", " 4 ,\t5., .25 ", "1E10,0,-0"] * 3
    return [{"csv": "\n".join(rows).encode()}, {"csv": ("x,y,t\r\n" + "\r\n".join(rows) + "\r\n").encode()}]


def load_csv(folder: Path) -> tuple[Any, ...]:
    """By both ways where the first refuses, so that the rows behind a header are looked at too."""
    try:
        return xpnet.data.read_csv(folder / "csv", dtype="float64")
    except ValueError:
        return xpnet.data.read_csv(folder / "csv", header=True, allow_nonfinite=True)


def csv_size(files: Files) -> int:
    """Of the file, or of a float64 for each field; and its longest line twice more, which is held while it is read."""
    content = files["csv"]
    fields = 1 + content.count(b",") + content.count(b"\n")
    return max(len(content), 8 * fields) + 2 * max(map(len, content.split(b"\n")))


LOADERS = {
    loader.name: loader
    for loader in (
        Loader("weights", weights, begin_weights, weights_size, {WEIGHTS: (safetensors_header,)}),
        Loader(
            "checkpoints",
            checkpoints,
            begin_checkpoints,
            checkpoint_size,
            {TENSORS: (safetensors_header,), MANIFEST: (manifest_changed,)},
            checkpoint_settled,
            (CheckpointError,),
            0.1,
        ),
        Loader(
            "idx", idx_files, reads(lambda folder: xpnet.data.read_idx(folder / "idx")), idx_size, {"": IDX_MUTATIONS}
        ),
        Loader("mnist", mnist_files, reads(xpnet.data.mnist), mnist_size, {"": IDX_MUTATIONS}),
        Loader(
            "cifar10",
            cifar_files,
            reads(xpnet.data.cifar10),
            lambda files: 4 * total(files),
            {"": (record_lost_or_doubled,)},
        ),
        Loader("csv", csv_files, reads(load_csv), csv_size, {"": (with_tokens(CSV_TOKENS),)}),
    )
}
"""By name."""

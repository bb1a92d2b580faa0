"""CIFAR-10 from made files, from a made archive, from a local server, and from files that are none."""

import hashlib
import io
import os
import re
import tarfile
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.data import CIFAR10_CLASSES, _cifar, cifar10
from xpnet.data._download import download

NAMES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
INSIDE = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"


@pytest.fixture(scope="module")
def records():
    """What each file holds: (n, 3073), with another n for each."""
    random = np.random.default_rng(0)
    made = {name: random.integers(0, 256, (4 + i, 3073), dtype=np.uint8) for i, name in enumerate(NAMES)}
    for rows in made.values():
        rows[:, 0] %= 10
    return made


def write(folder, records):
    folder.mkdir(exist_ok=True)
    for name, rows in records.items():
        (folder / name).write_bytes(rows.tobytes())


@pytest.fixture
def folder(tmp_path, records):
    write(tmp_path / "data", records)
    return tmp_path / "data"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(urls, path, sha256, *, limit):
        raise AssertionError(f"{urls} asked for")

    monkeypatch.setattr(_cifar, "download", refuse)


def packed(members):
    """A .tar.gz of these members: bytes for a file, text for a symbolic link there."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, what in members.items():
            member = tarfile.TarInfo(name)
            if isinstance(what, str):
                member.type, member.linkname = tarfile.SYMTYPE, what
                archive.addfile(member)
            else:
                member.size = len(what)
                archive.addfile(member, io.BytesIO(what))
    return content.getvalue()


@pytest.fixture
def publish(monkeypatch):
    """`publish(content)`: from now on this is the published archive."""

    def publish(content):
        monkeypatch.setattr(_cifar, "_SHA256", hashlib.sha256(content).hexdigest())
        return content

    return publish


@pytest.fixture
def whole(records):
    """The members of a proper archive."""
    return {f"{INSIDE}/{name}": rows.tobytes() for name, rows in records.items()} | {
        f"{INSIDE}/batches.meta.txt": b"airplane\n",
        f"{INSIDE}/readme.html": b"<html>",
    }


def check(splits, records):
    training = np.concatenate([records[name] for name in NAMES[:5]])
    for (x, t), expected in zip(splits, (training, records[NAMES[5]]), strict=True):
        assert (x.dtype, t.dtype) == (np.float32, np.int64)
        assert x.flags.c_contiguous
        np.testing.assert_array_equal(t, expected[:, 0])
        assert x.shape == (len(t), 32, 32, 3)
        for channel in range(3):
            pixels = expected[:, 1 + 1024 * channel : 1 + 1024 * (channel + 1)].reshape(-1, 32, 32)
            np.testing.assert_array_equal(x[..., channel], pixels / np.float32(255))


# Files --------------------------------------------------------------------------------------------------------------


def test_values(folder, records):
    check(cifar10(folder), records)
    check(cifar10(str(folder)), records)


def test_files_in_the_folder_that_the_archive_makes(tmp_path, records):
    write(tmp_path / INSIDE, records)
    (tmp_path / INSIDE / NAMES[2]).rename(tmp_path / NAMES[2])
    check(cifar10(tmp_path), records)


def test_home_folder_is_expanded(folder, records, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    check(cifar10("~/data"), records)


def test_range_is_0_to_1(folder):
    (folder / NAMES[5]).write_bytes(bytes([9]) + bytes([0, 255] * 1536))
    x_test, t_test = cifar10(folder)[1]
    assert (x_test.min(), x_test.max(), t_test.tolist()) == (0.0, 1.0, [9])


def test_classes():
    assert len(set(CIFAR10_CLASSES)) == 10
    assert (CIFAR10_CLASSES[0], CIFAR10_CLASSES[3], CIFAR10_CLASSES[9]) == ("airplane", "cat", "truck")


# Damaged files ------------------------------------------------------------------------------------------------------


def refuse(folder, name, content, message):
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=f"^{re.escape(f'{folder / name}: {message}')}$"):
        cifar10(folder)


@pytest.mark.parametrize("name", [NAMES[0], NAMES[4], NAMES[5]])
def test_files_that_are_damaged(folder, records, name):
    rows = records[name]
    refuse(folder, name, b"", "is empty, expected records of 3073 bytes")
    inside = "in the record that begins at byte"
    refuse(folder, name, b"<html>", f"ends at byte 6 {inside} 0, expected 3073 bytes")
    refuse(folder, name, rows[:3].tobytes()[:-1], f"ends at byte 9218 {inside} 6146, expected 3073 bytes")
    refuse(folder, name, rows[:3].tobytes() + b"\0", f"ends at byte 9220 {inside} 9219, expected 3073 bytes")
    wrong = rows.copy()
    wrong[2, 0] = 10
    refuse(folder, name, wrong.tobytes(), "the label at byte 6146 is 10, expected 0 to 9")


@given(content=st.binary(min_size=1, max_size=64), size=st.sampled_from([0, 1, 3072, 3073, 3074, 6146, 30_730]))
def test_any_bytes_are_read_or_refused(content, size, tmp_path_factory):
    path = tmp_path_factory.mktemp("any") / "file"
    content = (content * size)[:size]
    path.write_bytes(content)
    if size and size % 3073 == 0 and max(content[::3073]) < 10:
        assert _cifar._read_records(path).tobytes() == content
    else:
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: "):
            _cifar._read_records(path)


def test_a_file_that_shrinks_while_it_is_read(folder, monkeypatch):
    path = folder / NAMES[0]
    size = path.stat().st_size
    monkeypatch.setattr(_cifar, "size_of", lambda file: size)
    os.truncate(path, size - 3)
    with pytest.raises(ValueError, match=f"^{path}: was cut at byte {size - 3} while it was read, expected {size} byt"):
        _cifar._read_records(path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, partial(os.symlink, "/dev/zero")])
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(ValueError, match=r"it is a folder or a device, expected records of 3073 bytes$"):
        _cifar._read_records(tmp_path / "it")


def test_reading_takes_a_quarter_more_than_the_arrays(folder, measure):
    splits, peak, _ = measure(lambda: cifar10(folder))
    assert peak < 1.25 * sum(array.nbytes for split in splits for array in split) + 2**16


# The archive --------------------------------------------------------------------------------------------------------


def test_what_is_missing_is_taken_from_an_archive_in_the_folder(tmp_path, records, whole, publish):
    (tmp_path / ARCHIVE).write_bytes(publish(packed(whole)))
    (tmp_path / NAMES[0]).write_bytes(records[NAMES[0]].tobytes())
    check(cifar10(tmp_path), records)
    assert {path.name for path in (tmp_path / INSIDE).iterdir()} == set(NAMES[1:])
    (tmp_path / ARCHIVE).unlink()
    check(cifar10(tmp_path), records)


def test_another_archive_is_not_unpacked(tmp_path, whole):
    content = packed(whole)
    archive = tmp_path / ARCHIVE
    archive.write_bytes(content)
    message = (
        f"{archive}: has SHA-256 {hashlib.sha256(content).hexdigest()}, expected {_cifar._SHA256}; "
        "once it is deleted, cifar10 downloads the right one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        cifar10(tmp_path)
    assert list(tmp_path.iterdir()) == [archive]


def test_members_never_leave_the_folder(tmp_path, records, whole, publish):
    """Not even from an archive with the right checksum: names and links are the archive's, files are ours."""
    (inside := tmp_path / "data").mkdir()
    hostile = {"/absolute.bin": b"x", f"{INSIDE}/../../{NAMES[0]}": b"x", f"../{NAMES[1]}": b"x", **whole}
    (inside / ARCHIVE).write_bytes(publish(packed(hostile)))
    check(cifar10(inside), records)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    assert {path.name for path in inside.iterdir()} == {ARCHIVE, INSIDE}
    assert {path.name for path in (inside / INSIDE).iterdir()} == set(NAMES)


def test_links_in_an_archive_are_not_followed_out_of_it(tmp_path, whole, publish):
    (tmp_path / "secret").write_bytes(bytes(3073))
    (inside := tmp_path / "data").mkdir()
    link = {f"{INSIDE}/{NAMES[3]}": str(tmp_path / "secret")}
    (inside / ARCHIVE).write_bytes(publish(packed(whole | link)))
    with pytest.raises(ValueError, match=rf"{ARCHIVE}: holds no file {INSIDE}/{NAMES[3]}$"):
        cifar10(inside)


def test_an_interrupted_unpacking_leaves_no_half_file(tmp_path, records, whole, publish, monkeypatch):
    (tmp_path / ARCHIVE).write_bytes(publish(packed(whole)))
    copy, copied = _cifar.shutil.copyfileobj, []

    def interrupted(source, file):
        copied.append(file.name)
        if len(copied) == 3:
            file.write(source.read(1000))
            raise KeyboardInterrupt
        copy(source, file)

    with monkeypatch.context() as context:
        context.setattr(_cifar.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cifar10(tmp_path)
    assert {path.name for path in (tmp_path / INSIDE).iterdir()} == set(NAMES[:2])
    check(cifar10(tmp_path), records)


# The network --------------------------------------------------------------------------------------------------------


def test_the_archive_is_downloaded_and_checked(tmp_path, records, whole, publish, monkeypatch):
    content = publish(packed(whole))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(_cifar, "download", download)
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            monkeypatch.setattr(_cifar, "_MIRRORS", (f"http://127.0.0.1:{server.server_port}/{ARCHIVE}",))
            check(cifar10(tmp_path / "new"), records)
        finally:
            server.shutdown()
            thread.join()
    check(cifar10(tmp_path / "new"), records)


def test_what_is_asked_for(tmp_path, whole, monkeypatch):
    asked = []

    def answer(urls, path, sha256, *, limit):
        asked.append((urls, path, sha256, limit))
        path.write_bytes(packed(whole))

    monkeypatch.setattr(_cifar, "download", answer)
    cifar10(tmp_path)
    cifar10(tmp_path)
    sha256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
    urls = ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",)
    assert asked == [(urls, tmp_path / ARCHIVE, sha256, 256 << 20)]


def test_without_network_the_message_says_what_to_put_where(folder, monkeypatch):
    def fail(urls, path, sha256, *, limit):
        raise ConnectionError(f"{path.name} could not be downloaded: reasons")

    monkeypatch.setattr(_cifar, "download", fail)
    for name in NAMES[4:]:
        (folder / name).unlink()
    message = (
        f"{ARCHIVE} could not be downloaded: reasons\n"
        f"cifar10 needs in the folder {folder} that archive, or: data_batch_5.bin, test_batch.bin"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
        cifar10(folder)

import gzip
import math
import os
import re
import struct
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xpnet.data import read_idx

BYTES = arrays(np.uint8, array_shapes(max_dims=4, max_side=6))


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def header(*shape, magic=None):
    return (bytes([0, 0, 8, len(shape)]) if magic is None else magic) + struct.pack(f">{len(shape)}I", *shape)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("idx") / "some.file"


def refuse(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="^" + re.escape(f"{path}: {message}")):
        read_idx(path)


def check_read_or_refused(path, content):
    path.write_bytes(content)
    try:
        result = read_idx(path)
    except ValueError as error:
        message = str(error)
    else:
        assert result.dtype == np.uint8
        assert 1 <= result.ndim <= 4
        return
    assert message.startswith(f"{path}: ")


@given(array=BYTES, zipped=st.booleans())
def test_what_was_written_is_read(path, array, zipped):
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    result = read_idx(path)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, array, strict=True)


@settings(max_examples=500)
@given(array=BYTES, zipped=st.booleans(), data=st.data())
def test_mutated_bytes_raise_value_error_or_read(path, array, zipped, data):
    content = bytearray(gzip.compress(idx(array)) if zipped else idx(array))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content)))
        if data.draw(st.booleans()):
            content[at : at + 1] = data.draw(st.binary(max_size=3))  # replaced, removed or inserted
        else:
            del content[at:]
    check_read_or_refused(path, content)


@given(content=st.binary(max_size=64))
def test_random_bytes_raise_value_error_or_read(path, content):
    check_read_or_refused(path, content)


NOTHING = gzip.compress(b"")


@pytest.mark.parametrize("behind", [b"", NOTHING, bytes(40_000), NOTHING + bytes(7) + NOTHING])
def test_several_gzip_members_are_one_file(path, behind):
    content = idx(np.arange(12, dtype=np.uint8).reshape(3, 4))
    path.write_bytes(b"".join(gzip.compress(part) for part in (b"", content[:7], b"", content[7:])) + behind)
    np.testing.assert_array_equal(read_idx(path), np.arange(12).reshape(3, 4))


def test_a_member_for_each_byte(path):
    path.write_bytes(b"".join(gzip.compress(bytes([byte])) for byte in idx(np.arange(2000).astype(np.uint8))))
    np.testing.assert_array_equal(read_idx(path), np.arange(2000) % 256)


def test_what_may_be_long_around_compressed_data_takes_no_time(path):
    """A name of 16 MiB, as many zeros behind; members that hold nothing are refused when they are many."""
    good = gzip.compress(idx(np.arange(100, dtype=np.uint8)))
    began = time.process_time()
    path.write_bytes(b"\x1f\x8b\x08\x08" + good[4:10] + b"a" * 2**24 + b"\0" + good[10:] + bytes(2**24))
    assert read_idx(path).shape == (100,)
    refuse(
        path,
        good + NOTHING * 500_000,
        "damaged gzip data within the first 32768 of 10000128 bytes, expected a complete file: more than 1000 members",
    )
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, partial(os.symlink, "/dev/zero")])
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(ValueError, match=f"^{tmp_path / 'it'} is a folder or a device, expected an IDX file$"):
        read_idx(tmp_path / "it")


def test_links_in_a_circle_are_the_system_s_error(tmp_path):
    (tmp_path / "it").symlink_to(tmp_path / "it")
    with pytest.raises(OSError, match="symbolic links"):
        read_idx(tmp_path / "it")


def test_no_path():
    with pytest.raises(TypeError, match=r"^read_idx: path must be a str or a pathlib\.Path, got int$"):
        read_idx(0)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reading_takes_at_most_twice_the_array(path, measure, pack):
    path.write_bytes(pack(header(3000, 1000) + bytes(3_000_000)))
    found, peak, _ = measure(lambda: read_idx(path))
    assert found.nbytes == 3_000_000
    assert peak < 2 * 3_000_000


def test_result_is_writable_and_path_may_be_text(path):
    path.write_bytes(idx(np.zeros((2, 3), np.uint8)))
    result = read_idx(str(path))
    result[0, 0] = 1
    assert result.sum() == 1


def test_larger_than_one_piece(path):
    array = np.random.default_rng(0).integers(0, 256, (3, 1000, 1000), dtype=np.uint8)
    for content in (idx(array), gzip.compress(idx(array), 1)):
        path.write_bytes(content)
        np.testing.assert_array_equal(read_idx(path), array)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends at byte 0, inside the magic number, expected 4 bytes"),
        (b"\0\0\x08", "ends at byte 3, inside the magic number, expected 4 bytes"),
        (b"<html>", "the magic number at byte 0 is 0x3c68746d, expected 0x00000801 to 0x00000804"),
        (header(2, magic=b"\0\0\x0d\1"), "the element type at byte 2 is 0x0d, expected 0x08 (unsigned byte)"),
        (header(magic=b"\0\0\x08\0"), "the number of dimensions at byte 3 is 0, expected 1 to 4"),
        (header(1, 1, 1, 1, 1) + b"\0", "the number of dimensions at byte 3 is 5, expected 1 to 4"),
        (header(2, 3, 4)[:-1], "ends at byte 15, inside the header of 16 bytes"),
        (header(2, 0), "dimension 1 at byte 8 is 0, expected at least 1"),
        (header(2, 3) + bytes(7), "goes on after byte 18, where dimensions (2, 3) expect it to end"),
    ],
)
def test_wrong_content(path, pack, content, message):
    refuse(path, pack(content), message)


def test_truncated_body(path):
    content = header(2, 3) + bytes(5)
    refuse(path, content, "dimensions (2, 3) need 18 bytes, the file can hold at most 17")
    refuse(path, gzip.compress(content), "ends at byte 17, dimensions (2, 3) need 18 bytes")


@pytest.mark.parametrize("shape", [(2**32 - 1,), (60_000, 2**20, 28), (2**32 - 1,) * 4])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_huge_dimensions_take_no_memory(path, shape, pack):
    content = pack(header(*shape) + bytes(100))
    most = len(content) * (1 if pack is bytes else 1032)
    need = 4 + 4 * len(shape) + math.prod(shape)
    tracemalloc.start()
    try:
        refuse(path, content, f"dimensions {shape} need {need} bytes, the file can hold at most {most}")
        assert tracemalloc.get_traced_memory()[1] < 2**19
    finally:
        tracemalloc.stop()


def test_no_more_is_decompressed_than_declared(path):
    content = gzip.compress(header(10) + bytes(100_000_000))
    tracemalloc.start()
    try:
        refuse(path, content, "goes on after byte 18, where dimensions (10,) expect it to end")
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_gzip_s_best_ratio_is_accepted(path):
    content = header(1000, 1000, 100) + bytes(100_000_000)
    path.write_bytes(gzip.compress(content, 9))
    assert path.stat().st_size < len(content) / 1000
    assert read_idx(path).shape == (1000, 1000, 100)


def test_damaged_gzip(path):
    good = gzip.compress(idx(np.arange(200, dtype=np.uint8)))
    refuse(path, good[:5], "damaged gzip data within the first 5 of 5 bytes, expected a complete file: ")
    refuse(path, good[:-30], "damaged gzip data within the first")  # cut inside the data
    refuse(path, good[:-4], "damaged gzip data within the first")  # cut inside the checksum
    refuse(path, good[:-8] + b"\0\0\0\0" + good[-4:], "damaged gzip data within the first")  # wrong checksum
    refuse(path, good[:10] + b"\xff" + good[11:], "damaged gzip data within the first")  # no such block
    refuse(path, good + b"more", "damaged gzip data within the first")
    refuse(path, b"\x1f\x8b\x07" + good[3:], "damaged gzip data within the first")  # unknown compression


def test_missing_file_is_the_system_s_error(path):
    with pytest.raises(FileNotFoundError):
        read_idx(path.with_name("missing"))

"""Tables of numbers: what was written is read; anything else is an error that says where, and takes no memory."""

import os
import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xpnet.data import _csv, read_csv

TABLES = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.floats(width=32))
FINITE = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, max_side=6),
    elements=st.floats(allow_nan=False, allow_infinity=False),
)
DELIMITERS = st.sampled_from([",", ";", "\t", " ", "|"])
ENDS = st.sampled_from(["\n", "\r\n"])


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("csv") / "table.csv"


def text(values, delimiter=",", end="\n", form=repr):
    return end.join(delimiter.join(form(float(value)) for value in row) for row in values)


def refuse(path, content, message, **options):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^{re.escape(f'{path}: {message}')}$"):
        read_csv(path, **options)


# What is read -------------------------------------------------------------------------------------------------------


@given(values=FINITE, delimiter=DELIMITERS, end=ENDS, ended=st.booleans(), marked=st.booleans())
def test_what_was_written_is_read_to_the_last_bit(path, values, delimiter, end, ended, marked):
    content = text(values, delimiter, end) + end * ended
    path.write_text(content, "utf-8-sig" if marked else "utf-8", newline="")
    names, found = read_csv(path, delimiter=delimiter, dtype="float64")
    assert names == ()
    np.testing.assert_array_equal(found, values, strict=True)


@given(values=TABLES)
def test_values_that_are_not_finite_are_read_where_they_are_allowed(path, values):
    path.write_text(text(values))
    np.testing.assert_array_equal(read_csv(path, allow_nonfinite=True)[1], values.astype(np.float32), strict=True)


@given(values=FINITE, names=st.lists(st.text("abc é\"',;", min_size=1), min_size=1, max_size=6, unique_by=str.strip))
def test_names_in_quotes(path, values, names):
    values = np.resize(values, (len(values), len(names)))
    first = ",".join('"' + name.replace('"', '""') + '"' for name in names)
    path.write_text(f"{first}\n{text(values)}", encoding="utf-8")
    found, table = read_csv(path, header=True, dtype="float64")
    assert found == tuple(name.strip() for name in names)
    np.testing.assert_array_equal(table, values)


@pytest.mark.parametrize(
    ("field", "value"),
    [("1", 1), ("-0", -0.0), ("+.5", 0.5), ("5.", 5), ("1E3", 1000), ("2e-2", 0.02), (" 7 \t", 7), ("1e-999", 0)],
)
def test_how_numbers_may_be_written(path, field, value):
    path.write_text(f"{field},{field}\n{field},{field}")
    np.testing.assert_array_equal(read_csv(path)[1], np.full((2, 2), value, np.float32), strict=True)


@pytest.mark.parametrize("field", ["nan", "-NaN", "inf", "+Infinity", "-INF", " inf "])
def test_how_numbers_that_are_not_finite_may_be_written(path, field):
    path.write_text(f"1,{field}")
    np.testing.assert_array_equal(read_csv(path, allow_nonfinite=True)[1][0, 1], np.float32(field))
    refuse(
        path,
        f"1,{field}",
        f"line 1, column 2 (byte 2 of the line) is {_csv._field(field.encode())}, expected a finite number; "
        "allow_nonfinite=True reads others",
    )


def test_numbers_infinite_in_float32_only(path):
    content = "1,2\n3,1e39\n"
    refuse(path, content, "line 2, column 2 is 1e39, which is infinite in float32, expected a finite number")
    assert read_csv(path, dtype="float64")[1][1, 1] == 1e39
    assert read_csv(path, allow_nonfinite=True)[1][1, 1] == np.inf
    refuse(
        path, "-1e999", "line 1, column 1 is -1e999, which is infinite in float64, expected a finite number",
        dtype="float64",
    )  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [False, True])
def test_larger_than_one_piece(path, header, end):
    values = np.random.default_rng(0).standard_normal((20_000, 5)).astype(np.float32)
    path.write_text("a,b,c,d,e\n" * header + text(values, end=end), newline="")
    names, found = read_csv(path, header=header)
    assert names == tuple("abcde" * header)
    np.testing.assert_array_equal(found, values, strict=True)


def test_the_array_is_writable_and_the_path_may_be_text(path):
    path.write_text("1,2")
    values = read_csv(str(path))[1]
    values[0, 0] = 7
    assert values.tolist() == [[7, 2]]


# What is not --------------------------------------------------------------------------------------------------------

NUMBER = "expected a number"
HEADER = "expected a number; header=True reads the first line as names"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends at line 1, expected numbers there"),
        (b"\xef\xbb\xbf", "ends at line 1, expected numbers there"),
        (b"\n", "line 1 is blank, expected 1 number"),
        (b"1,2\n\n3,4", "line 2 is blank, expected 2 numbers"),
        (b"1,2\n3,4\n\n", "line 3 is blank, expected 2 numbers"),
        (b"1,2\n3,4,5\n", "line 2 has 3 fields, expected 2"),
        (b"1,2\n3\n", "line 2 has 1 field, expected 2"),
        (b"1,2\n3,4,\n", "line 2 has 3 fields, expected 2"),
        (b"1,2\n3,x\n", f"line 2, column 2 (byte 2 of the line) is x, {NUMBER}"),
        (b"x,t\n1,2\n", f"line 1, column 1 (byte 0 of the line) is x, {HEADER}"),
        (b"1,\n", f"line 1, column 2 (byte 2 of the line) is empty, {HEADER}"),
        (b"1,2\n,4\n", f"line 2, column 1 (byte 0 of the line) is empty, {NUMBER}"),
        (b'1,2\n"3",4\n', f'line 2, column 1 (byte 0 of the line) is "3", {NUMBER}'),
        (b"1,2\n# a comment\n", "line 2 has 1 field, expected 2"),
        (b"1\n# a comment\n", f"line 2, column 1 (byte 0 of the line) is # a comment, {NUMBER}"),
        (b"1_000\n", f"line 1, column 1 (byte 0 of the line) is 1_000, {HEADER}"),
        (b"0x10\n", f"line 1, column 1 (byte 0 of the line) is 0x10, {HEADER}"),
        (b"1\n1e\n", f"line 2, column 1 (byte 0 of the line) is 1e, {NUMBER}"),
        (b"1\n.\n", f"line 2, column 1 (byte 0 of the line) is ., {NUMBER}"),
        (b"1\n+-1\n", f"line 2, column 1 (byte 0 of the line) is +-1, {NUMBER}"),
        (b"1\n1 2\n", f"line 2, column 1 (byte 0 of the line) is 1 2, {NUMBER}"),
        ("1\n١\n".encode(), f"line 2, column 1 (byte 0 of the line) is ١, {NUMBER}"),
        (b"1\n\0\n", f"line 2, column 1 (byte 0 of the line) is '\\x00', {NUMBER}"),
        (b"1,2\n3,4\0\n", f"line 2, column 2 (byte 2 of the line) is '4\\x00', {NUMBER}"),
        (b"1\n\xff\n", f"line 2, column 1 (byte 0 of the line) is \\xff, {NUMBER}"),
        (b"1\n\x1b[2J\n", f"line 2, column 1 (byte 0 of the line) is '\\x1b[2J', {NUMBER}"),
        (b"1\r2\r", f"line 1, column 1 (byte 0 of the line) is '1\\r2', {HEADER}"),
        (b"1\n2\r\r\n", f"line 2, column 1 (byte 0 of the line) is '2\\r', {NUMBER}"),
        (b"<html>", f"line 1, column 1 (byte 0 of the line) is <html>, {HEADER}"),
        (b"1\n" + b"x" * 500, f"line 2, column 1 (byte 0 of the line) is {'x' * 100}…, {NUMBER}"),
        (b"\x1f\x8b\x08more", "is compressed by gzip, expected text: unpack it first"),
        (b"PK\x03\x04more", "is a spreadsheet or an archive, expected text: save it as CSV"),
        ("1,2".encode("utf-16"), "is UTF-16, expected UTF-8"),
        ("1,2".encode("utf-16-be"), f"line 1, column 1 (byte 0 of the line) is '\\x001\\x00', {HEADER}"),
        (b"\xfe\xff\0001", "is UTF-16, expected UTF-8"),
    ],
)  # fmt: skip
def test_wrong_content(path, content, message):
    refuse(path, content, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ends at line 1, expected numbers there"),
        (b"a,b\n", "ends at line 2, expected numbers there"),
        (b"\n1,2\n", "line 1 is blank, expected names"),
        (b'"a,b\n1,2\n', "line 1 holds no names (unexpected end of data)"),
        (b"a,\xff\n1,2\n", "byte 2 of line 1 is no UTF-8"),
        (b"a, a\n1,2\n", "line 1, column 2 is a, expected another name, as it stands twice"),
        (b"a,\x1b[2J\n1,2\n", "line 1, column 2 is '\\x1b[2J', expected a name that can be printed"),
        (b"1,2\n3,4\n", "line 1 holds numbers, expected names; header=False reads it as numbers"),
        (b"a,b\n1,2,3\n", "line 2 has 3 fields, expected 2"),
        (b"a,b\n1,x\n", f"line 2, column 2 (byte 2 of the line) is x, {NUMBER}"),
        (b"a" * 2**18 + b"b\n1\n", "line 1 has 262145 bytes, expected names of 262144 at most"),
        (b"a" * 2**17 + b"b\n1\n", "line 1 holds no names (field larger than field limit (131072))"),
    ],
    ids=range(12),
)
def test_wrong_names(path, content, message):
    refuse(path, content, message, header=True)


def test_an_error_far_into_the_file_is_placed(path):
    lines = ["1,2"] * 100_000
    lines[76_543] = "1,2x"
    refuse(path, "\n".join(lines), f"line 76544, column 2 (byte 2 of the line) is 2x, {NUMBER}")
    lines[76_543] = "1,1e99"
    refuse(
        path, "\n".join(lines), "line 76544, column 2 is 1e99, which is infinite in float32, expected a finite number"
    )


def test_arguments(path):
    path.write_text("1")
    with pytest.raises(ValueError, match=r"^read_csv: delimiter is ', ', expected one of ',', ';', '\\t', ' ', '\|'$"):
        read_csv(path, delimiter=", ")
    with pytest.raises(ValueError, match=r"^read_csv: dtype is 'int64', expected 'float32' or 'float64'$"):
        read_csv(path, dtype="int64")
    with pytest.raises(TypeError, match=r"^read_csv: path must be a str or a pathlib\.Path, got int$"):
        read_csv(0)


# Hostile files ------------------------------------------------------------------------------------------------------


@given(content=st.binary(max_size=64) | st.text('0123456789.,-+eE\n\r \tnaif"x', max_size=64).map(str.encode))
@pytest.mark.parametrize("header", [False, True])
def test_any_bytes_are_a_table_as_numpy_reads_it_or_an_error(path, content, header):
    path.write_bytes(content)
    try:
        _, values = read_csv(path, header=header, dtype="float64")
    except ValueError as error:
        kind, message = type(error), str(error)
        assert (kind, message.startswith(f"{path}: ")) == (ValueError, True)
    else:
        lines = content.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        expected = np.loadtxt(lines[header:], delimiter=",", ndmin=2, comments=None)
        np.testing.assert_array_equal(values, expected, strict=True)


LONG = {
    "digits": b"1" * (2**20 - 1) + b"\n",
    "zeros": b"0." + b"0" * (2**20 - 3) + b"\n",
    "fields": b"1," * (2**19 - 1) + b"1\n",
    "commas": b"," * 2**20,
    "blanks": b" " * 2**20,
    "one line and its like": (b"1," * (2**18 - 1) + b"1\n") * 3,
    "a fault at the end": b"1," * (2**19 - 1) + b"x\n",
    "lines": b"1\n" * 2**19,
    "blank lines": b"1\n" + b"\n" * 2**20,
    "another line": b"1\n" + b"1," * (2**19 - 1) + b"1\n",
    "exponents": b"1e" + b"9" * (2**20 - 3) + b"\n",
}


@pytest.mark.parametrize("content", LONG.values(), ids=LONG)
def test_a_mebibyte_of_anything_takes_little_memory_and_time(path, measure, content):
    path.write_bytes(content)
    found, peak, seconds = measure(lambda: read_csv(path)[1])
    if isinstance(found, ValueError):
        assert str(found).startswith(f"{path}: line ")
        assert len(str(found)) < 300 + len(str(path))
    size = len(content) if isinstance(found, ValueError) else max(len(content), found.nbytes)
    assert peak < 2 * size + 16 * 2**20
    assert seconds < 2.0


@pytest.mark.parametrize("header", [False, True])
def test_a_line_without_end_is_not_read(path, measure, header):
    path.write_bytes(b"1\n2\n")
    os.truncate(path, 2**33)
    message = "line 3 has more than 1048576 bytes, expected a newline within them"
    if header:
        path.write_bytes(b"a" * 2**22)
        message = "line 1 has more than 1048576 bytes, expected a newline within them"
    found, peak, _ = measure(lambda: read_csv(path, header=header))
    assert str(found) == f"{path}: {message}"
    assert peak < 2**23
    path.write_bytes(b"")


def test_the_most_names_take_little_memory(path, measure):
    first = b",".join(b"%x" % i for i in range(16, 2**18 // 6))
    path.write_bytes(first + b"\n" + b",".join([b"1"] * (first.count(b",") + 1)))
    (names, values), peak, _ = measure(lambda: read_csv(path, header=True))
    assert values.shape == (1, len(names))
    assert peak < 16 * 2**20


def test_reading_takes_at_most_twice_the_array(path, measure):
    path.write_bytes(b"1,2,3,4\n" * 100_000)
    (_, values), peak, _ = measure(lambda: read_csv(path, dtype="float64"))
    assert peak < 2 * values.nbytes


def test_a_file_that_shrinks_while_it_is_read(path, monkeypatch):
    path.write_bytes(b"1\n2\n3\n")
    monkeypatch.setattr(_csv, "size_of", lambda file: 9)
    refuse(path, b"1\n2\n3\n", "was cut at byte 6 while it was read, expected 9 bytes")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, partial(os.symlink, "/dev/zero")])
def test_what_is_no_file_is_refused(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(ValueError, match=f"^{tmp_path / 'it'} is a folder or a device, expected a text file$"):
        read_csv(tmp_path / "it")


def test_a_missing_file_is_the_system_s_error(path):
    with pytest.raises(FileNotFoundError):
        read_csv(path.with_name("missing"))

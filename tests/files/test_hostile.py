"""What all readers share: files that are files, JSON that is no larger than its file allows, values in messages."""

import json
import os
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpnet.files import described, json_object, most_json, open_file, size_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=5)


def test_a_file_is_opened_at_its_beginning(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with open_file(tmp_path / "file", "where", "a file") as file:
        assert (size_of(file), file.read()) == (7, b"content")


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_none_is_refused_at_once_and_closed(tmp_path, make):
    make(tmp_path / "it")
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        with pytest.raises(ValueError, match=r"^where is a folder or a device, expected a file of notes$"):
            open_file(tmp_path / "it", "where", "a file of notes")
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_missing_files_and_links_in_a_circle_are_the_system_s_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        open_file(tmp_path / "missing", "where", "a file")
    (tmp_path / "it").symlink_to(tmp_path / "it")
    with pytest.raises(OSError, match="symbolic links"):
        open_file(tmp_path / "it", "where", "a file")


@pytest.mark.parametrize(("size", "most"), [(0, 2**19), (2**23, 2**19), (2**24, 2**20), (2**26, 2**22), (2**40, 2**22)])
def test_how_much_json_a_file_may_hold(size, most):
    assert most_json(size) == most


@given(value=OBJECTS)
def test_objects_of_json_come_back(value):
    assert json_object(json.dumps(value).encode(), "where", "the text") == value


@given(content=st.binary(max_size=40) | st.text('{}[]",:0123456789aeE+-.\\u \n', max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_an_error_that_names_the_place(content):
    try:
        found = json_object(content, "where", "the text", 8)
    except ValueError as error:
        kind, message = type(error), str(error)
        assert (kind, message.startswith("where: ")) == (ValueError, True)
    else:
        assert found == json.loads(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the text is no JSON at byte 8 (Expecting value)"),
        (b'{"a": }', "the text is no JSON at byte 14 (Expecting value)"),
        ('{"é": }'.encode(), "the text is no JSON at byte 15 (Expecting value)"),
        (b'{"\xff": 1}', "byte 10 of the text is no UTF-8"),
        (b"[1]", "the text is a list, expected an object: values by name"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "c stands twice in the text, expected once"),
        (b'{"a": 1, "\\n": 1, "\\n": 2}', "'\\n' stands twice in the text, expected once"),
    ],
)
def test_what_is_wrong_and_where(content, message):
    with pytest.raises(ValueError, match=f"^where: {re.escape(message)}$"):
        json_object(content, "where", "the text", 8)


@pytest.mark.parametrize("content", [b"[" * 10_000, b'{"a":' * 10_000, b'{"a": ' + b"9" * 10_000 + b"}"])
def test_what_python_cannot_read(content):
    with pytest.raises(ValueError, match=r"^where: the text is no JSON that can be read "):
        json_object(content, "where", "the text")


@given(value=VALUES)
def test_values_in_messages_are_short_and_printable(value):
    text = described(value)
    assert len(text) <= 101
    assert text.isprintable()


def test_values_in_messages():
    deep = []
    for _ in range(900):
        deep = [deep]
    assert described(deep) == "[[[[[[[...]]]]]]]"
    assert described([1] * 100_000).startswith("[1, 1, 1, ")
    assert described("F32") == "F32"

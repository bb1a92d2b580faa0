"""Files that are cut, false, hostile or something else: an error that says what is wrong, and nothing is changed."""

import json
import os
import re
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import xpnet
from xpnet import layers as L

ONES = np.ones(12, "<f4").tobytes()


def model():
    return L.Linear(3, 2)  # in files a weight of 24 bytes and a bias of 8


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


WEIGHT, BIAS = entry([2, 3], 0, 24), entry([2], 24, 32)
GOOD = {"weight": WEIGHT, "bias": BIAS}
TEXT = json.dumps(GOOD).encode()


def file(header=GOOD, data=ONES[:32], length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


BAD = {
    "empty": (b"", r" has 0 bytes: expected 8 for the header's length, the header and the values"),
    "cut in the length": (file()[:7], r" has 7 bytes: expected 8 for the header's length"),
    "cut in the header": (
        file()[:20],
        rf" claims a header of {len(TEXT)} bytes from byte 8 on, but only 12 are there: it is cut off or no safe",
    ),
    "cut in the data": (file()[:-3], r": bias ends at byte 32 of the data, which has 29: the file is cut off"),
    "longer than its header says": (file() + b"more", r": the arrays end at byte 32 of the data, which has 36"),
    "10 GB of header": (file(length=10 * 2**30), r" claims a header of 10737418240 bytes from byte 8 on, but only"),
    "most of header": (file(length=2**64 - 1), r" claims a header of 18446744073709551615 bytes from byte 8 on"),
    "no header": (file(b""), r": the header is no JSON at byte 8 \(Expecting value\)"),
    "no JSON": (file(b'{"weight": }'), r": the header is no JSON at byte 19 \(Expecting value\)"),
    "no JSON behind an é": (file('{"é": }'.encode()), r": the header is no JSON at byte 15 "),
    "no UTF-8": (file(b'{"\xff": 1}'), r": byte 10 of the header is no UTF-8"),
    "UTF-16": (file(TEXT.decode().encode("utf-16")), r": byte 8 of the header is no UTF-8"),
    "brackets in brackets": (file(b"[" * 100_000), r": the header is no JSON that can be read \(maximum recursion"),
    "a number of 5000 digits": (
        file(TEXT.replace(b"24", b"2" * 5000)),
        r": the header is no JSON that can be read \(Exceeds the limit",
    ),
    "a list for a header": (file([1, 2]), r": the header is a list, expected an object: values by name"),
    "numbers in the metadata": (file(GOOD | {"__metadata__": {"a": 1}}), r": __metadata__ must be texts by name"),
    "a name twice": (
        file(b'{"weight":' + json.dumps(WEIGHT).encode() + b"," + TEXT[1:]),
        r": weight stands twice in the header, expected once",
    ),
    "a shape twice": (
        file(TEXT.replace(b'"shape": [2]', b'"shape": [2], "shape": [2]')),
        r": shape stands twice in the header, expected once",
    ),
    "overlapping": (
        file({"weight": WEIGHT, "bias": entry([2], 20, 28)}),
        r": bias begins at byte 20 of the data and overlaps what lies before it, expected 24",
    ),
    "one place for two": (
        file({"weight": entry([2], 0, 8), "bias": entry([2], 0, 8)}, ONES[:8]),
        r": bias begins at byte 0 of the data and overlaps what lies before it, expected 8",
    ),
    "a hole": (
        file({"weight": WEIGHT, "bias": entry([2], 28, 36)}, ONES[:36]),
        r": bias begins at byte 28 of the data and leaves a hole before it, expected 24",
    ),
    "a hole at the beginning": (
        file({"weight": entry([2], 4, 12)}, ONES[:12]),
        r": weight begins at byte 4 of the data and leaves a hole before it, expected 0",
    ),
    "out of the file": (
        file({"weight": WEIGHT, "bias": entry([2**40], 24, 24 + 2**42)}),
        r": bias ends at byte 4398046511128 of the data, which has 32: the file is cut off",
    ),
    "fewer bytes than its shape": (
        file({"weight": WEIGHT, "bias": entry([5], 24, 32)}),
        r": bias of shape \(5,\) and dtype F32 needs 20 bytes, but has 8 \(from byte 24 to 32\)",
    ),
    "a product beyond 64 bits": (
        file({"weight": WEIGHT, "bias": entry([2**62, 2**62, 4], 24, 32)}),
        r": bias of shape \(4611686018427387904, 4611686018427387904, 4\) and dtype F32 needs \d+ bytes, but has 8",
    ),
    "an unknown type": (
        file({"weight": WEIGHT, "bias": entry([2], 24, 32, "Q4")}),
        r": bias has the dtype Q4, expected one of F64, F32, F16, BF16, ",
    ),
    "a type that is no text": (
        file({"weight": WEIGHT, "bias": entry([2], 24, 32, ["F32"])}),
        r": bias has the dtype \['F32'\], expected one of F64, ",
    ),
    "a negative length": (
        file({"weight": WEIGHT, "bias": entry([-2], 24, 32)}),
        r": bias has the shape \[-2\], expected at most 64 whole numbers from 0 on",
    ),
    "a length that is no integer": (
        file({"weight": WEIGHT, "bias": entry([2.0], 24, 32)}),
        r": bias has the shape \[2\.0\], expected at most 64 whole numbers from 0 on",
    ),
    "a length that is true": (
        file({"weight": WEIGHT, "bias": entry([True, 2], 24, 32)}),
        r": bias has the shape \[True, 2\], expected",
    ),
    "axes without end": (
        file({"weight": WEIGHT, "bias": entry([1] * 100_000, 24, 32)}),
        r": bias has the shape \[1, 1, [1, ]*…, expected at most 64 whole numbers from 0 on",
    ),
    "a negative place": (
        file({"weight": WEIGHT, "bias": entry([2], -8, 0)}),
        r": bias has the data_offsets \[-8, 0\], expected its first byte and its end",
    ),
    "an end before its beginning": (
        file({"weight": WEIGHT, "bias": entry([2], 32, 24)}),
        r": bias has the data_offsets \[32, 24\], expected its first byte and its end",
    ),
    "three ends": (
        file({"weight": WEIGHT, "bias": BIAS | {"data_offsets": [24, 32, 40]}}),
        r": bias has the data_offsets \[24, 32, 40\], expected its first byte and its end",
    ),
    "no shape": (
        file({"weight": WEIGHT, "bias": {"dtype": "F32", "data_offsets": [24, 32]}}),
        r": bias is described by \{'data_offsets': \[24, 32\], 'dtype': 'F32'\}, expected dtype, shape and data",
    ),
    "no description": (file({"weight": WEIGHT, "bias": 7}), r": bias is described by 7, expected dtype, shape and"),
    "a name to trick a terminal": (file({"\x1b[2J": 7}), r": '\\x1b\[2J' is described by 7"),
    "a name of 50 000 letters": (file({"a" * 50_000: 7}), r": a{100}… is described by 7"),
    "a zip": (
        b"PK\x03\x04" + file(),
        r" is no safetensors file: it is a pickle of PyTorch's \(\.pt, \.pth\), which may ",
    ),
    "a pickle": (
        b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
        r"run any code when it is opened\. Convert it where PyTorch is: state = torch\.load\(path, weights_only=True\)"
        r"; safetensors\.torch\.save_file\(state, 'weights\.safetensors'\)",
    ),
    "a web page": (b"\n <!DOCTYPE html><html><body>404</body></html>", r" is no safetensors file: it is a web page"),
    "a web page with a mark": (
        b"\xef\xbb\xbf<html></html>",
        r" is no safetensors file: it is a web page: the download",
    ),
    "a pointer of Git LFS": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
        r" is no safetensors file: it is Git LFS's pointer to the file: fetch the file itself, with `git lfs pull`",
    ),
    "garbage": (bytes(range(256)) * 4, r" claims a header of 506097522914230528 bytes from byte 8 on, but only 1016"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_it_is_said_and_nothing_is_changed(path, values, assert_same, content, message):
    layer = model()
    before = values(layer)
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=message) as caught:
            xpnet.load_weights(layer, path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"load_weights: {path}")
    assert len(str(caught.value)) < 500
    assert peak < 2**20 + 100 * len(content)
    assert_same(values(layer), before)


def test_the_good_file_that_the_bad_ones_are_made_of_is_loaded(path):
    layer = model()
    path.write_bytes(file())
    assert xpnet.load_weights(layer, path).loaded == ("weight", "bias")
    assert (layer.weight.data == 1.0).all()


@pytest.mark.parametrize("length", [0x280, 0x3C0, 0x503C])
def test_a_length_that_looks_like_another_kind_of_file_is_a_length(path, length):
    """640 begins like a pickle of protocol 2, 0x3C like a web page."""
    path.write_bytes(file(TEXT.ljust(length)))
    assert len(xpnet.load_weights(model(), path).loaded) == 2


@pytest.mark.parametrize(
    ("header", "data", "most"),
    [(2**19 + 1, 0, 2**19), (2**20 + 1, 2**23, 2**19 + 2**16), (2**22 + 1, 2**27, 2**22)],
)
def test_a_header_that_is_large_next_to_the_file_is_not_read(path, header, data, most):
    path.write_bytes(file(TEXT.ljust(header)))
    os.truncate(path, 8 + header + data)  # a hole, which takes no room on the disk
    message = rf" claims a header of {header} bytes, expected at most {most} in a file of {8 + header + data}$"
    with pytest.raises(ValueError, match=message):
        xpnet.load_weights(model(), path)


EMPTY = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
MOST_JSON = 2**19
LARGE_HEADERS = {
    "lists": '{"a":[' + ",".join(["[]"] * (MOST_JSON // 3 - 3)) + "]}",
    "objects": '{"a":[' + ",".join(["{}"] * (MOST_JSON // 3 - 3)) + "]}",
    "numbers": '{"a":[' + ",".join(["0.1"] * (MOST_JSON // 4 - 3)) + "]}",
    "digits": f'{{"a":0.{"1" * (MOST_JSON - 10)}}}',
    "arrays": "{" + ",".join(f'"{i:x}":{EMPTY}' for i in range(MOST_JSON // 56)) + "}",
    "a smiling name": f'{{"{"a" * (MOST_JSON - 100)}\N{GRINNING FACE}":{EMPTY}}}',
    "dots": f'{{"{"." * (MOST_JSON - 100)}":{EMPTY}}}',
    "wrappers": f'{{"{"module." * (MOST_JSON // 7 - 20)}":{EMPTY}}}',
    "wrappers of dots": f'{{"{"module." * (MOST_JSON // 14 - 20)}{"." * (MOST_JSON // 2 - 20)}weight":{EMPTY}}}',
}


@pytest.mark.parametrize("header", LARGE_HEADERS.values(), ids=LARGE_HEADERS)
def test_the_largest_headers_take_little_memory_and_time(path, measure, header):
    """Twice the file and 16 MiB; names of many dots or wrappers took time by the square of their length."""
    path.write_bytes(file(header.encode(), b""))
    layer = model()
    found, peak, seconds = measure(lambda: xpnet.load_weights(layer, path))
    assert isinstance(found, ValueError)
    assert str(found).startswith(f"load_weights: {path}")
    assert peak < 2 * path.stat().st_size + 16 * 2**20
    assert seconds < 2.0


@pytest.mark.parametrize("brackets", ["[]", ['{"a":', "}"]], ids=["lists", "objects"])
def test_brackets_as_deep_as_they_can_be_read_are_an_error(path, brackets):
    for depth in range(900, 1000):
        path.write_bytes(
            file(f'{{"a":{brackets[0] * depth}{7 if len(brackets[0]) > 1 else ""}{brackets[1] * depth}}}'.encode())
        )
        with pytest.raises(ValueError, match=r": a is described by|: the header is no JSON that can be read"):
            xpnet.load_weights(model(), path)


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16"])
def test_loading_takes_twice_the_model(path, measure, dtype):
    """Its values, and one array as it was read: here there is only one."""
    layer, size = L.Linear(300, 300, bias=False), {"F64": 8, "F32": 4}.get(dtype, 2) * 90_000
    path.write_bytes(file({"weight": entry([300, 300], 0, size, dtype)}, bytes(size)))
    found, peak, _ = measure(lambda: xpnet.load_weights(layer, path))
    assert found.loaded == ("weight",)
    assert peak < 2 * max(360_000, size) + 2**16


def test_of_a_name_that_stands_twice_the_safetensors_library_takes_the_last(path):
    """Why it is refused: readers differ."""
    a = '{"dtype":"F32","shape":[1],"data_offsets":[%d,%d]}'
    path.write_bytes(file(f'{{"a":{a % (4, 8)},"a":{a % (0, 4)},"b":{a % (4, 8)}}}'.encode(), ONES[:8]))
    assert safetensors.numpy.load_file(path).keys() == {"a", "b"}
    with pytest.raises(ValueError, match="a stands twice in the header"):
        xpnet.load_weights(model(), path)


def to_a_device(path):
    os.symlink("/dev/zero", path)


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, to_a_device])
def test_what_is_no_file_is_refused(path, make):
    make(path)
    with pytest.raises(ValueError, match=f"^load_weights: {path} is a folder or a device, expected a safetensors file"):
        xpnet.load_weights(model(), path)


def test_links_in_a_circle_are_no_file(path):
    path.symlink_to(path)
    with pytest.raises(FileNotFoundError, match=f"^load_weights: there is no file {path}$"):
        xpnet.load_weights(model(), path)


def test_a_file_that_is_not_there_is_said(path):
    with pytest.raises(FileNotFoundError, match=f"^load_weights: there is no file {path}$"):
        xpnet.load_weights(model(), path)


def test_a_file_that_shrinks_while_it_is_read_changes_nothing(path, values, assert_same, monkeypatch):
    from xpnet.interchange import _weights

    layer = L.Linear(300, 300)
    before = values(layer)
    xpnet.save_weights(layer, path)
    load = _weights.load

    def cut_and_load(*arguments, **options):
        os.truncate(path, path.stat().st_size - 3)
        return load(*arguments, **options)

    monkeypatch.setattr(_weights, "load", cut_and_load)
    with pytest.raises(ValueError, match=rf"^load_weights: {path}: bias was cut after 1197 of 1200 bytes"):
        xpnet.load_weights(layer, path)
    assert_same(values(layer), before)


# Random damage ------------------------------------------------------------------------------------------------------


def network():
    return L.Sequential(L.Conv1d(2, 4, 3, groups=2), L.BatchNorm(4), L.Flatten(), L.Linear(8, 2, image=(2, 4)))


def flipped(content, random):
    """Mostly in the header, where it matters."""
    content = bytearray(content)
    for _ in range(random.integers(1, 4)):
        content[random.integers(len(content) if random.random() < 0.3 else 600)] ^= 1 << random.integers(8)
    return bytes(content)


def other_digit(content, random):
    digits = [match.start() for match in re.finditer(rb"\d", content[:800])]
    content = bytearray(content)
    content[digits[random.integers(len(digits))]] = random.integers(0x30, 0x3A)
    return bytes(content)


def shortened(content, random):
    return content[: random.integers(len(content))]


def longer(content, random):
    place = random.integers(len(content))
    return content[:place] + random.bytes(random.integers(1, 20)) + content[place:]


def piece_moved(content, random):
    a, b, c = sorted(random.integers(len(content), size=3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def piece_lost(content, random):
    """The header's length is set right, so that what follows it is looked at."""
    length = int.from_bytes(content[:8], "little")
    begin = 8 + random.integers(length - 20)
    lost = random.integers(1, 20)
    return (length - int(lost)).to_bytes(8, "little") + content[8:begin] + content[begin + lost :]


@pytest.mark.parametrize("damage", [flipped, other_digit, shortened, longer, piece_moved, piece_lost])
def test_damage_gives_an_error_or_a_whole_model(path, values, assert_same, damage):
    random = np.random.default_rng(20)
    source, other = network(), network()
    xpnet.save_weights(source, path)
    content, before = path.read_bytes(), values(other)
    refused, loaded = 0, 0
    tracemalloc.start()
    try:
        for _ in range(150):
            path.write_bytes(damage(content, random))
            try:
                xpnet.load_weights(other, path)
            except ValueError as error:
                message = str(error)
                assert message.startswith(f"load_weights: {path}")
                assert_same(values(other), before)
                refused += 1
            else:
                there = safetensors.numpy.load_file(path)
                xpnet.save_weights(other, path)
                here = safetensors.numpy.load_file(path)
                assert_same(here, {name: there.get(name, array) for name, array in here.items()})
                other.load_state(before)
                loaded += 1
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused > 20
    assert refused + loaded == 150
    assert peak < 2**20


# Any bytes ----------------------------------------------------------------------------------------------------------

FLOATS = arrays(np.float32, (2, 3), elements=st.floats(width=32, allow_nan=False, allow_infinity=False))
LENGTHS = st.integers(-1, 40) | st.sampled_from([2**31, 2**63, True, 1.0, None])
ENTRIES = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I8", "BOOL", "", 7]),
        "shape": st.sampled_from([[2, 3], [2], [6], []]) | st.lists(LENGTHS, max_size=3),
        "data_offsets": st.sampled_from([[0, 24], [24, 32], [0, 12]]) | st.lists(LENGTHS, max_size=3),
    }
)
HEADERS = st.dictionaries(
    st.sampled_from(["weight", "bias", "__metadata__"]) | st.text(max_size=5), ENTRIES, max_size=4
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("any") / "weights.safetensors"


@given(weight=FLOATS, bias=FLOATS)
def test_what_was_written_is_read_to_the_last_bit(place, weight, bias):
    source, other = model(), model()
    source.weight.data, source.bias.data = weight.T, bias[:, 0]
    xpnet.save_weights(source, place)
    xpnet.load_weights(other, place)
    assert other.weight.data.tobytes() == source.weight.data.tobytes()
    assert other.bias.data.tobytes() == source.bias.data.tobytes()
    np.testing.assert_array_equal(safetensors.numpy.load_file(place)["weight"], weight)


@given(
    content=st.binary(max_size=60)
    | st.builds(file, HEADERS, st.sampled_from([b"", ONES[:24], ONES[:32]]))
    | st.builds(file, HEADERS.map(lambda header: GOOD | header), st.just(ONES[:32]))
    | st.builds(lambda text: file(text.encode()), st.text('{}[]",:0123456789abdeiflorstw_', max_size=60))
)
def test_any_bytes_are_loaded_or_an_error_and_nothing_changed(place, content):
    layer = model()
    before = layer.weight.data.tobytes() + layer.bias.data.tobytes()
    place.write_bytes(content)
    try:
        report = xpnet.load_weights(layer, place)
    except ValueError as error:
        kind, message = type(error), str(error)
        assert (kind, message.startswith(f"load_weights: {place}")) == (ValueError, True)
        assert layer.weight.data.tobytes() + layer.bias.data.tobytes() == before
    else:
        assert set(report.loaded) == {"weight", "bias"}
        assert (layer.weight.data == 1.0).all()

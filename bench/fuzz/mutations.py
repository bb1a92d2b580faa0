"""How a file is damaged: blindly, or so that the format's outermost checks are passed and deeper ones reached."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

LONGEST = 1 << 14
"""Bytes; a mutated file is cut there, so that files do not grow from one to the next."""
INFLATED = 1 << 19
"""Bytes of the few files in which a piece is repeated until they are large: what takes time by a square shows there."""

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    64,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**53,
    2**63 - 1,
    2**63,
)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    *(-1, -(2**63), 2**64, 10**30, 0.0, 1.5, -0.0, 1e300, float("inf"), float("nan"), True, False, None, "", "F32"),
    *("BF16", "I64", "\x00", "\ud800", "a" * 300, [], {}, [[]], {"": {}}, [0, 0], [1, -1], [[[[[[[[]]]]]]]]),
)
"""What stands in JSON in place of something else."""


def flipped(content: bytes, random: Random) -> bytes:
    """A few bits turned over."""
    changed = bytearray(content)
    for _ in range(random.randint(1, 4)):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(content: bytes, random: Random) -> bytes:
    """Only the beginning, or all but the beginning."""
    place = _place(content, random)
    return content[:place] if random.random() < 0.7 else content[place:]


def inserted(content: bytes, random: Random) -> bytes:
    """Random bytes, or many times the same one, between two others."""
    place, size = _place(content, random), random.choice((1, 1, 2, 3, 8, 50, 1000))
    new = random.randbytes(size) if random.random() < 0.5 else random.randbytes(1) * size
    return content[:place] + new + content[place:]


def removed(content: bytes, random: Random) -> bytes:
    """A piece is lost."""
    begin = _place(content, random)
    return content[:begin] + content[begin + random.choice((1, 1, 2, 4, 8, 30, 300)) :]


def repeated(content: bytes, random: Random) -> bytes:
    """A piece stands there several times."""
    begin = _place(content, random)
    piece = content[begin : begin + random.choice((1, 2, 8, 30, 300))]
    return content[:begin] + piece * random.choice((2, 2, 3, 100)) + content[begin + len(piece) :]


def moved(content: bytes, random: Random) -> bytes:
    """A piece stands elsewhere."""
    a, b, c = sorted(_place(content, random) for _ in range(3))
    return content[:a] + content[b:c] + content[a:b] + content[c:]


def numbered(content: bytes, random: Random) -> bytes:
    """An extreme number over some bytes, in either order."""
    size = random.choice((1, 2, 4, 8))
    number = (random.choice(NUMBERS) + random.choice((-1, 0, 0, 1))) % (1 << 8 * size)
    at = _place(content, random) if random.random() < 0.5 else random.randrange(32)
    return content[:at] + number.to_bytes(size, "little" if random.random() < 0.5 else "big") + content[at + size :]


def with_tokens(tokens: Sequence[bytes]) -> Mutation:
    """A word of the format between two bytes, or over some."""

    def mutated(content: bytes, random: Random) -> bytes:
        token, at = random.choice(tokens), _place(content, random)
        return content[:at] + token + content[at + random.choice((0, len(token))) :]

    return mutated


def inflated(content: bytes, random: Random) -> bytes:
    """A piece, mostly a short one, stands there until the file is large."""
    begin = _place(content, random)
    piece = content[begin : begin + random.choice((1, 1, 2, 7, 60))] or b"."
    return content[:begin] + piece * ((INFLATED - len(content)) // len(piece)) + content[begin:]


ANY: tuple[Mutation, ...] = (flipped, cut, inserted, removed, repeated, moved, numbered)
"""Mutations that know nothing of a format."""


def spliced(content: bytes, other: bytes, random: Random) -> bytes:
    """The beginning of one file and the end of another."""
    return content[: _place(content, random)] + other[_place(other, random) :]


# Formats ------------------------------------------------------------------------------------------------------------


def json_changed(text: bytes, random: Random) -> bytes:
    """JSON in which a value is another, a name lost, doubled or exchanged; what is no JSON is damaged blindly."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return random.choice(ANY)(text, random)
    places = list(_containers(whole))
    if not places or random.random() < 0.1:
        return random.choice(ANY)(text, random)
    container = random.choice(places)
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    key, other = random.choice(keys), random.choice(keys)
    match random.randrange(6):
        case 0:
            del container[key]
        case 1:
            container[key], container[other] = container[other], container[key]
        case 2 if isinstance(container, dict):
            container[random.choice(("", "a" * 300, "\ud800", ".", "module.", *map(str, keys)))] = container[key]
        case 3 if isinstance(container, list):
            container *= random.choice((2, 40))
        case 4 if isinstance(container[key], int):
            container[key] += random.choice((-8, -4, -1, 1, 4, 8, 2**32))
        case _:
            container[key] = random.choice(VALUES)
    text = json.dumps(whole, separators=random.choice(((",", ":"), (", ", ": ")))).encode()
    if random.random() < 0.05:  # a name twice, which no dict can hold
        text = text.replace(b"{", b'{"weight":0,', 1)
    return text


def _containers(value: Any) -> Iterator[Any]:
    """All lists and objects in a value that hold something, none deeper than 20."""
    level = [value]
    for _ in range(20):
        level = [one for one in level if isinstance(one, list | dict) and one]
        yield from level
        level = [one for each in level for one in (each.values() if isinstance(each, dict) else each)]


def safetensors_header(content: bytes, random: Random) -> bytes:
    """The header of a safetensors file is changed and its length set right."""
    end = 8 + int.from_bytes(content[:8], "little")
    text = (inflated if random.random() < 0.0005 else json_changed)(content[8:end], random)
    return len(text).to_bytes(8, "little") + text + content[end:]


def within_gzip(mutations: Sequence[Mutation]) -> Mutation:
    """What is compressed is damaged and compressed again, in one member or several; what is not, is compressed."""

    def mutated(content: bytes, random: Random) -> bytes:
        try:
            plain = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            plain = content
        plain = random.choice(mutations)(plain, random)[:LONGEST]
        ends = sorted({_place(plain, random) for _ in range(random.choice((0, 0, 1, 5)))} | {0, len(plain)})
        parts = [plain[begin:end] for begin, end in pairwise(ends)] or [plain]
        return b"".join(gzip.compress(part, random.randrange(10), mtime=0) for part in parts)

    return mutated


def _place(content: bytes, random: Random) -> int:
    """Between two bytes; half of the time near the beginning."""
    return random.randint(0, len(content) if random.random() < 0.5 else min(len(content), 40))

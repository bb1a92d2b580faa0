"""One seed gives one sequence of weights and keys, on every backend."""

import numpy as np
import pytest

import xpnet
from xpnet.backend import checked_seed, current_seed, draw, next_key, random_key, scramble
from xpnet.initializers import normal


def test_a_seed_starts_weights_and_keys_anew():
    def sequence(n):
        xpnet.seed(n)
        return draw(normal(1.0), (3,)).tolist(), draw(normal(1.0), (3,)).tolist(), next_key(), next_key()

    assert sequence(5) == sequence(5)
    assert sequence(5) != sequence(6)
    first, second, key, other = sequence(5)
    assert first != second
    assert key != other
    assert current_seed() == 5


def test_a_process_starts_as_if_seeded_with_0():
    from subprocess import check_output
    from sys import executable

    code = "import xpnet; print(xpnet.layers.Linear(2, 2).weight.data.tolist())"
    assert check_output([executable, "-c", code], text=True).strip() == str(
        xpnet.layers.Linear(2, 2).weight.data.tolist()
    )


@pytest.mark.parametrize("n", [0, 2**40, np.int64(3), np.uint8(3)])
def test_seeds_are_integers_from_0(n):
    assert checked_seed(n) == int(n)
    xpnet.seed(n)
    assert type(current_seed()) is int


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [
        (-1, ValueError, "seed: expected 0 or more, got -1"),
        (1.0, TypeError, r"seed: expected an integer, got 1\.0"),
        (True, TypeError, "seed: expected an integer, got True"),
        (None, TypeError, "seed: expected an integer, got None"),
        ("7", TypeError, "seed: expected an integer, got '7'"),
    ],
)
def test_other_seeds_are_refused_and_change_nothing(n, error, message):
    xpnet.seed(9)
    with pytest.raises(error, match=message):
        xpnet.seed(n)
    assert current_seed() == 9


def test_keys_are_two_odd_numbers_of_32_bits_from_seed_and_path():
    keys = {random_key(seed, path) for seed in range(20) for path in ("", "0", "1", "features.3")}
    assert len(keys) == 80
    for number in (number for key in keys for number in key):
        assert number % 2 == 1
        assert -(2**31) <= number < 2**31


def test_scrambling_is_lowbias32_on_every_backend(backend):
    def lowbias32(h):
        h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return h ^ (h >> 16)

    numbers = [0, 1, 2, 12345, 2**31 - 1, -1, -(2**31)]
    expected = np.asarray([lowbias32(n & 0xFFFFFFFF) for n in numbers], np.uint32).astype(np.int32)
    found = scramble(backend.xp.asarray(numbers, dtype=backend.xp.int32))
    np.testing.assert_array_equal(backend.to_host(found), expected, strict=True)

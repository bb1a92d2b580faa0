"""Dropout's masks: the same bits everywhere, and nothing to be seen in them by statistics. All seeds are fixed."""

import math

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import random_key

N = 1000


def mask(shape, rate=0.5, path="layer", step=0, seed=0):
    """What is kept, as booleans."""
    y, _ = F.dropout(np.ones(shape, np.float32), rate, random_key(seed, path), np.asarray(step, np.int32))
    return y > 0.0


def expected_mask(shape, rate, key, step):
    """The formula of the design once more, in unsigned arithmetic."""

    def mixed(h):
        h = (h ^ (h >> 16)) * np.uint32(0x7FEB352D)
        h = (h ^ (h >> 15)) * np.uint32(0x846CA68B)
        return h ^ (h >> 16)

    low, high = (np.asarray([k]).astype(np.uint32) for k in key)
    step = mixed(np.asarray([step]).astype(np.uint32))
    columns = shape[-1]
    row, column = (mixed(np.arange(1, n + 1, dtype=np.uint32)) for n in (math.prod(shape[:-1]), columns))
    r = ((row ^ step) * low)[:, None]
    r ^= r >> 15
    c = (column + step) * high
    c ^= c >> 15
    bits = (r ^ c) * (r * np.uint32(2654435769) | 1) & 0x7FFFFFFF
    return (bits < (1.0 - rate) * 2**31).reshape(shape)


SHAPES = [(1,), (7,), (5, 1), (1, 6), (4, 3), (2, 3, 4), (3, 2, 1, 5)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("step", [0, 1, 12345, 2**31 - 1])
def test_masks_have_the_same_bits_on_every_backend(backend, shape, step):
    for seed, path, rate in [(0, "1", 0.5), (2**40, "features.3", 0.1), (7, "", 0.9)]:
        key = random_key(seed, path)
        place = backend.xp.zeros((), dtype=backend.xp.int32)
        place[...] = step
        y, _ = F.dropout(backend.asarray(np.ones(shape)), rate, key, place)
        np.testing.assert_array_equal(backend.to_host(y) > 0.0, expected_mask(shape, rate, key, step))


def test_masks_come_out_again_and_a_part_is_the_masks_part():
    whole = mask((40, 30))
    np.testing.assert_array_equal(mask((40, 30)), whole)
    np.testing.assert_array_equal(mask((20, 10)), whole[:20, :10])


def test_the_gradient_passes_where_the_value_did(backend):
    x = backend.asarray(np.full((50, 40), 3.0))
    y, pullback = F.dropout(x, 0.25, random_key(0, ""), backend.xp.zeros((), dtype=backend.xp.int32))
    np.testing.assert_allclose(backend.to_host(pullback(x)), backend.to_host(y))
    assert set(np.unique(backend.to_host(y))) == {np.float32(0.0), np.float32(4.0)}


def test_rate_0_keeps_all_and_a_rate_near_1_next_to_nothing():
    assert mask((N, N), rate=0.0).all()
    assert mask((N, N), rate=1.0 - 1e-4).sum() == pytest.approx(100, abs=40)
    assert not mask((N, N), rate=1.0 - 1e-13).any()


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5, 0.9])
def test_elements_are_kept_at_the_rate_in_all_in_each_row_and_in_each_column(rate):
    kept, p = mask((N, N), rate), 1.0 - rate
    deviation = math.sqrt(p * rate)
    assert abs(kept.mean() - p) < 4.0 * deviation / N
    for axis in (0, 1):
        z = (kept.mean(axis=axis) - p) * math.sqrt(N) / deviation
        assert np.abs(z).max() < 5.0
        chi_square = np.square(z).sum()  # mean N, variance about 2 N where rows are independent
        assert abs(chi_square - N) < 4.0 * math.sqrt(2 * N)


def test_expectation_is_kept():
    x = np.random.default_rng(0).standard_normal((N, N)).astype(np.float32) + 2.0
    y, _ = F.dropout(x, 0.3, random_key(0, ""), np.zeros((), np.int32))
    assert y.mean() == pytest.approx(x.mean(), abs=0.01)


def correlation(a, b):
    """In standard deviations: of the order of 1 where the two are independent."""
    a, b = (m - m.mean() for m in (a.astype(float), b.astype(float)))
    return (a * b).sum() / math.sqrt(np.square(a).sum() * np.square(b).sum()) * math.sqrt(a.size)


RELATED = {
    "the next step": lambda: (mask((N, N)), mask((N, N), step=1)),
    "a far step": lambda: (mask((N, N)), mask((N, N), step=2**20)),
    "another layer": lambda: (mask((N, N), path="1"), mask((N, N), path="3")),
    "another seed": lambda: (mask((N, N)), mask((N, N), seed=1)),
    "the transpose": lambda: (mask((N, N)), mask((N, N)).T),
    "the neighbour in the row": lambda: (mask((N, N))[:, 1:], mask((N, N))[:, :-1]),
    "the neighbour in the column": lambda: (mask((N, N))[1:], mask((N, N))[:-1]),
    "the neighbour across": lambda: (mask((N, N))[1:, 1:], mask((N, N))[:-1, :-1]),
    "eight columns on": lambda: (mask((N, N))[:, 8:], mask((N, N))[:, :-8]),
    "the product of two neighbours": lambda: (mask((N, N))[:, 2:], mask((N, N))[:, 1:-1] ^ mask((N, N))[:, :-2]),
    "the product of the row above": lambda: (mask((N, N))[1:, 1:] ^ mask((N, N))[1:, :-1], mask((N, N))[:-1, 1:]),
}


@pytest.mark.parametrize("pair", RELATED.values(), ids=RELATED)
def test_a_mask_tells_nothing_about(pair):
    assert abs(correlation(*pair())) < 4.0


def test_rectangles_have_no_parity():
    """Where bits were a row's number combined with a column's, the four corners of a rectangle would be tied."""
    kept = mask((N, N))
    corners = kept[1:, 1:] ^ kept[:-1, 1:] ^ kept[1:, :-1] ^ kept[:-1, :-1]
    assert abs(corners.mean() - 0.5) < 4.0 * 0.5 / N


def test_a_hundred_steps_of_one_element_look_like_coin_tosses():
    tosses = np.stack([mask((20, 20), step=step) for step in range(100)]).sum(axis=0)
    z = (tosses - 50.0) / 5.0
    assert np.abs(z).max() < 5.0
    assert abs(np.square(z).sum() - 400) < 4.0 * math.sqrt(800)

"""Dropout by channel: whole channels of an example, with masks that are the same everywhere."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import xpnet
from xpnet import functional as F
from xpnet.backend import compiled_loops, random_key

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def dropped(x, rate=0.5, path="layer", step=0, seed=0):
    """The value and the pullback."""
    backend = xpnet.backend.backend_of(x)
    place = backend.xp.zeros((), dtype=backend.xp.int32, device=backend.device_of(x))
    place[...] = step
    return F.dropout(x, rate, random_key(seed, path), place, by_channel=True)


def mask(shape, **settings):
    """What is kept, as booleans, one for each example and channel."""
    n, *size, channels = shape
    y, _ = dropped(np.ones((n, *[1] * len(size), channels), np.float32), **settings)
    return y.reshape(n, channels) > 0.0


@PROPERTY
@given(shape=array_shapes(min_dims=2, max_dims=5, max_side=6), rate=st.floats(0.0, 0.99))
def test_a_channel_of_an_example_is_kept_or_dropped_as_a_whole(backend64, shape, rate):
    host = 1.0 + np.random.default_rng(0).random(shape)
    y, pullback = dropped(backend64.asarray(host), rate)
    factor = backend64.to_host(y) / host
    kept = np.expand_dims(mask(shape, rate=rate), tuple(range(1, len(shape) - 1)))
    np.testing.assert_allclose(factor, np.broadcast_to(kept / (1.0 - rate), shape), rtol=1e-12)
    np.testing.assert_allclose(backend64.to_host(pullback(backend64.asarray(host))), factor * host, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_the_rate_is_kept_to_and_the_expected_value_stays(rate):
    kept = mask((400, 8, 8, 500), rate=rate)
    deviation = np.sqrt(rate * (1.0 - rate))
    assert abs(kept.mean() - (1.0 - rate)) < 4.0 * deviation / np.sqrt(kept.size)
    for axis in (0, 1):  # no example and no channel is treated better than others
        shares = kept.mean(axis=axis)
        assert np.abs(shares - (1.0 - rate)).max() < 5.0 * deviation / np.sqrt(kept.shape[axis])
    y, _ = dropped(np.full((400, 2, 3, 500), 3.0, np.float32), rate)
    assert y.mean() == pytest.approx(3.0, rel=0.02)


@pytest.mark.parametrize(
    "other",
    [{"step": 1}, {"step": 2**31 - 1}, {"path": "another"}, {"seed": 1}],
    ids=["step", "last step", "path", "seed"],
)
def test_masks_differ_by_step_layer_and_seed(other):
    shape = (100, 1, 1, 100)
    assert (mask(shape) != mask(shape, **other)).mean() == pytest.approx(0.5, abs=0.03)


def test_masks_differ_between_examples_and_between_channels():
    kept = mask((200, 1, 1, 300))
    assert (kept[1:] != kept[:-1]).mean() == pytest.approx(0.5, abs=0.02)
    assert (kept[:, 1:] != kept[:, :-1]).mean() == pytest.approx(0.5, abs=0.02)


def test_a_hundred_steps_of_one_channel_look_like_coin_tosses():
    tosses = np.stack([mask((20, 1, 1, 20), step=step) for step in range(100)]).sum(axis=0)
    z = (tosses - 50.0) / 5.0
    assert np.abs(z).max() < 5.0
    assert abs(np.square(z).sum() - 400) < 4.0 * np.sqrt(800)


def test_the_size_of_images_does_not_matter_to_their_masks():
    kept = mask((7, 1, 1, 9))
    for size in ((1,), (5,), (3, 4), (30, 40), (2, 3, 4)):
        y, _ = dropped(np.ones((7, *size, 9), np.float32))
        np.testing.assert_array_equal((y > 0.0).any(axis=tuple(range(1, len(size) + 1))), kept)


@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("shape", [(5, 3), (4, 3, 2, 5), (20, 12, 11, 17), (2, 100, 100, 1)], ids=str)
def test_the_same_bits_on_every_backend_with_and_without_compiled_loops(backend, shape, loops):
    compiled_loops(loops)
    host = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    y, pullback = dropped(backend.asarray(host), 0.3)
    found = [np.array(backend.to_host(a)) for a in (y, pullback(backend.asarray(host)))]
    compiled_loops(False)
    expected, pullback = dropped(host, 0.3)
    for a, b in zip(found, (expected, pullback(host)), strict=True):
        np.testing.assert_array_equal(a, b, strict=True)


def test_rate_0_keeps_all():
    x = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(dropped(x, 0.0)[0], x)


def test_no_argument_is_changed_and_an_empty_batch_stays_empty(backend):
    host = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)
    x, dy = backend.asarray(host), backend.asarray(host)
    _, pullback = dropped(x)
    pullback(dy)
    for a in (x, dy):
        np.testing.assert_array_equal(backend.to_host(a), host)
    y, pullback = dropped(backend.asarray(host[:0]))
    assert y.shape == pullback(y).shape == (0, 4, 5)

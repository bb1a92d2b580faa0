"""Crops and flips: what they do to an image, and that it depends on seed, pass and example alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xpnet
from xpnet.backend import random_key
from xpnet.data import RandomCrop, RandomFlip, batches, random_bits

KEY = random_key(0, "pass 0")
BOTH = [RandomCrop(2), RandomFlip()]


def images(n, height=8, width=6, channels=3):
    """Images without two equal pixels, and none is zero."""
    shape = (n, height, width, channels)
    return np.arange(1, np.prod(shape) + 1, dtype=np.float32).reshape(shape)


def offset(x, y, padding):
    """By how much one image was moved, or None where it is no window of the padded one."""
    padded = np.pad(x, [(padding, padding), (padding, padding), (0, 0)])
    height, width, _ = x.shape
    places = [(down, right) for down in range(2 * padding + 1) for right in range(2 * padding + 1)]
    return next((p for p in places if (padded[p[0] : p[0] + height, p[1] : p[1] + width] == y).all()), None)


# Random bits --------------------------------------------------------------------------------------------------------


def test_bits_are_the_same_on_every_backend_in_every_integer_type(backend):
    examples = np.asarray([0, 1, 5, 49_999, 2**31 - 1])
    expected = random_bits(examples, KEY, 3)
    for dtype in (backend.xp.int32, backend.xp.int64):
        found = random_bits(backend.xp.asarray(examples, dtype=dtype), KEY, 3)
        np.testing.assert_array_equal(backend.to_host(found), expected, strict=True)


def test_bits_of_a_key_never_change():
    assert random_bits(np.arange(4), (12345, -6789)).tolist() == GOLDEN


GOLDEN = [1498919338, 1565733744, 1067211402, 1420362351]


def test_bits_are_evenly_spread_and_unrelated_between_neighbours_draws_and_keys():
    examples = np.arange(100_000)
    streams = [
        random_bits(examples, KEY),
        random_bits(examples + 1, KEY),
        random_bits(examples, KEY, 1),
        random_bits(examples, random_key(0, "pass 1")),
        random_bits(examples, random_key(1, "pass 0")),
    ]
    for bits in streams:
        assert 0 <= bits.min() <= bits.max() < 2**31
        for parts in (2, 9, 100):
            counts, expected = np.bincount(bits % parts, minlength=parts), len(bits) / parts
            assert ((counts - expected) ** 2).sum() / expected < parts + 5 * np.sqrt(2 * parts)  # chi-squared
    correlations = np.corrcoef(streams) - np.eye(len(streams))
    assert np.abs(correlations).max() < 5 / np.sqrt(len(examples))


# Crop ---------------------------------------------------------------------------------------------------------------


@given(
    n=st.integers(0, 5),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    channels=st.integers(1, 3),
    padding=st.integers(0, 7),
    seed=st.integers(0, 100),
)
def test_a_crop_is_a_window_of_the_padded_image(n, height, width, channels, padding, seed):
    x = images(n, height, width, channels)
    y = RandomCrop(padding)(x, np.arange(n), random_key(seed, ""))
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    assert all(offset(before, after, padding) is not None for before, after in zip(x, y, strict=True))


def test_every_offset_occurs_equally_often():
    x = np.tile(images(1), (5_000, 1, 1, 1))
    y = RandomCrop(1)(x, np.arange(len(x)), KEY)
    places = [offset(before, after, 1) for before, after in zip(x, y, strict=True)]
    counts = [places.count((down, right)) for down in range(3) for right in range(3)]
    assert sum(counts) == len(x)
    assert min(counts) > 5_000 / 9 - 120  # five deviations
    assert max(counts) < 5_000 / 9 + 120


def test_crop_without_padding_changes_nothing():
    np.testing.assert_array_equal(RandomCrop(0)(images(4), np.arange(4), KEY), images(4))


# Flip ---------------------------------------------------------------------------------------------------------------


@given(n=st.integers(0, 8), width=st.integers(1, 6), seed=st.integers(0, 100), probability=st.floats(0, 1))
def test_a_flipped_image_is_mirrored_or_left_alone(n, width, seed, probability):
    x = images(n, 3, width)
    y = RandomFlip(probability)(x, np.arange(n), random_key(seed, ""))
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    for before, after in zip(x, y, strict=True):
        assert (after == before).all() or (after == before[:, ::-1]).all()


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_probability_of_flips(probability):
    x = np.tile(images(1, 1, 2), (10_000, 1, 1, 1))
    y = RandomFlip(probability)(x, np.arange(len(x)), KEY)
    part = (y != x).any(axis=(1, 2, 3)).mean()
    assert part == pytest.approx(probability, abs=5 * np.sqrt(probability * (1 - probability) / len(x)))


# In batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", BOTH, ids=repr)
def test_same_images_on_every_backend_and_in_both_types(backend, change):
    examples = np.asarray([3, 7, 11, 2**20])
    expected = change(images(4), examples, KEY)
    found = change(backend.asarray(images(4)), backend.asarray(examples), KEY)
    assert found.dtype == backend.xp.float32
    np.testing.assert_array_equal(backend.to_host(found), expected)
    found = change(backend.xp.astype(backend.asarray(images(4)), backend.xp.float64), backend.asarray(examples), KEY)
    assert found.dtype == backend.xp.float64
    np.testing.assert_array_equal(backend.to_host(found), expected)


@pytest.mark.parametrize("change", BOTH, ids=repr)
def test_the_given_images_are_not_changed(change):
    x = images(4)
    x.flags.writeable = False
    assert not np.shares_memory(change(x, np.arange(4), KEY), x)


class OnlySlices:
    """Stands for a dataset in a file."""

    def __init__(self, values):
        self.values, self.shape = values, values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        return self.values[rows]


def by_example(pairs, backend=None):
    """The inputs of one pass by the example's number, which is its label."""
    to_host = backend.to_host if backend else np.asarray
    found = {int(label): image for x, t in pairs for image, label in zip(to_host(x), to_host(t), strict=True)}
    return np.stack([found[i] for i in range(len(found))])


def on_backend(values):
    return xpnet.get_backend().asarray(values)


@pytest.mark.parametrize("source", [np.asarray, OnlySlices, on_backend])
@pytest.mark.parametrize("shuffle", [True, False])
def test_what_becomes_of_an_example_depends_on_seed_and_pass_and_nothing_else(source, shuffle, backend):
    x, t = images(50), np.arange(50)

    def passes(size, seed=0, **options):
        pairs = batches(source(x), t, size, seed, augment=BOTH, **options)
        return [by_example(pairs, backend) for _ in range(2)]

    first, second = passes(50)
    assert (first != second).any()
    for size in (1, 7, 50):
        np.testing.assert_array_equal(passes(size, shuffle=shuffle), [first, second])
    assert (passes(7, seed=1, shuffle=shuffle)[0] != first).any()


def test_augmentations_come_one_after_the_other_each_with_its_own_key():
    x, t = images(6), np.arange(6)
    crop, flip = BOTH
    keys = [random_key(3, f"epoch 0, augmentation {i}") for i in range(2)]
    expected = flip(crop(x, t, keys[0]), t, keys[1])
    np.testing.assert_array_equal(by_example(batches(x, t, 4, seed=3, augment=BOTH)), expected)
    assert keys[0] != keys[1]


def test_augmented_batches_have_the_order_and_the_targets_of_plain_ones():
    x, t = images(20), np.arange(20)
    plain, augmented = ([labels.tolist() for _, labels in batches(x, t, 4, augment=a)] for a in ([], BOTH))
    assert plain == augmented


def test_an_augmentation_may_be_any_function_of_inputs_examples_and_key():
    def add_number(x, examples, key):
        assert all(number % 2 == 1 for number in key)
        return x + examples[:, None]

    pairs = batches(np.zeros((6, 2), np.float32), np.arange(6), 4, augment=[add_number])
    np.testing.assert_array_equal(by_example(pairs), [[i, i] for i in range(6)])


def test_augmented_images_train_a_model(backend):
    (x, t), _ = xpnet.data.digits(flat=False)
    model = xpnet.layers.Sequential(xpnet.layers.Flatten(), xpnet.models.mlp([64, 10]))
    pairs = batches(x[:256], t[:256], 64, augment=[RandomCrop(1)])
    optimizer = xpnet.optimizers.Adam(model, 1e-2)
    history = xpnet.fit(
        model, pairs, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer, epochs=5, progress=False
    )
    assert history["loss"][-1] < history["loss"][0]


def test_batches_say_how_they_are_augmented():
    pairs = batches(images(4), np.arange(4), 2, augment=BOTH)
    assert repr(pairs) == (
        "Batches(4 examples, 2 batches of 2, shuffle=True, "
        "augment=[RandomCrop(padding=2), RandomFlip(probability=0.5)])"
    )


# Bad input ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [-1, 1.5, True, "4", None])
def test_paddings_that_are_none(padding):
    with pytest.raises(ValueError, match=f"^RandomCrop: padding must be an integer from 0, got {padding!r}$"):
        RandomCrop(padding)


@pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), float("inf")])
def test_probabilities_that_are_none(probability):
    with pytest.raises(ValueError, match=f"^RandomFlip: expected 0 <= probability <= 1, got {probability!r}$"):
        RandomFlip(probability)


@pytest.mark.parametrize("augment", [RandomFlip(), 4, "flip", [4], [RandomFlip(), None], {"flip": 1}])
def test_augmentations_that_are_none(augment):
    with pytest.raises(TypeError, match=r"^batches: augment must be a list of augmentations, as in \[RandomFlip\(\)\]"):
        batches(images(4), np.arange(4), 2, augment=augment)


def test_inputs_that_are_no_images():
    pairs = batches(np.zeros((4, 64)), np.arange(4), 2, augment=[RandomFlip()])
    message = r"^RandomFlip\(probability=0\.5\): expected images of shape \(n, h, w, channels\), got shape \(2, 64\)$"
    with pytest.raises(ValueError, match=message):
        next(iter(pairs))
    with pytest.raises(ValueError, match=r"^RandomCrop\(padding=4\): expected 2 examples for images of shape "):
        RandomCrop()(images(2), np.arange(3), KEY)

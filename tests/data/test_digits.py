import hashlib
from importlib.resources import files

import numpy as np
import pytest

from xpnet.data import digits

# SHA-256 of the bytes, float32 and int64, little-endian
CHECKSUMS = (
    "6d786333644f57a23003df6f6b62421ec839881ae9abe190230a0c5fd269d573",
    "b62c5684e8251c8e20627b6f858d1d50425f76bc8df93d7d32a0a37610a341dc",
    "01bd491a29bd9f7233205b7f121fe45c35a761b1bd2a2d2ac48079d8c277196c",
    "5cdf6153e06c54789040e110205f7e1770aadd654b9a62373e10c0ca293008d2",
)


def test_values_are_fixed():
    (x, t), (x_test, t_test) = digits()
    for array, checksum in zip((x, t, x_test, t_test), CHECKSUMS, strict=True):
        assert hashlib.sha256(array.astype(array.dtype.newbyteorder("<")).tobytes()).hexdigest() == checksum


def test_shapes_types_and_range():
    (x, t), (x_test, t_test) = digits()
    assert x.shape == (1437, 64)
    assert x_test.shape == (360, 64)
    assert t.shape == (1437,)
    assert t_test.shape == (360,)
    assert x.dtype == x_test.dtype == np.float32
    assert t.dtype == t_test.dtype == np.int64
    assert x.min() == x_test.min() == 0.0
    assert x.max() == x_test.max() == 1.0
    assert np.bincount(np.concatenate([t, t_test])).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_images_have_one_channel_last():
    for (flat, t), (images, t_images) in zip(digits(), digits(flat=False), strict=True):
        assert images.shape == (len(flat), 8, 8, 1)
        np.testing.assert_array_equal(images.reshape(-1, 64), flat)
        np.testing.assert_array_equal(t_images, t)


def test_split_is_that_of_scikit_learn_s_digits():
    original = pytest.importorskip("sklearn.datasets").load_digits()
    order = np.random.default_rng(0).permutation(1797)
    (x, t), (x_test, t_test) = digits(flat=False)
    np.testing.assert_array_equal(16 * x[..., 0], original.images[order[:1437]])
    np.testing.assert_array_equal(16 * x_test[..., 0], original.images[order[1437:]])
    np.testing.assert_array_equal(t, original.target[order[:1437]])
    np.testing.assert_array_equal(t_test, original.target[order[1437:]])


def test_nearest_neighbour_recognizes_them():
    (x, t), (x_test, t_test) = digits()
    distance = ((x_test[:, None] - x[None]) ** 2).sum(axis=2)  # (360, 1437)
    assert (t[distance.argmin(axis=1)] == t_test).mean() > 0.97


def test_attribution_is_shipped():
    text = (files("xpnet.data") / "files" / "README.md").read_text("utf-8")
    for needed in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"):
        assert needed in text

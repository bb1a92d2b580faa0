"""Numba's loops give what NumPy's own operations give: values, gradients, NaN and infinity."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import compiled_loops, random_key

STEP, KEY = np.zeros((), np.int32), random_key(1, "here")


def run(function, arrays, dy, enabled):
    compiled_loops(enabled)
    with np.errstate(all="ignore"):
        y, pullback = function(*arrays)
        gradients = pullback(dy)
    return y, *(gradients if isinstance(gradients, tuple) else (gradients,))


def with_specials(x):
    """NaN and infinities in three rows and columns; the others keep their numbers."""
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.inf, -np.inf
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_agree_with_plain_operations_also_on_nan_and_infinity(case, dtype):
    pytest.importorskip("numba")
    x, *others = (a.astype(dtype) for a in case.arrays((140, 130)))
    dy = np.random.default_rng(9).standard_normal(case.function(x, *others)[0].shape).astype(dtype)
    arrays = with_specials(x), *others
    plain, fast = (run(case.function, arrays, dy, enabled) for enabled in (False, True))
    for expected, found in zip(plain, fast, strict=True):
        eps = np.finfo(dtype).eps
        largest = np.max(np.abs(expected), where=np.isfinite(expected), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=20 * eps, atol=100 * eps * largest, strict=True)


@pytest.mark.parametrize("shape", [(140, 130), (1, 20_000), (20_000, 1), (20_000,), (20, 40, 30)], ids=str)
def test_dropout_masks_have_the_same_bits(shape):
    pytest.importorskip("numba")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    plain, fast = (run(lambda x: F.dropout(x, 0.3, KEY, STEP), (x,), x, enabled) for enabled in (False, True))
    for expected, found in zip(plain, fast, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
def test_types_that_numba_does_not_know_are_computed_plainly(dtype):
    x = np.linspace(-1.0, 1.0, 20_000).astype(dtype)
    y, pullback = F.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0.0))
    np.testing.assert_array_equal(pullback(y), y)


def test_memory_maps_and_read_only_arrays_go_through_loops(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(200, 100))
    x[...] = np.linspace(-1.0, 1.0, 20_000).reshape(x.shape)
    x.flags.writeable = False
    np.testing.assert_array_equal(F.relu(x)[0], np.maximum(x, 0.0))


@pytest.mark.parametrize("order", ["transposed", "every other row", "backwards"])
def test_irregular_layouts_give_the_same(order):
    x = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
    x = {"transposed": x.T, "every other row": x[::2], "backwards": x[::-1]}[order]
    expected, found = F.tanh(np.ascontiguousarray(x)), F.tanh(x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1](x), expected[1](np.ascontiguousarray(x)), rtol=1e-5, atol=1e-6)

"""Padding: NumPy's numbers, and a gradient that is cut out again."""

import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnet
from xpnet import functional as F
from xpnet.backend import compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def normal(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def pairs(padding, axes):
    """(before, after) for all axes, as NumPy wants them."""
    padding = (padding,) * axes if isinstance(padding, int) else padding
    return [(0, 0), *((p, p) if isinstance(p, int) else p for p in padding), (0, 0)]


def inside(around, shape):
    """Where the padded array holds the plain one."""
    return tuple(slice(before, before + n) for (before, _), n in zip(around, shape, strict=True))


@st.composite
def paddings(draw):
    axes = draw(st.integers(1, 3))
    some = st.integers(0, 3)
    kinds = some, st.tuples(*[some] * axes), st.tuples(*[st.tuples(some, some)] * axes)
    return draw(st.tuples(*[st.integers(1, 5)] * axes)), draw(st.one_of(*kinds))


@PROPERTY
@given(case=paddings(), n=st.integers(0, 3), value=st.sampled_from([0.0, -2.5, 7, float("inf")]))
def test_padding_is_numpys_and_the_gradient_its_inside(backend, case, n, value):
    size, padding = case
    host, around = normal((n, *size, 2)).astype(np.float32), pairs(padding, len(size))
    y, pullback = F.pad(backend.asarray(host), padding, value=value)
    np.testing.assert_array_equal(backend.to_host(y), np.pad(host, around, constant_values=value), strict=True)
    dy = normal(tuple(y.shape), 2).astype(np.float32)
    dx = pullback(backend.asarray(dy))
    np.testing.assert_array_equal(backend.to_host(dx), dy[inside(around, host.shape)], strict=True)


def test_gradients_agree_with_central_differences(backend64, assert_gradients):
    assert_gradients(lambda x: F.pad(x, ((1, 2), (0, 3)), value=4.0), (backend64.asarray(normal((2, 3, 4, 2))),))


@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, ">f4"])
def test_large_and_irregular_arrays_of_all_types(loops, dtype):
    compiled_loops(loops)
    x = normal((30, 24, 22, 9)).astype(dtype)[:, ::-2, ::2, 1:3]
    x.flags.writeable = False
    y, pullback = F.pad(x, (2, 1), value=np.float64(3.0))
    np.testing.assert_array_equal(y, np.pad(x, pairs((2, 1), 2), constant_values=3.0), strict=True)
    np.testing.assert_array_equal(pullback(y), x, strict=True)


def test_the_result_shares_no_memory_with_what_was_padded():
    x = np.ones((1, 2, 2, 1), np.float32)
    y, pullback = F.pad(x, 1)
    y[...] = 5.0
    dy = np.ones_like(y)
    pullback(dy)[...] = 6.0
    assert (x == 1.0).all()
    assert (dy == 1.0).all()


X = np.ones((2, 4, 4, 3), np.float32)
REFUSED = {
    "negative": (-1, "-1"),
    "float": (1.0, "1.0"),
    "bool": (True, "True"),
    "text": ("same", "'same'"),
    "None": (None, "None"),
    "one axis": ((1,), "(1,)"),
    "three axes": ((1, 2, 3), "(1, 2, 3)"),
    "a negative one": ((1, -1), "(1, -1)"),
    "a float": ((1, 1.5), "(1, 1.5)"),
    "one pair": (((1, 2),), "((1, 2),)"),
    "a negative one in a pair": (((1, 2), (3, -4)), "(3, -4)"),
    "threes": (((1, 2, 3), (1, 2, 3)), "(1, 2, 3)"),
}


@pytest.mark.parametrize(("padding", "got"), REFUSED.values(), ids=REFUSED)
def test_paddings_that_are_none_are_refused(padding, got):
    with pytest.raises(ValueError, match=rf"^pad: .* 2 .*got {re.escape(got)}$"):
        F.pad(X, padding)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)], ids=str)
def test_an_array_without_spatial_axes_is_refused(shape):
    with pytest.raises(ValueError, match=r"^pad: expected \(n, \*size, channels\), got shape"):
        F.pad(np.ones(shape, np.float32), 1)


def test_a_gradient_of_another_shape_or_type_is_refused(backend):
    y, pullback = F.pad(backend.asarray(X), 1)
    with pytest.raises(ValueError, match=r"^pad: the pullback expects dy of shape \(2, 6, 6, 3\), got \(2, 4, 4, 3\)"):
        pullback(backend.asarray(X))
    with pytest.raises(TypeError, match=r"^pad: the pullback expects dy of .*float32, got .*float64"):
        pullback(backend.xp.astype(y, backend.xp.float64))


def test_integers_are_refused():
    with pytest.raises(TypeError, match=r"^pad: x must be floating-point, got int64"):
        F.pad(X.astype(int), 1)
    with xpnet.use_backend("array_api_strict") as strict, pytest.raises(TypeError, match=r"^pad: x must be floating"):
        F.pad(strict.xp.ones((2, 4, 4, 3), dtype=strict.xp.int64), 1)

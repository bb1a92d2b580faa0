"""A number for each channel of each example: NumPy's product, and gradients of both."""

import numpy as np
import pytest

import xpnet
from xpnet import functional as F

SHAPES = pytest.mark.parametrize("shape", [(3, 2), (2, 5, 3), (2, 4, 3, 5), (2, 3, 2, 2, 4), (0, 4, 4, 3)], ids=str)


def arrays(shape):
    """x and scale."""
    random = np.random.default_rng(0)
    return random.standard_normal(shape), random.standard_normal((shape[0], shape[-1]))


@SHAPES
def test_every_pixel_of_a_channel_is_scaled_alike(backend64, shape):
    x, scale = arrays(shape)
    spread = scale.reshape(shape[0], *[1] * (len(shape) - 2), shape[-1])
    y, pullback = F.channel_scale(backend64.asarray(x), backend64.asarray(scale))
    dx, dscale = map(backend64.to_host, pullback(backend64.asarray(x)))
    np.testing.assert_allclose(backend64.to_host(y), x * spread, rtol=1e-12)
    np.testing.assert_allclose(dx, x * spread, rtol=1e-12)
    np.testing.assert_allclose(dscale, np.square(x).sum(axis=tuple(range(1, len(shape) - 1))), rtol=1e-12)


def test_gradients_agree_with_central_differences(backend64, assert_gradients):
    assert_gradients(F.channel_scale, tuple(map(backend64.asarray, arrays((2, 3, 4, 3)))))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_and_library_are_kept_and_no_argument_is_changed(backend, dtype):
    given = [backend.xp.astype(backend.asarray(a), getattr(backend.xp, dtype)) for a in arrays((2, 4, 3, 5))]
    before = [np.array(backend.to_host(a)) for a in given]
    y, pullback = F.channel_scale(*given)
    for result in (y, *pullback(given[0])):
        assert result.dtype == getattr(backend.xp, dtype)
        assert xpnet.backend.backend_of(result).name == backend.name
    for a, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), copy)


X, SCALE = (a.astype(np.float32) for a in arrays((2, 4, 3, 5)))


@pytest.mark.parametrize(
    ("x", "scale", "got"),
    [
        (X, SCALE.T, r"\(2, 4, 3, 5\) and \(5, 2\)"),
        (X, SCALE[:, :1], r"\(2, 4, 3, 5\) and \(2, 1\)"),
        (X, SCALE[0], r"\(2, 4, 3, 5\) and \(5,\)"),
        (X[0, 0, 0], SCALE, r"\(5,\) and \(2, 5\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(x, scale, got):
    expected = r"^channel_scale: expected x \(n, \*size, channels\) and scale \(n, channels\), got "
    with pytest.raises(ValueError, match=expected + got):
        F.channel_scale(x, scale)


def test_gradients_and_types_of_another_kind_are_refused():
    _, pullback = F.channel_scale(X, SCALE)
    with pytest.raises(
        ValueError, match=r"channel_scale: the pullback expects dy of shape \(2, 4, 3, 5\), got \(2, 5\)"
    ):
        pullback(SCALE)
    with pytest.raises(TypeError, match="channel_scale: x is float32 but scale is float64"):
        F.channel_scale(X, SCALE.astype(np.float64))

"""Functions of float16: which mixtures of types there are, and that inner steps do not overflow."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import available_backends, open_backend, use_backend
from xpnet.functional import use_convolution

HALVED = [name for name in available_backends() if open_backend(name).half is not None]


@pytest.fixture(params=HALVED)
def make(request):
    """`make(values, "float16")`: an array of that type, on each backend that has float16."""
    with use_backend(request.param) as backend:
        yield lambda values, dtype: backend.xp.astype(
            backend.asarray(np.asarray(values, np.float32)), getattr(backend.xp, dtype)
        )


NORMALIZED = {
    "batch_norm": F.batch_norm,
    "batch_norm_relu": F.batch_norm_relu,
    "batch_norm_inference": lambda x, w, b: F.batch_norm_inference(x, w, b, w, w),
    "layer_norm": F.layer_norm,
}


@pytest.mark.parametrize("function", NORMALIZED.values(), ids=NORMALIZED)
def test_normalization_takes_float16_with_parameters_of_float32(make, function):
    values = np.random.default_rng(0).normal(size=(6, 4))
    ones, zeros = make(np.ones(4), "float32"), make(np.zeros(4), "float32")
    x = make(values, "float16")
    y, pullback, *_ = function(x, ones, zeros)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    dx, dweight, dbias = pullback(y)
    assert (dx.dtype, dweight.dtype, dbias.dtype) == (x.dtype, ones.dtype, ones.dtype)
    with pytest.raises(TypeError, match=r"the pullback expects dy of .*float16, got .*float32"):
        pullback(make(values, "float32"))


@pytest.mark.parametrize("function", NORMALIZED.values(), ids=NORMALIZED)
@pytest.mark.parametrize(
    "types", [("float32", "float16", "float16"), ("float16", "float32", "float16"), ("float16", "float64", "float64")]
)
def test_any_other_mixture_is_an_error(make, function, types):
    arrays = [make(np.ones(shape), dtype) for shape, dtype in zip(((6, 4), 4, 4), types, strict=True)]
    with pytest.raises(TypeError, match=r"x is .*float\d\d but (weight|bias) is .*; nothing is converted in between"):
        function(*arrays)


def test_products_take_no_mixture(make):
    x, weight = make(np.ones((2, 3)), "float16"), make(np.ones((3, 2)), "float32")
    with pytest.raises(TypeError, match=r"^linear: x is .*float16 but weight is .*float32; nothing is converted"):
        F.linear(x, weight)


def test_inner_steps_that_would_overflow_do_not(make):
    x = make([[300.0, -300.0, 60000.0, -60000.0]], "float16")
    y, pullback = F.gelu(x)
    assert [float(value) for value in y[0, :]] == [300.0, 0.0, 60000.0, 0.0]
    assert [float(value) for value in pullback(x * 0.0 + 1.0)[0, :]] == [1.0, 0.0, 1.0, 0.0]
    constant = make(np.full((1, 4, 4, 2), 30000.0), "float16")
    for y in (F.avg_pool2d(constant, 4)[0], F.global_avg_pool(constant)[0], F.adaptive_avg_pool2d(constant, 1)[0]):
        assert float(y.reshape(-1)[0]) == 30000.0
    y, _ = F.layer_norm(x, make(np.ones(4), "float32"), make(np.zeros(4), "float32"))
    assert abs(float(y[0, 2]) - 2.0**0.5) < 1e-2


def test_winograd_is_not_for_float16(make):
    random = np.random.default_rng(0)
    x, weight = make(random.normal(size=(2, 8, 8, 4)), "float16"), make(random.normal(size=(3, 3, 4, 4)), "float16")
    with use_convolution("direct"):
        expected = F.conv2d(x, weight)[0]
    with use_convolution("winograd"):
        assert bool((F.conv2d(x, weight)[0] == expected).all())

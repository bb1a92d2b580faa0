"""One law for each function, on arrays of any shape, axes of length 1 among them."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xpnet import functional as F
from xpnet.backend import backend_of, random_key

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.floats(-50.0, 50.0, allow_subnormal=False)
ARRAYS = arrays(np.float64, array_shapes(min_dims=1, max_dims=4, max_side=4), elements=NUMBERS)
BATCHES = arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=NUMBERS)


def assert_close(a, b):
    np.testing.assert_allclose(np.asarray(host(a)), np.asarray(host(b)), rtol=1e-9, atol=1e-9)


def host(x):
    return x if isinstance(x, (float, int, np.ndarray)) else backend_of(x).to_host(x)


@PROPERTY
@given(x=ARRAYS, a=NUMBERS)
def test_linear_is_linear(backend64, x, a):
    z, weight = (np.random.default_rng(i).standard_normal(s) for i, s in enumerate([x.shape, (x.shape[-1], 2)]))
    x, z, weight = map(backend64.asarray, (x, z, weight))
    assert_close(F.linear(a * x + z, weight)[0], a * F.linear(x, weight)[0] + F.linear(z, weight)[0])


@PROPERTY
@given(x=ARRAYS)
def test_relu_is_idempotent_and_never_negative(backend64, x):
    y = F.relu(backend64.asarray(x))[0]
    assert (backend64.to_host(y) >= 0.0).all()
    assert_close(F.relu(y)[0], y)


@PROPERTY
@given(x=ARRAYS, slope=st.floats(0.01, 10.0))
def test_leaky_relu_is_undone_by_the_inverse_slope(backend64, x, slope):
    y = F.leaky_relu(backend64.asarray(x), slope)[0]
    assert_close(F.leaky_relu(y, 1.0 / slope)[0], x)


@PROPERTY
@given(x=ARRAYS)
def test_sigmoid_mirrors(backend64, x):
    x = backend64.asarray(x)
    assert_close(F.sigmoid(x)[0] + F.sigmoid(-x)[0], np.ones(tuple(x.shape)))


@PROPERTY
@given(x=ARRAYS)
def test_tanh_is_a_stretched_sigmoid(backend64, x):
    x = backend64.asarray(x)
    assert_close(F.tanh(x)[0], 2.0 * F.sigmoid(2.0 * x)[0] - 1.0)


@PROPERTY
@given(x=ARRAYS, name=st.sampled_from(["softplus", "silu", "gelu"]))
def test_the_smooth_units_lose_x_when_mirrored(backend64, x, name):
    function, x = getattr(F, name), backend64.asarray(x)
    assert_close(function(x)[0] - function(-x)[0], x)


@PROPERTY
@given(x=ARRAYS, shift=NUMBERS)
def test_softmax_sums_to_one_and_ignores_shifts(backend64, x, shift):
    x = backend64.asarray(x)
    y = F.softmax(x)[0]
    assert (backend64.to_host(y) >= 0.0).all()
    assert_close(backend64.xp.sum(y, axis=-1), np.ones(tuple(x.shape[:-1])))
    assert_close(F.softmax(x + shift)[0], y)


@PROPERTY
@given(x=ARRAYS)
def test_log_softmax_is_the_logarithm_of_softmax(backend64, x):
    x = backend64.asarray(x)
    assert_close(backend64.xp.exp(F.log_softmax(x)[0]), F.softmax(x)[0])


@PROPERTY
@given(x=ARRAYS, rate=st.floats(0.0, 0.999))
def test_dropout_drops_or_scales(backend64, x, rate):
    step = backend64.xp.zeros((), dtype=backend64.xp.int32)
    y = backend64.to_host(F.dropout(backend64.asarray(x), rate, random_key(0, ""), step)[0])
    kept = np.isclose(y, x / (1.0 - rate), rtol=1e-12, atol=0.0)
    assert (kept | (y == 0.0)).all()


@PROPERTY
@given(x=BATCHES)
def test_batch_norm_gives_mean_zero_and_the_variance_that_eps_leaves(backend64, x):
    ones = np.ones(x.shape[-1])
    y, _, (_, variance) = F.batch_norm(backend64.asarray(x), *map(backend64.asarray, (ones, 0.0 * ones)))
    y, variance = backend64.to_host(y), backend64.to_host(variance)
    np.testing.assert_allclose(y.mean(axis=0), 0.0, atol=1e-9)
    np.testing.assert_allclose(y.var(axis=0), variance / (variance + 1e-5), rtol=1e-6, atol=1e-9)


@PROPERTY
@given(x=BATCHES)
def test_inference_with_the_batchs_own_statistics_is_training(backend64, x):
    x, weight, bias = map(backend64.asarray, (x, np.full(x.shape[-1], 3.0), np.full(x.shape[-1], -1.0)))
    y, _, statistics = F.batch_norm(x, weight, bias)
    np.testing.assert_allclose(
        backend64.to_host(F.batch_norm_inference(x, weight, bias, *statistics)[0]), backend64.to_host(y), atol=1e-6
    )

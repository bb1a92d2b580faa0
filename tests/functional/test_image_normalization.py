"""Normalization of images: over the batch, over an example, over neighbouring channels. PyTorch is the oracle."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes

import xpnet
from xpnet import functional as F
from xpnet.backend import compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def normal(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def run(function, arrays, dy=None, **options):
    """The value and all gradients, by a dy that is the same for the same shape."""
    y, pullback = function(*arrays)[:2]
    gradients = pullback(xpnet.backend.backend_of(y).at(y).asarray(normal(tuple(y.shape), 9)) if dy is None else dy)
    return [y, *(gradients if isinstance(gradients, tuple) else (gradients,))]


def assert_close(found, expected, tolerance=1e-9):
    """Differences are small beside the tensor's largest number."""
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * np.abs(b).max(initial=1.0))


def assert_pytorchs(backend, function, theirs, host):
    torch = pytest.importorskip("torch")
    tensors = [torch.tensor(a, requires_grad=True) for a in host]
    y = theirs(torch.nn.functional, *tensors)
    y.backward(torch.tensor(normal(tuple(y.shape), 9)))
    found = run(function, [backend.asarray(a) for a in host])
    assert_close([backend.to_host(a) for a in found], [a.numpy() for a in (y.detach(), *(t.grad for t in tensors))])


def batch_norm(functional, x, weight, bias):
    """PyTorch's, for channels last."""
    return functional.batch_norm(x.movedim(-1, 1), None, None, weight, bias, training=True).movedim(1, -1)


def layer_norm(functional, x, weight, bias, eps=1e-5):
    return functional.layer_norm(x, weight.shape, weight, bias, eps)


def response_norm(functional, x, size=5, **options):
    """PyTorch's, for channels last."""
    return functional.local_response_norm(x.movedim(-1, 1), size, **options).movedim(1, -1)


def with_affine(shape, axes=1):
    """x of numbers around 1, and a weight and a bias for its last axes."""
    return 3.0 * normal(shape) + 1.0, normal(shape[len(shape) - axes :], 2), normal(shape[len(shape) - axes :], 3)


@PROPERTY
@given(shape=array_shapes(min_dims=3, max_dims=5, min_side=2, max_side=6))
def test_batch_norm_has_one_scale_for_each_channel(backend64, shape):
    assert_pytorchs(backend64, F.batch_norm, batch_norm, with_affine(shape))


@PROPERTY
@given(shape=array_shapes(min_dims=2, max_dims=5, max_side=6), axes=st.integers(1, 4), eps=st.floats(1e-5, 1.0))
def test_layer_norm_is_pytorchs(backend64, shape, axes, eps):
    host = with_affine(shape, min(axes, len(shape) - 1))
    assert_pytorchs(backend64, partial(F.layer_norm, eps=eps), partial(layer_norm, eps=eps), host)


@PROPERTY
@given(
    shape=array_shapes(min_dims=3, max_dims=5, max_side=7),
    size=st.integers(1, 9),
    alpha=st.floats(1e-4, 3.0),
    beta=st.floats(0.1, 2.0),
    k=st.floats(0.5, 3.0),
)
def test_local_response_norm_is_pytorchs_for_even_and_odd_sizes(backend64, shape, size, alpha, beta, k):
    options = {"size": size, "alpha": alpha, "beta": beta, "k": k}
    assert_pytorchs(
        backend64, partial(F.local_response_norm, **options), partial(response_norm, **options), [2.0 * normal(shape)]
    )


def test_local_response_norms_own_settings_are_pytorchs(backend64):
    host = [30.0 * normal((2, 3, 9))]
    assert_pytorchs(backend64, lambda x: F.local_response_norm(x, 5), response_norm, host)


def test_local_response_norm_of_plain_rows_is_that_of_one_pixel(backend64):
    x = backend64.asarray(30.0 * normal((4, 9)))
    pixels = backend64.xp.reshape(x, (4, 1, 9))
    rows, images = (run(lambda x: F.local_response_norm(x, 4), [a]) for a in (x, pixels))
    for a, b in zip(rows, images, strict=True):
        np.testing.assert_allclose(backend64.to_host(a), backend64.to_host(b)[:, 0], rtol=1e-12)


FUNCTIONS = {
    "batch_norm": (F.batch_norm, batch_norm, with_affine),
    "layer_norm": (F.layer_norm, layer_norm, with_affine),
    "layer_norm, images": (F.layer_norm, layer_norm, partial(with_affine, axes=3)),
    "local_response_norm": (
        lambda x: F.local_response_norm(x, 4, alpha=0.1),
        lambda functional, x: response_norm(functional, x, 4, alpha=0.1),
        lambda shape: [normal(shape)],
    ),
}
EACH = pytest.mark.parametrize(("function", "theirs", "arrays"), FUNCTIONS.values(), ids=FUNCTIONS)
LARGE = [(6, 15, 14, 40), (2, 3000, 5), (70, 3, 9, 10), (1, 130, 130, 1)]


@EACH
@pytest.mark.parametrize("shape", LARGE, ids=str)
@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
def test_large_arrays_are_pytorchs(function, theirs, arrays, shape, loops):
    compiled_loops(loops)
    host = arrays(shape if len(shape) == 4 else (*shape[:1], 1, *shape[1:]))
    with xpnet.use_backend("numpy", dtype="float64") as numpy:
        assert_pytorchs(numpy, function, theirs, host)


@EACH
def test_gradients_agree_with_central_differences(backend64, assert_gradients, function, theirs, arrays):
    assert_gradients(lambda *a: function(*a)[:2], tuple(map(backend64.asarray, arrays((2, 3, 2, 5)))))


@EACH
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_and_library_are_kept_and_no_argument_is_changed(backend, dtype, function, theirs, arrays):
    given = [backend.xp.astype(backend.asarray(a), getattr(backend.xp, dtype)) for a in arrays((2, 3, 4, 5))]
    dy = backend.copy(given[0])
    before = [np.array(backend.to_host(a)) for a in (*given, dy)]
    for result in run(function, given, dy):
        assert result.dtype == getattr(backend.xp, dtype)
        assert xpnet.backend.backend_of(result).name == backend.name
    for a, copy in zip((*given, dy), before, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), copy)


@EACH
def test_float32_has_the_same_bits_from_run_to_run_and_is_right_in_threads(function, theirs, arrays):
    host = [a.astype(np.float32) for a in arrays((6, 15, 14, 40))]
    expected = run(function, host)
    for a, b in zip(run(function, host), expected, strict=True):
        np.testing.assert_array_equal(a, b)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: run(function, host), range(4)):
            assert_close(found, expected, tolerance=1e-6)


@EACH
def test_irregular_layouts_give_what_their_copies_give(function, theirs, arrays):
    wide = normal((30, 24, 20, 10)).astype(np.float32)
    for x in (wide[:, ::2], wide[..., 1:3], wide.transpose(0, 2, 1, 3), wide[::-1, :, :, ::-1], wide[:2, :3, :4]):
        _, *others = (a.astype(np.float32) for a in arrays(x.shape))
        dy = np.repeat(normal(x.shape, 5).astype(np.float32), 2, axis=-1)[..., ::2]
        assert_close(run(function, (x, *others), dy), run(function, (x.copy(), *others), dy.copy()), tolerance=1e-5)


@pytest.mark.parametrize("axes", [1, 3])
def test_layer_norms_gradients_go_where_out_says_and_dx_only_to_who_asks(backend, axes):
    host = with_affine((2, 3, 4, 5), axes)
    _, pullback = F.layer_norm(*map(backend.asarray, host))
    dy = backend.asarray(normal((2, 3, 4, 5), 9))
    _, *expected = pullback(dy)
    places = tuple(backend.zeros(a.shape) for a in host[1:])
    dx, *found = pullback(dy, input_gradient=False, out=places)
    assert dx is None
    for got, place, wanted in zip(found, places, expected, strict=True):
        assert got is place
        np.testing.assert_array_equal(backend.to_host(got), backend.to_host(wanted))


@pytest.mark.parametrize("name", ["layer_norm", "layer_norm, images", "local_response_norm"])
def test_an_empty_batch_gives_empty_values_and_zero_gradients(backend, name):
    function, _, arrays = FUNCTIONS[name]
    x, *others = arrays((2, 3, 4, 5))
    y, dx, *gradients = run(function, [backend.asarray(a) for a in (x[:0], *others)])
    assert y.shape == dx.shape == (0, 3, 4, 5)
    for gradient, like in zip(gradients, others, strict=True):
        assert gradient.shape == like.shape
        np.testing.assert_array_equal(backend.to_host(gradient), 0.0)


@PROPERTY
@given(shape=array_shapes(min_dims=2, max_dims=4, min_side=2, max_side=6), shift=st.floats(-9.0, 9.0))
def test_layer_norm_ignores_shift_and_scale_of_an_example(backend64, shape, shift):
    x, weight, bias = map(backend64.asarray, with_affine(shape))
    expected, found = (F.layer_norm(a, weight, bias, eps=1e-20)[0] for a in (x, 3.0 * x + shift))
    assert_close([backend64.to_host(found)], [backend64.to_host(expected)], tolerance=1e-7)


# Means that are large beside the spread -----------------------------------------------------------------------------

NEAR = 2e-2
"""float32 holds 1e4 to half a thousandth; a mean that is off by ten of these moves Σ dy x̂ by as much times Σ dy."""


@EACH
@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("shape", [(8, 32, 32, 8), (4, 16, 16, 64), (64, 7, 7, 5), (2, 3, 4, 16)], ids=str)
def test_a_large_mean_costs_no_digits(function, theirs, arrays, shape, loops):
    compiled_loops(loops)
    x, *others = (a.astype(np.float32) for a in arrays(shape))
    x = (1e4 + normal(shape)).astype(np.float32)
    exact = run(function, [a.astype(np.float64) for a in (x, *others)])
    assert_close(run(function, (x, *others)), exact, tolerance=NEAR)


@pytest.mark.parametrize("shape", [(8, 32, 32, 3), (64, 28, 28, 8), (2, 3, 4, 16)], ids=str)
def test_batch_statistics_keep_their_digits_under_a_large_mean(shape):
    x = (1e4 + normal(shape)).astype(np.float32)
    ones = np.ones(shape[-1], np.float32)
    _, _, (mean, variance) = F.batch_norm(x, ones, 0.0 * ones)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(axis=(0, 1, 2)), rtol=2e-6)
    np.testing.assert_allclose(variance, exact.var(axis=(0, 1, 2)), rtol=1e-3)


# What is refused ----------------------------------------------------------------------------------------------------

X = np.ones((4, 6, 6, 3), np.float32)
THREE, IMAGE = np.ones(3, np.float32), np.ones((6, 6, 3), np.float32)
SHAPES = "layer_norm: expected weight and bias of the shape of the last axes of x, got"
REFUSED = {
    "another number of channels": (
        lambda: F.layer_norm(X[..., :2], THREE, THREE),
        rf"{SHAPES} \(3,\) and \(3,\) for x \(4, 6, 6, 2\)",
    ),
    "the wrong axes": (
        lambda: F.layer_norm(X[:, :5], IMAGE, IMAGE),
        rf"{SHAPES} \(6, 6, 3\) and \(6, 6, 3\) for x \(4, 5, 6, 3\)",
    ),
    "too many axes": (lambda: F.layer_norm(THREE, IMAGE, IMAGE), rf"{SHAPES} .* for x \(3,\)"),
    "a bias of another shape": (lambda: F.layer_norm(X, IMAGE, THREE), rf"{SHAPES} \(6, 6, 3\) and \(3,\)"),
    "no axis to normalize": (lambda: F.layer_norm(X, THREE[0], THREE[0]), rf"{SHAPES} \(\) and \(\)"),
    "no features": (
        lambda: F.layer_norm(X[..., :0], THREE[:0], THREE[:0]),
        "layer_norm: expected features .*, got shape",
    ),
    "eps 0": (lambda: F.layer_norm(X, THREE, THREE, eps=0.0), "layer_norm: expected eps > 0, got 0.0"),
    "eps NaN": (lambda: F.layer_norm(X, THREE, THREE, eps=np.nan), "layer_norm: expected eps > 0, got nan"),
    "0-d": (lambda: F.local_response_norm(THREE[0], 2), "local_response_norm: expected x .*, got a 0-d array"),
}
SIZES = [0, -1, 2.0, True, "2", None, (3,)]
NUMBERS = [{"alpha": -1.0}, {"alpha": np.nan}, {"beta": np.inf}, {"k": 0.0}, {"k": -1.0}, {"k": np.nan}]


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_values_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_numbers_of_channels_that_are_none_are_refused(size):
    with pytest.raises(
        ValueError, match=rf"^local_response_norm: size must be a positive integer, got {re.escape(repr(size))}$"
    ):
        F.local_response_norm(X, size)


@pytest.mark.parametrize("numbers", NUMBERS, ids=str)
def test_numbers_that_make_no_divisor_are_refused(numbers):
    with pytest.raises(
        ValueError, match=rf"^local_response_norm: expected alpha >= 0, .*k > 0, got .*{next(iter(numbers.values()))}"
    ):
        F.local_response_norm(X, 5, **numbers)


@EACH
def test_gradients_and_arguments_of_another_kind_are_refused(backend, function, theirs, arrays):
    given = [backend.asarray(a) for a in arrays((2, 3, 4, 5))]
    _, pullback = function(*given)[:2]
    with pytest.raises(ValueError, match=r"the pullback expects dy of shape \(2, 3, 4, 5\), got \(2, 3, 4\)"):
        pullback(given[0][..., 0])
    with pytest.raises(TypeError, match=r"the pullback expects dy of .*float32, got .*float64"):
        pullback(backend.xp.astype(given[0], backend.xp.float64))
    with pytest.raises(TypeError, match=r"x must be floating-point, got .*int64"):
        function(backend.xp.ones((2, 3, 4, 5), dtype=backend.xp.int64), *given[1:])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e200])
@pytest.mark.parametrize("size", [3, 4])
def test_a_channel_that_is_not_finite_spoils_its_neighbours_alone(size, bad):
    x = normal((2, 3, 12))
    expected, _ = F.local_response_norm(x, size)
    x[:, :, 6] = bad
    with np.errstate(all="ignore"):
        y, _ = F.local_response_norm(x, size)
    far = np.abs(np.arange(12) - 6) > size // 2
    np.testing.assert_allclose(y[..., far], expected[..., far], rtol=1e-12)


def test_numpys_integers_keep_the_type():
    x = np.ones((2, 8), np.float32)
    assert F.local_response_norm(x, np.int64(5))[0].dtype == np.float32

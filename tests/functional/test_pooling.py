"""Pooling: PyTorch's windows and numbers under all settings; which of equal values takes the gradient."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import xpnet
from xpnet import functional as F
from xpnet.backend import compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def normal(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def run(function, x, dy=None):
    """The value, and the gradient by a dy that is the same for the same shape."""
    y, pullback = function(x)
    return y, pullback(xpnet.backend.backend_of(y).at(y).asarray(normal(tuple(y.shape), 9)) if dy is None else dy)


def assert_close(found, expected, tolerance=1e-9):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0.0, atol=tolerance * max(1.0, np.abs(b).max(initial=0.0)))


def pytorchs(name, host, *arguments, **options):
    """The value and the gradient by PyTorch, for channels last."""
    torch = pytest.importorskip("torch")
    x = torch.tensor(host, requires_grad=True)
    function = getattr(torch.nn.functional, f"{name}{x.ndim - 2}d")
    y = function(x.movedim(-1, 1), *arguments, **options).movedim(1, -1)
    y.backward(torch.tensor(normal(tuple(y.shape), 9)))
    return y.detach().numpy(), x.grad.numpy()


def assert_pytorchs(backend, name, host, *arguments, **options):
    function = partial(getattr(F, name), **options)
    found = run(lambda x: function(x, *arguments), backend.asarray(host))
    assert_close([backend.to_host(a) for a in found], pytorchs(name, host, *arguments, **options))


@st.composite
def pools(draw):
    """Shape, kernel and options: windows may overlap, leave gaps, and stand over the end."""
    axes = draw(st.integers(1, 3))

    def each(*ranges):
        return tuple(draw(st.integers(low, high)) for low, high in ranges)

    kernel = each(*[(1, 4)] * axes)
    padding = each(*[(0, k // 2) for k in kernel])
    least = kernel if axes == 3 else [max(1, k - 2 * p) for k, p in zip(kernel, padding, strict=True)]  # PyTorch's 3-D
    size = each(*[(low, 9 - 2 * (axes == 3)) for low in least])
    options = {"padding": padding, "ceil_mode": draw(st.booleans())}
    if draw(st.booleans()):
        options["stride"] = each(*[(1, 5)] * axes)
    if axes > 1 and draw(st.booleans()):  # one number for all
        kernel, options["padding"] = min(kernel), min(min(kernel) // 2, min(padding))
        size = tuple(max(n, kernel) for n in size)
    return (draw(st.integers(1, 3)), *size, draw(st.integers(1, 4))), kernel, options


@PROPERTY
@given(pool=pools(), distinct=st.booleans())
def test_max_pool_is_pytorchs_also_on_equal_values(backend64, pool, distinct):
    shape, kernel, options = pool
    host = normal(shape) if distinct else np.random.default_rng(1).integers(0, 3, shape).astype(float)
    assert_pytorchs(backend64, "max_pool", host, kernel, **options)


@PROPERTY
@given(pool=pools(), count_include_pad=st.booleans())
def test_avg_pool_is_pytorchs(backend64, pool, count_include_pad):
    shape, kernel, options = pool
    assert_pytorchs(backend64, "avg_pool", normal(shape), kernel, count_include_pad=count_include_pad, **options)


@PROPERTY
@given(
    n=st.integers(1, 3),
    axes=st.lists(st.tuples(st.integers(1, 9), st.integers(1, 11)), min_size=1, max_size=3),
    alike=st.booleans(),
)
def test_adaptive_avg_pool_is_pytorchs_for_any_two_sizes(backend64, n, axes, alike):
    size, output = zip(*axes, strict=True)
    assert_pytorchs(backend64, "adaptive_avg_pool", normal((n, *size, 2)), output[0] if alike else output)


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 5, 3), (2, 3, 4, 5, 3), (1, 1, 1, 1)], ids=str)
def test_global_avg_pool_is_the_mean_over_the_spatial_axes(backend64, shape):
    host, axes = normal(shape), tuple(range(1, len(shape) - 1))
    y, dx = map(backend64.to_host, run(F.global_avg_pool, backend64.asarray(host)))
    pixels = np.prod(shape[1:-1])
    dy = normal((shape[0], shape[-1]), 9)
    assert_close([y, dx], [host.mean(axis=axes), np.broadcast_to(np.expand_dims(dy, axes), shape) / pixels])


LARGE = {
    "2x2": (4, (30, 31), 16, (2, {})),
    "2x2, one channel": (9, (62, 62), 1, (2, {})),
    "overlapping": (4, (31, 30), 12, (3, {"stride": 2, "padding": 1})),
    "overlapping, ceil": (4, (31, 30), 12, ((3, 2), {"stride": (2, 1), "ceil_mode": True})),
    "with gaps": (4, (70, 61), 12, (2, {"stride": 3})),
    "sequence": (4, (1000,), 8, (5, {"stride": 2, "padding": 2})),
    "volume": (2, (18, 17, 16), 6, (2, {"padding": 1})),
    "a window of many": (2, (60, 60), 8, (20, {"stride": 1})),
}
EACH_LARGE = pytest.mark.parametrize(("n", "size", "channels", "pool"), LARGE.values(), ids=LARGE)
EACH_NAME = pytest.mark.parametrize("name", ["max_pool", "avg_pool"])
FUNCTIONS = {
    "max_pool": partial(F.max_pool, kernel_size=3, stride=2, padding=1),
    "max_pool, apart": partial(F.max_pool, kernel_size=2),
    "avg_pool": partial(F.avg_pool, kernel_size=3, stride=2, padding=1),
    "avg_pool, apart": partial(F.avg_pool, kernel_size=2),
    "avg_pool, ceil": partial(F.avg_pool, kernel_size=3, stride=2, ceil_mode=True, count_include_pad=False),
    "adaptive_avg_pool": partial(F.adaptive_avg_pool, output_size=(3, 2)),
    "global_avg_pool": F.global_avg_pool,
}
EACH_FUNCTION = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)


@EACH_LARGE
@EACH_NAME
@pytest.mark.parametrize("loops", [False, True], ids=["plain", "compiled"])
def test_large_arrays_are_pytorchs(name, loops, n, size, channels, pool):
    compiled_loops(loops)
    kernel, options = pool
    with xpnet.use_backend("numpy", dtype="float64") as numpy:
        assert_pytorchs(numpy, name, normal((n, *size, channels)), kernel, **options)


@EACH_LARGE
@EACH_NAME
def test_float32_has_the_same_bits_from_run_to_run_and_in_threads(name, n, size, channels, pool):
    kernel, options = pool
    x = normal((n, *size, channels)).astype(np.float32)
    function = partial(getattr(F, name), kernel_size=kernel, **options)
    expected = run(function, x)
    with ThreadPoolExecutor(4) as threads:
        for found in threads.map(lambda _: run(function, x), range(4)):
            for a, b in zip(found, expected, strict=True):
                assert a.dtype == np.float32
                np.testing.assert_array_equal(a, b)
    assert_close(expected, run(function, x.astype(np.float64)), tolerance=1e-5)


@EACH_FUNCTION
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_and_library_are_kept_and_no_argument_is_changed(backend, function, dtype):
    x = backend.xp.astype(backend.asarray(normal((2, 6, 5, 3))), getattr(backend.xp, dtype))
    dy = backend.copy(function(x)[0])
    before = [np.array(backend.to_host(a)) for a in (x, dy)]
    for result in run(function, x, dy):
        assert result.dtype == getattr(backend.xp, dtype)
        assert xpnet.backend.backend_of(result).name == backend.name
    for a, copy in zip((x, dy), before, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), copy)


@EACH_FUNCTION
def test_gradients_agree_with_central_differences(backend64, function, assert_gradients):
    assert_gradients(function, (backend64.asarray(normal((2, 6, 5, 3))),))


@EACH_FUNCTION
def test_an_empty_batch_gives_empty_values_and_gradients(backend, function):
    full, _ = function(backend.asarray(normal((1, 6, 5, 3))))
    y, dx = run(function, backend.asarray(normal((0, 6, 5, 3))))
    assert (y.shape, dx.shape) == ((0, *full.shape[1:]), (0, 6, 5, 3))


@EACH_FUNCTION
@pytest.mark.parametrize("n", [2, 60], ids=["tiny", "large"])
def test_irregular_layouts_give_what_their_copies_give(function, n):
    wide = normal((n, 24, 18, 9)).astype(np.float32)
    for x in (wide[:, ::2, ::3], wide[..., 1:3], wide.transpose(0, 2, 1, 3), wide[:, ::-1], wide[::2]):
        y, _ = function(x)
        dy = normal((*y.shape[:-1], 2 * y.shape[-1]), 5).astype(np.float32)[..., ::2]
        assert_close(run(function, x, dy), run(function, x.copy(), dy.copy()), tolerance=1e-6)


@EACH_FUNCTION
def test_a_pullback_may_be_called_again_and_with_one_number_repeated(function):
    y, pullback = function(normal((2, 6, 5, 3)))
    ones = np.broadcast_to(np.float64(1.0), y.shape)
    np.testing.assert_array_equal(pullback(ones), pullback(np.ones_like(y)))


@EACH_FUNCTION
@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
def test_types_that_numba_does_not_know_are_computed_plainly(function, dtype):
    x = normal((20, 20, 20, 4)).astype(dtype)
    dy = function(x)[0]
    found = run(function, x, dy)
    assert_close(found, run(function, x.astype(np.float64), dy.astype(np.float64)), tolerance=5e-3)
    assert all(a.dtype.itemsize == x.dtype.itemsize for a in found)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ["max_pool", "avg_pool", "adaptive_avg_pool"])
def test_thin_names_are_the_function_for_their_axes(backend, name, axes):
    x = backend.asarray(normal((2, *(6, 5, 4)[:axes], 3)))
    expected, found = run(lambda x: getattr(F, name)(x, 2), x), run(lambda x: getattr(F, f"{name}{axes}d")(x, 2), x)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))


# Ties, infinities and NaN -----------------------------------------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["plain", "compiled"])
def loops(request):
    """Arrays small and large, with and without compiled loops."""
    compiled_loops(request.param)


EXTREME = pytest.mark.parametrize("n", [1, 300], ids=["tiny", "large"])
OPTIONS = pytest.mark.parametrize(
    "options", [{}, {"padding": 1}, {"stride": 1, "padding": 1}, {"stride": 2, "ceil_mode": True}], ids=str
)


@EXTREME
@OPTIONS
@pytest.mark.parametrize("value", [0.0, -5.0, -np.inf, np.inf], ids=str)
def test_where_all_are_equal_the_first_inside_takes_the_whole_gradient(loops, n, options, value):
    host = np.full((n, 7, 8, 9), value)
    found = run(partial(F.max_pool, kernel_size=3, **options), host)
    np.testing.assert_array_equal(found[0], value)
    assert_close(found, pytorchs("max_pool", host, 3, **options))


@EXTREME
@OPTIONS
def test_a_nan_goes_through_where_it_is_seen_and_takes_the_gradient(loops, n, options):
    host = np.random.default_rng(0).integers(0, 4, (n, 9, 10, 3)).astype(float)
    host[:, 4, 5, 1] = np.nan
    host[:, 1, 1, 2] = np.inf
    host[:, 7, 7, 0] = -np.inf
    y, dx = run(partial(F.max_pool, kernel_size=3, **options), host)
    expected = pytorchs("max_pool", host, 3, **options)
    np.testing.assert_array_equal(y, expected[0])
    np.testing.assert_allclose(dx, expected[1], rtol=1e-12, atol=1e-12)


def test_nan_and_infinity_go_through_on_every_backend(backend):
    host = np.zeros((1, 8, 8, 1))
    host[0, 1, 1], host[0, 1, 5], host[0, 5, 1], host[0, 6:, 6:] = np.nan, np.inf, -np.inf, -np.inf
    y, dx = map(backend.to_host, run(lambda x: F.max_pool(x, 4), backend.asarray(host)))
    np.testing.assert_array_equal(y.reshape(-1), [np.nan, np.inf, 0.0, 0.0])
    assert np.argwhere(dx).tolist() == [[0, 1, 1, 0], [0, 1, 5, 0], [0, 4, 0, 0], [0, 4, 4, 0]]


AVERAGES = {
    "apart": partial(F.avg_pool, kernel_size=3),
    "overlapping": partial(F.avg_pool, kernel_size=3, stride=1, padding=1),
    "adaptive": partial(F.adaptive_avg_pool, output_size=(4, 7)),
    "global": F.global_avg_pool,
}


@EXTREME
@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
@pytest.mark.parametrize("function", AVERAGES.values(), ids=AVERAGES)
def test_an_average_knows_nothing_of_what_its_window_does_not_hold(loops, n, function, bad):
    host, place = normal((n, 9, 10, 4)), np.zeros((n, 9, 10, 4))
    place[:, 4, 5, 1] = 1.0
    unseen = function(place)[0] == 0.0
    y, dx = run(function, host)
    host[:, 4, 5, 1] = bad
    found, gradient = run(function, host)
    np.testing.assert_allclose(found[unseen], y[unseen], rtol=1e-9)
    np.testing.assert_array_equal(gradient, dx)


# What is refused ----------------------------------------------------------------------------------------------------

X = np.ones((2, 6, 5, 3), np.float32)
REFUSED = {
    "a kernel beyond the input": (
        lambda f: f(X, 7),
        r"the kernel covers 7×7 elements and does not fit into the input of 6×5, 6×5 with padding \(shape \(2, 6,",
    ),
    "a kernel beyond the padded input": (
        lambda f: f(X, (3, 8), padding=1),
        r"the kernel covers 3×8 .* the input of 6×5, 8×7 with padding",
    ),
    "no pixels": (lambda f: f(X[:, :0], 2), r"expected spatial axes that are not empty, got shape"),
    "too much padding": (
        lambda f: f(X, 3, padding=2),
        r"padding must be at most half of the kernel, .* got padding \(2, 2\) and kernel_size \(3, 3\)",
    ),
    "too much padding on one axis": (
        lambda f: f(X, (4, 1), padding=(2, 1)),
        r"padding must be at most half .* got padding \(2, 1\) and kernel_size \(4, 1\)",
    ),
    "no spatial axis": (lambda f: f(X[0, 0], 2), r"expected .*\(n, \*size, channels\), got shape \(5, 3\)"),
    "0-d": (lambda f: f(X[0, 0, 0, 0], 2), r"expected .*, got shape \(\)"),
}


@EACH_NAME
@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_windows_that_do_not_fit_are_refused(name, call, message):
    with pytest.raises(ValueError, match=f"^{name}: {message}"):
        call(getattr(F, name))


NO_SIZES = [-1, 1.0, True, "2", (1, 1, 1), (1,), (1, -1), (1, 1.5), np.ones(2)]


@EACH_NAME
@pytest.mark.parametrize(
    ("option", "value", "least"),
    [(option, value, 1) for option in ("kernel_size", "stride") for value in (0, (1, 0), *NO_SIZES)]
    + [("padding", value, 0) for value in (None, *NO_SIZES)],
    ids=str,
)
def test_settings_that_are_no_sizes_are_refused(name, option, value, least):
    with pytest.raises(ValueError, match=f"^{name}: {option} must be an integer of at least {least}.* got ") as caught:
        getattr(F, name)(X, **{"kernel_size": 2, option: value})
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", [0, (1, 0), None, *NO_SIZES], ids=str)
def test_output_sizes_that_are_none_are_refused(value):
    with pytest.raises(
        ValueError, match=r"^adaptive_avg_pool: output_size must be an integer of at least 1.* got "
    ) as caught:
        F.adaptive_avg_pool(X, value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: F.max_pool1d(X, 2),
            r"max_pool1d: expected 3 axes, \(n, length, channels\), got 4 \(shape \(2, 6, 5, 3\)\)",
        ),
        (lambda: F.avg_pool3d(X, 2), r"avg_pool3d: expected 5 axes, .*, got 4"),
        (lambda: F.adaptive_avg_pool2d(X[0], 2), r"adaptive_avg_pool2d: expected 4 axes, .*, got 3"),
        (lambda: F.adaptive_avg_pool(X[:, :0], 2), r"adaptive_avg_pool: .*empty, got shape \(2, 0, 5, 3\)"),
        (lambda: F.global_avg_pool(X[:, :0]), r"global_avg_pool: .*, got shape \(2, 0, 5, 3\)"),
        (lambda: F.global_avg_pool(X[0, 0]), r"global_avg_pool: .*, got shape \(5, 3\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


@EACH_FUNCTION
def test_gradients_and_arguments_of_another_kind_are_refused(backend, function):
    x = backend.asarray(X)
    y, pullback = function(x)
    with pytest.raises(ValueError, match=r"pool: the pullback expects dy of shape \(2, .*, got \(1, 2, "):
        pullback(y[None, ...])
    with pytest.raises(TypeError, match=r"pool: the pullback expects dy of .*float32, got .*float64"):
        pullback(backend.xp.astype(y, backend.xp.float64))
    with pytest.raises(TypeError, match=r"pool: x must be floating-point, got .*int64"):
        function(backend.xp.astype(x, backend.xp.int64))


@pytest.mark.parametrize("axes", [1, 2])
def test_an_irregular_image_and_a_regular_gradient(axes):
    x = np.random.default_rng(4).standard_normal((2, 3, *(8,) * axes)).astype(np.float32)
    x = np.moveaxis(x, 1, -1)
    y, pullback = F.max_pool(x, 2)
    dy = np.ones(y.shape, np.float32)
    np.testing.assert_array_equal(pullback(dy), F.max_pool(np.ascontiguousarray(x), 2)[1](dy))


@pytest.mark.parametrize("pool", [F.max_pool, F.avg_pool])
def test_an_image_without_pixels_is_refused(pool):
    with pytest.raises(ValueError, match="expected spatial axes that are not empty, got shape"):
        pool(np.ones((1, 0, 4, 3)), 2, padding=1)

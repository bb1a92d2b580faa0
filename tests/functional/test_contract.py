"""What all functions promise beside their numbers: arguments untouched, types and libraries kept, nothing overflows."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import backend_of, get_backend, random_key

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def on_backend(host, dtype="float32"):
    """Arrays of the current backend's library, of this type."""
    backend = get_backend()
    return tuple(backend.xp.astype(backend.asarray(a), getattr(backend.xp, dtype)) for a in host)


def some_dy(y):
    """Numbers from -1 to 1, of the shape, type and library of y."""
    backend, xp = backend_of(y), backend_of(y).xp
    return xp.astype(backend.asarray(np.linspace(-1.0, 1.0, math.prod(y.shape)).reshape(tuple(y.shape))), y.dtype)


def run(function, arrays):
    """The value and all gradients."""
    y, pullback = function(*arrays)
    gradients = pullback(some_dy(y))
    return y, *(gradients if isinstance(gradients, tuple) else (gradients,))


def test_arguments_are_not_changed(case_and_shape, backend):
    case, shape = case_and_shape
    arrays = on_backend(case.arrays(shape))
    before = [backend.copy(a) for a in arrays]
    y, pullback = case.function(*arrays)
    value, dy = backend.copy(y), some_dy(y)
    pullback(dy)
    for array, copy in zip((*arrays, y, dy), (*before, value, some_dy(y)), strict=True):
        np.testing.assert_array_equal(backend.to_host(array), backend.to_host(copy))


def test_read_only_arrays_are_enough(case):
    arrays = [a.astype(np.float32) for a in case.arrays((4, 3))]
    for a in arrays:
        a.flags.writeable = False
    y, pullback = case.function(*arrays)
    dy = np.ones_like(y)
    y.flags.writeable = dy.flags.writeable = False
    pullback(dy)


def test_a_pullback_may_be_called_again(case, backend):
    y, pullback = case.function(*on_backend(case.arrays((4, 3))))
    first, second = (pullback(some_dy(y)) for _ in range(2))
    pairs = zip(first, second, strict=True) if isinstance(first, tuple) else [(first, second)]
    for a, b in pairs:
        np.testing.assert_array_equal(backend.to_host(a), backend.to_host(b))


@DTYPES
def test_type_and_library_are_kept(case_and_shape, backend, dtype):
    case, shape = case_and_shape
    arrays = on_backend(case.arrays(shape), dtype)
    for result in run(case.function, arrays):
        assert result.dtype == getattr(backend.xp, dtype)
        assert backend_of(result).name == backend.name


@pytest.mark.parametrize(
    "function",
    [
        lambda x, number: F.leaky_relu(x, number),
        lambda x, number: F.dropout(x, number, random_key(0, ""), get_backend().asarray(0)),
        lambda x, number: F.batch_norm(x, x[0, :], x[0, :], eps=number)[:2],
        lambda x, number: F.batch_norm_inference(x, x[0, :], x[0, :], x[0, :], x[0, :], eps=number),
    ],
    ids=["leaky_relu", "dropout", "batch_norm", "batch_norm_inference"],
)
def test_numpys_float64_as_a_setting_does_not_change_the_type(function, backend):
    x = backend.asarray(np.ones((2, 3)))
    for result in run(lambda x: function(x, np.float64(0.5)), (x,)):
        assert result.dtype == x.dtype


def test_gradients_go_where_out_says(case_with_out, backend):
    arrays = on_backend(case_with_out.arrays((4, 3)))
    y, pullback = case_with_out.function(*arrays)
    dy = some_dy(y)
    _, *expected = pullback(dy)
    flat = backend.zeros(100)
    places = [backend.xp.reshape(flat[50 * i : 50 * i + math.prod(g.shape)], g.shape) for i, g in enumerate(expected)]
    _, *found = pullback(dy, out=tuple(places))
    for place, got, wanted in zip(places, found, expected, strict=True):
        assert got is place
        np.testing.assert_array_equal(backend.to_host(got), backend.to_host(wanted))
    assert np.count_nonzero(backend.to_host(flat)) <= sum(math.prod(g.shape) for g in expected)


def test_either_place_may_be_left_out(case_with_out, backend):
    arrays = on_backend(case_with_out.arrays((4, 3)))
    y, pullback = case_with_out.function(*arrays)
    dy = some_dy(y)
    _, dweight, dbias = pullback(dy)
    place = backend.xp.zeros_like(dweight)
    _, first, second = pullback(dy, out=(place, None))
    assert first is place
    for got, wanted in ((first, dweight), (second, dbias)):
        np.testing.assert_array_equal(backend.to_host(got), backend.to_host(wanted))


def test_dx_is_left_out_where_nobody_asks(case_with_out, backend):
    arrays = on_backend(case_with_out.arrays((4, 3)))
    y, pullback = case_with_out.function(*arrays)
    dy = some_dy(y)
    dx, *gradients = pullback(dy, input_gradient=False)
    assert dx is None
    for got, wanted in zip(gradients, pullback(dy)[1:], strict=True):
        np.testing.assert_array_equal(backend.to_host(got), backend.to_host(wanted))


def test_inputs_of_ten_thousand_overflow_nowhere(case, backend):
    _, *others = case.arrays((4, 3))
    x = np.asarray([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [1.0, -1e4, 1e4]])
    for result in run(case.function, on_backend((x, *others))):
        assert np.isfinite(backend.to_host(result)).all()


def test_an_empty_batch_gives_empty_values_and_zero_gradients(row_by_row, backend):
    x, *others = row_by_row.arrays((4, 3))
    y, dx, *gradients = run(row_by_row.function, on_backend((x[:0], *others)))
    assert (y.shape[0], dx.shape) == (0, (0, 3))
    for gradient in gradients:
        np.testing.assert_array_equal(backend.to_host(gradient), 0.0)


def test_strided_views_give_what_their_copies_give(case):
    x, *others = (a.astype(np.float32) for a in case.arrays((4, 3)))
    wide = np.zeros((8, 6), np.float32)
    wide[::2, ::2] = x
    copied, strided = (run(case.function, (a, *others)) for a in (x, wide[::2, ::2]))
    for expected, found in zip(copied, strided, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_functions_are_safe_in_threads(case):
    arrays = [a.astype(np.float32) for a in case.arrays((200, 100))]
    expected = run(case.function, arrays)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: run(case.function, arrays), range(8)):
            for a, b in zip(found, expected, strict=True):
                np.testing.assert_array_equal(a, b)

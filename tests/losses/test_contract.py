"""What all losses promise beside their numbers, and one law for each."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from xpnet import functional as F
from xpnet import losses
from xpnet.backend import backend_of, compiled_loops

# The backend fixture stays the same over all examples of one test.
PROPERTY = settings(
    derandomize=True, deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
NUMBERS = st.floats(-50.0, 50.0, allow_subnormal=False)
BATCHES = arrays(np.float64, array_shapes(min_dims=1, max_dims=4, max_side=4), elements=NUMBERS)
LOGITS = arrays(np.float64, array_shapes(min_dims=2, max_dims=2, max_side=5), elements=NUMBERS)


def test_arguments_are_not_changed(case, backend):
    given_arrays = tuple(map(backend.asarray, case.arrays((4, 3))))
    before = [backend.copy(a) for a in given_arrays]
    _, pullback = case.loss(*given_arrays)
    pullback()
    pullback(2.0)
    for array, copy in zip(given_arrays, before, strict=True):
        np.testing.assert_array_equal(backend.to_host(array), backend.to_host(copy))


def test_read_only_arrays_are_enough(case):
    y, t, weights = case.arrays((4, 3))
    for a in (y, t, weights):
        a.flags.writeable = False
    _, pullback = case.loss(y, t, weights)
    pullback()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_type_and_library_are_kept(case_and_shape, weighted, backend, dtype):
    case, shape = case_and_shape
    xp = backend.xp
    y, t, weights = (
        xp.astype(a, getattr(xp, dtype)) if backend.is_float(a) else a for a in map(backend.asarray, case.arrays(shape))
    )
    loss, pullback = case.loss(y, t, weights if weighted else None)
    for result in (loss, pullback(), pullback(0.5)):
        assert result.dtype == y.dtype
        assert backend_of(result).name == backend.name


def test_numpys_float64_as_delta_does_not_change_the_type(backend):
    y = backend.asarray(np.ones((2, 3)))
    loss, pullback = losses.huber(y, 2.0 * y, delta=np.float64(0.5))
    assert loss.dtype == pullback().dtype == y.dtype


def test_the_pullback_scales_by_the_gradient_of_the_loss(case, backend):
    loss, pullback = case.loss(*map(backend.asarray, case.arrays((4, 3))))
    doubled = 2.0 * backend.to_host(pullback())
    np.testing.assert_allclose(backend.to_host(pullback(2.0)), doubled, rtol=1e-6)
    np.testing.assert_allclose(backend.to_host(pullback(2.0 * backend.xp.ones_like(loss))), doubled, rtol=1e-6)


def test_logits_of_ten_thousand_overflow_nowhere(case, weighted, backend):
    y = np.asarray([[1e4, -1e4, 0.0], [-1e4, -1e4, -1e4], [1e4, 1e4, 1e4], [1.0, -1e4, 1e4]])
    _, t, weights = case.arrays(y.shape)
    loss, pullback = case.loss(*map(backend.asarray, (y, t)), backend.asarray(weights) if weighted else None)
    assert np.isfinite(backend.to_host(loss))
    assert np.isfinite(backend.to_host(pullback())).all()


def test_a_class_that_minus_infinity_rules_out_counts_for_nothing(backend):
    y, t = np.asarray([[0.5, 1.0, -np.inf], [2.0, -1.0, -np.inf]]), backend.asarray([1, 0])
    loss, pullback = losses.softmax_cross_entropy(backend.asarray(y), t)
    expected, expected_pullback = losses.softmax_cross_entropy(backend.asarray(y[:, :2]), t)
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    np.testing.assert_allclose(backend.to_host(pullback())[:, :2], backend.to_host(expected_pullback()), rtol=1e-6)
    np.testing.assert_array_equal(backend.to_host(pullback())[:, 2], 0.0)


def test_weights_of_one_count_all_the_same(case, backend):
    y, t, _ = map(backend.asarray, case.arrays((4, 3)))
    plain, weighted = case.loss(y, t), case.loss(y, t, backend.xp.ones_like(y[:, 0]))
    assert float(weighted[0]) == pytest.approx(float(plain[0]), rel=1e-6)
    np.testing.assert_allclose(backend.to_host(weighted[1]()), backend.to_host(plain[1]()), rtol=1e-6)


def test_a_weight_of_zero_leaves_an_example_out(case, backend64):
    y, t, _ = map(backend64.asarray, case.arrays((4, 3)))
    loss, pullback = case.loss(y, t, backend64.asarray([1.0, 1.0, 0.0, 1.0]))
    rest, _ = case.loss(*(backend64.xp.concat([a[:2, ...], a[3:, ...]]) for a in (y, t)))
    assert float(loss) == pytest.approx(float(rest), rel=1e-12)
    np.testing.assert_array_equal(backend64.to_host(pullback())[2], 0.0)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("looking", [True, False], ids=["on the host", "as on a device"])
def test_labels_may_be_of_any_integer_type_however_narrow(backend, monkeypatch, looking, dtype):
    monkeypatch.setattr("xpnet.losses._cross_entropy.readable", lambda x: looking)
    y, t = backend.zeros((2, 1000)), backend.xp.asarray([3, 100], dtype=getattr(backend.xp, dtype))
    loss, pullback = losses.softmax_cross_entropy(y, t)
    assert float(loss) == pytest.approx(np.log(1000.0), rel=1e-5)
    assert backend.to_host(pullback())[1, 100] < 0.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(2000, 10), (1, 20_000), (20_000, 1)], ids=str)
def test_compiled_loops_agree_with_plain_operations_also_on_nan_and_infinity(case, weighted, shape, dtype):
    pytest.importorskip("numba")
    y, t, weights = (a if a.dtype.kind == "i" else a.astype(dtype) for a in case.arrays(shape))
    y.flat[:3] = np.nan, np.inf, -np.inf
    found = []
    for enabled in (False, True):
        compiled_loops(enabled)
        with np.errstate(all="ignore"):
            loss, pullback = case.loss(y, t, weights if weighted else None)
            found.append((loss, pullback()))
    for plain, fast in zip(*found, strict=True):
        np.testing.assert_allclose(fast, plain, rtol=1e3 * np.finfo(dtype).eps, atol=10 * np.finfo(dtype).eps)


@PROPERTY
@given(y=BATCHES)
def test_losses_of_differences_are_never_negative_and_zero_at_the_target(case_by_output, backend64, y):
    y = backend64.asarray(y)
    assert float(case_by_output.loss(y, 0.0 * y)[0]) >= 0.0
    if case_by_output.name != "binary_cross_entropy":
        assert float(case_by_output.loss(y, y)[0]) == 0.0


@PROPERTY
@given(y=LOGITS, shift=NUMBERS)
def test_softmax_cross_entropy_is_never_negative_and_ignores_shifts(backend64, y, shift):
    y, t = backend64.asarray(y), backend64.asarray(np.arange(y.shape[0]) % y.shape[1])
    loss, pullback = losses.softmax_cross_entropy(y, t)
    assert float(loss) >= 0.0
    assert float(losses.softmax_cross_entropy(y + shift, t)[0]) == pytest.approx(float(loss), abs=1e-9)
    np.testing.assert_allclose(backend64.to_host(pullback()).sum(axis=1), 0.0, atol=1e-12)


@PROPERTY
@given(y=LOGITS)
def test_labels_and_one_hot_probabilities_are_the_same(backend64, y):
    t = np.arange(y.shape[0]) % y.shape[1]
    one_hot = np.eye(y.shape[1])[t]
    (a, da), (b, db) = (losses.softmax_cross_entropy(*map(backend64.asarray, (y, target))) for target in (t, one_hot))
    assert float(a) == pytest.approx(float(b), abs=1e-12)
    np.testing.assert_allclose(backend64.to_host(da()), backend64.to_host(db()), atol=1e-12)


@PROPERTY
@given(y=BATCHES)
def test_two_logits_are_one_for_yes_and_no(backend64, y):
    y = backend64.asarray(y.reshape(-1))
    xp, t = backend64.xp, backend64.asarray(np.arange(y.shape[0]) % 2)
    pairs = xp.stack([xp.zeros_like(y), y], axis=-1)
    binary, _ = losses.binary_cross_entropy(y, xp.astype(t, y.dtype))
    assert float(binary) == pytest.approx(float(losses.softmax_cross_entropy(pairs, t)[0]), abs=1e-9)


@PROPERTY
@given(y=BATCHES, delta=st.floats(0.1, 100.0))
def test_huber_is_squared_where_small_and_below_it_elsewhere(backend64, y, delta):
    y = backend64.asarray(y)
    half_of_mean_square = 0.5 * float(losses.mean_squared_error(y, 0.0 * y)[0])
    huber = float(losses.huber(y, 0.0 * y, delta=delta)[0])
    assert huber <= half_of_mean_square * (1.0 + 1e-12)
    if float(backend64.xp.max(backend64.xp.abs(y))) <= delta:
        assert huber == pytest.approx(half_of_mean_square, rel=1e-12)


@PROPERTY
@given(y=BATCHES)
def test_squared_error_is_half_the_outputs_times_the_mean(backend64, y):
    outputs, y = int(np.prod(y.shape[1:])), backend64.asarray(y)
    summed, mean = (float(loss(y, 0.0 * y)[0]) for loss in (losses.squared_error, losses.mean_squared_error))
    assert summed == pytest.approx(0.5 * outputs * mean, rel=1e-12)


@PROPERTY
@given(y=LOGITS)
def test_softmax_cross_entropys_gradient_is_softmax_minus_target(backend64, y):
    n, classes = y.shape
    t = np.eye(classes)[np.arange(n) % classes]
    _, pullback = losses.softmax_cross_entropy(backend64.asarray(y), backend64.asarray(t))
    expected = (backend64.to_host(F.softmax(backend64.asarray(y))[0]) - t) / n
    np.testing.assert_allclose(backend64.to_host(pullback()), expected, atol=1e-12)

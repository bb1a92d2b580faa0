"""What is refused, and the words: the loss, what it got, what it expected."""

import array_api_strict
import numpy as np
import pytest

from xpnet import losses

Y, ONE = np.zeros((4, 3), np.float32), np.zeros((4, 1), np.float32)
FOUR = np.ones(4, np.float32)
EXPECTED = r"expected integer labels \(4,\) or floating-point probabilities \(4, 3\)"

LABELS = {
    "of shape (n, 1)": (
        np.zeros((4, 1), int),
        ValueError,
        rf"got int targets .*\(4, 1\); {EXPECTED}; reshape .* \(4,\)",
    ),
    "of another length": (np.zeros(3, int), ValueError, rf"got int targets of shape \(3,\); {EXPECTED}$"),
    "too large": (np.asarray([0, 1, 2, 3]), ValueError, "labels must be from 0 to 2 for 3 outputs, got 0 to 3"),
    "negative": (np.asarray([0, -1, 2, 1]), ValueError, "labels must be from 0 to 2 for 3 outputs, got -1 to 2"),
    "floating-point": (FOUR, TypeError, rf"got floating-point labels \(4,\); {EXPECTED}"),
    "booleans": (np.zeros(4, bool), ValueError, rf"got bool targets of shape \(4,\); {EXPECTED}"),
    "one-hot integers": (np.zeros((4, 3), int), TypeError, r"integer targets \(4, 3\); .*: convert one-hot rows to fl"),
    "logits": (np.full((4, 3), 2.0), ValueError, "targets must be between 0 and 1, got 2 to 2"),
    "no probabilities": (np.full((4, 3), 0.5), ValueError, "rows of probabilities must sum to 1; were logits or class"),
    "NaN": (np.full((4, 3), np.nan), ValueError, "targets must be between 0 and 1, got nan to nan"),
    "of other classes": (np.full((4, 2), 0.5), ValueError, rf"got float targets of shape \(4, 2\); {EXPECTED}"),
}


@pytest.mark.parametrize(("t", "error", "message"), LABELS.values(), ids=LABELS)
def test_targets_that_are_no_classes_are_refused(backend, t, error, message):
    y, t = backend.asarray(Y), backend.asarray(t)
    if not backend.readable(t) and any(part in message for part in ("from 0 to", "between 0 and 1", "must sum to 1")):
        pytest.skip("on a device nobody looks")
    with pytest.raises(error, match=f"^softmax_cross_entropy: .*{message}"):
        losses.softmax_cross_entropy(y, t)


@pytest.mark.parametrize("t", [[0, 1, 2, 3], [0, -1, 2, 1]], ids=["too large", "negative"])
def test_where_nobody_can_look_a_bad_label_makes_the_loss_nan(monkeypatch, backend, t):
    monkeypatch.setattr("xpnet.losses._checks.readable", lambda x: False)
    monkeypatch.setattr("xpnet.losses._cross_entropy.readable", lambda x: False)
    with backend.quiet():
        bad, pullback = losses.softmax_cross_entropy(backend.asarray(Y), backend.asarray(t))
        good, _ = losses.softmax_cross_entropy(backend.asarray(Y), backend.asarray([0, 1, 2, 0]))
    assert np.isnan(float(bad))
    assert float(good) == pytest.approx(np.log(3.0))
    wrong_rows = np.isnan(backend.to_host(pullback())).all(axis=1)
    np.testing.assert_array_equal(wrong_rows, [label not in (0, 1, 2) for label in t])


@pytest.mark.parametrize("shape", [(4,), (8, 3)], ids=str)
def test_outputs_are_a_row_of_logits_an_example(backend, shape):
    message = (
        r"softmax_cross_entropy: (expected outputs \(n, classes\), got shape \(4,\)|got int targets of shape \(4,\))"
    )
    with pytest.raises(ValueError, match=message):
        losses.softmax_cross_entropy(backend.zeros(shape), backend.asarray([0, 0, 0, 0]))


def test_nothing_is_broadcast(case_by_output, backend):
    name = case_by_output.name
    message = rf"^{name}: outputs have shape \(4, 1\) but targets \(4,\); nothing is broadcast; reshape .* to \(4, 1\)$"
    with pytest.raises(ValueError, match=message):
        case_by_output.loss(backend.asarray(ONE), backend.asarray(FOUR))
    with pytest.raises(ValueError, match=r"outputs have shape \(4, 3\) but targets \(4, 1\); nothing is broadcast$"):
        case_by_output.loss(backend.asarray(Y), backend.asarray(ONE))


@pytest.mark.parametrize("shape", [(0, 3), (4, 0)], ids=str)
def test_an_empty_batch_is_refused(case, backend, shape):
    t = np.zeros(shape[0], int) if case.name == "labels" else np.zeros(shape)
    with pytest.raises(
        ValueError, match=rf"expected outputs for at least one example, got a batch of shape \({shape[0]}"
    ):
        case.loss(backend.zeros(shape), backend.asarray(t))


def test_outputs_that_are_no_floats_are_refused(case, backend):
    _, t, _ = map(backend.asarray, case.arrays((4, 3)))
    with pytest.raises(TypeError, match=r"outputs must be floating-point, got .*int64; convert the values first"):
        case.loss(backend.xp.zeros((4, 3), dtype=backend.xp.int64), t)


def test_integer_targets_are_refused(case_by_output, backend):
    with pytest.raises(
        TypeError, match=r"outputs is .*float32 but targets is .*int64; nothing is converted in between"
    ):
        case_by_output.loss(backend.asarray(Y), backend.asarray(np.zeros((4, 3), int)))


def test_types_are_never_mixed(case_of_floats, backend):
    y, t, _ = map(backend.asarray, case_of_floats.arrays((4, 3)))
    with pytest.raises(TypeError, match=r"outputs is .*float32 but targets is .*float64"):
        case_of_floats.loss(y, backend.xp.astype(t, backend.xp.float64))


@pytest.mark.parametrize(("t", "name"), [([0, 1, 2, 0], "list"), (None, "NoneType")], ids=["list", "None"])
def test_targets_that_are_no_array_are_refused(case, t, name):
    with pytest.raises(TypeError, match=rf"expected an array of numpy, .*, got {name}; make one with"):
        case.loss(Y, t)


def test_libraries_are_never_mixed(case):
    y, t, weights = case.arrays((4, 3))
    message = r"arrays of array_api_strict and numpy meet in one call; .*, or model\.to\('array_api_strict'\)"
    for arguments in ((y, array_api_strict.asarray(t)), (y, t, array_api_strict.asarray(weights))):
        with pytest.raises(TypeError, match=message):
            case.loss(*arguments)


WEIGHTS = {
    "negative": ([1.0, -1.0, 1.0, 1.0], "weights must be finite, not negative and not all zero"),
    "all zero": ([0.0] * 4, "weights must be finite, not negative and not all zero"),
    "NaN": ([1.0, np.nan, 1.0, 1.0], "weights must be finite, not negative and not all zero"),
    "infinite": ([1.0, np.inf, 1.0, 1.0], "weights must be finite, not negative and not all zero"),
    "of another length": ([1.0] * 3, r"expected one weight an example, shape \(4,\), got shape \(3,\)"),
    "by output": (np.ones((4, 3)), r"expected one weight an example, shape \(4,\), got shape \(4, 3\)"),
}


@pytest.mark.parametrize(("weights", "message"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_are_none_are_refused(case, backend, weights, message):
    if not backend.readable(backend.zeros(1)) and "finite" in message:
        pytest.skip("on a device nobody looks")
    y, t, _ = map(backend.asarray, case.arrays((4, 3)))
    with pytest.raises(ValueError, match=message):
        case.loss(y, t, backend.asarray(weights))


def test_integer_weights_are_refused(case, backend):
    y, t, _ = map(backend.asarray, case.arrays((4, 3)))
    with pytest.raises(TypeError, match=r"outputs is .*float32 but weights is .*int64"):
        case.loss(y, t, backend.asarray([1, 1, 1, 1]))


@pytest.mark.parametrize("t", [-0.1, 1.1, np.nan])
def test_binary_targets_outside_0_to_1_are_refused(t):
    message = r"binary_cross_entropy: targets must be between 0 and 1, got "
    with pytest.raises(ValueError, match=message):
        losses.binary_cross_entropy(ONE, np.full_like(ONE, t))


@pytest.mark.parametrize("delta", [0.0, -1.0, np.nan, np.inf])
def test_hubers_delta_is_above_zero(delta):
    with pytest.raises(ValueError, match=f"huber: expected delta > 0, got {delta!r}"):
        losses.huber(ONE, ONE, delta=delta)


def test_a_class_that_is_ruled_out_by_minus_infinity_costs_nothing(backend):
    logits = backend.asarray([[1.0, float("-inf"), 1.0]])
    loss, pullback = losses.softmax_cross_entropy(logits, backend.asarray([0]))
    assert float(loss) == pytest.approx(np.log(2.0))
    np.testing.assert_allclose(backend.to_host(pullback()), [[-0.5, 0.0, 0.5]])

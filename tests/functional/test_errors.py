"""What is refused, and the words: the function, what it got, what it expected, the line that mends it."""

import array_api_strict
import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import random_key

X = np.ones((4, 3), np.float32)
THREE = np.ones(3, np.float32)
STEP = np.zeros((), np.int32)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_inputs_that_are_no_floats_are_refused(case, backend, dtype):
    _, *others = map(backend.asarray, case.arrays((4, 3)))
    x = backend.xp.ones((4, 3), dtype=getattr(backend.xp, dtype))
    with pytest.raises(
        TypeError, match=rf"x must be floating-point, got .*{dtype}; convert the values first, .*astype\('float32'\)\)"
    ):
        case.function(x, *others)


@pytest.mark.parametrize("x", [X.astype(object), X.astype(complex), X.astype(str)], ids=["object", "complex", "text"])
def test_inputs_that_are_no_numbers_are_refused(case, x):
    _, *others = (a.astype(np.float32) for a in case.arrays((4, 3)))
    with pytest.raises(TypeError, match="x must be floating-point, got"):
        case.function(x, *others)


@pytest.mark.parametrize(
    ("x", "name"),
    [(X.tolist(), "list"), (None, "NoneType"), (np.ma.masked_array(X), "numpy.ma.MaskedArray"), (2.0, "float")],
    ids=["list", "None", "masked array", "number"],
)
def test_what_is_no_array_is_refused(case, x, name):
    _, *others = (a.astype(np.float32) for a in case.arrays((4, 3)))
    message = rf"expected an array of numpy, .*, got {name}; make one with xpnet\.get_backend\(\)\.asarray\(values\)"
    with pytest.raises(TypeError, match=message):
        case.function(x, *others)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_a_matrix_is_refused(case):
    _, *others = (a.astype(np.float32) for a in case.arrays((4, 3)))
    with pytest.raises(TypeError, match=r"expected an array of .*, got numpy\.matrix; make one with"):
        case.function(np.matrix(X), *others)


def test_types_are_never_mixed(case_of_several, backend):
    x, *others = map(backend.asarray, case_of_several.arrays((4, 3)))
    others[-1] = backend.xp.astype(others[-1], backend.xp.float64)
    with pytest.raises(TypeError, match=r"x is .*float32 but \w+ is .*float64; nothing is converted in between"):
        case_of_several.function(x, *others)


def test_libraries_are_never_mixed(case_of_several):
    x, *others = case_of_several.arrays((4, 3))
    others[-1] = array_api_strict.asarray(others[-1])
    message = (
        r"arrays of numpy and array_api_strict meet in one call; "
        r"move one of them first: get_backend\(\)\.asarray\(array\), or model\.to\('numpy'\)"
    )
    with pytest.raises(TypeError, match=message):
        case_of_several.function(x, *others)


def test_devices_are_never_mixed(case_of_several):
    x, *others = map(array_api_strict.asarray, case_of_several.arrays((4, 3)))
    others[-1] = others[-1].to_device(array_api_strict.Device("device1"))
    message = (
        r"arrays on .*CPU_DEVICE.* and .*device1.* meet in one call; .*set_backend\('array_api_strict', device=\.\.\."
    )
    with pytest.raises(ValueError, match=message):
        case_of_several.function(x, *others)


def test_a_gradient_of_another_shape_is_refused(case, backend):
    y, pullback = case.function(*map(backend.asarray, case.arrays((4, 3))))
    for shape in ((4,), (1, *y.shape), (5, *y.shape[1:])):
        with pytest.raises(ValueError, match=r"the pullback expects dy of shape \(4, \d\), got \("):
            pullback(backend.zeros(shape))


def test_a_gradient_of_another_type_is_refused(case, backend):
    y, pullback = case.function(*map(backend.asarray, case.arrays((4, 3))))
    with pytest.raises(TypeError, match=r"the pullback expects dy of .*float32, got .*float64"):
        pullback(backend.xp.zeros(y.shape, dtype=backend.xp.float64))


def test_a_gradient_of_another_library_is_refused(case):
    y, pullback = case.function(*case.arrays((4, 3)))
    with pytest.raises(TypeError, match="arrays of numpy and array_api_strict meet in one call"):
        pullback(array_api_strict.zeros(y.shape))


def dropped(rate, x=X):
    return F.dropout(x, rate, random_key(0, ""), STEP)


def normed(x=X, weight=THREE, bias=THREE, **options):
    return F.batch_norm(x, weight, bias, **options)


def normed_by(x=X, weight=THREE, bias=THREE, mean=THREE, variance=THREE, **options):
    return F.batch_norm_inference(x, weight, bias, mean, variance, **options)


REFUSED = {
    "linear, features": (
        lambda: F.linear(X, X),
        r"linear: expected 4 features in the last axis of x, got shape \(4, 3\)",
    ),
    "linear, 0-d": (lambda: F.linear(X[0, 0], X), r"linear: expected 4 features .*, got shape \(\)"),
    "linear, weight of one axis": (
        lambda: F.linear(X, THREE),
        r"linear: expected weight \(inputs, outputs\) and bias \(outputs,\), got shapes \(3,\) and None",
    ),
    "linear, bias": (lambda: F.linear(X, X.T, THREE), r"got shapes \(3, 4\) and \(3,\)"),
    "softmax, 0-d": (lambda: F.softmax(X[0, 0]), r"softmax: expected x with classes in the last axis, got shape \(\)"),
    "log_softmax, no class": (lambda: F.log_softmax(X[:, :0]), r"log_softmax: .*, got shape \(4, 0\)"),
    "dropout, rate 1": (lambda: dropped(1.0), "dropout: expected 0 <= rate < 1, got 1.0"),
    "dropout, negative rate": (lambda: dropped(-0.1), "dropout: expected 0 <= rate < 1, got -0.1"),
    "dropout, NaN": (lambda: dropped(np.nan), "dropout: expected 0 <= rate < 1, got nan"),
    "dropout, 0-d": (lambda: dropped(0.5, X[0, 0]), "dropout: expected x with at least one axis, got a 0-d array"),
    "batch_norm, one row": (
        lambda: normed(X[:1]),
        r"batch_norm: expected at least 2 rows to take a variance of, got 1 \(shape \(1, 3\)\)",
    ),
    "batch_norm, no row": (lambda: normed(X[:0]), r"at least 2 rows to take a variance of, got 0 \(shape \(0, 3\)\)"),
    "batch_norm, one axis": (lambda: normed(THREE), r"at least 2 rows to take a variance of, got 1 \(shape \(3,\)\)"),
    "batch_norm, features": (lambda: normed(X[:, :2]), r"batch_norm: expected 3 features .*, got shape \(4, 2\)"),
    "batch_norm, weight": (
        lambda: normed(weight=THREE[:2]),
        r"batch_norm: expected weight, bias of one shape \(features,\), got \(2,\), \(3,\)",
    ),
    "batch_norm, eps 0": (lambda: normed(eps=0.0), "batch_norm: expected eps > 0, got 0.0"),
    "batch_norm, eps NaN": (lambda: normed(eps=np.nan), "batch_norm: expected eps > 0, got nan"),
    "batch_norm_relu, one row": (
        lambda: F.batch_norm_relu(X[:1], THREE, THREE),
        r"batch_norm_relu: expected at least 2 rows",
    ),
    "batch_norm_relu_inference, features": (
        lambda: F.batch_norm_relu_inference(X.T, *4 * [THREE]),
        r"batch_norm_relu_inference: expected 3 features",
    ),
    "add, shapes": (lambda: F.add(X, THREE), r"add: expected two arrays of one shape, got \(4, 3\) and \(3,\)"),
    "batch_norm_inference, statistics": (
        lambda: normed_by(variance=THREE[:2]),
        r"expected weight, bias, mean, variance of one shape \(features,\), got \(3,\), \(3,\), \(3,\), \(2,\)",
    ),
    "batch_norm_inference, features": (lambda: normed_by(X.T), r"batch_norm_inference: expected 3 features"),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_values_that_do_not_fit_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_step_that_is_no_array_is_refused():
    with pytest.raises(TypeError, match=r"expected an array of numpy, .*, got int"):
        F.dropout(X, 0.5, random_key(0, ""), 3)

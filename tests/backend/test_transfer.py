"""Values go to a backend and come back, whatever their type, layout and origin."""

import array_api_strict
import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import losses, optimizers
from xpnet.backend import open_backend

FLOATS = ["float16", "float32", "float64", "longdouble", ">f4"]
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", ">i4"]
LAYOUTS = {
    "0-d": lambda: np.asarray(3.0),
    "empty": lambda: np.zeros((0, 3)),
    "backwards": lambda: np.arange(6.0)[::-1],
    "transposed": lambda: np.arange(6.0).reshape(2, 3).T,
    "strided": lambda: np.arange(12.0).reshape(3, 4)[:, ::2],
    "broadcast": lambda: np.broadcast_to(np.arange(3.0), (2, 3)),
    "list": lambda: [[1.0, 2.0], [3.0, 4.0]],
    "number": lambda: 1.5,
    "NumPy's number": lambda: np.float64(1.5),
    "masked, but nothing is": lambda: np.ma.masked_array([1.0, 2.0]),
}


@pytest.mark.parametrize(
    ("given", "kept"),
    [(name, "float32") for name in FLOATS] + [(name, "int64") for name in INTEGERS] + [("bool", "bool")],
)
def test_types_become_the_backends_and_values_stay(backend, given, kept):
    host = np.asarray([0, 1, 1, 0]).astype(given)
    array = backend.asarray(host)
    assert array.dtype == getattr(backend.xp, kept)
    np.testing.assert_array_equal(backend.to_host(array), host.astype(kept), strict=True)


@pytest.mark.parametrize("given", FLOATS)
def test_a_backend_of_float64_makes_float64(backend64, given):
    assert backend64.asarray(np.ones(2).astype(given)).dtype == backend64.xp.float64


@pytest.mark.parametrize("make", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_do_not_matter(backend, make):
    np.testing.assert_array_equal(backend.to_host(backend.asarray(make())), np.asarray(make(), np.float32), strict=True)


def test_read_only_host_arrays_are_taken_and_copied_where_written_later(backend):
    host = np.ones(3)
    host.flags.writeable = False
    parameter = L.Parameter(backend.copy(backend.asarray(host)))
    parameter.data[...] = 2.0
    assert (host == 1.0).all()


def test_what_is_there_already_is_not_copied(backend):
    array = backend.asarray(np.ones(3))
    assert backend.asarray(array) is array


def test_a_copy_shares_no_memory(backend):
    array = backend.asarray(np.ones(3))
    copy = backend.copy(array)
    copy[...] = 2.0
    assert (backend.to_host(array) == 1.0).all()


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_arrays_move_between_all_libraries(backend, dtype):
    host = np.asarray([[0, 1], [1, 1]]).astype(dtype)
    array = backend.asarray(host)
    for name in xpnet.available_backends():
        other = open_backend(name)
        there = other.asarray(array)
        np.testing.assert_array_equal(other.to_host(there), host, strict=True)
        np.testing.assert_array_equal(backend.to_host(backend.asarray(there)), host, strict=True)


REFUSED = {
    "objects": (np.asarray([None, 1]), "object"),
    "text": (np.asarray(["a"]), "<U1"),
    "complex numbers": (np.asarray([1j]), "complex128"),
    "dates": (np.asarray(["2020-01-01"], "datetime64[D]"), r"datetime64\[D\]"),
    "None": (None, "object"),
    "a word": ("seven", "<U5"),
}


@pytest.mark.parametrize(("values", "kind"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_number_is_refused(backend, values, kind):
    with pytest.raises(
        TypeError, match=rf"values: expected numbers \(floating-point, integer or boolean\), got {kind}"
    ):
        backend.asarray(values)


def test_masked_values_are_refused_rather_than_uncovered(backend):
    with pytest.raises(ValueError, match=r"values: some are masked .*; give them one first: values\.filled\(0\.0\)"):
        backend.asarray(np.ma.masked_array([1.0, -999.0], [False, True]))


def test_zeros_are_writable_and_never_scalars(backend):
    number = backend.zeros(())
    number[...] = 3.0
    assert number.shape == ()
    assert float(number) == 3.0
    assert backend.zeros((2, 3)).dtype == getattr(backend.xp, backend.dtype)


def test_an_arrays_own_backend_makes_others_like_it(backend64):
    array = backend64.zeros(2)
    assert open_backend(backend64.name).at(array).zeros(3).dtype == array.dtype


def test_a_device_of_its_own_holds_a_whole_training_step():
    """The standard's test library has devices that refuse to mix: nothing may be made elsewhere on the way."""
    device = array_api_strict.Device("device1")
    with xpnet.use_backend("array_api_strict", device=device) as backend:
        model = L.Sequential(L.Linear(3, 4), L.BatchNorm(4), L.ReLU(), L.Dropout(0.5), L.Linear(4, 2))
        optimizer = optimizers.Adam(model, 0.1, clip_norm=1.0)
        x = backend.asarray(np.random.default_rng(0).standard_normal((6, 3)))
        for _ in range(2):
            y, pullback = model.forward(x)
            loss, loss_pullback = losses.softmax_cross_entropy(y, backend.asarray([0, 1, 0, 1, 0, 1]))
            pullback(loss_pullback())
            optimizer.step(loss)
        assert model(x).device == loss.device == device
        assert model.backend.device == device
    moved = backend.asarray(array_api_strict.ones(3))
    assert moved.device == device
    np.testing.assert_array_equal(backend.to_host(moved), 1.0)
    assert model.to("numpy").backend.name == "numpy"

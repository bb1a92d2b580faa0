"""State goes out and in: as copies, all or nothing, between models, processes and backends."""

import copy
import pickle

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import optimizers
from xpnet.backend import open_backend

X = np.random.default_rng(0).standard_normal((6, 3))


def train(model, steps=3):
    """A few steps of a new optimizer."""
    optimizer = optimizers.Adam(model, 0.1)
    for _ in range(steps):
        y, pullback = model.forward(model.backend.asarray(X))
        pullback(y)
        optimizer.step()


def output(model):
    return model.backend.to_host(model(model.backend.asarray(X)))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_state_and_load_state_are_inverse(backend, network, values_of, packed):
    model, other = network(), network()
    if packed:
        optimizers.Adam(other, 0.1)
    train(model)
    other.load_state(model.state())
    assert_same(values_of(other), values_of(model))
    np.testing.assert_array_equal(output(other), output(model))


def test_a_state_is_a_copy_on_both_ways(backend, network, values_of):
    model = network()
    before, state = values_of(model), model.state()
    train(model)
    assert_same({path: np.array(backend.to_host(values)) for path, values in state.items()}, before)
    model.load_state(state)
    for values in state.values():
        values[...] = 7.0
    assert_same(values_of(model), before)


def test_a_state_may_come_from_another_library_or_type(backend, network, values_of):
    model, other = network(), network()
    train(model)
    other.load_state({path: values.astype(np.float64) for path, values in values_of(model).items()})
    assert_same(values_of(other), values_of(model))


BAD = {
    "missing": (
        lambda state: {p: v for p, v in state.items() if p != "0.bias"},
        ValueError,
        r"missing: 0\.bias \(4,\)",
    ),
    "unexpected": (lambda state: state | {"9.bias": state["0.bias"]}, ValueError, r"unexpected: 9\.bias \(4,\)"),
    "mis-shaped": (
        lambda state: state | {"6.weight": np.zeros((2, 4), np.float32)},
        ValueError,
        r"shape: 6\.weight is \(2, 4\) there, \(4, 2\) in the model",
    ),
    "integers": (
        lambda state: state | {"6.bias": np.zeros(2, np.int64)},
        TypeError,
        r"expected floating-point values, but 6\.bias is int64; nothing was changed",
    ),
    "objects": (
        lambda state: state | {"6.bias": np.asarray([None, None])},
        TypeError,
        "expected numbers .* got object",
    ),
}


@pytest.mark.parametrize(("spoil", "error", "message"), BAD.values(), ids=BAD)
def test_a_state_that_does_not_fit_changes_nothing(backend, network, values_of, spoil, error, message):
    model = network()
    before = values_of(model)
    with pytest.raises(error, match=message):
        model.load_state(spoil({path: values + 1.0 for path, values in before.items()}))
    assert_same(values_of(model), before)


def test_all_that_does_not_fit_is_listed_at_once(network):
    state = network().state()
    del state["0.weight"]
    state |= {"0.wieght": state["0.bias"], "1.bias": state["6.bias"]}
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        network().load_state(state)
    assert str(caught.value) == (
        "load_state: the names or shapes do not fit the model; nothing was changed\n"
        "  missing: 0.weight (3, 4)\n"
        "  unexpected: 0.wieght (4,)\n"
        "  shape: 1.bias is (2,) there, (4,) in the model"
    )


COPIES = {"deepcopy": copy.deepcopy, "pickle": lambda model: pickle.loads(pickle.dumps(model))}


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_starts_a_life_of_its_own(backend, network, values_of, copied, packed):
    model = network()
    if packed:
        train(model)
    before = values_of(model)
    twin = copied(model)
    assert_same(values_of(twin), before)
    np.testing.assert_array_equal(output(twin), output(model))
    train(twin)
    assert_same(values_of(model), before)
    after = values_of(twin)
    train(model)
    assert_same(values_of(twin), after)
    assert all(not np.array_equal(after[path], before[path]) for path in model.parameters())


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_keeps_what_was_shared(copied):
    layer = L.Linear(3, 3)
    twin = copied(L.Sequential(layer, L.ReLU(), layer))
    assert twin[0] is twin[2]
    assert twin[0] is not layer


@pytest.mark.parametrize("target", ["numpy", "torch", "array_api_strict"])
def test_a_model_moves_to_every_backend(backend, network, values_of, target):
    if target not in xpnet.available_backends():
        pytest.importorskip(target)
    model = network()
    train(model)
    before = values_of(model)
    moved = model.to(target)
    assert moved.backend.name == target
    assert_same(values_of(moved), before)
    np.testing.assert_allclose(output(moved), output(model), rtol=1e-5, atol=1e-6)
    train(moved)
    assert_same(values_of(model), before)


def test_a_model_moves_to_a_type_and_back(backend, network):
    wide = network().to(open_backend(backend.name, dtype="float64"))
    assert {str(t.data.dtype).rpartition(".")[2] for t in wide.tensors().values()} == {"float64"}
    assert wide.backend.dtype == "float64"
    assert wide.to(backend).backend.dtype == "float32"


def test_moving_to_an_unknown_backend_says_which_are_known():
    with pytest.raises(ValueError, match=r"unknown backend 'troch': known are .*; did you mean 'torch'\?"):
        L.Linear(2, 2).to("troch")


def test_a_model_without_tensors_lives_where_new_arrays_are_made(backend):
    assert L.Sequential(L.ReLU()).backend is backend


def test_parameters_are_made_on_the_current_backend(backend64):
    model = L.Sequential(L.Linear(2, 2), L.BatchNorm(2))
    assert all(t.data.dtype == backend64.xp.float64 for t in model.tensors().values())
    assert model.backend.name == backend64.name


def test_initial_weights_are_the_same_on_every_backend(backend):
    xpnet.seed(5)
    model = L.Linear(30, 20)
    with xpnet.use_backend("numpy"):
        xpnet.seed(5)
        np.testing.assert_array_equal(backend.to_host(model.weight.data), L.Linear(30, 20).weight.data)


def test_weights_decay_and_biases_and_normalization_do_not(network):
    decaying = [path for path, parameter in network().parameters().items() if parameter.decay]
    assert decaying == ["0.weight", "4.body.weight", "6.weight"]


@pytest.mark.parametrize("make", [L.Parameter, L.Buffer])
def test_parameters_and_buffers_hold_arrays(make):
    assert repr(make(np.zeros((2, 3), np.float32))) == f"{make.__name__}(shape=(2, 3), dtype=float32)"
    with pytest.raises(TypeError, match=r"expected an array of numpy, .*, got list"):
        make([1.0])

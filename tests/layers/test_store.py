"""The flat store: every parameter a view of one array, and one owner at a time."""

import numpy as np
import pytest

from xpnet import layers as L
from xpnet import optimizers
from xpnet.layers import FlatStore

X = np.random.default_rng(0).standard_normal((6, 3))


def pull(model):
    y, pullback = model.forward(model.backend.asarray(X))
    pullback(model.backend.xp.ones_like(y))


def test_packing_changes_no_value_and_no_gradient(backend, network, values_of):
    model = network()
    pull(model)
    before = values_of(model)
    gradients = {path: np.array(backend.to_host(p.grad)) for path, p in model.parameters().items()}
    FlatStore.of(model)
    after = values_of(model)
    for path, parameter in model.parameters().items():
        np.testing.assert_array_equal(after[path], before[path])
        np.testing.assert_array_equal(backend.to_host(parameter.grad), gradients[path])


def test_parameters_and_gradients_are_views(backend, network):
    model = network()
    store = FlatStore.of(model)
    store.data[...] = 3.0
    store.grad[...] = 4.0
    for parameter in model.parameters().values():
        assert (backend.to_host(parameter.data) == 3.0).all()
        assert (backend.to_host(parameter.grad) == 4.0).all()
        parameter.data[...] = 5.0
    count = sum(int(np.prod(p.data.shape)) for p in model.parameters().values())
    assert (backend.to_host(store.data) == 5.0).sum() == count


def test_pullbacks_and_loading_write_into_the_store(backend, network):
    model = network()
    store = FlatStore.of(model)
    model.load_state({path: values * 0.0 + 2.0 for path, values in model.state().items()})
    pull(model)
    assert set(np.unique(backend.to_host(store.data))) == {0.0, 2.0}
    assert backend.to_host(store.grad).any()
    assert all(parameter.store is store for parameter in model.parameters().values())


def test_what_decays_comes_first_and_gaps_stay_zero(backend, network):
    model = network()
    store = FlatStore.of(model)
    for parameter in model.parameters().values():
        parameter.data[...] = 1.0 if parameter.decay else 2.0
    assert set(np.unique(backend.to_host(store.weights()))) == {0.0, 1.0}
    assert set(np.unique(backend.to_host(store.data)[store.decayed :])) == {0.0, 2.0}
    assert store.weights().shape == store.weight_gradients().shape == (store.decayed,)
    optimizer = optimizers.Adam(model, 0.1)
    for _ in range(3):
        pull(model)
        optimizer.step()
    count = sum(int(np.prod(p.data.shape)) for p in model.parameters().values())
    assert np.count_nonzero(backend.to_host(store.data)) <= count


def test_every_parameter_starts_on_a_line_of_memory():
    model = L.Sequential(L.Linear(3, 5), L.Linear(5, 7), L.BatchNorm(7))
    store = FlatStore.of(model)
    starts = [p.data.ctypes.data - store.data.ctypes.data for p in model.parameters().values()]
    assert all(start % 64 == 0 for start in starts)
    assert len(set(starts)) == len(starts)
    assert store.size % 256 == store.decayed % 256 == 0


def test_a_second_optimizer_shares_the_store(backend, network):
    model = network()
    first, second = optimizers.SGD(model, 0.1), optimizers.Adam(model, 0.1)
    assert first.store is second.store
    pull(model)
    first.step()
    pull(model)
    second.step()


def test_an_optimizer_whose_parameters_moved_on_says_so(backend):
    inner = L.Linear(3, 3)
    stale = optimizers.SGD(inner, 0.1)
    outer = L.Sequential(inner, L.Linear(3, 2))
    optimizer = optimizers.SGD(outer, 0.1)
    pull(outer)
    with pytest.raises(
        RuntimeError, match=r"its parameters have moved .*; build one optimizer, for the outermost model"
    ):
        stale.step()
    optimizer.step()


def test_an_inner_optimizer_built_later_takes_over(backend):
    inner = L.Linear(3, 3)
    outer = L.Sequential(inner, L.Linear(3, 2))
    stale = optimizers.SGD(outer, 0.1)
    optimizers.SGD(inner, 0.1)
    with pytest.raises(RuntimeError, match="its parameters have moved"):
        stale.step()


def test_nothing_to_train_is_refused():
    for model in (L.ReLU(), L.Frozen(L.Linear(2, 2)), L.Sequential()):
        with pytest.raises(
            ValueError, match=r"the model has no parameters to train \(are all of its layers frozen\?\)"
        ):
            FlatStore.of(model)


def test_parameters_of_two_types_are_refused():
    model = L.Sequential(L.Linear(2, 2), L.Linear(2, 2).to(open64()))
    with pytest.raises(TypeError, match=r"the model's parameters are of several types \(float32, float64\)"):
        FlatStore.of(model)


def open64():
    from xpnet.backend import open_backend

    return open_backend("numpy", dtype="float64")


def test_parameters_of_two_libraries_are_refused():
    model = L.Sequential(L.Linear(2, 2), L.Linear(2, 2).to("array_api_strict"))
    with pytest.raises(TypeError, match="arrays of numpy and array_api_strict meet in one call"):
        FlatStore.of(model)

"""Watching layers run: all of them, in order, and nothing is left behind."""

import numpy as np
import pytest

from xpnet import layers as L
from xpnet.layers import observe

X = np.ones((5, 3))


def model():
    return L.Sequential(
        L.Linear(3, 4), L.Residual(L.Sequential(L.Linear(4, 4), L.ReLU())), L.Concat(a=L.Tanh(), b=L.Linear(4, 1))
    )


PATHS = ["0", "1.body.0", "1.body.1", "1.shortcut", "2.a", "2.b"]


def test_every_layer_is_told_of_in_the_order_it_runs(backend):
    net, seen = model(), []
    with observe(
        net,
        on_forward=lambda path, x, y: seen.append((path, tuple(x.shape), tuple(y.shape))),
        on_backward=lambda path, layer, dx: seen.append((path, layer, tuple(dx.shape))),
    ):
        y, pullback = net.forward(backend.asarray(X))
        assert pullback(backend.xp.ones_like(y)) is None
    forward, backward = seen[:6], seen[6:]
    assert [path for path, *_ in forward] == PATHS
    assert forward[0] == ("0", (5, 3), (5, 4))
    assert sorted(path for path, *_ in backward) == sorted(PATHS)
    assert backward[-1] == ("0", net[0], (5, 3))


def test_calls_are_observed_too_and_give_what_they_give(backend):
    net, seen = model(), []
    expected = backend.to_host(net(backend.asarray(X)))
    with observe(net, on_forward=lambda path, x, y: seen.append(path)):
        found = backend.to_host(net(backend.asarray(X)))
    assert seen == PATHS
    np.testing.assert_array_equal(found, expected)


def test_a_single_layer_has_an_empty_path():
    layer, seen = L.Linear(3, 2), []
    with observe(layer, on_forward=lambda path, x, y: seen.append(path)):
        layer(X.astype(np.float32))
    assert seen == [""]


def test_a_shared_layer_is_told_of_each_time_it_runs():
    layer, seen = L.Linear(3, 3), []
    net = L.Sequential(layer, L.ReLU(), layer)
    with observe(net, on_forward=lambda path, x, y: seen.append(path)):
        net(X.astype(np.float32))
    assert seen == ["0", "1", "0"]


def test_frozen_layers_are_told_of():
    net, seen = L.Sequential(L.Frozen(L.Sequential(L.Linear(3, 3), L.ReLU()))), []
    with observe(net, on_forward=lambda path, x, y: seen.append(path)):
        net(X.astype(np.float32))
    assert seen == ["0.0", "0.1"]


def test_the_model_is_left_as_it_was():
    net = model()
    before = [dict(vars(layer)) for layer in net.layers().values()]
    with observe(net, on_forward=lambda *_: None):
        pass
    with pytest.raises(ZeroDivisionError), observe(net):
        raise ZeroDivisionError
    assert [dict(vars(layer)) for layer in net.layers().values()] == before


def test_observers_may_be_nested():
    net, outer, inner = L.Sequential(L.Linear(3, 3)), [], []
    x = X.astype(np.float32)
    with observe(net, on_forward=lambda path, x, y: outer.append(path)):
        with observe(net, on_forward=lambda path, x, y: inner.append(path)):
            net(x)
        net(x)
    net(x)
    assert (len(outer), len(inner)) == (2, 1)

"""Two layers that one pass computes give what they give one after the other, and are seen apart by who looks."""

import numpy as np
import pytest

import xpnet
from xpnet import layers as L

X = np.random.default_rng(0).standard_normal((6, 5, 4, 3))

PAIRS = {
    "linear": lambda: L.Linear(3, 3),
    "batch norm": lambda: L.BatchNorm(3),
    "residual": lambda: L.Residual(L.Linear(3, 3)),
    "residual with a shortcut": lambda: L.Residual(L.Linear(3, 3), L.BatchNorm(3)),
}
EACH = pytest.mark.parametrize("make", PAIRS.values(), ids=PAIRS)


def results(model, backend, training):
    """Value, gradients by x and by the parameters, and the buffers afterwards."""
    x = backend.asarray(X)
    y, pullback = model.forward(x, training=training)
    dx = pullback(backend.asarray(np.cos(X)), input_gradient=True)
    gradients = [parameter.grad for parameter in model.parameters().values()]
    return [backend.to_host(a) for a in (y, model(x), dx, *gradients, *(b.data for b in model.buffers().values()))]


@EACH
@pytest.mark.parametrize("training", [True, False])
def test_a_pair_computes_what_its_layers_do(make, training, backend64):
    xpnet.seed(0)
    block = make()
    together = L.Sequential(block, L.ReLU())
    apart = L.Sequential(block, L.Sequential(L.ReLU())).to(backend64)
    assert type(together._runs[0][1]).__name__.endswith("ReLU")
    for a, b in zip(results(together, backend64, training), results(apart, backend64, training), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@EACH
def test_who_watches_sees_both_layers(make):
    seen = []
    model = L.Sequential(norm=make(), relu=L.ReLU())
    with L.observe(model, on_forward=lambda path, x, y: seen.append((path, y))):
        model.forward(X.astype(np.float32))
    assert seen[-1][0] == "relu"
    assert seen[-1][1].min() == 0.0
    assert seen[-2][1].min() < 0.0 or isinstance(model[0], L.Residual)


@EACH
def test_a_copy_has_pairs_of_its_own(make):
    model = L.Sequential(make(), L.ReLU())
    copied, x = model.to("numpy"), X.astype(np.float32)
    before = model(x)
    for tensor in copied.tensors().values():
        tensor.data[...] = 0.5
    np.testing.assert_array_equal(model(x), before)
    assert not np.array_equal(copied(x), before)


@EACH
def test_an_error_names_the_first_of_the_pair(make):
    model = L.Sequential(first=make(), relu=L.ReLU())
    with pytest.raises(ValueError, match=r"^layer 'first"):
        model(X[..., :2].astype(np.float32))


class Unit(L.Layer):
    """A layer of somebody else, with a setting of its own that is called as our method is."""

    def __init__(self, with_relu):
        self.with_relu = with_relu

    def output_shape(self, input_shape):
        return tuple(input_shape)

    def forward(self, x, *, training=True):
        return x, lambda dy, *, input_gradient=False: dy


@pytest.mark.parametrize("with_relu", [True, False])
def test_a_setting_called_with_relu_is_no_method(with_relu):
    np.testing.assert_array_equal(L.Sequential(Unit(with_relu), L.ReLU())(X), np.maximum(X, 0.0))

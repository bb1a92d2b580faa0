"""`layer_outputs`: what each layer computes, without a trace."""

import numpy as np
import pytest

import xpnet
from xpnet.diagnostics import layer_outputs
from xpnet.layers import BatchNorm, Dropout, Linear, ReLU, Residual, Sequential

X = np.random.default_rng(0).normal(size=(6, 3)) + 1.0


@pytest.fixture
def model(backend):
    return Sequential(Linear(3, 4), BatchNorm(4), norm=Residual(Sequential(ReLU(), Dropout(0.5))), out=Linear(4, 2))


def test_outputs_of_the_layers_without_layers_below_in_the_order_they_run(backend, model):
    found = layer_outputs(model, X)
    assert list(found) == ["0", "1", "norm.body.0", "norm.body.1", "norm.shortcut", "out"]
    np.testing.assert_array_equal(found["out"], xpnet.predict(model, X))
    linear = backend.to_host(model["0"](backend.asarray(X)))
    np.testing.assert_array_equal(found["0"], linear)
    np.testing.assert_array_equal(found["norm.body.0"], np.maximum(found["1"], 0.0))
    np.testing.assert_array_equal(found["norm.body.1"], found["norm.body.0"])
    assert all(type(values) is np.ndarray for values in found.values())


def test_training_shows_dropout_and_the_statistics_of_the_batch(model):
    found = layer_outputs(model, X, training=True)
    np.testing.assert_allclose(found["1"].mean(axis=0), 0.0, atol=1e-6)
    active = found["norm.body.0"] > 0.0
    assert 0 < np.count_nonzero(found["norm.body.1"][active] == 0.0) < np.count_nonzero(active)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(backend, model, training):
    def bits():
        return {path: backend.to_host(values).tobytes() for path, values in model.state().items()}

    before = bits()
    layer_outputs(model, X, training=training)
    broken = Sequential(model["0"], model["1"], Linear(5, 1))
    with pytest.raises(ValueError, match=r"^layer '2': Linear\(5, 1\): expected 5 features in the last axis, got 4"):
        layer_outputs(broken, X, training=training)
    assert bits() == before
    assert all(parameter.stale for parameter in model.parameters().values())
    assert "forward" not in vars(model["0"])


def test_a_single_layer_has_the_empty_path(backend):
    assert {path: y.shape for path, y in layer_outputs(Linear(3, 2), X).items()} == {"": (6, 2)}

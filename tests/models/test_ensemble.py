"""Ensembles: the weighted mean of their members' probabilities."""

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import models

X = np.random.default_rng(0).standard_normal((5, 4))


def members(n=3):
    return [models.mlp([4, 6, 3], activation="tanh") for _ in range(n)]


def softmax(y):
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [None, (1.0, 0.0, 3.0), [0.2, 0.2, 0.2]])
def test_the_mean_of_probabilities(backend64, weights):
    parts, x = members(), backend64.asarray(X)
    y = backend64.to_host(models.Ensemble(parts, weights)(x))
    each = [softmax(backend64.to_host(model(x))) for model in parts]
    np.testing.assert_allclose(y, np.average(each, axis=0, weights=weights), rtol=1e-12)
    np.testing.assert_allclose(y.sum(axis=1), 1.0)


def test_gradients_are_differences(backend64):
    ensemble, random = models.Ensemble(members(), (1.0, 2.0, 0.5)), np.random.default_rng(1)
    dy, direction = random.standard_normal((5, 3)), random.standard_normal(X.shape)
    _, pullback = ensemble.forward(backend64.asarray(X))
    dx = backend64.to_host(pullback(backend64.asarray(dy), input_gradient=True))
    beside = [backend64.to_host(ensemble(backend64.asarray(X + step * direction))) for step in (1e-6, -1e-6)]
    np.testing.assert_allclose(np.sum(dx * direction), np.sum(dy * (beside[0] - beside[1])) / 2e-6, rtol=1e-7)
    assert list(ensemble.parameters())[:2] == ["0.0.weight", "0.0.bias"]
    assert all(parameter.grad is not None for parameter in ensemble.parameters().values())
    assert pullback(backend64.asarray(dy)) is None


def test_weights_are_saved_and_loaded(tmp_path):
    ensemble, other = models.Ensemble(members()), models.Ensemble(members())
    xpnet.save_weights(ensemble, tmp_path / "all.safetensors")
    xpnet.load_weights(other, tmp_path / "all.safetensors")
    x = X.astype(np.float32)
    np.testing.assert_array_equal(ensemble(x), other(x))


def test_a_member_with_auxiliary_heads_counts_by_its_main_one():
    with xpnet.use_backend("numpy", dtype="float64"):
        net = models.googlenet(classes=3, dropout=0.0, aux_dropout=0.0)
    x = np.random.default_rng(0).standard_normal((2, 32, 32, 3))
    (main, _, _), _ = net.forward(x)
    y, pullback = models.Ensemble([net]).forward(x)
    np.testing.assert_allclose(y, softmax(main), rtol=1e-9)
    assert pullback(y, input_gradient=True).shape == x.shape


ERRORS = {
    "none": (lambda: models.Ensemble([]), ValueError, "expected one model at least, got none"),
    "no layer": (lambda: models.Ensemble([np.tanh]), TypeError, r"models\[0\] must be a layer, got ufunc"),
    "one model": (lambda: models.Ensemble(members(1)[0]), TypeError, "must be a list of layers, got one Sequential"),
    "no list": (lambda: models.Ensemble(None), TypeError, "must be a list of layers, got one NoneType"),
    "one weight": (lambda: models.Ensemble(members(), 0.5), TypeError, r"one number for each model, got 0\.5"),
    "words": (lambda: models.Ensemble(members(1), ["a"]), TypeError, r"one number for each model, got \['a'\]"),
    "too large": (lambda: models.Ensemble(members(2), (1e308, 1e308)), ValueError, "weights must be finite, >= 0"),
    "few": (lambda: models.Ensemble(members(), (1, 2)), ValueError, "expected 3 weights, one for each model, got 2"),
    "negative": (lambda: models.Ensemble(members(), (1, 2, -1)), ValueError, "weights must be finite, >= 0"),
    "NaN": (lambda: models.Ensemble(members(), (1, 2, np.nan)), ValueError, "weights must be finite, >= 0"),
    "zeros": (lambda: models.Ensemble(members(), (0, 0, 0)), ValueError, "not all 0"),
    "shapes": (
        lambda: models.Ensemble([models.mlp([4, 3]), models.mlp([4, 2])])(X.astype(np.float32)),
        ValueError,
        r"Ensemble: expected outputs of one shape, got \(5, 3\), \(5, 2\)",
    ),
    "images": (
        lambda: models.Ensemble([L.ReLU()]).output_shape((2, 3, 4)),
        ValueError,
        r"Ensemble: expected outputs \(n, classes\), got shape \(2, 3, 4\)",
    ),
    "path": (
        lambda: models.Ensemble([*members(1), models.mlp([5, 3])]).output_shape((2, 4)),
        ValueError,
        r"layer '1\.0': Linear\(5, 3\): expected 5 features",
    ),
}


@pytest.mark.parametrize(("call", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()

"""Dropout as a layer: whose masks, and when they change."""

import copy
import pickle

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import optimizers


def ones(backend):
    return backend.asarray(np.ones((20, 30)))


def mask(layer, backend):
    """What one training forward keeps, as booleans."""
    return np.array(backend.to_host(layer.forward(ones(backend))[0])) > 0.0


def test_calling_and_inference_drop_nothing(backend):
    layer, x = L.Dropout(0.5), ones(backend)
    y, pullback = layer.forward(x, training=False)
    for result in (layer(x), y, pullback(x, input_gradient=True)):
        np.testing.assert_array_equal(backend.to_host(result), 1.0)


def test_training_drops_and_scales_values_and_gradients_alike(backend):
    x = ones(backend)
    y, pullback = L.Dropout(0.5).forward(x)
    assert set(np.unique(backend.to_host(y))) == {0.0, 2.0}
    np.testing.assert_array_equal(backend.to_host(pullback(x, input_gradient=True)), backend.to_host(y))


def test_without_an_optimizer_the_mask_stays_so_a_gradient_check_sees_one_function(backend):
    layer = L.Dropout(0.5)
    np.testing.assert_array_equal(mask(layer, backend), mask(layer, backend))


def test_only_a_step_brings_another_mask(backend):
    model = L.Sequential(L.Linear(30, 30), L.Dropout(0.5))
    optimizer = optimizers.SGD(model, 0.1)
    first = mask(model[1], backend)
    np.testing.assert_array_equal(mask(model[1], backend), first)
    model[0].bias.grad = backend.zeros((30,))
    optimizer.step()
    assert (mask(model[1], backend) != first).mean() == pytest.approx(0.5, abs=0.1)


def test_each_layer_has_a_mask_of_its_own(backend):
    a, b = L.Dropout(0.5), L.Dropout(0.5)
    assert (mask(a, backend) != mask(b, backend)).mean() == pytest.approx(0.5, abs=0.1)
    model = L.Sequential(L.Linear(30, 30), L.Dropout(0.5), L.Dropout(0.5))
    optimizers.SGD(model, 0.1)
    assert (mask(model[1], backend) != mask(model[2], backend)).mean() == pytest.approx(0.5, abs=0.1)


def test_the_seed_and_the_order_of_construction_give_the_mask(backend):
    def masks(seed):
        xpnet.seed(seed)
        return np.stack([mask(L.Dropout(0.5), backend) for _ in range(2)])

    np.testing.assert_array_equal(masks(3), masks(3))
    assert (masks(3) != masks(4)).any()


def test_under_an_optimizer_the_seed_and_the_path_give_the_mask(backend):
    def masks(seed, others):
        for _ in range(others):
            L.Dropout(0.5)
        xpnet.seed(seed)
        model = L.Sequential(L.Linear(30, 30), L.Dropout(0.5))
        optimizers.SGD(model, 0.1)
        return mask(model[1], backend)

    np.testing.assert_array_equal(masks(3, others=0), masks(3, others=2))
    assert (masks(3, others=0) != masks(4, others=0)).any()


def test_the_same_masks_on_every_backend(backend):
    xpnet.seed(11)
    found = mask(L.Dropout(0.3), backend)
    with xpnet.use_backend("numpy") as numpy:
        xpnet.seed(11)
        np.testing.assert_array_equal(mask(L.Dropout(0.3), numpy), found)


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_a_copy_keeps_the_key_and_leaves_the_optimizers_steps(backend, again):
    model = L.Sequential(L.Linear(30, 30), L.Dropout(0.5))
    optimizer = optimizers.SGD(model, 0.1)
    first = mask(model[1], backend)
    model[0].bias.grad = backend.zeros((30,))
    optimizer.step()
    np.testing.assert_array_equal(mask(again(model)[1], backend), first)


def test_a_layer_that_moves_takes_its_masks_along(backend):
    layer = L.Dropout(0.5)
    with xpnet.use_backend("array_api_strict") as strict:
        found = mask(layer.to(strict), strict)
    np.testing.assert_array_equal(found, mask(layer, backend))


@pytest.mark.parametrize("rate", [np.float32(0.25), np.float64(0.25)], ids=["float32", "float64"])
def test_a_rate_may_be_numpys(backend, rate):
    layer = L.Dropout(rate)
    y, _ = layer.forward(ones(backend))
    assert y.dtype == ones(backend).dtype
    assert repr(layer) == "Dropout(0.25)"


@pytest.mark.parametrize("rate", [1.0, -0.1, float("nan"), float("inf")])
def test_a_rate_that_is_no_probability_below_1_is_refused(rate):
    with pytest.raises(ValueError, match=f"dropout: expected 0 <= rate < 1, got {rate!r}"):
        L.Dropout(rate)

"""`layer_shapes`: which layer makes what of which array, without running."""

from typing import final

import numpy as np
import pytest

from xpnet import layers as L
from xpnet.layers import layer_shapes, observe


def listed(whole):
    return [(each.path, each.input_shape, each.output_shape) for each in whole.walk()]


def test_shapes_are_those_of_running():
    model = L.Sequential(
        L.Conv2d(3, 8, 3),
        L.Residual(L.Sequential(L.Conv2d(8, 8, 3, padding=1), L.ReLU())),
        L.Concat(a=L.Conv2d(8, 2, 1), b=L.Frozen(L.Sequential(L.BatchNorm(8), L.Tanh()))),
        L.Flatten(),
    )
    found = layer_shapes(model, (2, 6, 6, 3))
    seen = []
    with observe(model, on_forward=lambda path, x, y: seen.append((path, x.shape, y.shape))):
        y = model(np.zeros((2, 6, 6, 3), np.float32))
    assert found.output_shape == y.shape
    assert [(each.path, each.input_shape, each.output_shape) for each in found.walk() if not each.inside] == seen


def test_a_layer_comes_after_those_inside_it_and_an_empty_name_adds_no_level():
    model = L.Sequential(se=L.SqueezeExcite(32), relu=L.ReLU())
    found = layer_shapes(model, (2, 4, 4, 32))
    assert [(each.path, type(each.layer).__name__) for each in found.walk()] == [
        *(("se.pool", "GlobalAvgPool"), ("se.fc1", "Linear"), ("se.relu", "ReLU"), ("se.fc2", "Linear")),
        *(("se.sigmoid", "Sigmoid"), ("se", "Sequential"), ("se", "SqueezeExcite"), ("relu", "ReLU")),
        ("", "Sequential"),
    ]


def test_a_shared_layer_has_the_path_of_each_of_its_places():
    shared = L.Sequential(L.Linear(3, 3), L.ReLU())
    found = layer_shapes(L.Sequential(shared, L.Tanh(), shared, last=shared), (5, 3))
    assert [each.path for each in found.walk() if not each.inside] == [
        *("0.0", "0.1", "1", "2.0", "2.1", "last.0", "last.1"),
    ]


def test_one_array_is_one_object():
    model = L.Sequential(L.ReLU(), L.Residual(L.Sequential(L.Tanh())), L.Sequential(L.Sequential(L.ReLU())))
    whole = layer_shapes(model, (5, 3))
    first, residual, last = whole.inside
    body, shortcut = residual.inside
    assert first.output_shape is residual.input_shape is body.input_shape is shortcut.input_shape
    assert residual.output_shape is last.input_shape
    assert last.output_shape is last.inside[0].inside[0].output_shape is whole.output_shape
    arrays = [whole.input_shape, first.output_shape, body.output_shape, shortcut.output_shape, residual.output_shape]
    assert len({id(shape) for shape in arrays}) == 5


@final
class Twice(L.Layer):
    """Asks its layer two times; another one, in a place of its own, never."""

    def __init__(self):
        self.inner, self.head = L.Linear(3, 3), L.Linear(3, 100)

    def output_shape(self, input_shape):
        return list(self.inner.output_shape(self.inner.output_shape(list(input_shape))))

    def forward(self, x, *, training=True):
        raise AssertionError("nothing runs")


def test_layers_of_ones_own_are_listened_to():
    assert listed(layer_shapes(L.Sequential(Twice()), [5, 3])) == [
        *((path, (5, 3), (5, 3)) for path in ("0.inner", "0.inner", "0", "")),
    ]


def test_errors_are_the_models_and_the_model_is_left_as_it_was():
    model = L.Sequential(L.Linear(3, 4), L.Residual(L.Linear(4, 4)))
    before = [dict(vars(layer)) for layer in (model, *model.layers().values())]
    with pytest.raises(ValueError, match=r"^layer '0': Linear\(3, 4\): expected 3 features in the last axis, got 2"):
        layer_shapes(model, (5, 2))
    assert layer_shapes(model, (5, 3)).output_shape == (5, 4)
    assert [dict(vars(layer)) for layer in (model, *model.layers().values())] == before

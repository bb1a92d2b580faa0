"""CONTRIBUTING's recipe runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pytest

from xpnet import optimizers
from xpnet.layers import Sequential

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
FUNCTION, LAYER = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)[:2]


@pytest.fixture
def recipe():
    names = {}
    exec(FUNCTION + LAYER, names)
    return names


def test_the_function_has_the_right_gradients(recipe, backend64, assert_gradients):
    random = np.random.default_rng(0)
    x, weight = backend64.asarray(random.standard_normal((2, 3, 4))), backend64.asarray(random.standard_normal(4))
    assert_gradients(recipe["scale"], (x, weight))


def test_the_layer_trains_and_names_what_does_not_fit(recipe, backend):
    model = Sequential(scale=recipe["Scale"](4))
    optimizer = optimizers.SGD(model, 0.1)
    before = backend.to_host(model["scale"].weight.data).copy()
    y, pullback = model.forward(backend.zeros((2, 4)) + 1.0)
    pullback(y)
    optimizer.step()
    np.testing.assert_allclose(backend.to_host(model["scale"].weight.data), 0.8 * before, rtol=1e-5)
    for run in (model, lambda x: model.output_shape(x.shape)):
        with pytest.raises(ValueError, match=r"^layer 'scale': Scale\(4\): expected 4 features, got shape \(2, 5\)"):
            run(backend.zeros((2, 5)))

import numpy as np
import pytest

import xpnet
from xpnet import initializers, models


def test_layers_alternate_and_the_last_is_raw():
    assert repr(models.mlp([4, 8, 3], "tanh")) == ("Sequential(\n  0: Linear(4, 8)\n  1: Tanh()\n  2: Linear(8, 3)\n)")


def test_normalization_comes_before_and_dropout_after_each_activation():
    model = models.mlp([4, 8, 6, 3], batch_norm=True, dropout=0.25)
    block = ["Linear(4, 8)", "BatchNorm(8)", "ReLU()", "Dropout(0.25)"]
    assert [repr(layer) for layer in model] == [
        *block, "Linear(8, 6)", "BatchNorm(6)", "ReLU()", "Dropout(0.25)", "Linear(6, 3)"
    ]  # fmt: skip


def test_two_sizes_are_one_layer():
    assert repr(models.mlp([4, 3])) == "Sequential(\n  0: Linear(4, 3)\n)"


def test_sizes_may_be_an_array():
    assert repr(models.mlp(np.asarray([4, 3]))) == repr(models.mlp([4, 3]))


@pytest.mark.parametrize(
    ("activation", "variance"),
    [(name, 2.0 / 400) for name in ("relu", "leaky_relu", "gelu", "silu", "softplus")]
    + [(name, 1.0 / 400) for name in ("sigmoid", "tanh")],
)
def test_the_activation_chooses_the_initializer(activation, variance):
    weight = models.mlp([400, 300, 1], activation)[0].weight.data
    assert weight.var() == pytest.approx(variance, rel=0.05)


def test_an_initializer_of_the_users_serves_all_layers():
    model = models.mlp([4, 8, 3], weight=initializers.normal(0.0))
    assert all((parameter.data == 0.0).all() for parameter in model.parameters().values())


def test_shapes_follow_the_sizes(backend):
    model = models.mlp([4, 8, 3], batch_norm=True, dropout=0.5)
    assert model(backend.zeros((5, 4))).shape == model.output_shape((5, 4)) == (5, 3)
    assert model(backend.zeros((2, 5, 4))).shape == (2, 5, 3)


def test_the_same_seed_gives_the_same_model_on_every_backend(backend):
    x = np.random.default_rng(0).standard_normal((6, 4))
    xpnet.seed(3)
    model = models.mlp([4, 8, 3])
    found = backend.to_host(model(backend.asarray(x)))
    with xpnet.use_backend("numpy") as numpy:
        xpnet.seed(3)
        np.testing.assert_allclose(found, models.mlp([4, 8, 3])(numpy.asarray(x)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.mlp([4]), r"mlp: expected at least two sizes, from inputs to outputs, got \[4\]"),
        (lambda: models.mlp([]), r"mlp: expected at least two sizes, from inputs to outputs, got \[\]"),
        (lambda: models.mlp([4, 0, 3]), "Linear: outputs must be a positive integer, got 0"),
        (lambda: models.mlp([4.0, 3]), r"Linear: inputs must be a positive integer, got 4\.0"),
        (
            lambda: models.mlp([4, 3], "swish"),
            "mlp: unknown activation 'swish'; expected one of 'relu', 'leaky_relu', 'gelu', 'silu', 'softplus', "
            "'sigmoid', 'tanh'",
        ),
        (lambda: models.mlp([4, 4, 3], dropout=1.0), r"dropout: expected 0 <= rate < 1, got 1\.0"),
        (lambda: models.mlp([4, 4, 3], dropout=-0.1), r"dropout: expected 0 <= rate < 1, got -0\.1"),
    ],
)
def test_what_makes_no_network_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()

"""The ImageNet networks as constructors: sizes, initial weights, dropout, errors, and that they learn."""

import inspect
import math

import numpy as np
import pytest

import xpnet
from xpnet import losses, models, optimizers
from xpnet.layers import Dropout

FULLY_CONNECTED = ["alexnet", "zfnet", *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn"))]
RESIDUAL = [
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"),
    *("se_resnet50", "senet154"),
]
NETWORKS = FULLY_CONNECTED + RESIDUAL


def normal(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def dropout_of(model):
    return {path: layer.rate for path, layer in model.layers().items() if isinstance(layer, Dropout)}


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_and_channels_come_first_and_other_options_have_names(name, undrawn):
    parameters = list(inspect.signature(getattr(models, name)).parameters.values())
    assert [(p.name, p.default) for p in parameters[:2]] == [("classes", 1000), ("in_channels", 3)]
    assert all(p.kind is p.KEYWORD_ONLY for p in parameters[2:])
    with undrawn():
        assert getattr(models, name)().output_shape((5, 224, 224, 3)) == (5, 1000)
        assert getattr(models, name)(7, 1).output_shape((5, 224, 224, 1)) == (5, 7)


SMALLEST = {
    **{"alexnet": 63, "zfnet": 63},
    **{name: 32 for name in FULLY_CONNECTED if name.startswith("vgg")},
    **{name: 1 for name in RESIDUAL if name.startswith("res")},
    **{"se_resnet50": 5, "senet154": 5},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_from_the_smallest_that_the_docstring_tells(name, undrawn):
    smallest = SMALLEST[name]
    with undrawn():
        model = getattr(models, name)(10)
    for size in ((smallest, smallest), (smallest, 300), (257, smallest)):
        assert model.output_shape((2, *size, 3)) == (2, 10)
    if smallest > 1:
        with pytest.raises(ValueError, match=r"^layer '"):
            model.output_shape((2, smallest - 1, 224, 3))
        with pytest.raises(ValueError, match=r"^layer '"):
            model.output_shape((2, 224, smallest - 1, 3))


@pytest.mark.parametrize(
    ("name", "options", "size"),
    [
        ("alexnet", {"hidden": 8}, (70, 64)),
        ("alexnet", {"hidden": 8, "original": True}, (64, 70)),
        ("zfnet", {"hidden": 8}, (64, 70)),
        ("vgg11_bn", {"hidden": 8}, (33, 40)),
        ("resnet18", {}, (40, 33)),
        ("senet154", {}, (20, 9)),
    ],
)
def test_running_gives_the_shape_that_was_computed(name, options, size, undrawn):
    with undrawn():
        model = getattr(models, name)(4, 2, **options)
    assert model(normal((2, *size, 2))).shape == model.output_shape((2, *size, 2)) == (2, 4)


# What is drawn -----------------------------------------------------------------------------------------------------


def variances(model):
    """Of the weights with at least 2000 numbers: what was found, and the fans."""
    for path, parameter in model.parameters().items():
        shape = parameter.data.shape
        if len(shape) > 1 and parameter.data.size >= 2000:
            yield path, parameter.data, math.prod(shape[:-1]), math.prod(shape[:-2]) * shape[-1]


@pytest.mark.parametrize(
    ("name", "options", "variance"),
    [
        ("alexnet", {"hidden": 64}, lambda fan_in, fan_out: 0.01**2),
        ("alexnet", {"hidden": 64, "original": True}, lambda fan_in, fan_out: 0.01**2),
        ("zfnet", {"hidden": 64}, lambda fan_in, fan_out: 0.01**2),
        ("vgg11", {"hidden": 64}, lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
        ("vgg11_bn", {"hidden": 64}, lambda fan_in, fan_out: 2.0 / (fan_in + fan_out)),
        ("resnet18", {}, lambda fan_in, fan_out: 2.0 / fan_in),
        ("resnext50_32x4d", {}, lambda fan_in, fan_out: 2.0 / fan_in),
        ("se_resnet50", {}, lambda fan_in, fan_out: 2.0 / fan_in),
    ],
)
def test_initial_weights_have_the_papers_variance(name, options, variance):
    model = getattr(models, name)(100, **options)
    found = list(variances(model))
    assert len(found) > 5
    for path, weight, fan_in, fan_out in found:
        tolerance = 6.0 / math.sqrt(weight.size)
        assert weight.var() == pytest.approx(variance(fan_in, fan_out), rel=tolerance), path
        assert abs(weight.mean()) < 5.0 * weight.std() / math.sqrt(weight.size), path


def test_vggs_weights_are_glorots_uniform_ones():
    weight = models.vgg11(hidden=8)["features"][3].weight.data
    assert np.abs(weight).max() <= math.sqrt(6.0 / (9 * 64 + 9 * 128))


@pytest.mark.parametrize(
    ("options", "ones"),
    [
        ({}, ["features.3", "features.8", "features.10", "classifier.1", "classifier.4"]),
        ({"original": True}, ["features.4", "features.10", "features.12", "classifier.0", "classifier.3"]),
    ],
)
def test_alexnets_biases_start_at_the_papers_ones_and_zeros(options, ones, backend, undrawn):
    with undrawn():
        model = models.alexnet(hidden=8, **options)
    biases = {path: backend.to_host(p.data) for path, p in model.parameters().items() if path.endswith("bias")}
    assert len(biases) == 8
    for path, bias in biases.items():
        assert (bias == (path.removesuffix(".bias") in ones)).all(), path


@pytest.mark.parametrize("name", ["zfnet", "vgg11"])
def test_other_biases_start_at_zero(name):
    biases = [p.data for path, p in getattr(models, name)(hidden=8).parameters().items() if path.endswith("bias")]
    assert len(biases) >= 8
    assert not any(bias.any() for bias in biases)


def test_batch_norms_start_at_one_and_zero():
    found = {path: p.data for path, p in models.resnet18(10).parameters().items() if "bn" in path}
    assert len(found) == 2 * 17
    for path, values in found.items():
        assert (values == path.endswith("weight")).all(), path


# What they are made of ---------------------------------------------------------------------------------------------


def test_dropout_stands_where_the_papers_and_torchvision_have_it(undrawn):
    with undrawn():
        assert dropout_of(models.alexnet()) == {"classifier.0": 0.5, "classifier.3": 0.5}
        assert dropout_of(models.alexnet(original=True)) == {"classifier.2": 0.5, "classifier.5": 0.5}
        assert dropout_of(models.zfnet(dropout=0.3)) == {"classifier.2": 0.3, "classifier.5": 0.3}
        assert dropout_of(models.vgg16()) == {"classifier.2": 0.5, "classifier.5": 0.5}
        assert dropout_of(models.senet154()) == {"dropout": 0.2}
        assert dropout_of(models.se_resnet50()) == dropout_of(models.resnet50()) == {}


def test_zfnet_has_the_sizes_of_its_figure(undrawn):
    with undrawn():
        features = models.zfnet()["features"]
    sizes = [features[:end].output_shape((1, 224, 224, 3))[1:] for end in (1, 3, 5, 7, 14, 15)]
    assert sizes == [(110, 110, 96), (55, 55, 96), (26, 26, 256), (13, 13, 256), (13, 13, 256), (6, 6, 256)]


def test_original_alexnet_has_the_sizes_of_its_figure(undrawn):
    with undrawn():
        features = models.alexnet(original=True)["features"]
    sizes = [features[:end].output_shape((1, 224, 224, 3))[1:] for end in (1, 5, 9, 11, 13, 15)]
    assert sizes == [(55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256), (6, 6, 256)]
    assert [repr(features[place]) for place in (2, 3)] == [
        "LocalResponseNorm(5, alpha=0.0005, k=2.0)",
        "MaxPool2d(3, stride=2)",
    ]
    assert [features[place].groups for place in (0, 4, 8, 10, 12)] == [1, 2, 1, 2, 2]


# What is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("value", [0, -1, 2.0, True, None], ids=repr)
def test_numbers_that_are_none_are_refused_before_anything_is_drawn(name, value, monkeypatch):
    monkeypatch.setattr("xpnet.layers._parameter.draw", lambda *_: pytest.fail("weights were drawn"))
    make = getattr(models, name)
    with pytest.raises(ValueError, match=f"^{name}: classes must be a positive integer, got {value!r}$"):
        make(value)
    with pytest.raises(ValueError, match=f"^{name}: in_channels must be a positive integer, got {value!r}$"):
        make(10, value)
    if name in FULLY_CONNECTED:
        with pytest.raises(ValueError, match=f"^{name}: hidden must be a positive integer, got {value!r}$"):
            make(hidden=value)


@pytest.mark.parametrize("rate", [1.5, 1.0, -0.1, math.nan, None])
@pytest.mark.parametrize("name", [*FULLY_CONNECTED, "senet154"])
def test_rates_that_are_none_are_refused_before_anything_is_drawn(name, rate, monkeypatch):
    monkeypatch.setattr("xpnet.layers._parameter.draw", lambda *_: pytest.fail("weights were drawn"))
    with pytest.raises(ValueError, match=f"^{name}: dropout: expected 0 <= rate < 1, got {rate}$"):
        getattr(models, name)(dropout=rate)


@pytest.mark.parametrize(
    ("name", "options", "shape", "message"),
    [
        (
            "alexnet",
            {"hidden": 8},
            (2, 62, 224, 3),
            r"layer 'features\.12': MaxPool2d\(3, stride=2\): the kernel covers 3×3.* the input of 2×13",
        ),
        (
            "zfnet",
            {"hidden": 8},
            (2, 62, 224, 3),
            r"layer 'features\.14': MaxPool2d\(3, stride=2\): the kernel covers 3×3.* the input of 2×13",
        ),
        (
            "vgg11",
            {"hidden": 8},
            (2, 31, 32, 3),
            r"layer 'features\.20': MaxPool2d\(2\): the kernel covers 2×2.* the input of 1×2",
        ),
        (
            "se_resnet50",
            {},
            (2, 4, 4, 3),
            r"layer 'layer0\.pool': MaxPool2d\(3, stride=2, ceil_mode=True\): the kernel covers 3×3.* input of 2×2",
        ),
        ("resnet18", {}, (2, 0, 8, 3), r"layer 'conv1': Conv2d\(3, 64, 7, stride=2, padding=3, bias=False\): "),
        (
            "resnet18",
            {},
            (2, 3, 64, 64),
            r"layer 'conv1': Conv2d\(3, 64, 7, .*expected 3 channels in the last axis, got 64",
        ),
    ],
)
def test_images_that_do_not_fit_are_refused_with_the_path_and_the_sizes(name, options, shape, message, undrawn):
    with undrawn():
        model = getattr(models, name)(10, **options)
    for call in (model.output_shape, lambda shape: model(np.zeros(shape, np.float32))):
        with pytest.raises(ValueError, match=f"^{message}"):
            call(shape)


def test_one_image_of_one_pixel_in_the_last_stage_cannot_be_normalized(undrawn):
    with undrawn():
        model = models.resnet18(10)
    with pytest.raises(
        ValueError,
        match=r"^layer 'layer4\.0\.bn1': batch_norm_relu: expected at least 2 rows .*, got 1 ",
    ):
        model.forward(normal((1, 32, 32, 3)))
    assert model(normal((1, 32, 32, 3))).shape == (1, 10)
    assert model.forward(normal((1, 33, 32, 3)))[0].shape == (1, 10)


# What they learn ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "size", "rate"),
    [
        ("alexnet", {"dropout": 0.0, "hidden": 32}, 63, 0.1),
        ("alexnet", {"dropout": 0.0, "hidden": 32, "original": True}, 63, 0.1),
        ("zfnet", {"dropout": 0.0, "hidden": 32}, 63, 0.1),
        ("vgg11", {"dropout": 0.0, "hidden": 32}, 32, 0.1),
        ("vgg11_bn", {"dropout": 0.0, "hidden": 32}, 32, 1e-3),
        ("resnet18", {}, 32, 1e-2),
        ("resnext50_32x4d", {}, 32, 1e-6),
        ("se_resnet50", {}, 32, 1e-5),
    ],
)
def test_a_training_step_lowers_the_loss_of_its_batch(name, options, size, rate):
    """Rates are small where batch norm over few pixels, layer upon layer, makes the loss curve sharply at the start."""
    model = getattr(models, name)(10, **options)
    optimizer = optimizers.SGD(model, rate)
    x, t, seen = normal((8, size, size, 3)), np.arange(8), []
    for _ in range(2):
        y, pullback = model.forward(x)
        loss, pull = losses.softmax_cross_entropy(y, t)
        pullback(pull())
        optimizer.step()
        seen.append(float(loss))
    assert seen[1] < seen[0]


def test_the_same_seed_gives_the_same_network_on_every_backend(backend):
    x = normal((2, 33, 33, 3))
    xpnet.seed(3)
    found = backend.to_host(models.resnet18(10)(backend.asarray(x)))
    with xpnet.use_backend("numpy"):
        xpnet.seed(3)
        expected = models.resnet18(10)(x)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-4 * np.abs(expected).max())

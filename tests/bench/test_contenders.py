"""Every contender computes what xpnet computes, for every network."""

import functools
import importlib

import numpy as np
import pytest

import xpnet
from bench import machine
from bench.agreement import check_outputs, outputs_of
from bench.case import Case, channels_first
from bench.contenders import CONTENDERS
from bench.contenders._xpnet import sequential
from bench.networks import (
    NETWORKS,
    BatchNorm,
    Conv,
    GlobalAvgPool,
    Linear,
    MaxPool,
    Network,
    ReLU,
    Residual,
    output_shape,
)

REFERENCE = "xpnet-plain"
OPTIONS = {
    "pytorch-compiled": {"compiler": "eager"}
}  # PyTorch's tracing without the C++ compiler, which takes a minute
CPU = [name for name, contender in CONTENDERS.items() if contender.device == "cpu" and name != REFERENCE]


SMALL_RESNET = Network(
    "small_resnet",
    (
        Conv(3, 4, 3, stride=2, padding=1, bias=False),
        BatchNorm(4),
        ReLU(),
        MaxPool(3, 2, padding=1),
        Residual((Conv(4, 8, 3, stride=2, padding=1), BatchNorm(8)), (Conv(4, 8, 1, stride=2, bias=False),)),
        Residual((ReLU(), Conv(8, 8, 3, padding=1))),
        GlobalAvgPool(),
        Linear(8, 10),
    ),
    (17, 18, 3),
    batch=4,
)
"""What ResNet-18 is made of, in small."""

QUICK = [NETWORKS["784-40-20-10"], NETWORKS["simple_cnn"], SMALL_RESNET]
LONG = [network for network in NETWORKS.values() if network not in QUICK]
ALL = [*QUICK, *(pytest.param(network, marks=pytest.mark.long) for network in LONG)]


def name_of(value):
    return getattr(value, "name", None)


@functools.cache
def outputs(name, network):
    contender = CONTENDERS[name]
    missing = contender.missing()
    if missing:
        pytest.skip(f"{contender.title}: {missing}")
    module = importlib.import_module(contender.module)
    case = Case(network, batch=4, threads=machine.cores())
    return outputs_of(module.build(case, **(dict(contender.options) | OPTIONS.get(name, {}))))


@pytest.mark.parametrize("network", ALL, ids=name_of)
@pytest.mark.parametrize("name", CPU)
def test_outputs_agree(name, network):
    if not CONTENDERS[name].suits(network):
        assert (name, network.on_images) in {("scikit-learn", True), ("pytorch-channels-last", False)}
        return
    check_outputs(network.name, {"xpnet": outputs(REFERENCE, network), name: outputs(name, network)})


@pytest.mark.parametrize("name", ["simple_cnn", "vgg_small"])
def test_the_descriptions_are_those_of_the_models(name):
    model = getattr(xpnet.models, name)()
    assert repr(sequential(NETWORKS[name].layers)).replace("d(2, stride=2)", "d(2)") == repr(model)
    assert model.output_shape((5, *NETWORKS[name].input_shape)) == (5, 10)


def test_resnet18_has_the_published_number_of_parameters():
    model = sequential(NETWORKS["resnet18"].layers)
    numbers = sum(parameter.data.size for parameter in model.parameters().values())
    assert numbers == 11_689_512 - 1000 * 513 + 10 * 513  # torchvision's, with ten classes instead of a thousand
    assert model.output_shape((2, 64, 64, 3)) == (2, 10)


def test_resnet50_has_the_published_number_of_parameters():
    model = sequential(NETWORKS["resnet50"].layers)
    assert sum(parameter.data.size for parameter in model.parameters().values()) == 25_557_032


@pytest.mark.parametrize("network", [*NETWORKS.values(), SMALL_RESNET], ids=name_of)
def test_shapes_of_descriptions_are_those_of_xpnet(network):
    model = sequential(network.layers)
    assert (1, *output_shape(network.layers, network.input_shape)) == model.output_shape((1, *network.input_shape))


def test_data_and_weights_follow_from_the_seed():
    one, same, other = (Case(NETWORKS["simple_cnn"], 5, 1, seed) for seed in (0, 0, 1))
    for array, equal, different in zip(one.data(), same.data(), other.data(), strict=True):
        assert (array == equal).all()
        assert (array != different).any()
    assert all((a["weight"] == b["weight"]).all() for a, b in zip(one.weights(), same.weights(), strict=True))
    x, t = one.data()
    assert x.shape == (5, 28, 28, 1)
    assert t.shape == (5,)
    assert (x[0] == x[1]).all()


def test_rows_of_a_weight_in_the_order_of_channels_first():
    weight = np.arange(12, dtype=np.float32).reshape(12, 1)
    image = np.arange(12).reshape(2, 3, 2)  # (h, w, c): each row is its own number
    rows = channels_first(Linear(12, 1, image=(2, 3, 2)), weight)
    assert rows[:, 0].tolist() == image.transpose(2, 0, 1).ravel().tolist()
    assert channels_first(Linear(12, 1), weight) is weight

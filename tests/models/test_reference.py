"""The numbers of `tests/reference`: what PyTorch computed for these networks, with weights anyone can draw again."""

import json
import math
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet import losses, models
from xpnet.layers import Parameter, TorchLayout

NETWORKS = {
    "alexnet": {"dropout": 0.0},
    "vgg11": {"dropout": 0.0},
    "resnet18": {},
    "resnet50": {},
    "se_resnet50": {},
    "googlenet": {"dropout": 0.0},
}
"""Which constructors, and what turns their dropout off. The same name is the file's."""


def reference(name):
    path = Path(__file__).parents[1] / "reference" / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8"))


def layout(tensor):
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


def values_for(name, shape):
    """The rule of `tests/reference/README.md`."""
    draw = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("running_mean"):
        return 0.1 * draw
    if name.endswith("running_var"):
        return 1.0 + 0.1 * np.abs(draw)
    if len(shape) > 1:
        draw *= math.sqrt(2.0 / math.prod(shape[1:]))
        return draw
    return 1.0 + 0.1 * draw if name.endswith("weight") else 0.1 * draw


def built(name, undrawn):
    """The network on the current backend, with weights by the rule."""
    with undrawn():
        model = getattr(models, name)(**NETWORKS[name])
    for path, tensor in model.tensors().items():
        shape = tuple(tensor.data.shape)
        values = values_for(path, layout(tensor).shape(shape))
        tensor.data[...] = model.backend.asarray(layout(tensor).from_torch(values, shape))
    return model


def in_single(model, name, undrawn):
    """The same network in float32."""
    with xpnet.use_backend("numpy"), undrawn():
        single = getattr(models, name)(**NETWORKS[name])
    for path, tensor in single.tensors().items():
        tensor.data[...] = model.tensors()[path].data
    return single


def images(model, expected):
    host = np.random.default_rng(0).standard_normal(expected["input"]["shape_nchw"])
    return model.backend.asarray(host.transpose(0, 2, 3, 1))


def summary(values, tensor=None):
    """As the files have it: the norm and, in PyTorch's layout, the first four values."""
    first = layout(tensor).to_torch(values).flat[:4]
    return {"norm": float(np.linalg.norm(values)), "first": first.tolist()}


@dataclass(frozen=True)
class Result:
    state: dict[str, Any]
    logits: Any
    logits_of_float32: Any
    loss: float
    gradients: dict[str, Any]
    statistics: dict[str, Any]


def training(model, x, targets):
    """Loss, and summaries of the main head's gradients and of running statistics, after one step without an update."""
    backend = model.backend
    outputs, pullback = model.forward(x)
    heads = outputs if isinstance(outputs, tuple) else (outputs,)
    loss, pull = losses.softmax_cross_entropy(heads[0], backend.xp.asarray(targets))
    gradient = pull()
    pullback((gradient, *[None] * (len(heads) - 1)) if isinstance(outputs, tuple) else gradient)
    gradients = {
        path: summary(backend.to_host(parameter.grad), parameter)
        for path, parameter in model.parameters().items()
        if parameter.grad is not None
    }
    statistics = {path: summary(backend.to_host(buffer.data)) for path, buffer in model.buffers().items()}
    return float(loss), gradients, statistics


@pytest.fixture(scope="module", params=NETWORKS)
def compared(request, undrawn):
    """A network's file, and what it computes: once for all tests, and then the network itself is gone."""
    expected = reference(request.param)
    with xpnet.use_backend("numpy", dtype="float64") as backend:
        model = built(request.param, undrawn)
        state = {path: layout(tensor).shape(tuple(tensor.data.shape)) for path, tensor in model.tensors().items()}
        x = images(model, expected)
        logits = model(x)
        logits_of_float32 = in_single(model, request.param, undrawn)(x.astype(np.float32))
        result = Result(state, logits, logits_of_float32, *training(model, x, np.asarray(expected["targets"])))
        del model
        backend.release()
    return expected, result


def assert_close(found, expected, *, of, rtol, what):
    """Norms agree to `rtol`, and the first values to `rtol` of a size."""
    np.testing.assert_allclose(found["norm"], expected["norm"], rtol=rtol, atol=0.0, err_msg=what)
    np.testing.assert_allclose(found["first"], expected["first"], rtol=0.0, atol=rtol * of, err_msg=what)


def test_names_and_shapes_are_pytorchs(compared):
    expected, result = compared
    shapes = {name: tuple(shape) for name, shape in expected["state"].items() if not name.endswith("_tracked")}
    assert result.state == shapes
    learned = [shape for name, shape in result.state.items() if not name.rpartition(".")[2].startswith("running_")]
    assert sum(map(math.prod, learned)) == expected["parameter_count"]


def test_logits_in_inference(compared):
    expected, result = compared
    expected = expected["eval"]
    largest = np.abs(result.logits).max()
    assert_close(summary(result.logits), expected["logits"], of=largest, rtol=1e-8, what="logits")
    np.testing.assert_allclose(result.logits[:, :16], expected["logits_first_16"], rtol=0.0, atol=1e-8 * largest)
    assert np.argmax(result.logits, axis=-1).tolist() == expected["argmax"]


def test_logits_in_float32(compared):
    _, result = compared
    assert result.logits_of_float32.dtype == np.float32
    largest = np.abs(result.logits).max()
    np.testing.assert_allclose(result.logits_of_float32, result.logits, rtol=0.0, atol=1e-4 * largest)


def test_loss_and_every_gradient_in_training(compared):
    expected, result = compared
    expected = expected["train_without_dropout"]
    assert result.loss == pytest.approx(expected["loss"], rel=1e-8)
    assert result.gradients.keys() == expected["gradients"].keys()
    for path, gradient in result.gradients.items():
        wanted = expected["gradients"][path]
        assert_close(gradient, wanted, of=wanted["norm"], rtol=1e-8, what=path)


def test_running_statistics_after_one_forward_pass_in_training(compared):
    expected, result = compared
    expected = expected["train_without_dropout"]["running_statistics_after"]
    assert result.statistics.keys() == expected.keys()
    for path, statistics in result.statistics.items():
        largest = max(np.abs(expected[path]["first"]))
        assert_close(statistics, expected[path], of=largest, rtol=1e-8, what=path)


def test_resnet18_on_every_backend(backend64, undrawn):
    expected = reference("resnet18")
    model = built("resnet18", undrawn)
    x = images(model, expected)
    logits = backend64.to_host(model(x))
    np.testing.assert_allclose(
        logits[:, :16], expected["eval"]["logits_first_16"], rtol=0.0, atol=1e-8 * np.abs(logits).max()
    )
    loss, gradients, statistics = training(model, x, np.asarray(expected["targets"]))
    expected = expected["train_without_dropout"]
    assert loss == pytest.approx(expected["loss"], rel=1e-8)
    for path, wanted in expected["gradients"].items():
        assert_close(gradients[path], wanted, of=wanted["norm"], rtol=1e-8, what=path)
    for path, wanted in expected["running_statistics_after"].items():
        assert_close(statistics[path], wanted, of=max(np.abs(wanted["first"])), rtol=1e-8, what=path)

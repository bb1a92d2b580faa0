"""Layers of images and sequences compute what PyTorch's modules with the same weights compute."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import optimizers


def torch_squeeze_excite(nn):
    class SqueezeExcite(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Conv2d(6, 2, 1), nn.Conv2d(2, 6, 1)

        def forward(self, x):
            return x * self.fc2(self.fc1(x.mean(dim=(2, 3), keepdim=True)).relu()).sigmoid()

    return SqueezeExcite()


def torch_global_avg_pool(nn):
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def torch_layer_norm(nn, shape):
    """Over the channels of (n, channels, height, width), or over all three."""

    class LayerNorm(nn.LayerNorm):
        def forward(self, x):
            return super().forward(x.movedim(1, -1)).movedim(-1, 1)

    return LayerNorm(shape)


@dataclass(frozen=True)
class Case:
    name: str
    make: Callable[[], L.Layer]
    torch: Callable[[Any], Any]
    shape: tuple[int, ...] = (2, 7, 6, 6)
    output: tuple[int, ...] = (2, 7, 6, 6)


CASES = [
    Case("Conv1d", lambda: L.Conv1d(6, 4, 3), lambda nn: nn.Conv1d(6, 4, 3), (2, 9, 6), (2, 7, 4)),
    Case("Conv2d", lambda: L.Conv2d(6, 4, 3), lambda nn: nn.Conv2d(6, 4, 3), output=(2, 5, 4, 4)),
    Case(
        "Conv2d-all",
        lambda: L.Conv2d(6, 9, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=3, bias=False),
        lambda nn: nn.Conv2d(6, 9, (3, 2), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=3, bias=False),
        output=(2, 4, 8, 9),
    ),
    Case(
        "Conv2d-same",
        lambda: L.Conv2d(6, 4, 3, padding="same"),
        lambda nn: nn.Conv2d(6, 4, 3, padding="same"),
        output=(2, 7, 6, 4),
    ),
    Case("Conv2d-1x1", lambda: L.Conv2d(6, 4, 1), lambda nn: nn.Conv2d(6, 4, 1), output=(2, 7, 6, 4)),
    Case(
        "Conv3d",
        lambda: L.Conv3d(2, 3, (2, 3, 1), padding=1),
        lambda nn: nn.Conv3d(2, 3, (2, 3, 1), padding=1),
        (2, 3, 4, 5, 2),
        (2, 4, 4, 7, 3),
    ),
    Case(
        "ConvTranspose1d",
        lambda: L.ConvTranspose1d(6, 4, 3, stride=2),
        lambda nn: nn.ConvTranspose1d(6, 4, 3, stride=2),
        (2, 5, 6),
        (2, 11, 4),
    ),
    Case(
        "ConvTranspose2d-all",
        lambda: L.ConvTranspose2d(
            6, 9, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 2), dilation=2, groups=3, bias=False
        ),
        lambda nn: nn.ConvTranspose2d(
            6, 9, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 2), dilation=2, groups=3, bias=False
        ),
        output=(2, 16, 18, 9),
    ),
    Case(
        "ConvTranspose3d",
        lambda: L.ConvTranspose3d(2, 3, 2, stride=2),
        lambda nn: nn.ConvTranspose3d(2, 3, 2, stride=2),
        (2, 2, 3, 2, 2),
        (2, 4, 6, 4, 3),
    ),
    Case("MaxPool1d", lambda: L.MaxPool1d(3), lambda nn: nn.MaxPool1d(3), (2, 8, 3), (2, 2, 3)),
    Case(
        "MaxPool2d",
        lambda: L.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        lambda nn: nn.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
        output=(2, 4, 4, 6),
    ),
    Case("MaxPool3d", lambda: L.MaxPool3d(2), lambda nn: nn.MaxPool3d(2), (2, 4, 5, 3, 2), (2, 2, 2, 1, 2)),
    Case("AvgPool1d", lambda: L.AvgPool1d(3), lambda nn: nn.AvgPool1d(3), (2, 8, 3), (2, 2, 3)),
    Case(
        "AvgPool2d",
        lambda: L.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        lambda nn: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
        output=(2, 4, 4, 6),
    ),
    Case("AvgPool3d", lambda: L.AvgPool3d(2), lambda nn: nn.AvgPool3d(2), (2, 4, 5, 3, 2), (2, 2, 2, 1, 2)),
    Case("AdaptiveAvgPool1d", lambda: L.AdaptiveAvgPool1d(3), lambda nn: nn.AdaptiveAvgPool1d(3), (2, 8, 3), (2, 3, 3)),
    Case(
        "AdaptiveAvgPool2d",
        lambda: L.AdaptiveAvgPool2d((3, 8)),
        lambda nn: nn.AdaptiveAvgPool2d((3, 8)),
        output=(2, 3, 8, 6),
    ),
    Case(
        "AdaptiveAvgPool3d",
        lambda: L.AdaptiveAvgPool3d(2),
        lambda nn: nn.AdaptiveAvgPool3d(2),
        (2, 4, 5, 3, 2),
        (2, 2, 2, 2, 2),
    ),
    Case("GlobalAvgPool", L.GlobalAvgPool, torch_global_avg_pool, output=(2, 6)),
    Case("BatchNorm-1d", lambda: L.BatchNorm(3), lambda nn: nn.BatchNorm1d(3), (2, 8, 3), (2, 8, 3)),
    Case("BatchNorm-2d", lambda: L.BatchNorm(6), lambda nn: nn.BatchNorm2d(6)),
    Case("BatchNorm-3d", lambda: L.BatchNorm(2), lambda nn: nn.BatchNorm3d(2), (2, 3, 2, 4, 2), (2, 3, 2, 4, 2)),
    Case("LayerNorm", lambda: L.LayerNorm(6), lambda nn: torch_layer_norm(nn, 6)),
    Case("LayerNorm-image", lambda: L.LayerNorm((7, 6, 6)), lambda nn: torch_layer_norm(nn, (7, 6, 6))),
    Case(
        "LocalResponseNorm",
        lambda: L.LocalResponseNorm(4, alpha=0.3, beta=0.6, k=2.0),
        lambda nn: nn.LocalResponseNorm(4, alpha=0.3, beta=0.6, k=2.0),
    ),
    Case("Dropout-0", lambda: L.Dropout(0.0, by_channel=True), lambda nn: nn.Dropout2d(0.0)),
    Case(
        "Pad",
        lambda: L.Pad(((1, 0), (2, 3)), value=5.0),
        lambda nn: nn.ConstantPad2d((2, 3, 1, 0), 5.0),
        output=(2, 8, 11, 6),
    ),
    Case("SqueezeExcite", lambda: L.SqueezeExcite(6, reduction=3), torch_squeeze_excite),
    Case(
        "Sequential",
        lambda: L.Sequential(L.Conv2d(6, 4, 3, padding=1), L.BatchNorm(4), L.ReLU(), L.MaxPool2d(2), L.Conv2d(4, 2, 1)),
        lambda nn: nn.Sequential(
            nn.Conv2d(6, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 2, 1)
        ),
        output=(2, 3, 3, 2),
    ),
]
EACH = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
EACH_WITH_STATISTICS = pytest.mark.parametrize(
    "case", [case for case in CASES if case.make().buffers()], ids=lambda case: case.name
)
EACH_WITH_WEIGHTS = pytest.mark.parametrize(
    "case", [case for case in CASES if case.make().parameters()], ids=lambda case: case.name
)


def in_torchs_layout(model, path, array):
    layout = getattr(model.tensors()[path], "layout", L.TorchLayout())
    return layout.to_torch(model.backend.to_host(array))


def twin(torch, case, model):
    """PyTorch's module with the model's state, all of it."""
    module = case.torch(torch.nn).double()
    state = {path: torch.tensor(in_torchs_layout(model, path, t.data)) for path, t in model.tensors().items()}
    keys = module.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in keys.missing_keys)
    return module


def assert_close(array, tensor):
    expected = tensor.detach().numpy()
    np.testing.assert_allclose(array, expected, rtol=0.0, atol=1e-9 * max(1.0, np.abs(expected).max()))


def normal(shape, seed=5):
    return np.random.default_rng(seed).standard_normal(shape)


@EACH
def test_values_gradients_and_shapes_are_pytorchs(case, backend64, filled):
    torch = pytest.importorskip("torch")
    model = filled(case.make())
    module = twin(torch, case, model)
    x = torch.tensor(normal(case.shape), requires_grad=True)
    dy = normal(case.output, 6)
    expected = module(x.movedim(-1, 1)).movedim(1, -1)
    expected.backward(torch.tensor(dy))

    y, pullback = model.forward(backend64.asarray(normal(case.shape)))
    dx = pullback(backend64.asarray(dy), input_gradient=True)

    assert tuple(y.shape) == tuple(model.output_shape(case.shape)) == case.output
    host = backend64.to_host(y)
    assert_close(host, expected)
    assert_close(backend64.to_host(dx), x.grad)
    assert model.buffers() or np.array_equal(backend64.to_host(model(backend64.asarray(normal(case.shape)))), host)
    gradients = dict(module.named_parameters())
    assert gradients.keys() == model.parameters().keys()
    for path, parameter in model.parameters().items():
        assert_close(in_torchs_layout(model, path, parameter.grad), gradients[path].grad)


@EACH_WITH_STATISTICS
def test_inference_and_running_statistics_are_pytorchs_after_ten_batches(case, backend64, filled):
    torch = pytest.importorskip("torch")
    model = filled(case.make())
    module = twin(torch, case, model)
    for step in range(10):
        x = 2.0 * normal(case.shape, step) + 1.0
        model.forward(backend64.asarray(x))
        module(torch.tensor(x).movedim(-1, 1))
    module.eval()
    for path, buffer in model.buffers().items():
        assert_close(backend64.to_host(buffer.data), module.state_dict()[path])
    tensor = torch.tensor(x, requires_grad=True)
    expected = module(tensor.movedim(-1, 1)).movedim(1, -1)
    expected.sum().backward()
    assert_close(backend64.to_host(model(backend64.asarray(x))), expected)
    y, pullback = model.forward(backend64.asarray(x), training=False)
    assert_close(backend64.to_host(pullback(backend64.xp.ones_like(y), input_gradient=True)), tensor.grad)


@EACH
def test_a_pullback_without_dx_leaves_the_same_gradients(case, backend, filled):
    model = filled(case.make())
    y, pullback = model.forward(backend.asarray(normal(case.shape)))
    pullback(y, input_gradient=True)
    expected = {path: np.array(backend.to_host(p.grad)) for path, p in model.parameters().items()}
    model.clear_gradients()
    assert pullback(y) is None
    for path, parameter in model.parameters().items():
        np.testing.assert_array_equal(backend.to_host(parameter.grad), expected[path])


@EACH_WITH_WEIGHTS
def test_a_second_pullback_adds_in_and_out_of_a_store(case, backend, filled):
    model = filled(case.make())
    optimizers.SGD(model, 0.1)
    y, pullback = model.forward(backend.asarray(normal(case.shape)))
    pullback(y)
    once = {path: np.array(backend.to_host(p.grad)) for path, p in model.parameters().items()}
    pullback(2.0 * y)
    for path, parameter in model.parameters().items():
        np.testing.assert_allclose(backend.to_host(parameter.grad), 3.0 * once[path], rtol=1e-4, atol=1e-3)


@EACH
def test_the_batch_may_be_empty_in_inference(case, backend):
    assert case.make()(backend.zeros((0, *case.shape[1:]))).shape == (0, *case.output[1:])


@EACH
@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_copies_compute_the_same_and_print_the_same(case, again):
    model = case.make()
    other = again(model)
    x = normal(case.shape).astype(np.float32)
    np.testing.assert_array_equal(other(x), model(x))
    assert repr(other) == repr(model)


@EACH
def test_a_layer_may_move_to_another_library(case, backend):
    model = case.make()
    x = normal(case.shape)
    with xpnet.use_backend("array_api_strict") as strict:
        found = strict.to_host(model.to(strict)(strict.asarray(x)))
    np.testing.assert_allclose(found, backend.to_host(model(backend.asarray(x))), rtol=1e-4, atol=1e-5)


@EACH
def test_what_a_layer_prints_makes_it_again(case):
    model = case.make()
    if "\n" not in repr(model):
        assert repr(eval(repr(model), vars(L))) == repr(model)


@pytest.mark.parametrize("case", [case for case in CASES if case.name != "Dropout-0"], ids=lambda case: case.name)
def test_lists_and_arrays_without_axes_are_refused(case):
    layer = case.make()
    with pytest.raises(TypeError, match=r"expected an array of numpy, .*, got list; make one with"):
        layer(normal(case.shape).tolist())
    said = []
    for call in (lambda: layer.output_shape(()), lambda: layer(np.zeros((), np.float32))):
        with pytest.raises(ValueError, match=r"0-d array|got shape \(\)|got 0 \(shape \(\)\)") as caught:
            call()
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_weights_keep_pytorchs_order_of_axes():
    assert L.Conv2d(6, 4, (3, 5)).weight.data.shape == (3, 5, 6, 4)
    assert L.Conv2d(6, 4, 3, groups=2).weight.data.shape == (3, 3, 3, 4)
    assert L.Conv2d(6, 4, 3).weight.layout.axes == (3, 2, 0, 1)
    assert L.Conv1d(6, 4, 3).weight.layout.axes == (2, 1, 0)
    assert L.Conv3d(6, 4, 3).weight.layout.axes == (4, 3, 0, 1, 2)
    assert L.ConvTranspose2d(6, 4, (3, 5), groups=2).weight.data.shape == (3, 5, 6, 2)
    assert L.ConvTranspose2d(6, 4, 3).weight.layout.axes == (2, 3, 0, 1)


@pytest.mark.parametrize("make", [L.Conv2d, L.ConvTranspose2d], ids=["Conv2d", "ConvTranspose2d"])
def test_weights_are_drawn_by_the_number_of_their_inputs(make):
    xpnet.seed(1)
    weight = make(40, 60, 5).weight.data
    assert weight.var() == pytest.approx(2.0 / (25 * 40), rel=0.05)
    assert not make(40, 60, 5).bias.data.any()


def test_only_weights_decay():
    model = L.Sequential(L.Conv2d(3, 4, 3), L.LayerNorm(4), L.SqueezeExcite(4, reduction=2), L.ConvTranspose2d(4, 3, 3))
    decaying = {path for path, parameter in model.parameters().items() if parameter.decay}
    assert decaying == {"0.weight", "2.fc1.weight", "2.fc2.weight", "3.weight"}


def test_dropout_by_channel_drops_channels_in_training_alone(backend):
    layer, x = L.Dropout(0.5, by_channel=True), backend.asarray(np.ones((20, 5, 4, 30)))
    y, pullback = layer.forward(x)
    host = backend.to_host(y)
    assert set(np.unique(host)) == {0.0, 2.0}
    np.testing.assert_array_equal(host, np.broadcast_to(host[:, :1, :1], host.shape))
    np.testing.assert_array_equal(backend.to_host(pullback(x, input_gradient=True)), host)
    np.testing.assert_array_equal(backend.to_host(layer(x)), 1.0)
    assert repr(layer) == "Dropout(0.5, by_channel=True)"


def test_only_a_step_brings_another_mask_by_channel(backend):
    model = L.Sequential(L.Linear(30, 30), L.Dropout(0.5, by_channel=True))
    optimizer, x = optimizers.SGD(model, 0.1), backend.asarray(np.ones((20, 2, 2, 30)))
    masks = []
    for _ in range(2):
        masks += [np.array(backend.to_host(model[1].forward(x)[0])) for _ in range(2)]
        model[0].bias.grad = backend.zeros((30,))
        optimizer.step()
    np.testing.assert_array_equal(masks[0], masks[1])
    assert (masks[1] != masks[2]).mean() == pytest.approx(0.5, abs=0.1)

"""Convolutional models: what they are made of, PyTorch's numbers, and that they learn, the same each time."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet import losses, models, optimizers
from xpnet.layers import Parameter, TorchLayout


def layout(tensor):
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


def torch_simple_cnn(nn):
    return nn.Sequential(
        *(nn.Conv2d(2, 30, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(3 * 4 * 30, 100), nn.ReLU(), nn.Linear(100, 3)),
    )


def torch_deep_cnn(nn):
    layers = []
    for (inputs, outputs), padding in zip(pairwise((2, 16, 16, 32, 32, 64, 64)), (1, 1, 1, 2, 1, 1), strict=True):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=padding), nn.ReLU()]
    for place in (4, 9, 14):
        layers.insert(place, nn.MaxPool2d(2))
    head = nn.Linear(2 * 2 * 64, 50), nn.ReLU(), nn.Dropout(0.0), nn.Linear(50, 3), nn.Dropout(0.0)
    return nn.Sequential(*layers, nn.Flatten(), *head)


def torch_cnn1d(nn):
    layers = []
    for inputs, outputs in pairwise((2, 16, 32, 64)):
        layers += [nn.Conv1d(inputs, outputs, 7, padding="same"), nn.BatchNorm1d(outputs), nn.ReLU(), nn.MaxPool1d(2)]
    return nn.Sequential(*layers, nn.Sequential(nn.AdaptiveAvgPool1d(1), nn.Flatten()), nn.Linear(64, 3))


def torch_vgg_small(nn):
    layers = []
    for inputs, outputs in pairwise((2, 64, 128, 256)):
        for channels in (inputs, outputs):
            layers += [nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * 1 * 256, 256), nn.ReLU(), nn.Linear(256, 3))


@dataclass(frozen=True)
class Case:
    make: Callable[..., Any]
    torch: Callable[[Any], Any]
    shape: tuple[int, ...]
    """Of a small input, of two channels."""
    options: tuple[tuple[str, float], ...] = ()

    def model(self):
        """For small inputs and three classes."""
        return self.make(self.shape, 3, **dict(self.options))


CASES = {
    "simple_cnn": Case(models.simple_cnn, torch_simple_cnn, (11, 12, 2)),
    "deep_cnn": Case(models.deep_cnn, torch_deep_cnn, (15, 13, 2), (("dropout", 0.0),)),
    "cnn1d": Case(models.cnn1d, torch_cnn1d, (21, 2)),
    "vgg_small": Case(models.vgg_small, torch_vgg_small, (16, 9, 2)),
}
EACH = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def normal(shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def count(model):
    return sum(parameter.data.size for parameter in model.parameters().values())


def test_parameters_counted_by_hand():
    conv, head = 5 * 5 * 1 * 30 + 30, 12 * 12 * 30 * 100 + 100 + 100 * 10 + 10
    assert count(models.simple_cnn()) == conv + head == 433_890

    convs = 9 * (1 * 16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 2 * (16 + 32 + 64)
    head = 4 * 4 * 64 * 50 + 50 + 50 * 10 + 10
    assert count(models.deep_cnn()) == convs + head == 123_552

    convs, norms = 7 * (1 * 16 + 16 * 32 + 32 * 64) + 16 + 32 + 64, 2 * (16 + 32 + 64)
    assert count(models.cnn1d()) == convs + norms + 64 * 4 + 4 == 18_628

    convs = 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128 + 128 * 256 + 256 * 256) + 2 * (64 + 128 + 256)
    norms, head = 2 * 2 * (64 + 128 + 256), 4 * 4 * 256 * 256 + 256 + 256 * 10 + 10
    assert count(models.vgg_small()) == convs + norms + head == 2_198_602


@pytest.mark.parametrize(
    ("make", "shape", "output"),
    [
        (models.simple_cnn, (28, 28, 1), 10),
        (models.deep_cnn, (28, 28, 1), 10),
        (models.cnn1d, (128, 1), 4),
        (models.vgg_small, (32, 32, 3), 10),
    ],
    ids=list(CASES),
)
def test_default_shapes(make, shape, output):
    assert make().output_shape((5, *shape)) == (5, output)


@EACH
def test_other_shapes_on_every_backend(case, backend):
    model = case.model()
    assert model(backend.zeros((2, *case.shape))).shape == model.output_shape((2, *case.shape)) == (2, 3)


def test_options_of_the_small_ones():
    assert repr(models.simple_cnn((8, 8, 3), 7, channels=4, kernel_size=3, padding=1, hidden=9)) == (
        "Sequential(\n  0: Conv2d(3, 4, 3, padding=1)\n  1: ReLU()\n  2: MaxPool2d(2)\n  3: Flatten()\n"
        "  4: Linear(64, 9)\n  5: ReLU()\n  6: Linear(9, 7)\n)"
    )
    assert [repr(layer) for layer in models.cnn1d((50, 3), 2, channels=[5], kernel_size=3)] == [
        "Conv1d(3, 5, 3, padding='same')", "BatchNorm(5)", "ReLU()", "MaxPool1d(2)", "GlobalAvgPool()", "Linear(5, 2)"
    ]  # fmt: skip
    dropped = [repr(layer) for layer in models.deep_cnn()]
    assert dropped[-5:] == ["Linear(1024, 50)", "ReLU()", "Dropout(0.5)", "Linear(50, 10)", "Dropout(0.5)"]
    assert "Conv2d(32, 32, 3, padding=2)" in dropped


def test_cnn1d_takes_sequences_of_any_length():
    model = models.cnn1d((128, 2))
    for length in (8, 9, 100, 301):
        assert model(np.zeros((3, length, 2), np.float32)).shape == (3, 4)
    with pytest.raises(ValueError, match=r"layer '11': MaxPool1d\(2\): the kernel covers 2 .* the input of 1, 1 with"):
        model(np.zeros((3, 7, 2), np.float32))


@EACH
def test_values_and_gradients_are_pytorchs(case):
    torch = pytest.importorskip("torch")
    with xpnet.use_backend("numpy", dtype="float64"):
        model = case.model()
    for path, buffer in model.buffers().items():
        buffer.data[...] = 0.5 + np.abs(normal(buffer.data.shape, len(path)))
    module = case.torch(torch.nn).double()
    tensors = model.tensors()
    state = {path: torch.tensor(layout(tensor).to_torch(tensor.data)) for path, tensor in tensors.items()}
    keys = module.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in keys.missing_keys)

    host, dy = normal((2, *case.shape)), normal((2, 3), 2)
    x = torch.tensor(host, requires_grad=True)
    with torch.no_grad():
        np.testing.assert_allclose(model(host), module.eval()(x.movedim(-1, 1)).numpy(), rtol=1e-9, atol=1e-9)
    expected = module.train()(x.movedim(-1, 1))
    expected.backward(torch.tensor(dy))
    y, pullback = model.forward(host)
    dx = pullback(dy, input_gradient=True)
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-9, atol=1e-9)
    gradients = {path: parameter.grad.numpy() for path, parameter in module.named_parameters()}
    assert gradients.keys() == model.parameters().keys()
    found = {path: parameter.grad for path, parameter in model.parameters().items()}
    pairs = [(dx, x.grad.numpy())]
    pairs += [(layout(tensors[path]).to_torch(g), gradients[path]) for path, g in found.items()]
    largest = max(np.abs(g).max() for _, g in pairs)  # biases before batch norm have none but rounding
    for a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=0.0, atol=1e-9 * max(np.abs(b).max(), 1e-3 * largest))


def trained(case, steps):
    """A model after some steps on one small batch, and its loss before and after, in inference mode."""
    xpnet.seed(3)
    model = case.model()
    optimizer = optimizers.Adam(model, 1e-3)
    backend = model.backend
    x, t = backend.asarray(normal((6, *case.shape))), backend.xp.asarray(np.arange(6) % 3)

    def loss(y):
        return losses.softmax_cross_entropy(y, t)

    seen = [float(loss(model.forward(x)[0])[0])]
    for _ in range(steps):
        y, pullback = model.forward(x)
        value, pull = loss(y)
        pullback(pull())
        optimizer.step()
        seen.append(float(value))
    return model, seen


@EACH
def test_training_on_one_batch_reduces_its_loss(case):
    _, seen = trained(case, 12)
    assert seen[-1] < 0.5 * seen[0]


@pytest.mark.parametrize("way", ["auto", "winograd"])
@EACH
def test_training_gives_the_same_bits_twice(case, way):
    with xpnet.use_convolution(way):
        (first, losses_one), (second, losses_two) = trained(case, 3), trained(case, 3)
    assert losses_one == losses_two
    for path, values in first.state().items():
        np.testing.assert_array_equal(second.state()[path], values, err_msg=path)


def test_dropout_of_deep_cnn_is_another_in_each_step_and_the_same_each_time():
    case = Case(models.deep_cnn, torch_deep_cnn, (15, 13, 2))
    (first, seen), (second, again) = trained(case, 3), trained(case, 3)
    assert seen == again
    np.testing.assert_array_equal(first[0].weight.data, second[0].weight.data)


@EACH
def test_the_same_seed_gives_the_same_model_on_every_backend(case, backend):
    x = normal((3, *case.shape))
    xpnet.seed(3)
    found = backend.to_host(case.model()(backend.asarray(x)))
    with xpnet.use_backend("numpy") as numpy:
        xpnet.seed(3)
        np.testing.assert_allclose(found, case.model()(numpy.asarray(x)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: models.simple_cnn((28, 28)),
            r"simple_cnn: expected input_shape \(height, width, channels\), got \(28, 28\)",
        ),
        (lambda: models.cnn1d((28, 28, 1)), r"cnn1d: expected input_shape \(length, channels\), got \(28, 28, 1\)"),
        (lambda: models.vgg_small((32, 0, 3)), "vgg_small: width of input_shape must be a positive integer, got 0"),
        (
            lambda: models.deep_cnn((28.0, 28, 1)),
            r"deep_cnn: height of input_shape must be a positive integer, got 28\.0",
        ),
        (
            lambda: models.simple_cnn((4, 28, 1)),
            r"simple_cnn: input_shape \(4, 28, 1\) is too small: layer '0': Conv2d\(1, 30, 5\): the kernel covers 5×5",
        ),
        (lambda: models.simple_cnn((1, 28, 28)), r"simple_cnn: input_shape \(1, 28, 28\) is too small"),
        (
            lambda: models.vgg_small((7, 8, 3)),
            r"vgg_small: input_shape \(7, 8, 3\) is too small: layer '20': MaxPool2d\(2\)",
        ),
        (lambda: models.deep_cnn((1, 4, 1)), r"deep_cnn: input_shape \(1, 4, 1\) is too small"),
        (lambda: models.cnn1d((7, 1)), r"cnn1d: input_shape \(7, 1\) is too small"),
        (lambda: models.simple_cnn(classes=0), "Linear: outputs must be a positive integer, got 0"),
        (lambda: models.simple_cnn(channels=0), "Conv2d: outputs must be a positive integer, got 0"),
        (lambda: models.simple_cnn(kernel_size=0), "Conv2d: kernel_size must be an integer of at least 1"),
        (lambda: models.cnn1d(channels=(8, 0)), "Conv1d: outputs must be a positive integer, got 0"),
        (lambda: models.deep_cnn(dropout=1.0), r"dropout: expected 0 <= rate < 1, got 1\.0"),
    ],
)
def test_what_makes_no_network_is_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()

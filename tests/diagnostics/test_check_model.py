"""The gradient checks of models and pullbacks, on every kind of layer; and that a wrong one fails."""

import numpy as np
import pytest

import xpnet
from xpnet import functional as F
from xpnet import layers as L
from xpnet.diagnostics import check_model, check_pullback
from xpnet.losses import softmax_cross_entropy, squared_error

LAYERS = {
    "Linear": (lambda: L.Linear(3, 2), (6, 3)),
    "Linear without bias": (lambda: L.Linear(3, 2, bias=False), (6, 3)),
    "BatchNorm": (lambda: L.BatchNorm(3), (6, 3)),
    "LayerNorm": (lambda: L.LayerNorm(3), (6, 3)),
    "LocalResponseNorm": (lambda: L.LocalResponseNorm(3), (2, 3, 3, 4)),
    "ReLU": (L.ReLU, (6, 3)),
    "LeakyReLU": (lambda: L.LeakyReLU(0.2), (6, 3)),
    "Sigmoid": (L.Sigmoid, (6, 3)),
    "Tanh": (L.Tanh, (6, 3)),
    "Softplus": (L.Softplus, (6, 3)),
    "SiLU": (L.SiLU, (6, 3)),
    "GELU": (L.GELU, (6, 3)),
    "Softmax": (L.Softmax, (6, 3)),
    "LogSoftmax": (L.LogSoftmax, (6, 3)),
    "Flatten": (L.Flatten, (4, 2, 3)),
    "Identity": (L.Identity, (6, 3)),
    "Dropout": (lambda: L.Dropout(0.5), (6, 8)),
    "Pad": (lambda: L.Pad((1, 1)), (2, 3, 3, 2)),
    "Conv1d": (lambda: L.Conv1d(2, 3, 3), (2, 6, 2)),
    "Conv2d": (lambda: L.Conv2d(2, 3, 3, stride=2), (2, 5, 5, 2)),
    "Conv3d": (lambda: L.Conv3d(1, 2, 2), (2, 3, 3, 3, 1)),
    "ConvTranspose1d": (lambda: L.ConvTranspose1d(2, 3, 3, stride=2), (2, 3, 2)),
    "ConvTranspose2d": (lambda: L.ConvTranspose2d(2, 3, 3, stride=2), (2, 3, 3, 2)),
    "ConvTranspose3d": (lambda: L.ConvTranspose3d(1, 2, 2), (1, 2, 2, 2, 1)),
    "MaxPool1d": (lambda: L.MaxPool1d(2), (2, 6, 2)),
    "MaxPool2d": (lambda: L.MaxPool2d(2), (2, 4, 4, 2)),
    "MaxPool3d": (lambda: L.MaxPool3d(2), (2, 2, 2, 2, 2)),
    "AvgPool1d": (lambda: L.AvgPool1d(2), (2, 6, 2)),
    "AvgPool2d": (lambda: L.AvgPool2d(2), (2, 4, 4, 2)),
    "AvgPool3d": (lambda: L.AvgPool3d(2), (2, 2, 2, 2, 2)),
    "AdaptiveAvgPool1d": (lambda: L.AdaptiveAvgPool1d(2), (2, 5, 2)),
    "AdaptiveAvgPool2d": (lambda: L.AdaptiveAvgPool2d(2), (2, 5, 4, 2)),
    "AdaptiveAvgPool3d": (lambda: L.AdaptiveAvgPool3d(1), (2, 2, 2, 2, 2)),
    "GlobalAvgPool": (L.GlobalAvgPool, (2, 4, 4, 3)),
    "SqueezeExcite": (lambda: L.SqueezeExcite(4, reduction=2), (2, 3, 3, 4)),
    "Sequential": (lambda: L.Sequential(L.Linear(3, 4), L.BatchNorm(4), L.ReLU(), L.Linear(4, 2)), (6, 3)),
    "Residual": (lambda: L.Residual(L.Sequential(L.Linear(3, 3), L.ReLU())), (6, 3)),
    "Concat": (lambda: L.Concat(L.Linear(3, 2), L.Tanh()), (6, 3)),
    "Frozen": (lambda: L.Sequential(L.Linear(3, 3), L.Frozen(L.Linear(3, 2))), (6, 3)),
}

OTHERS = {"Layer", "LayerShapes", "TorchLayout", "Parameter", "Buffer", "FlatStore"}


def test_every_layer_class_is_here():
    classes = {name for name in L.__all__ if isinstance(getattr(L, name), type)}
    assert classes - OTHERS == set(LAYERS) - {"Linear without bias"}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_pass(name):
    make, shape = LAYERS[name]
    model, random = make(), np.random.default_rng(0)
    t = random.standard_normal(model.output_shape(shape))
    report = check_model(model, random.standard_normal(shape), t, squared_error)
    assert report.healthy, report
    # A bias before a batch normalization changes nothing: its gradient is zero but for rounding.
    unresolved = [line for line in report.unchecked if line.startswith("0.bias: its gradient is too small")]
    assert len(report.unchecked) == len(unresolved) == (name == "Sequential")
    assert len(report.checked) == len(model.parameters()) + 1 - len(unresolved)


def test_every_backend(backend):
    model = L.Sequential(L.Linear(3, 4), L.Tanh(), L.Dropout(0.3), L.Linear(4, 2))
    random = np.random.default_rng(0)
    x, t = (backend.asarray(random.standard_normal(shape)) for shape in ((6, 3), (6, 2)))
    report = check_model(model, x, t, squared_error)
    assert report.healthy, report
    assert len(report.checked) == 5


def test_the_model_stays_as_it_was():
    model = L.Sequential(L.Linear(3, 4), L.BatchNorm(4), L.Dropout(0.5), L.Linear(4, 2))
    xpnet.optimizers.SGD(model, 0.1)
    model.forward(np.ones((4, 3), np.float32))
    before = {path: tensor.data.tobytes() for path, tensor in model.tensors().items()}
    gradients = {path: parameter.grad.tobytes() for path, parameter in model.parameters().items()}
    x, t = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32), np.zeros((6, 2), np.float32)
    assert check_model(model, x, t, squared_error).healthy
    assert {path: tensor.data.tobytes() for path, tensor in model.tensors().items()} == before
    assert {path: parameter.grad.tobytes() for path, parameter in model.parameters().items()} == gradients


class Wrong(L.Layer):
    """A layer whose pullback forgets what `mistake` says."""

    def __init__(self, mistake):
        self.inner, self.mistake = L.Linear(3, 2), mistake

    def output_shape(self, input_shape):
        return self.inner.output_shape(input_shape)

    def forward(self, x, *, training=True):
        y, pull = self.inner.forward(x, training=training)

        def pullback(dy, *, input_gradient=False):
            dx = pull(-dy if self.mistake == "sign" else dy, input_gradient=input_gradient)
            if self.mistake == "bias":
                self.inner.bias.clear()
            return 0.5 * dx if self.mistake == "dx" and dx is not None else dx

        return y, pullback


@pytest.mark.parametrize(
    ("mistake", "cause", "text"),
    [
        ("sign", "gradient_sign", "all gradients are -1 times the right one"),
        ("bias", "gradient_zero", "the gradient of inner.bias is zero"),
        ("dx", "gradient_scale", "the gradient of x is 0.5 times the right one, a half"),
    ],
)
def test_wrong_layers_fail(mistake, cause, text):
    random = np.random.default_rng(0)
    (finding,) = check_model(
        Wrong(mistake), random.standard_normal((6, 3)), random.standard_normal((6, 2)), squared_error
    ).findings
    assert finding.cause == cause
    assert text in finding.sentence


def test_a_small_network_for_images_with_labels():
    model = L.Sequential(L.Conv2d(1, 3, 3), L.ReLU(), L.MaxPool2d(2), L.Flatten(), L.Linear(27, 4))
    random = np.random.default_rng(0)
    report = check_model(model, random.standard_normal((5, 8, 8, 1)), np.arange(5) % 4, softmax_cross_entropy)
    assert report.healthy, report


def test_bad_batches_and_models():
    with pytest.raises(TypeError, match="check_model: the model must be a layer, got int"):
        check_model(3, np.ones((2, 3)), np.ones((2, 2)), squared_error)
    (finding,) = check_model(L.Linear(3, 2), np.ones((4, 5)), np.ones((4, 2)), squared_error).findings
    assert finding.cause == "function_raises"
    assert "expected 3 features" in finding.sentence or "5" in finding.sentence


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_pullbacks_of_functions_pass(dtype):
    random = np.random.default_rng(0)
    x, weight, bias = (random.standard_normal(shape).astype(dtype) for shape in ((6, 3), (3, 2), (2,)))
    for function in (F.relu, F.tanh, F.sigmoid, F.softplus, F.silu, F.gelu, F.softmax, F.log_softmax):
        assert check_pullback(function, x).healthy
    assert len(check_pullback(F.linear, x, weight, bias).checked) == 3
    assert check_pullback(F.add, x, x).healthy


def test_wrong_pullbacks_fail():
    x = np.random.default_rng(0).standard_normal((6, 3))
    (finding,) = check_pullback(lambda x: (np.tanh(x), lambda dy: dy * (1.0 + np.tanh(x) ** 2)), x).findings
    assert finding.cause == "gradient_wrong"
    assert "the gradient of argument 1 is wrong" in finding.sentence
    (finding,) = check_pullback(lambda x: (x * x, lambda dy: dy * x), x).findings
    assert (finding.cause, finding.evidence["factor"]) == ("gradient_scale", pytest.approx(0.5))
    assert check_pullback(lambda x: (x * 0.0, lambda dy: dy * 0.0), x).findings[0].cause == "nothing_computed"


def test_pullbacks_that_are_none():
    x = np.ones((2, 3))
    (finding,) = check_pullback(np.tanh, x).findings
    assert finding.sentence == "function(*arrays) should return a value and a pullback, and returns ndarray"
    with pytest.raises(ValueError, match="none of the arguments is a floating-point array"):
        check_pullback(F.tanh, np.ones(3, int))

"""Weights of convolutions go to PyTorch and come back, through files: the same outputs, the same gradients."""

import numpy as np
import pytest

import xpnet
from xpnet import layers as L

X = np.random.default_rng(0).standard_normal((4, 9, 8, 4))


def network():
    return L.Sequential(
        L.Conv2d(4, 6, (3, 2), padding=1, groups=2),
        L.BatchNorm(6),
        L.ReLU(),
        L.ConvTranspose2d(6, 5, (2, 3), stride=2, bias=False),
        L.LocalResponseNorm(3),
        L.MaxPool2d(2),
        L.GlobalAvgPool(),
        L.LayerNorm(5),
        L.Linear(5, 3),
    )


def torch_network(nn):
    return nn.Sequential(
        nn.Conv2d(4, 6, (3, 2), padding=1, groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.ConvTranspose2d(6, 5, (2, 3), stride=2, bias=False),
        nn.LocalResponseNorm(3),
        nn.MaxPool2d(2),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.LayerNorm(5),
        nn.Linear(5, 3),
    )


def assert_computes_the_same(torch, model, module):
    """In inference, and in training: value, gradients and running statistics."""
    backend = model.backend
    x, images = backend.asarray(X), torch.tensor(X, dtype=torch.float32).movedim(-1, 1)
    with torch.no_grad():
        np.testing.assert_allclose(backend.to_host(model(x)), module.eval()(images).numpy(), rtol=1e-4, atol=1e-5)
    y, pullback = model.forward(x)
    pullback(y)
    expected = module.train()(images)
    expected.backward(expected.detach())
    np.testing.assert_allclose(backend.to_host(y), expected.detach().numpy(), rtol=1e-3, atol=1e-4)
    gradients = {path: parameter.grad.numpy() for path, parameter in module.named_parameters()}
    for path, parameter in model.parameters().items():
        gradient = backend.to_host(parameter.grad)
        gradient = parameter.layout.to_torch(gradient)
        wanted = gradients[path]
        np.testing.assert_allclose(gradient, wanted, rtol=0.0, atol=1e-3 * np.abs(wanted).max() + 1e-4, err_msg=path)
    for path, buffer in model.buffers().items():
        np.testing.assert_allclose(
            backend.to_host(buffer.data), module.state_dict()[path].numpy(), rtol=1e-4, atol=1e-5
        )


def test_pytorch_opens_ours_strictly_and_computes_the_same(backend, path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model, module = network(), torch_network(torch.nn)
    model.forward(backend.asarray(X + 1.0))
    xpnet.save_weights(model, path)
    module.load_state_dict(load_file(path), strict=True)
    assert_computes_the_same(torch, model, module)


def test_ours_opens_pytorchs_and_computes_the_same(backend, path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    model, module = network(), torch_network(torch.nn)
    with torch.no_grad():
        module(torch.tensor(X + 1.0, dtype=torch.float32).movedim(-1, 1))
    save_file({name: values.contiguous() for name, values in module.state_dict().items()}, path)
    xpnet.load_weights(model, path)
    assert_computes_the_same(torch, model, module)


@pytest.mark.parametrize(
    ("make", "theirs"),
    [
        (lambda: L.Conv1d(4, 6, 5, groups=2), (6, 2, 5)),
        (lambda: L.Conv2d(4, 6, (3, 2)), (6, 4, 3, 2)),
        (lambda: L.Conv3d(4, 6, (3, 2, 1)), (6, 4, 3, 2, 1)),
        (lambda: L.ConvTranspose1d(4, 6, 5, groups=2), (4, 3, 5)),
        (lambda: L.ConvTranspose2d(4, 6, (3, 2)), (4, 6, 3, 2)),
        (lambda: L.ConvTranspose3d(4, 6, (3, 2, 1)), (4, 6, 3, 2, 1)),
    ],
)
def test_files_hold_pytorchs_layout_and_bring_every_number_back(path, make, theirs):
    import safetensors.numpy

    model, other = make(), make()
    xpnet.save_weights(model, path)
    assert safetensors.numpy.load_file(path)["weight"].shape == theirs
    xpnet.load_weights(other, path)
    np.testing.assert_array_equal(other.weight.data, model.weight.data)


def test_weights_of_other_channels_change_nothing(path):
    xpnet.save_weights(L.Conv2d(4, 6, 3), path)
    model = L.Conv2d(6, 4, 3)
    before = model.weight.data.copy()
    with pytest.raises(ValueError, match=r"shape: weight \(6, 4, 3, 3\) → \(4, 6, 3, 3\)\n"):
        xpnet.load_weights(model, path)
    np.testing.assert_array_equal(model.weight.data, before)

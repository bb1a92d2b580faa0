"""PyTorch's modules are the oracle: values, all gradients and running statistics, in float64, to 1e-10."""

import numpy as np
import pytest

from xpnet import layers as L


@pytest.fixture
def pair(case, backend64, filled):
    """A layer and PyTorch's module with the same weights."""
    torch = pytest.importorskip("torch")
    model, module = filled(case.make()), case.torch(torch.nn).double()
    state = {path: torch.tensor(in_torchs_layout(model, path, t.data)) for path, t in model.tensors().items()}
    keys = module.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all("num_batches_tracked" in key or case.name == "shared" for key in keys.missing_keys)
    return model, module


def in_torchs_layout(model, path, array):
    layout = getattr(model.tensors()[path], "layout", L.TorchLayout())
    return layout.to_torch(model.backend.to_host(array))


def assert_close(array, tensor):
    np.testing.assert_allclose(array, tensor.detach().numpy(), rtol=1e-10, atol=1e-10)


def test_values_gradients_and_shapes_are_pytorchs(case, pair, backend64):
    torch = pytest.importorskip("torch")
    model, module = pair
    random = np.random.default_rng(5)
    host, dy = random.standard_normal(case.shape), random.standard_normal(case.output)
    x = torch.tensor(host, requires_grad=True)
    expected = module(x)
    expected.backward(torch.tensor(dy))

    y, pullback = model.forward(backend64.asarray(host))
    dx = pullback(backend64.asarray(dy), input_gradient=True)

    assert tuple(y.shape) == tuple(model.output_shape(case.shape)) == case.output
    assert_close(backend64.to_host(y), expected)
    assert_close(backend64.to_host(dx), x.grad)
    gradients = dict(module.named_parameters())
    for path, parameter in model.parameters().items():
        assert_close(in_torchs_layout(model, path, parameter.grad), gradients[path].grad)


def test_inference_and_running_statistics_are_pytorchs_after_ten_batches(case, pair, backend64):
    torch = pytest.importorskip("torch")
    model, module = pair
    for step in range(10):
        x = 2.0 * np.random.default_rng(step).standard_normal(case.shape) + 1.0
        model.forward(backend64.asarray(x))
        module(torch.tensor(x))
    module.eval()
    for path, buffer in model.buffers().items():
        assert_close(backend64.to_host(buffer.data), module.state_dict()[path])
    tensor = torch.tensor(x, requires_grad=True)
    expected = module(tensor)
    expected.sum().backward()
    assert_close(backend64.to_host(model(backend64.asarray(x))), expected)
    y, pullback = model.forward(backend64.asarray(x), training=False)
    assert_close(backend64.to_host(pullback(backend64.xp.ones_like(y), input_gradient=True)), tensor.grad)

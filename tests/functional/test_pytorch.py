"""PyTorch is the oracle: values and all gradients of every function, in float64, to 1e-10."""

import numpy as np
import pytest


def test_value_and_gradients_are_pytorchs(case_and_shape, backend64):
    torch = pytest.importorskip("torch")
    case, shape = case_and_shape
    host = case.arrays(shape)
    tensors = [torch.tensor(a, requires_grad=True) for a in case.split(host)[0]]
    constants = [torch.tensor(a) for a in case.split(host)[1]]
    expected = case.torch(torch, *tensors, *constants)
    dy = np.random.default_rng(9).standard_normal(tuple(expected.shape))
    expected.backward(torch.tensor(dy))

    y, pullback = case.function(*map(backend64.asarray, host))
    gradients = pullback(backend64.asarray(dy))
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)

    np.testing.assert_allclose(backend64.to_host(y), expected.detach().numpy(), rtol=1e-10, atol=1e-10)
    for gradient, tensor in zip(gradients, tensors, strict=True):
        np.testing.assert_allclose(backend64.to_host(gradient), tensor.grad.numpy(), rtol=1e-10, atol=1e-10)


def test_an_activation_of_a_0_d_array_is_pytorchs(activation, backend64):
    torch = pytest.importorskip("torch")
    x = torch.tensor(-0.7, dtype=torch.float64)
    expected, derivative = torch.func.grad_and_value(lambda x: activation.torch(torch, x))(x)[::-1]
    y, pullback = activation.function(backend64.asarray(-0.7))
    assert y.shape == ()
    assert float(y) == pytest.approx(float(expected), rel=1e-10)
    assert float(pullback(backend64.asarray(1.0))) == pytest.approx(float(derivative), rel=1e-10)


def test_batch_norm_returns_pytorchs_biased_statistics(backend64):
    torch = pytest.importorskip("torch")
    from xpnet import functional as F

    x = np.random.default_rng(0).standard_normal((5, 2, 3))
    ones = backend64.asarray(np.ones(3))
    _, _, (mean, variance) = F.batch_norm(backend64.asarray(x), ones, ones)
    expected_variance, expected_mean = torch.var_mean(torch.tensor(x), dim=(0, 1), correction=0)
    np.testing.assert_allclose(backend64.to_host(mean), expected_mean.numpy(), rtol=1e-10)
    np.testing.assert_allclose(backend64.to_host(variance), expected_variance.numpy(), rtol=1e-10)

"""Sums of two arrays, plain and rectified."""

import numpy as np
import pytest

from xpnet import functional as F

A, B, DY = np.random.default_rng(0).standard_normal((3, 4, 5, 3))


@pytest.mark.parametrize("function", [F.add, F.add_relu], ids=lambda function: function.__name__)
def test_values_and_gradients_are_pytorchs(function, backend64):
    torch = pytest.importorskip("torch")
    a, b = (torch.tensor(array, requires_grad=True) for array in (A, B))
    expected = a + b if function is F.add else (a + b).relu()
    expected.backward(torch.tensor(DY))
    y, pullback = function(backend64.asarray(A), backend64.asarray(B))
    np.testing.assert_allclose(backend64.to_host(y), expected.detach().numpy(), rtol=1e-12)
    for gradient, wanted in zip(pullback(backend64.asarray(DY)), (a.grad, b.grad), strict=True):
        np.testing.assert_allclose(backend64.to_host(gradient), wanted.numpy(), rtol=1e-12)


@pytest.mark.parametrize("function", [F.add, F.add_relu], ids=lambda function: function.__name__)
def test_errors(function, backend):
    name, x = function.__name__, backend.asarray(A)
    with pytest.raises(ValueError, match=rf"^{name}: expected two arrays of one shape, got \(4, 5, 3\) and \(5, 3\)$"):
        function(x, x[0, ...])
    with pytest.raises(ValueError, match=name):
        function(x, x)[1](x[0, ...])
    with pytest.raises(TypeError, match=name):
        function(*2 * [backend.xp.astype(x, backend.xp.int32)])

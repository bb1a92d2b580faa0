"""PyTorch and central differences are the oracles: values and gradients of every loss, in float64."""

import numpy as np
import pytest

from xpnet import losses


def test_value_and_gradient_are_pytorchs(case_and_shape, weighted, backend64):
    torch = pytest.importorskip("torch")
    case, shape = case_and_shape
    y, t, weights = case.arrays(shape)
    outputs = torch.tensor(y, requires_grad=True)
    by_example = case.torch(torch, outputs, torch.tensor(t))
    counted = torch.tensor(weights if weighted else np.ones(shape[0]))
    expected = (counted * by_example).sum() / counted.sum()
    expected.backward()

    loss, pullback = case.loss(*map(backend64.asarray, (y, t)), backend64.asarray(weights) if weighted else None)

    assert loss.shape == ()
    assert float(loss) == pytest.approx(expected.item(), rel=1e-10, abs=1e-10)
    np.testing.assert_allclose(backend64.to_host(pullback()), outputs.grad.numpy(), rtol=1e-10, atol=1e-10)


def test_gradients_agree_with_central_differences(case_and_shape, weighted, backend64, assert_gradients):
    case, shape = case_and_shape
    y, t, weights = map(backend64.asarray, case.arrays(shape))
    assert_gradients(case.loss, (y,), (t, weights) if weighted else (t,))


def test_a_weight_of_the_label_is_pytorchs_weight_of_the_class(backend64):
    torch = pytest.importorskip("torch")
    y, by_class = np.random.default_rng(0).standard_normal((6, 3)), np.asarray([1.0, 5.0, 0.5])
    t = np.asarray([0, 1, 2, 2, 0, 1])
    expected = torch.nn.functional.cross_entropy(torch.tensor(y), torch.tensor(t), torch.tensor(by_class))
    loss, _ = losses.softmax_cross_entropy(*map(backend64.asarray, (y, t, by_class[t])))
    assert float(loss) == pytest.approx(float(expected), rel=1e-10)


def test_squared_error_is_the_courses_half_squared_distance():
    y, d = np.asarray([[3.0, 1.0], [0.0, 0.0]]), np.asarray([[0.0, 1.0], [4.0, 2.0]])
    loss, pullback = losses.squared_error(y, d)
    assert float(loss) == 0.5 * (9.0 + 20.0) / 2
    np.testing.assert_array_equal(pullback(), (y - d) / 2)

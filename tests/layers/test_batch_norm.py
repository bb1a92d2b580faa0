"""The running statistics: moved once a training forward, by finite batches only."""

import numpy as np
import pytest

from xpnet import layers as L

X = np.asarray([[0.0, 10.0], [2.0, 30.0], [4.0, 20.0]])


def test_a_training_forward_moves_the_running_statistics_once(backend):
    layer = L.BatchNorm(2)
    _, pullback = layer.forward(backend.asarray(X))
    pullback(backend.asarray(X))
    np.testing.assert_allclose(backend.to_host(layer.running_mean.data), 0.1 * X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(backend.to_host(layer.running_var.data), 0.9 + 0.1 * X.var(axis=0, ddof=1), rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_batch_that_is_not_finite_moves_nothing_where_it_is_not(backend, bad):
    layer = L.BatchNorm(2)
    x = X.copy()
    x[0, 0] = bad
    with backend.quiet():
        layer.forward(backend.asarray(x))
    assert backend.to_host(layer.running_mean.data) == pytest.approx([0.0, 2.0])
    assert backend.to_host(layer.running_var.data) == pytest.approx([1.0, 10.9])


def test_momentum_and_eps_may_be_numpys(backend):
    layer = L.BatchNorm(2, momentum=np.float64(0.5), eps=np.float64(1e-3))
    y, pullback = layer.forward(backend.asarray(X))
    assert y.dtype == pullback(y, input_gradient=True).dtype == layer.running_mean.data.dtype == layer.weight.data.dtype


def test_training_on_one_row_is_refused_and_moves_nothing(backend):
    layer = L.BatchNorm(2)
    with pytest.raises(ValueError, match="batch_norm: expected at least 2 rows to take a variance of, got 1"):
        layer.forward(backend.asarray(X[:1]))
    np.testing.assert_array_equal(backend.to_host(layer.running_mean.data), 0.0)
    assert layer(backend.asarray(X[:1])).shape == (1, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 0.0}, "BatchNorm: momentum must be above 0 and at most 1, got 0.0"),
        ({"momentum": 1.5}, "BatchNorm: momentum must be above 0 and at most 1, got 1.5"),
        ({"momentum": float("nan")}, "BatchNorm: momentum must be above 0 and at most 1, got nan"),
        ({"eps": 0.0}, "BatchNorm: expected eps > 0, got 0.0"),
        ({"eps": float("inf")}, "BatchNorm: expected eps > 0, got inf"),
    ],
)
def test_settings_out_of_their_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        L.BatchNorm(2, **options)

"""Penalties: value and gradient against PyTorch, and against their own definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import xpnet
from xpnet import losses, models
from xpnet.optimizers import SGD
from xpnet.penalties import L1, L2

KINDS = pytest.mark.parametrize("kind", [L1, L2])


@pytest.fixture
def w():
    values = np.random.default_rng(0).normal(size=20)
    values[3] = 0.0
    values.flags.writeable = False
    return values


@pytest.mark.parametrize(
    ("kind", "formula"), [(L1, lambda w: 0.3 * w.abs().sum()), (L2, lambda w: 0.5 * 0.3 * (w * w).sum())]
)
def test_value_and_gradient_are_those_of_pytorch(backend64, kind, formula, w):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(w, requires_grad=True)
    expected = formula(tensor)
    expected.backward()
    value, pullback = kind(0.3)(backend64.asarray(w))
    assert value.ndim == 0
    assert float(value) == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(backend64.to_host(pullback()), tensor.grad.numpy(), rtol=1e-12)


@KINDS
@given(data=st.data())
def test_gradient_is_the_slope_along_any_direction(kind, data):
    numbers = st.floats(0.1, 10.0) | st.floats(-10.0, -0.1)
    w, direction = (data.draw(arrays(np.float64, 5, elements=e)) for e in (numbers, st.floats(-1.0, 1.0)))
    penalty, h = kind(0.7), 1e-5
    slope = (float(penalty(w + h * direction)[0]) - float(penalty(w - h * direction)[0])) / (2 * h)
    assert float(penalty(w)[1]() @ direction) == pytest.approx(slope, rel=1e-6, abs=1e-8)


@KINDS
def test_type_is_kept_and_the_argument_left_alone(backend, kind, w):
    weights = backend.asarray(w)
    before = backend.to_host(weights).copy()
    value, pullback = kind(0.3)(weights)
    assert value.dtype == pullback().dtype == weights.dtype
    np.testing.assert_array_equal(backend.to_host(weights), before)


@pytest.mark.parametrize("penalty", [L1(0.2), L2(0.2)], ids=repr)
def test_fit_penalizes_weights_and_neither_biases_nor_normalization(backend64, penalty):
    free, held = (models.mlp([3, 4, 2], batch_norm=True) for _ in range(2))
    for path, parameter in free.parameters().items():
        parameter.data[...] = backend64.asarray(np.random.default_rng(len(path)).normal(size=parameter.data.shape))
    held.load_state(free.state())
    start = {path: backend64.to_host(values).copy() for path, values in free.state().items()}
    x, t = (np.random.default_rng(i).normal(size=(6, n)) for i, n in enumerate((3, 2)))
    for model, chosen in ((free, None), (held, penalty)):
        pairs = xpnet.data.batches(x, t, 6)
        xpnet.fit(
            model, pairs, loss=losses.squared_error, optimizer=SGD(model, 0.1), epochs=1, penalty=chosen, progress=False
        )
    for path, values in free.state().items():
        pulled = (
            penalty(start[path].ravel())[1]().reshape(start[path].shape) if path in ("0.weight", "3.weight") else 0.0
        )
        moved = backend64.to_host(held.state()[path]) - backend64.to_host(values)
        np.testing.assert_allclose(moved, np.zeros(moved.shape) - 0.1 * pulled, atol=1e-12, err_msg=path)


def test_l2_is_weight_decay_for_sgd(backend64):
    x, t = (np.random.default_rng(i).normal(size=(20, n)) for i, n in enumerate((3, 2)))
    ends = []
    for penalty, decay in ((L2(0.1), 0.0), (None, 0.1)):
        xpnet.seed(0)
        model = models.mlp([3, 8, 2], activation="tanh")
        optimizer = SGD(model, 0.1, weight_decay=decay)
        pairs = xpnet.data.batches(x, t, 6)
        xpnet.fit(model, pairs, loss=losses.squared_error, optimizer=optimizer, epochs=5, penalty=penalty)
        ends.append(xpnet.predict(model, x))
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-10)


@KINDS
@pytest.mark.parametrize("strength", [-0.1, np.nan, np.inf])
def test_strength_out_of_its_range(kind, strength):
    with pytest.raises(ValueError, match=f"^{kind.__name__}: strength must not be negative, got {strength}$"):
        kind(strength)

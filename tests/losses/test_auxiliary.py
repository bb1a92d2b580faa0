"""A loss of the main output and of auxiliary heads."""

import numpy as np
import pytest

from xpnet.losses import binary_cross_entropy, mean_squared_error, softmax_cross_entropy, with_auxiliary

LABELS = np.asarray([0, 2, 1, 2])


def outputs(backend, n=3):
    return tuple(backend.asarray(array) for array in np.random.default_rng(0).standard_normal((n, 4, 3)))


def test_value_and_gradients_are_pytorchs(backend64):
    torch = pytest.importorskip("torch")
    y, labels = outputs(backend64), backend64.xp.asarray(LABELS)
    value, pullback = with_auxiliary(softmax_cross_entropy, 0.3)(y, labels)
    heads = [torch.tensor(np.array(backend64.to_host(head)), requires_grad=True) for head in y]
    main, *others = [torch.nn.functional.cross_entropy(head, torch.tensor(LABELS)) for head in heads]
    expected = main + 0.3 * sum(others)
    expected.backward()
    np.testing.assert_allclose(float(value), expected.detach().numpy(), rtol=1e-12)
    gradients = pullback()
    assert isinstance(gradients, tuple)
    for gradient, head in zip(gradients, heads, strict=True):
        np.testing.assert_allclose(backend64.to_host(gradient), head.grad.numpy(), rtol=1e-12)
    for gradient, twice in zip(gradients, pullback(2.0 * value / value), strict=True):
        np.testing.assert_allclose(backend64.to_host(twice), 2.0 * backend64.to_host(gradient), rtol=1e-12)


def test_a_single_output_is_the_loss_itself(backend64):
    (y,), labels = outputs(backend64, 1), backend64.xp.asarray(LABELS)
    weights = backend64.asarray(np.asarray([1.0, 2.0, 0.0, 1.0]))
    (value, pullback), (expected, pull) = (
        loss(y, labels, weights) for loss in (with_auxiliary(softmax_cross_entropy), softmax_cross_entropy)
    )
    assert float(value) == float(expected)
    np.testing.assert_array_equal(backend64.to_host(pullback()), backend64.to_host(pull()))


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error, binary_cross_entropy])
def test_a_loss_of_one_output_names_the_one_of_several(backend, loss):
    y, labels = outputs(backend), backend.xp.asarray(LABELS)
    name = loss.__name__
    with pytest.raises(TypeError, match=rf"^{name}: .* got a tuple of 3; .*with_auxiliary\({name}\) is a loss"):
        loss(y, labels)
    with pytest.raises(TypeError, match=rf"^{name}: .* got a list of 3; .* gives a tuple in training"):
        with_auxiliary(loss)(list(y), labels)


@pytest.mark.parametrize("weight", [-0.1, np.nan, np.inf, None, "0.3"])
def test_a_weight_out_of_range_is_named(weight):
    with pytest.raises(ValueError, match=r"with_auxiliary: weight must be finite and >= 0, got "):
        with_auxiliary(mean_squared_error, weight)


def test_something_that_is_no_loss_is_named():
    with pytest.raises(TypeError, match=r"with_auxiliary: loss must be a function .*, got 0\.3"):
        with_auxiliary(0.3)

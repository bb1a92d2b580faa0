"""`evaluate` and `predict`: inference in batches, and the model left as it was."""

import numpy as np
import pytest

import xpnet
from xpnet import data, losses
from xpnet.training import accuracy, r2


@pytest.fixture
def trained(backend, examples, network, train):
    """A network whose batch normalization has seen data, so that training and inference differ."""
    model = network()
    train(model, examples)
    return model


@pytest.fixture
def problem(examples):
    """The same inputs with targets (60, 3), for a regression."""
    return examples[0], np.random.default_rng(1).normal(size=(60, 3))


def test_loss_and_metrics_are_of_all_examples_whatever_the_batches(backend, trained, problem):
    x, t = problem
    y = xpnet.predict(trained, x).astype(np.float64)
    expected = {
        "loss": pytest.approx(np.mean(0.5 * np.sum((y - t) ** 2, axis=1)), rel=1e-5),
        "r2": pytest.approx(1 - np.sum((y - t) ** 2) / np.sum((t - t.mean(axis=0)) ** 2), rel=1e-4),
    }
    options = {"loss": losses.squared_error, "metrics": {"r2": r2}}
    assert xpnet.evaluate(trained, (x, t), **options) == expected
    assert xpnet.evaluate(trained, (x, t), batch_size=17, **options) == expected
    assert xpnet.evaluate(trained, data.batches(x, t, 7), **options) == expected
    assert xpnet.evaluate(trained, [(backend.asarray(x), backend.asarray(t))], **options) == expected


def test_accuracy_is_the_part_of_all_examples(trained, examples):
    y = xpnet.predict(trained, examples[0])
    options = {"loss": losses.softmax_cross_entropy, "metrics": {"accuracy": accuracy}, "batch_size": 17}
    found = xpnet.evaluate(trained, examples, **options)
    assert found["accuracy"] == pytest.approx(np.mean(y.argmax(axis=1) == examples[1]))
    assert list(found) == ["loss", "accuracy"]
    assert {type(value) for value in found.values()} == {float}


def test_predictions_in_batches_are_those_of_one_call(backend, trained, examples):
    x = examples[0]
    y = xpnet.predict(trained, x, batch_size=17)
    assert type(y) is np.ndarray
    assert (y.shape, y.dtype) == ((60, 3), np.float32)
    np.testing.assert_allclose(y, backend.to_host(trained(backend.asarray(x))), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(y, xpnet.predict(trained, backend.asarray(x), batch_size=17))


def test_the_model_is_left_as_it_was(trained, examples, bits_of):
    before, step = bits_of(trained), int(trained._store.step)
    first = xpnet.predict(trained, examples[0])
    xpnet.evaluate(trained, examples, loss=losses.softmax_cross_entropy, metrics={"accuracy": accuracy})
    np.testing.assert_array_equal(xpnet.predict(trained, examples[0]), first)
    assert bits_of(trained) == before
    assert int(trained._store.step) == step
    assert all(parameter.stale for parameter in trained.parameters().values())


def test_data_go_to_the_model_wherever_it_lives(examples, network):
    model = network()
    moved = model.to("array_api_strict")
    np.testing.assert_allclose(xpnet.predict(moved, examples[0]), xpnet.predict(model, examples[0]), rtol=1e-5)
    loss = losses.softmax_cross_entropy
    here, there = (xpnet.evaluate(m, examples, loss=loss)["loss"] for m in (model, moved))
    assert here == pytest.approx(there, rel=1e-5)


def test_bad_arguments(examples, network):
    model, loss = network(), losses.softmax_cross_entropy
    with pytest.raises(ValueError, match=r"^evaluate: expected at least one batch, got none \(a generator can be"):
        xpnet.evaluate(model, [], loss=loss)
    with pytest.raises(ValueError, match=r"^evaluate: data: expected batches or a pair \(x, t\), got a tuple of 3$"):
        xpnet.evaluate(model, (*examples, 1), loss=loss)
    with pytest.raises(ValueError, match=r"^evaluate: a metric cannot be called 'loss', which the history has"):
        xpnet.evaluate(model, examples, loss=loss, metrics={"loss": accuracy})
    with pytest.raises(ValueError, match=r"^batches: 0 examples make no batch of size 256$"):
        xpnet.predict(model, examples[0][:0])
    with pytest.raises(ValueError, match=r"^batches: size must be a positive integer, got 0$"):
        xpnet.predict(model, examples[0], batch_size=0)
    with pytest.raises(TypeError, match=r"^x: expected floating-point inputs, got uint8; convert and scale them first"):
        xpnet.predict(model, examples[0].astype(np.uint8))
    with pytest.raises(ValueError, match=r"^layer '0': Linear\(4, 8\): expected 4 features in the last axis, got 3"):
        xpnet.predict(model, examples[0][:, :3])

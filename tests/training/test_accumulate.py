"""Several batches make one step: the step that one batch of all their examples would make."""

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.training import Callback, Checkpoint


@pytest.fixture
def train(examples):
    """Trains in float64, where what is left of a difference is rounding."""
    x, t = examples

    def run(backend, size, accumulate, *, epochs=3, **options):
        given = {"dropout": 0.0, "callbacks": (), "resume": None} | options
        with xpnet.use_backend(backend.name, dtype="float64"):
            xpnet.seed(0)
            model = models.mlp([4, 8, 3], dropout=given.pop("dropout"))
            optimizer = optimizers.Adam(model, 0.01, clip_norm=1.0)
            penalty = xpnet.penalties.L2(1e-3)
            pairs = data.batches(x.astype(np.float64), t, size)
            common = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "penalty": penalty}
            history = xpnet.fit(model, pairs, epochs=epochs, accumulate=accumulate, **common, **given)
            return {path: model.backend.to_host(array) for path, array in model.state().items()}, history

    return run


@pytest.mark.parametrize(("size", "accumulate"), [(4, 3), (6, 2), (1, 12), (5, 5)])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_same_as_larger_batches(backend, train, size, accumulate, dropout):
    whole, expected = train(backend, size * accumulate, 1, dropout=dropout)
    parts, history = train(backend, size, accumulate, dropout=dropout)
    for path, values in whole.items():
        np.testing.assert_allclose(parts[path], values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(history.steps["loss"], expected.steps["loss"], rtol=1e-12)
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-12)
    np.testing.assert_allclose(history["penalty"], expected["penalty"], rtol=1e-9)


def test_the_last_step_of_an_epoch_has_what_is_left(train):
    """60 examples in batches of 7 are 9 batches, the last of 4; by fours that is 28, 28 and 4 examples."""
    seen = []

    class Note(Callback):
        def on_step(self, run):
            seen.append((run.step, run.optimizer.steps))

    _, history = train(xpnet.get_backend(), 7, 4, epochs=1, callbacks=[Note()])
    assert seen == [(1, 1), (2, 2), (3, 3)]
    assert len(history.steps["loss"]) == 3


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_run_that_accumulates_is_resumed_bit_for_bit(backend, train, tmp_path, step):
    whole, expected = train(backend, 7, 4, dropout=0.3)
    with pytest.raises(KeyboardInterrupt):
        train(backend, 7, 4, dropout=0.3, callbacks=[StopAt(step + 1), Checkpoint(tmp_path, every=1)])
    resumed, history = train(backend, 7, 4, dropout=0.3, resume=tmp_path)
    assert {path: values.tobytes() for path, values in resumed.items()} == {
        path: values.tobytes() for path, values in whole.items()
    }
    assert history.steps == expected.steps


def test_mixed_precision_accumulates(examples):
    def run(size, accumulate):
        xpnet.seed(0)
        model = models.mlp([4, 8, 3])
        optimizer = optimizers.SGD(model, 0.1)
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "precision": "float16"}
        xpnet.fit(model, data.batches(*examples, size), epochs=2, accumulate=accumulate, **options)
        return model.state()

    whole, parts = run(12, 1), run(4, 3)
    for path, values in whole.items():
        np.testing.assert_allclose(parts[path], values, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, True])
def test_accumulate_out_of_its_range(train, accumulate):
    with pytest.raises((ValueError, TypeError), match="fit: accumulate must be"):
        train(xpnet.get_backend(), 10, accumulate)


def test_a_loss_that_is_not_finite_in_one_of_the_batches(backend, train, examples):
    bad = examples[0].copy()
    bad[17] = 3e38
    with xpnet.use_backend(backend.name, dtype="float32"):
        model = models.mlp([4, 8, 3])
        model.parameters()["0.weight"].data[...] = 10.0
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizers.SGD(model, 0.1)}
        pairs = data.batches(bad, examples[1], 5, shuffle=False)
        with pytest.raises(optimizers.NonFiniteError, match=r"step 1: .* in the forward pass of layer '0'") as caught:
            xpnet.fit(model, pairs, epochs=1, accumulate=2, **options)
        assert caught.value.step == 1

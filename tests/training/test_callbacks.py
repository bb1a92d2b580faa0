"""Callbacks: when each is called, and what those that come with xpnet do."""

import csv

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models
from xpnet.layers import Linear
from xpnet.optimizers import SGD, Momentum
from xpnet.training import BestWeights, Callback, EarlyStopping, GradientNorms, LogCSV, Run


class Recorder(Callback):
    """Writes down each call, with the numbers that the run shows then."""

    def __init__(self):
        self.calls = []

    def on_start(self, run):
        self.calls.append(("start", run.epoch, run.step, len(run.history.epochs)))

    def on_step(self, run):
        self.calls.append(("step", run.epoch, run.step, len(run.history.epochs)))

    def on_epoch(self, run):
        self.calls.append(("epoch", run.epoch, run.step, len(run.history.epochs)))

    def on_end(self, run):
        self.calls.append(("end", run.epoch, run.step, len(run.history.epochs)))


ALL_CALLS = [
    ("start", 0, 0, 0),
    ("step", 1, 1, 0),
    ("step", 1, 2, 0),
    ("epoch", 1, 2, 1),
    ("step", 2, 3, 1),
    ("step", 2, 4, 1),
    ("epoch", 2, 4, 2),
    ("end", 2, 4, 2),
]


def play(callback, values, name="val_loss", model=None):
    """The epoch after which a run with these values ends, and the run."""
    run = Run(model, None, epochs=len(values))
    callback.on_start(run)
    for value in values:
        run.epoch += 1
        if model is not None:
            model.weight.data[...] = float(run.epoch)
        run.history.epochs.append({"epoch": run.epoch, name: value})
        callback.on_epoch(run)
        if run.history.stopped is not None:
            break
    callback.on_end(run)
    return run.epoch, run


def test_order_of_the_calls(examples, network, train):
    recorder = Recorder()
    train(network(), examples, size=30, callbacks=[recorder])
    assert recorder.calls == ALL_CALLS


def test_the_end_is_told_also_after_an_error(examples, network, train):
    recorder = Recorder()

    def fails_later(y, t):
        if len(recorder.calls) == 5:
            raise RuntimeError("no more")
        return losses.softmax_cross_entropy(y, t)

    with pytest.raises(RuntimeError, match=r"^no more$"):
        train(network(), examples, size=30, loss=fails_later, callbacks=[recorder])
    assert recorder.calls == [*ALL_CALLS[:5], ("end", 2, 3, 1)]


def test_a_function_is_called_after_each_epoch_and_may_stop_the_run(examples, network, train):
    seen = []

    def watch(run):
        seen.append((run.epoch, run.epochs, run.history["loss"][-1]))
        if run.epoch == 3:
            run.stop("enough")

    history = train(network(), examples, epochs=5, callbacks=[watch])
    assert seen == [(epoch, 5, loss) for epoch, loss in enumerate(history["loss"], 1)]
    assert len(seen) == 3
    assert history.stopped == "enough"


def test_callbacks_hear_of_an_epoch_in_the_order_given(examples, network, train):
    heard = []
    train(network(), examples, epochs=1, callbacks=[lambda run: heard.append("a"), lambda run: heard.append("b")])
    assert heard == ["a", "b"]


# EarlyStopping ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "name", "values", "last"),
    [
        ({"patience": 2}, "val_loss", [3, 2, 2.5, 2.1, 1], 4),
        ({"patience": 3}, "val_loss", [3, 2, 2.5, 2.1, 1], 5),
        ({"patience": 1}, "val_loss", [3, 2, 2, 1], 3),
        ({"patience": 1}, "val_accuracy", [0.1, 0.2, 0.2, 0.3], 3),
        ({"patience": 1, "mode": "max"}, "val_loss", [1, 2, 1, 3], 3),
        ({"patience": 1, "mode": "min"}, "val_accuracy", [3, 2, 3, 1], 3),
        ({"patience": 1, "min_delta": 0.5}, "val_loss", [3, 2, 1.6, 0], 3),
        ({"patience": 2}, "val_loss", [3, np.nan, np.nan, 1], 3),
    ],
)
def test_early_stopping_ends_a_run_that_no_longer_improves(options, name, values, last):
    stopping = EarlyStopping(name, **options)
    for _ in range(2):  # a callback serves for one run after another
        epoch, run = play(stopping, values, name)
        assert epoch == last
        stops = last < len(values) or None
        assert run.history.stopped == (stops and f"{name} has not improved for {options['patience']} epochs")


def test_early_stopping_ends_fit(examples, train):
    model = models.mlp([4, 3])
    stopping = [EarlyStopping(patience=2)]
    optimizer = SGD(model, lambda step: 0.0)
    history = train(model, examples, epochs=50, optimizer=optimizer, validation=examples, callbacks=stopping)
    assert history["epoch"] == [1, 2, 3]
    assert history.stopped == "val_loss has not improved for 2 epochs"


@pytest.mark.parametrize("kind", [EarlyStopping, BestWeights])
def test_a_quantity_that_the_history_does_not_have(examples, network, train, kind):
    message = f"^{kind.__name__}: the history has no 'val_loss' to monitor; it has epoch, loss, learning_rate, seconds$"
    with pytest.raises(ValueError, match=message):
        train(network(), examples, callbacks=[kind()])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(patience=0), "EarlyStopping: patience must be at least 1, got 0"),
        (lambda: EarlyStopping(mode="least"), "EarlyStopping: mode must be 'min' or 'max', got 'least'"),
        (lambda: BestWeights(mode="most"), "BestWeights: mode must be 'min' or 'max', got 'most'"),
        (lambda: GradientNorms(every=0), "GradientNorms: every must be at least 1, got 0"),
    ],
)
def test_values_out_of_their_range(make, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


# BestWeights --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "best"), [("val_loss", 3), ("val_accuracy", 2)])
def test_best_weights_come_back_at_the_end(backend, name, best):
    model, callback = Linear(2, 1), BestWeights(name)
    play(callback, [3.0, 4.0, 1.0, 2.0], name, model)
    assert callback.epoch == best
    np.testing.assert_array_equal(backend.to_host(model.weight.data), np.full((2, 1), best))


def test_best_weights_in_fit_are_those_of_the_best_epoch(backend, examples, network, train):
    model, best = network(), BestWeights()
    history = train(model, examples, epochs=8, rate=0.5, validation=examples, callbacks=[best])
    values = history["val_loss"]
    assert best.epoch == 1 + int(np.argmin(values)) < 8
    assert xpnet.evaluate(model, examples, loss=losses.softmax_cross_entropy)["loss"] == min(values)


# LogCSV, GradientNorms ----------------------------------------------------------------------------------------------


def test_log_csv_writes_each_epoch_as_it_ends(tmp_path, examples, network, train):
    path, lines = tmp_path / "run.csv", []
    path.write_text("from an earlier run")
    count = lambda run: lines.append(len(path.read_text().splitlines()))  # noqa: E731
    history = train(network(), examples, epochs=3, validation=examples, callbacks=[LogCSV(path), count])
    assert lines == [2, 3, 4]
    with open(path, newline="") as file:
        rows = [{name: float(text) for name, text in row.items()} for row in csv.DictReader(file)]
    assert rows == history.epochs


def test_log_csv_into_a_folder_that_does_not_exist_fails_at_once(tmp_path, examples, network, train, bits_of):
    model = network()
    before = bits_of(model)
    with pytest.raises(FileNotFoundError):
        train(model, examples, callbacks=[LogCSV(tmp_path / "none" / "run.csv")])
    assert bits_of(model) == before


def test_gradient_norms_by_parameter_and_step(backend, examples, network, train):
    model, norms = network(), {}

    class Norms(Callback):
        def on_step(self, run):
            for path, parameter in model.parameters().items():
                norm = np.linalg.norm(backend.to_host(parameter.grad).astype(np.float64))
                norms.setdefault(path, {})[run.step - 1] = norm

    optimizer = Momentum(model, 0.1)
    history = train(model, examples, optimizer=optimizer, callbacks=[Norms(), GradientNorms(every=5)])
    assert list(history.gradient_norms) == list(model.parameters())
    for path, found in history.gradient_norms.items():
        assert list(found) == [0, 5, 10]
        assert found == {step: pytest.approx(norms[path][step], rel=1e-5) for step in found}
        assert min(found.values()) > 0.0 or path == "0.bias"  # batch normalization after it undoes a bias


def test_gradient_norms_of_a_second_run_count_from_its_start(examples, network):
    model = network()
    optimizer, pairs = SGD(model, 0.1), data.batches(*examples, 30)
    for _ in range(2):
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "callbacks": [GradientNorms(every=1)]}
        history = xpnet.fit(model, pairs, epochs=1, **options)
        assert list(history.gradient_norms["0.weight"]) == [0, 1]


@pytest.mark.parametrize("callback", [BestWeights, EarlyStopping])
def test_a_quantity_without_a_known_direction_needs_one(callback):
    with pytest.raises(
        ValueError, match="is 'val_mae' better when it is small or large\\? Say mode='min' or mode='max'"
    ):
        callback("val_mae")
    assert callback("val_mae", mode="min")

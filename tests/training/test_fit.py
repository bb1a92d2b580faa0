"""`fit`: the loop it stands for, what it records, and what it refuses."""

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, schedules, training
from xpnet.backend import available_backends, use_backend
from xpnet.optimizers import SGD, Adam, Momentum
from xpnet.penalties import L2
from xpnet.training import accuracy

CROSS_ENTROPY = losses.softmax_cross_entropy


def standing_still(model):
    """An optimizer whose steps change nothing: what `fit` then records can be computed from outside."""
    return SGD(model, lambda step: 0.0)


def test_every_backend_shows_the_same_losses_over_50_steps(backend, examples, network, train):
    def losses_of_50_steps():
        model = network(seed=5)
        return train(model, examples, size=12, epochs=10, rate=0.01, seed=3).steps["loss"]

    found = losses_of_50_steps()
    with use_backend("numpy", dtype="float64"):
        expected = losses_of_50_steps()
    assert len(found) == 50
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert expected[-1] < 0.7 * expected[0]


def test_fit_is_the_loop_written_by_hand_bit_for_bit(backend, examples, network, train, bits_of):
    fitted, trained = network(seed=4), network(seed=4)
    history = train(fitted, examples, epochs=3, seed=4, capture="off")  # a recording may choose other products

    optimizer, pairs, found = Adam(trained, 0.05), data.batches(*examples, 10), []
    for _ in range(3):
        for x, t in pairs:
            y, pullback = trained.forward(x)
            value, dvalue = CROSS_ENTROPY(y, t)
            pullback(dvalue())
            optimizer.step()
            found.append(float(value))
    assert history.steps["loss"] == found
    assert bits_of(fitted) == bits_of(trained)


def test_the_seed_decides_the_masks_and_nothing_else(backend, examples, network, train, bits_of):
    ends = []
    for seed in (1, 1, 2):
        model = network()
        train(model, examples, seed=seed)
        ends.append(bits_of(model))
    assert ends[0] == ends[1] != ends[2]


def test_training_goes_on_where_it_ended(backend, examples, network, train, bits_of):
    once, twice = network(), network()
    train(once, examples, epochs=4, capture="off")
    optimizer, pairs = Adam(twice, 0.05), data.batches(*examples, 10)
    for _ in range(2):
        xpnet.fit(twice, pairs, loss=CROSS_ENTROPY, optimizer=optimizer, epochs=2, capture="off")
    assert bits_of(once) == bits_of(twice)


# What it records ----------------------------------------------------------------------------------------------------


def test_a_row_for_each_epoch(backend, examples, network, train):
    model = network()
    history = train(
        model,
        examples,
        epochs=3,
        optimizer=SGD(model, schedules.step(0.1, every=6, factor=0.5)),
        validation=examples,
        penalty=L2(1e-3),
        metrics={"accuracy": accuracy},
    )
    names = ["epoch", "loss", "accuracy", "penalty", "val_loss", "val_accuracy", "learning_rate", "seconds"]
    assert [list(row) for row in history.epochs] == [names] * 3
    assert history["epoch"] == [1, 2, 3]
    assert history["learning_rate"] == [0.1, 0.05, 0.025]
    assert all(seconds > 0.0 for seconds in history["seconds"])
    assert all(type(value) in (int, float) for row in history.epochs for value in row.values())
    assert len(history.steps["loss"]) == 18
    assert history.stopped is None


def test_a_schedule_is_asked_for_no_step_after_the_last(examples, network, train):
    model, rates = network(), [0.1] * 12
    history = train(model, examples, epochs=2, optimizer=SGD(model, lambda step: rates[step]))
    assert len(history.epochs) == 2


def test_losses_and_metrics_are_means_over_examples_also_with_a_smaller_last_batch(backend, examples, train):
    model = models.mlp([4, 8, 3])
    y, t = xpnet.predict(model, examples[0]).astype(np.float64), examples[1]
    loss = np.mean(np.log(np.exp(y).sum(axis=1)) - y[np.arange(60), t])
    right = np.mean(y.argmax(axis=1) == t)
    options = {"validation": examples, "metrics": {"accuracy": accuracy}, "optimizer": standing_still(model)}
    (row,) = train(model, examples, size=17, epochs=1, **options).epochs
    assert (row["loss"], row["accuracy"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(right))
    assert (row["val_loss"], row["val_accuracy"]) == (pytest.approx(loss, rel=1e-5), pytest.approx(right))


def test_the_penalty_has_its_own_column(backend64, examples, train):
    model = models.mlp([4, 8, 3], batch_norm=True)
    weights = np.concatenate([backend64.to_host(model.state()[path]).ravel() for path in ("0.weight", "3.weight")])
    (row,) = train(model, examples, epochs=1, penalty=L2(0.3), optimizer=standing_still(model)).epochs
    (plain,) = train(model, examples, epochs=1, optimizer=standing_still(model)).epochs
    assert row["penalty"] == pytest.approx(0.5 * 0.3 * np.sum(weights**2))
    assert row["loss"] == plain["loss"]


def test_validation_is_a_pair_or_batches(backend, examples, network, train):
    rows = []
    for validation in (examples, data.batches(*examples, 256, shuffle=False), data.batches(*examples, 7)):
        history = train(network(), examples, validation=validation, metrics={"accuracy": accuracy})
        rows.append([*history["val_loss"], *history["val_accuracy"]])
    assert rows[0] == rows[1]
    assert rows[0] == pytest.approx(rows[2], rel=1e-5)


def test_validation_changes_nothing_in_the_training(backend, examples, network, train, bits_of):
    alone, watched = network(), network()
    train(alone, examples)
    train(watched, examples, validation=examples, metrics={"accuracy": accuracy})
    assert bits_of(alone) == bits_of(watched)


def test_the_data_are_not_changed(backend, examples, network, train):
    x, t = (backend.asarray(values) for values in examples)  # the arrays' own memory, where the library shares it
    targets = backend.asarray(np.eye(3)[examples[1]])
    train(network(), (x, t), validation=(x, t))
    train(network(), (x, targets), loss=losses.squared_error, penalty=L2(0.1))
    for values, host in ((x, examples[0]), (t, examples[1]), (targets, np.eye(3)[examples[1]])):
        np.testing.assert_array_equal(backend.to_host(values), host)


def test_batches_go_to_the_model_wherever_it_lives(examples, network, train):
    for name in available_backends():
        model = network().to(name)
        history = train(model, examples, validation=examples)
        assert model.backend.name == name
        assert history["loss"][-1] < history["loss"][0]


# The progress bar ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progress", [None, False])
def test_no_progress_bar_where_output_is_no_terminal(capsys, examples, network, train, progress):
    train(network(), examples, validation=examples, progress=progress)
    assert capsys.readouterr() == ("", "")


def test_a_progress_bar_with_losses_and_metrics_if_asked_for(capsys, examples, network, train):
    options = {"validation": examples, "metrics": {"accuracy": accuracy}, "progress": True, "log_every": 1}
    history = train(network(), examples, **options)
    shown = capsys.readouterr().err
    for row in history.epochs:
        assert f"epoch {row['epoch']}/2" in shown
        for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
            assert f"{name}={row[name]:.4g}" in shown
    assert "6/6" in shown


# What it refuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "fit: epochs must be a positive integer, got 0"),
        ({"epochs": 1.5}, r"fit: epochs must be a positive integer, got 1\.5"),
        ({"epochs": True}, "fit: epochs must be a positive integer, got True"),
        ({"log_every": 0}, "fit: log_every must be a positive integer, got 0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        (
            {"optimizer": Adam(models.mlp([4, 3]))},
            "fit: the optimizer was built for another model; build it",
        ),
        ({"validation": (np.ones((2, 4)),)}, r"fit: validation: expected batches or a pair \(x, t\), got a tuple of 1"),
        ({"validation": (np.ones((2, 4)), np.arange(3))}, "batches: x has 2 examples but t has 3"),
        ({"metrics": {"loss": accuracy}}, "fit: a metric cannot be called 'loss', which the history has already"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_arguments_are_refused_before_the_first_step(examples, network, train, bits_of, options, message):
    model = network()
    before = bits_of(model)
    with pytest.raises(ValueError, match=f"^{message}"):
        train(model, examples, **options)
    assert bits_of(model) == before


@pytest.mark.parametrize("callback", [5, "EarlyStopping", xpnet.training.BestWeights])
def test_callbacks_that_are_none(examples, network, train, callback):
    with pytest.raises(TypeError, match=r"^fit: callbacks must be Callback objects or functions of the run, got "):
        train(network(), examples, callbacks=[callback])


def test_no_batches(network):
    model = network()
    for pairs in ([], iter([])):
        with pytest.raises(ValueError, match=r"^fit: expected at least one batch, got none \(a generator can be gone"):
            xpnet.fit(model, pairs, loss=CROSS_ENTROPY, optimizer=Momentum(model, 0.1), epochs=1)


def test_batches_on_another_backend_than_the_model(examples, network):
    model = network().to("array_api_strict")
    with pytest.raises(TypeError, match=r"^layer '0': arrays of numpy and array_api_strict meet in one call; move one"):
        xpnet.fit(model, [examples], loss=CROSS_ENTROPY, optimizer=Adam(model), epochs=1)


def test_inputs_with_another_number_of_features(examples, network, train):
    with pytest.raises(ValueError, match=r"^layer '0': Linear\(4, 8\): expected 4 features in the last axis, got 3"):
        train(network(), (examples[0][:, :3], examples[1]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batches": (1, 2)}, "batches must be batches, got a tuple; xpnet.data.batches"),
        ({"optimizer": "adam"}, "optimizer must be one built for this model, as Adam\\(model\\), got 'adam'"),
        ({"loss": "mse"}, "loss must be a function such as xpnet.losses.squared_error, got 'mse'"),
        ({"metrics": [1]}, "metrics must be given by name, as {'accuracy': accuracy}, got \\[1\\]"),
    ],
)
def test_arguments_of_another_kind_are_named(change, message):
    model = xpnet.models.mlp([2, 1])
    good = {
        "batches": xpnet.data.batches(np.zeros((4, 2)), np.zeros((4, 1)), 2),
        "loss": xpnet.losses.squared_error,
        "optimizer": xpnet.optimizers.SGD(model, 0.1),
        "epochs": 1,
    }
    with pytest.raises(TypeError, match=f"^fit: {message}"):
        xpnet.fit(model, **(good | change))


def test_an_optimizer_is_given_the_model_not_its_parameters():
    with pytest.raises(TypeError, match=r"^Adam: expected a model, whose parameters it finds itself, got dict"):
        xpnet.optimizers.Adam(xpnet.models.mlp([2, 1]).parameters())


def test_a_run_that_stops_at_infinity_leaves_its_history(backend):
    model = xpnet.models.mlp([1, 8, 1])
    (x, t), _ = xpnet.data.sine()
    pairs = xpnet.data.batches(1e3 * x, t, 10)
    with pytest.raises(xpnet.NonFiniteError) as caught:
        xpnet.fit(model, pairs, loss=xpnet.losses.squared_error, optimizer=xpnet.optimizers.SGD(model, 1.0), epochs=9)
    losses, step = caught.value.history.steps["loss"], caught.value.step
    assert step > 0
    assert np.isfinite(losses[:step]).all()
    assert len(losses) == step or not backend.readable(model.parameters()["0.weight"].data)  # others came before a look


class FailsAt:
    """A loss that fails in one of its calls."""

    def __init__(self, call, error):
        self.left, self.error = call, error

    def __call__(self, y, t):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return losses.softmax_cross_entropy(y, t)


def test_a_step_without_enough_memory_keeps_the_history_and_the_state(backend, examples, train, network, bits_of):
    model, states = network(), []
    error = MemoryError("Unable to allocate 3.00 GiB")

    class Remember(training.Callback):
        def on_step(self, run):
            states.append(bits_of(model))

    with pytest.raises(training.OutOfMemoryError, match=r"a training step on a batch of 10.*A batch of") as caught:
        train(model, examples, loss=FailsAt(2, error), callbacks=[Remember()], capture="off")
    assert bits_of(model) == states[-1]
    assert len(states) == len(caught.value.history.steps["loss"]) == 2
    assert caught.value.fits is None or caught.value.fits < 10


def test_a_device_that_is_gone_leaves_the_history(backend, examples, train, network):
    gone = RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    class Reads(training.Callback):
        def on_end(self, run):
            raise gone

    with pytest.raises(training.DeviceLostError, match="the device is gone") as caught:
        train(network(), examples, loss=FailsAt(8, gone), callbacks=[Reads()], capture="off", log_every=1)
    assert len(caught.value.history["loss"]) == 1
    assert len(caught.value.history.steps["loss"]) == 8


def test_a_device_that_is_gone_between_steps_is_said_too(backend, network):
    def pairs():
        yield backend.asarray(np.ones((2, 4))), backend.asarray(np.zeros(2, int))
        raise RuntimeError("cudaErrorIllegalAddress: an illegal memory access was encountered")

    model = network()
    with pytest.raises(training.DeviceLostError, match="the device is gone") as caught:
        xpnet.fit(model, pairs(), loss=losses.softmax_cross_entropy, optimizer=Adam(model), epochs=1, log_every=1)
    assert len(caught.value.history.steps["loss"]) == 1

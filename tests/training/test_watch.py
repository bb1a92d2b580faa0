"""The watch over training: what it warns of, what it leaves alone, and that training is the same with it."""

import warnings

import numpy as np
import pytest

import xpnet
from xpnet import data, diagnostics, initializers, losses, models, optimizers, penalties
from xpnet.layers import Linear, ReLU, Sequential
from xpnet.optimizers import SGD, Adam
from xpnet.training import WATCHED, Callback, Run, Watch, WatchWarning

DIGITS = data.digits()[0]
SINE = data.sine()[0]
CENTRED = data.Standardize(SINE[0])(SINE[0]), SINE[1]


def mlp(sizes, activation="relu", bias=0.0, **options):
    model = models.mlp(sizes, activation, **options)
    model.parameters()["0.bias"].data[...] += bias
    return model


def broadcast_error(y, t):
    """The mean of (y - t)², whatever their shapes."""
    xp = xpnet.get_backend().xp
    difference = y - t
    n = difference.shape[0] * difference.shape[1]

    def pullback():
        gradient = 2.0 * difference / n
        return gradient if gradient.shape == y.shape else xp.sum(gradient, axis=1, keepdims=True)

    return xp.mean(difference * difference), pullback


def watched(model, examples, rate=0.1, *, size=32, steps=1200, loss=losses.softmax_cross_entropy, every=50, **options):
    """The warnings of a run, and the run's history."""
    optimizer = rate if isinstance(rate, optimizers.Optimizer) else SGD(model, rate)
    batches = data.batches(*examples, size)
    watch = Watch(every)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        epochs = -(-steps // len(batches))
        history = xpnet.fit(model, batches, loss=loss, optimizer=optimizer, epochs=epochs, callbacks=[watch], **options)
    found = [each.message for each in caught if isinstance(each.message, WatchWarning)]
    assert [warning.cause for warning in found if warning.cause] == list(watch.found)
    return found, history


# Nothing of it is felt -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 3])
def test_training_is_the_same_bit_for_bit(every, backend, examples, network, train, bits_of):
    kept = []
    for callbacks in ([], [Watch(every)]):
        model = network()
        optimizer = optimizers.Adam(model, 0.05, clip_norm=1.0)
        history = train(model, examples, optimizer=optimizer, callbacks=callbacks, epochs=3)
        moments = {name: backend.to_host(values).tobytes() for name, values in optimizer.state().items()}
        kept.append((bits_of(model), moments, history.steps["loss"]))
    assert kept[0] == kept[1]


def test_convolutions_are_trained_the_same_bit_for_bit(backend, bits_of):
    (x, t), _ = data.digits(flat=False)
    kept = []
    for watch in (False, True):
        xpnet.seed(0)
        model = models.simple_cnn((8, 8, 1), channels=4, kernel_size=3)
        history = xpnet.fit(
            model,
            data.batches(x[:80], t[:80], 16),
            loss=losses.softmax_cross_entropy,
            optimizer=Adam(model),
            epochs=1,
            watch=watch,
        )
        kept.append((bits_of(model), history.steps["loss"]))
    assert kept[0] == kept[1]


def test_the_gradients_of_the_step_can_still_be_read(backend, examples, network, train):
    seen = []

    class Reader(Callback):
        def on_step(self, run):
            seen.append(backend.to_host(run.optimizer.store.grad).tobytes())

    for callbacks in ([Reader()], [Watch(1), Reader()]):
        train(network(), examples, callbacks=callbacks, epochs=1)
    assert seen[: len(seen) // 2] == seen[len(seen) // 2 :]


def test_looks_are_rare_and_nothing_is_touched_between(monkeypatch, examples, network, train):
    from xpnet.training import _watch

    steps, look_at = [], _watch.look_at

    def counted(*arguments, step, **options):
        steps.append(step)
        return look_at(*arguments, step=step, **options)

    monkeypatch.setattr(_watch, "look_at", counted)
    train(network(), examples, callbacks=[Watch(5)], epochs=2)
    assert steps == [1, 6, 11]
    Watch(5).on_step(Run(None, None, epochs=1, step=7))  # nothing there to be read


def test_the_batch_belongs_to_the_step(examples, network, train):
    seen = []

    class Reader(Callback):
        def on_step(self, run):
            seen.append((run.batch[0].shape, run.batch[1].shape, run.loss))

        def on_epoch(self, run):
            assert run.batch is None

    train(network(), examples, callbacks=[Reader()], size=40, epochs=1)
    assert seen == [((n, 4), (n,), losses.softmax_cross_entropy) for n in (40, 20)]


# What it warns of ----------------------------------------------------------------------------------------------------

SMALL, LARGE = initializers.normal(0.01), initializers.normal(30.0)
DEEP = [64] + [16] * 12 + [10]
FAULTS = {
    "inputs of 1000": ("inputs_unscaled", lambda: (mlp([64, 50, 10]), (1000 * DIGITS[0], DIGITS[1]))),
    "sine in [0, 1]": (
        "hinges_outside_data",
        lambda: (mlp([1, 100, 1]), (data.MinMax(SINE[0])(SINE[0]), SINE[1]), 0.01, {"loss": losses.squared_error}),
    ),
    "rate too high": ("rate_high", lambda: (mlp([64, 50, 10], "tanh"), DIGITS, 30.0)),
    "rate that kills": ("rate_high", lambda: (mlp([64, 50, 10]), DIGITS, 30.0)),
    "rate that saturates": ("rate_high", lambda: (mlp([64, 50, 10], "sigmoid"), DIGITS, 20.0)),
    "signals that fade": (
        "weights_small",
        lambda: (mlp([64, 50, 50, 10], weight=initializers.normal(1e-3)), DIGITS),
    ),
    "rate too low": ("rate_low", lambda: (mlp([64, 50, 10]), DIGITS, 1e-5)),
    "dead from the start": ("dead_relus", lambda: (mlp([64, 50, 10], bias=-100.0), DIGITS)),
    "sigmoids that are flat": ("weights_large", lambda: (mlp([64, 50, 10], "sigmoid", weight=LARGE), DIGITS)),
    "weights of zero": ("weights_zero", lambda: (mlp([64, 50, 10], weight=initializers.zeros), DIGITS)),
    "gradients that vanish": ("weights_small", lambda: (mlp(DEEP, "sigmoid"), DIGITS)),
    "the course's sigmoids": ("weights_small", lambda: (mlp([64, 40, 20, 10], "sigmoid", weight=SMALL), DIGITS)),
    "targets that broadcast": (
        "targets_broadcast",
        lambda: (mlp([1, 20, 1], "tanh"), (CENTRED[0], SINE[1][:, 0]), 0.1, {"loss": broadcast_error}),
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named_once(fault):
    cause, case = FAULTS[fault]
    model, examples, *rest = case()
    found, _ = watched(
        model, examples, *[each for each in rest if not isinstance(each, dict)], steps=400, **(rest[1:] or [{}])[0]
    )
    assert [warning.cause for warning in found][:1] == [cause]
    assert len({warning.cause for warning in found}) == len(found) <= 2


def test_labels_without_relation_are_a_plateau():
    random = np.random.default_rng(0)
    x, t = random.standard_normal((5000, 5)).astype(np.float32), random.integers(0, 3, 5000)
    found, _ = watched(models.mlp([5, 3]), (x, t), 0.01, size=50, steps=2000)
    assert [warning.cause for warning in found] == ["no_fit"]
    assert "is that of outputs that are the same for all examples, 1.1" in str(found[0])


def test_outputs_that_do_not_follow_the_inputs():
    model = mlp([64, 50, 10])
    model.parameters()["0.weight"].data[...] = 0.0
    model.parameters()["0.bias"].data[...] = 1.0
    model = Sequential(**{"frozen": xpnet.layers.Frozen(model[:2]), "last": Linear(50, 10)})
    found, _ = watched(model, DIGITS, steps=400)
    assert [warning.cause for warning in found] == ["output_constant"]


@pytest.mark.parametrize(
    ("cause", "model", "examples", "loss"),
    [
        ("hinges_outside_data", lambda: mlp([1, 40, 1]), (data.MinMax(SINE[0])(SINE[0]), SINE[1]), None),
        ("inputs_unscaled", lambda: mlp([1, 40, 1], "tanh"), (CENTRED[0] + 1000, SINE[1]), None),
        ("dead_relus", lambda: mlp([1, 40, 1], bias=-100.0), CENTRED, None),
        ("targets_broadcast", lambda: mlp([1, 40, 1], "tanh"), (CENTRED[0], SINE[1][:, 0]), broadcast_error),
    ],
)
def test_faults_are_seen_on_every_backend(cause, model, examples, loss, backend):
    found, _ = watched(model(), examples, 0.01, size=20, steps=30, every=5, loss=loss or losses.squared_error)
    assert cause in [warning.cause for warning in found]


def test_a_warning_tells_step_layer_numbers_and_remedy():
    model = mlp([64, 50, 10], bias=-100.0)
    with pytest.warns(WatchWarning) as caught:
        xpnet.fit(
            model,
            data.batches(*DIGITS, 32),
            loss=losses.softmax_cross_entropy,
            optimizer=SGD(model, 0.1),
            epochs=8,
            watch=True,
        )
    (record,) = caught
    warning = record.message
    assert str(warning) == (
        "step 251: 50 of the 50 units of layer '1' were zero for all examples of the last 5 looks: they get no "
        "gradient (dead_relus). Remedy: a lower learning rate, He's initial weights with zero biases, or LeakyReLU"
    )
    assert (warning.cause, warning.step, warning.layer) == ("dead_relus", 251, "1")
    assert warning.evidence["dead"] == 1.0
    assert warning.remedy.startswith("a lower learning rate")
    assert record.filename == __file__


def test_its_causes_are_the_doctors():
    assert set(WATCHED) <= set(diagnostics.CAUSES)
    assert {cause for cause, _ in FAULTS.values()} <= set(WATCHED)


# What it leaves alone ------------------------------------------------------------------------------------------------


def noisy():
    random, (x, t) = np.random.default_rng(0), DIGITS
    return x, np.where(random.random(len(t)) < 0.1, random.integers(0, 10, len(t)), t)


def weak():
    random = np.random.default_rng(0)
    x = random.standard_normal((2000, 10)).astype(np.float32)
    return x, (0.3 * x[:, :1] + random.standard_normal((2000, 1))).astype(np.float32)


def leaky():
    """A network whose leaky ReLUs are negative for all examples at the start, and which learns."""
    model = Sequential(Linear(64, 50), xpnet.layers.LeakyReLU(0.2), Linear(50, 10))
    model["0"].bias.data[...] -= 5.0
    return model


DEEP_TANH = [64] + [16] * 8 + [10]
SQUARED = {"loss": losses.squared_error}
HEALTHY = {
    "digits": lambda: (mlp([64, 50, 10]), DIGITS),
    "batch norm, dropout": lambda: (mlp([64, 64, 64, 10], batch_norm=True, dropout=0.2), DIGITS, 0.05),
    "course, batch norm": lambda: (mlp([64, 40, 20, 10], "sigmoid", weight=SMALL, batch_norm=True), DIGITS),
    "course, Xavier": lambda: (
        mlp([64, 40, 20, 10], "sigmoid", weight=initializers.lecun_normal),
        DIGITS,
        0.1,
        {"size": 100},
    ),
    "images": lambda: (models.simple_cnn((8, 8, 1), channels=4), data.digits(flat=False)[0], 0.1, {"steps": 600}),
    "sine mended": lambda: (mlp([1, 100, 1], weight=initializers.normal(0.1)), CENTRED, 0.1, {"size": 10, **SQUARED}),
    "sine, slowly": lambda: (mlp([1, 100, 1]), CENTRED, 0.01, {"size": 10, **SQUARED}),
    "deep tanh": lambda: (mlp(DEEP_TANH, "tanh", weight=initializers.xavier_normal), DIGITS, 0.05),
    "sparse ReLU": lambda: (mlp([64, 256, 10], bias=-1.0), DIGITS),
    "L1": lambda: (mlp([64, 128, 10]), (DIGITS[0][:300], DIGITS[1][:300]), 0.1, {"penalty": penalties.L1(2e-3)}),
    "leaky ReLU": lambda: (leaky(), DIGITS),
    "deep ReLU": lambda: (mlp([64] + [32] * 8 + [10]), DIGITS, 0.05),
    "late rate": lambda: (mlp([64, 50, 10]), DIGITS, lambda step: 0.1 if step < 300 else 1e-7),
    "warm-up": lambda: (mlp([64, 50, 10]), DIGITS, lambda step: 0.1 * min(1.0, (step + 1) / 500)),
    "one at a time": lambda: (mlp([2, 30, 1]), data.polynomial(1000)[0], 0.06, {"size": 1, "steps": 1000, **SQUARED}),
    "noisy labels": lambda: (mlp([64, 50, 10]), noisy()),
    "learning by heart": lambda: (mlp([64, 128, 10]), (DIGITS[0][:100], DIGITS[1][:100]), 0.1, {"size": 20}),
    "little to be learned": lambda: (mlp([10, 30, 1]), weak(), 0.05, {"size": 50, **SQUARED}),
    "last layer from zero": lambda: (Sequential(Linear(64, 10, weight=initializers.zeros)), DIGITS),
    "scores of yes or no": lambda: (
        mlp([64, 20, 1]),
        (DIGITS[0], (DIGITS[1] == 3).astype(np.float32)[:, None]),
        0.1,
        {"loss": losses.binary_cross_entropy},
    ),
}


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.long), pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.parametrize("setting", HEALTHY)
def test_a_run_that_learns_is_left_alone(setting, seed):
    xpnet.seed(seed)
    model, examples, *rest = HEALTHY[setting]()
    options = rest.pop() if rest and isinstance(rest[-1], dict) else {}
    found, history = watched(model, examples, *rest, **options)
    assert [str(warning) for warning in found] == []
    losses_by_step = history.steps["loss"]
    assert np.mean(losses_by_step[-50:]) < np.mean(losses_by_step[:10])


def test_leaky_units_are_not_dead_where_nothing_is_learned():
    model = leaky()
    found, _ = watched(model, (DIGITS[0], np.random.default_rng(0).permutation(DIGITS[1])), 0.001, steps=600)
    assert "dead_relus" not in [warning.cause for warning in found]


def test_unscaled_inputs_before_batch_normalization_are_well():
    model = Sequential(Linear(64, 20), xpnet.layers.BatchNorm(20), ReLU(), Linear(20, 10))
    found, _ = watched(model, (100 * DIGITS[0], DIGITS[1]), steps=100)
    assert found == []


def test_a_loss_that_shapes_its_targets_is_well():
    def flat(y, t):
        return losses.squared_error(y, xpnet.get_backend().xp.reshape(t, y.shape))

    found, _ = watched(mlp([1, 20, 1], "tanh"), (CENTRED[0], SINE[1][:, 0]), size=10, steps=100, loss=flat)
    assert found == []


# Settings, and what goes wrong in a look -----------------------------------------------------------------------------


def test_a_look_that_fails_ends_the_watch_and_not_the_run(examples, network, train):
    calls = []

    def loss(y, t):
        calls.append(1)
        if len(calls) == 2:  # the first look
            raise RuntimeError("not twice")
        return losses.softmax_cross_entropy(y, t)

    with pytest.warns(
        WatchWarning, match=r"step 1: the run is no longer watched \(RuntimeError: not twice\)"
    ) as caught:
        history = train(network(), examples, loss=loss, callbacks=[Watch(1)], epochs=2)
    assert len(caught) == 1
    assert len(history["loss"]) == 2
    assert len(calls) == 2 + 11


def test_a_watch_serves_one_run_after_the_other():
    watch = Watch()
    for _ in range(2):
        model = mlp([64, 50, 10])
        with pytest.warns(WatchWarning, match="mean 309"):
            xpnet.fit(
                model,
                data.batches(1000 * DIGITS[0], DIGITS[1], 32),
                loss=losses.softmax_cross_entropy,
                optimizer=SGD(model, 0.1),
                epochs=1,
                callbacks=[watch],
            )
        assert list(watch.found) == ["inputs_unscaled"]


def test_settings_that_make_no_sense(examples, network, train):
    with pytest.raises(ValueError, match="Watch: every must be at least 1, got 0"):
        Watch(0)
    with pytest.raises(TypeError, match="fit: watch must be True or False, got 50; a Watch"):
        train(network(), examples, watch=50)

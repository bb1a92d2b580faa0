"""A loss or a gradient that turns infinite or NaN: `fit` stops, names the place, and undoes the step."""

import numpy as np
import pytest

import xpnet
from xpnet import losses, models
from xpnet.backend import array_namespace
from xpnet.layers import BatchNorm, Layer, Linear, ReLU, Residual, Sequential
from xpnet.optimizers import SGD, Adam, NonFiniteError
from xpnet.training import Callback

BATCHES = 10


class Trap(Layer):
    """Passes everything on; but where its input is large, what it passes on in one direction is infinite or NaN."""

    def __init__(self, direction):
        self.direction = direction

    def __repr__(self):
        return "Trap()"

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        xp = array_namespace(x)
        factor = 1.0 / xp.astype(xp.max(xp.abs(x)) < 1e5, x.dtype)

        def pullback(dy, *, input_gradient=False):
            dx = dy * factor if self.direction == "backward" else dy
            return dx if input_gradient else None

        return x * factor if self.direction == "forward" else x * 1.0, pullback


class Watch(Callback):
    """Keeps the model's state from before the first step and after each one."""

    def __init__(self, bits_of):
        self.bits_of, self.states = bits_of, []

    def on_start(self, run):
        self.states = [self.bits_of(run.model)]

    def on_step(self, run):
        self.states.append(self.bits_of(run.model))


@pytest.fixture
def watch(bits_of):
    return Watch(bits_of)


@pytest.fixture
def batches_with_one_bad(backend):
    """Makes batches whose inputs are small, but for one of that number."""

    def make(bad):
        random = np.random.default_rng(0)
        pairs = []
        for i in range(BATCHES):
            x, t = random.normal(size=(6, 3)), random.normal(size=(6, 2))
            pairs.append((backend.asarray(x * (1e8 if i == bad else 1.0)), backend.asarray(t)))
        return pairs

    return make


def trapped(direction):
    return Sequential(Linear(3, 4), Residual(BatchNorm(4)), Trap(direction), ReLU(), Linear(4, 2))


def gentle(y, t):
    """A loss whose gradient stays small, whatever the outputs."""
    xp = array_namespace(y)
    return xp.mean(xp.abs(y - t)), lambda: (y - t) / (xp.abs(y - t) + 1.0) / float(y.shape[0])


def steep(y, t):
    """A finite loss with a finite gradient, the square of which is not."""
    xp = array_namespace(y)
    return xp.mean(y), lambda: xp.ones_like(y) * 1e25


def no_number(y, t):
    xp = array_namespace(y)
    return xp.mean(y) * float("nan"), lambda: xp.ones_like(y)


def no_slope(y, t):
    xp = array_namespace(y)
    return xp.mean(y), lambda: y * float("nan")


REMEDIES = "A lower learning rate, clip_norm, or inputs of a smaller scale are the usual remedies"
CASES = {
    "forward": (lambda: trapped("forward"), gentle, 0.01, 4, "2", "forward", r"forward pass of layer '2' \(Trap\(\)\)"),
    "backward": (lambda: trapped("backward"), gentle, 0.01, 4, "2", "backward", r"backward pass of layer '2' \(Trap"),
    "learning rate": (
        lambda: models.mlp([3, 8, 2]),
        losses.squared_error,
        1e25,
        1,
        "2",
        "forward",
        r"forward pass of layer '2' \(Linear\(8, 2\)\)",
    ),
    "loss": (
        lambda: models.mlp([3, 2]),
        losses.squared_error,
        1e30,
        1,
        "loss",
        "forward",
        "forward pass of the loss",
    ),
    "loss alone": (
        lambda: models.mlp([3, 2]),
        no_number,
        0.01,
        0,
        "loss",
        "forward",
        "forward pass of the loss",
    ),
    "gradient of the loss": (
        lambda: models.mlp([3, 2]),
        no_slope,
        0.01,
        0,
        "loss",
        "backward",
        "backward pass of the loss",
    ),
    "norm": (lambda: models.mlp([3, 2]), steep, 0.01, 0, None, None, "every value of both passes is finite, but the"),
}


@pytest.mark.parametrize(("make", "loss", "rate", "step", "layer", "direction", "text"), CASES.values(), ids=CASES)
def test_the_message_names_step_layer_and_direction_and_the_step_is_undone(
    backend, batches_with_one_bad, watch, bits_of, make, loss, rate, step, layer, direction, text
):
    model = make()
    optimizer = SGD(model, rate)
    pairs = batches_with_one_bad(4)
    with pytest.raises(
        NonFiniteError, match=f"^step {step}: the loss or the gradients are.*{text}.*{REMEDIES}$"
    ) as caught:
        xpnet.fit(model, pairs, loss=loss, optimizer=optimizer, epochs=1, callbacks=[watch], log_every=1)
    assert (caught.value.step, caught.value.layer, caught.value.direction) == (step, layer, direction)
    assert bits_of(model) == watch.states[step]
    assert len(watch.states) == step + 1
    assert optimizer.steps == step


def test_inputs_that_are_not_finite_are_named_as_such(backend, batches_with_one_bad):
    model, pairs = trapped("forward"), batches_with_one_bad(None)
    pairs[2][0][1, 1] = float("nan")
    with pytest.raises(NonFiniteError, match=r"^step 2: .*; it is in the batch's inputs already\. No") as caught:
        xpnet.fit(model, pairs, loss=gentle, optimizer=SGD(model, 0.01), epochs=1)
    assert (caught.value.layer, caught.value.direction) == ("inputs", "forward")


def test_training_goes_on_with_better_batches(backend, batches_with_one_bad, bits_of):
    options = {"log_every": 1, "capture": "off"}
    good = batches_with_one_bad(None)
    stopped, undisturbed = trapped("backward"), trapped("backward")
    undisturbed.load_state(stopped.state())
    optimizers = [Adam(model, 0.01) for model in (stopped, undisturbed)]
    with pytest.raises(NonFiniteError):
        xpnet.fit(stopped, batches_with_one_bad(4), loss=gentle, optimizer=optimizers[0], epochs=1, **options)
    xpnet.fit(stopped, good[4:], loss=gentle, optimizer=optimizers[0], epochs=1, **options)
    xpnet.fit(undisturbed, good, loss=gentle, optimizer=optimizers[1], epochs=1, **options)
    assert bits_of(stopped) == bits_of(undisturbed)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize(("bad", "log_every", "last_look"), [(0, 5, 0), (6, 5, 5), (9, 4, 8)])
def test_where_the_host_cannot_look_at_each_step_the_same_is_found_later(
    backend, monkeypatch, batches_with_one_bad, watch, bits_of, direction, bad, log_every, last_look
):
    model = trapped(direction)
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    options = {
        "loss": gentle,
        "optimizer": Adam(model, 0.01, clip_norm=1.0),
        "callbacks": [watch],
        "log_every": log_every,
    }
    with pytest.raises(NonFiniteError, match=rf"^step {bad}: .*{direction} pass of layer '2' \(Trap") as caught:
        xpnet.fit(model, batches_with_one_bad(bad), epochs=1, **options)
    assert (caught.value.step, caught.value.layer, caught.value.direction) == (bad, "2", direction)
    after = bits_of(model)
    assert after == watch.states[bad] | {path: watch.states[last_look][path] for path in model.buffers()}

    xpnet.fit(model, batches_with_one_bad(None), epochs=1, **options)
    assert options["optimizer"].steps == bad + BATCHES
    assert bits_of(model) != after


def test_a_bad_step_of_an_earlier_run_is_reported_before_the_first_step(backend, monkeypatch, batches_with_one_bad):
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    model = models.mlp([3, 2])
    optimizer, pairs = SGD(model, 0.01), batches_with_one_bad(None)
    model["0"].bias.grad = backend.zeros((2,)) * float("nan")
    optimizer.step()
    with pytest.raises(NonFiniteError, match=r"^step 0: the loss or the gradients' norm is infinite or NaN"):
        xpnet.fit(model, pairs, loss=gentle, optimizer=optimizer, epochs=1)
    assert len(xpnet.fit(model, pairs, loss=gentle, optimizer=optimizer, epochs=1).epochs) == 1

"""Mixed precision: passes in float16, parameters that stay float32, a loss scale that follows what it meets."""

import os

import numpy as np
import pytest

import xpnet
from xpnet import data, layers, losses, models
from xpnet.backend import array_namespace, available_backends, open_backend, use_backend
from xpnet.optimizers import SGD, Adam, NonFiniteError
from xpnet.training import accuracy, train_step

NAMES = os.environ["XPNET_BACKENDS"].split(",") if "XPNET_BACKENDS" in os.environ else available_backends()
HALVED = [name for name in NAMES if open_backend(name).half is not None]


@pytest.fixture(params=HALVED)
def backend(request):
    """Each backend that has float16 in turn, as the current one."""
    with use_backend(request.param) as chosen:
        yield chosen


def set_scale(optimizer, value):
    optimizer.loss_scale.scale[...] = value
    optimizer.loss_scale.match_inverse()


def one_step(model, x, t, *, loss=losses.squared_error, rate=0.1, precision="float16"):
    optimizer = SGD(model, rate)
    if precision == "float16":
        set_scale(optimizer, 256.0)  # sums over a batch would overflow with the first scale
    value, y, _ = train_step(model, x, t, loss=loss, optimizer=optimizer, precision=precision)
    return optimizer, value, y


def arrays(backend, *shapes, seed=0):
    random = np.random.default_rng(seed)
    return [backend.asarray(random.normal(size=shape).astype(np.float16).astype(np.float32)) for shape in shapes]


def host_gradients(model):
    return {path: np.array(model.backend.to_host(p.grad)) for path, p in model.parameters().items()}


# It learns ----------------------------------------------------------------------------------------------------------


def test_an_mlp_with_batch_norm_and_dropout_learns_digits_as_well_as_in_float32(backend):
    (x, t), test = data.digits()
    found = {}
    for precision in ("float32", "float16"):
        xpnet.seed(0)
        model = models.mlp([64, 32, 10], batch_norm=True, dropout=0.1)
        found[precision] = xpnet.fit(
            model,
            data.batches(x, t, 64),
            loss=losses.softmax_cross_entropy,
            optimizer=Adam(model, 3e-3),
            epochs=3,
            validation=test,
            metrics={"accuracy": accuracy},
            precision=precision,
        )
    assert found["float16"]["loss"] == pytest.approx(found["float32"]["loss"], rel=5e-3)
    assert found["float16"]["loss"] != found["float32"]["loss"]
    assert found["float16"]["val_accuracy"][-1] > 0.9


def test_a_convolutional_network_learns_as_in_float32(backend):
    (x, t), _ = data.digits()
    x = np.asarray(x).reshape(-1, 8, 8, 1)[:64]
    shown = []
    for precision in ("float32", "float16"):
        xpnet.seed(0)
        model = layers.Sequential(
            layers.Conv2d(1, 8, 3, padding=1, bias=False),
            layers.BatchNorm(8),
            layers.ReLU(),
            layers.MaxPool2d(2),
            layers.Conv2d(8, 16, 3, padding=1),
            layers.ReLU(),
            layers.AvgPool2d(2),
            layers.Flatten(),
            layers.Linear(64, 10),
        )
        history = xpnet.fit(
            model,
            data.batches(x, np.asarray(t)[:64], 32),
            loss=losses.softmax_cross_entropy,
            optimizer=Adam(model, 1e-2),
            epochs=4,
            penalty=xpnet.penalties.L2(1e-4),
            precision=precision,
        )
        shown.append(history["loss"])
    assert shown[1] == pytest.approx(shown[0], rel=2e-2)
    assert shown[1][-1] < 0.9 * shown[1][0]


# Gradients ----------------------------------------------------------------------------------------------------------

LAYERS = {
    "Linear": (lambda: layers.Linear(6, 4), (8, 6)),
    "Conv2d": (lambda: layers.Conv2d(3, 4, 3, padding=1), (4, 6, 6, 3)),
    "Conv2d-groups": (lambda: layers.Conv2d(4, 4, 3, groups=2), (4, 6, 6, 4)),
    "ConvTranspose2d": (lambda: layers.ConvTranspose2d(3, 4, 3, stride=2), (2, 4, 4, 3)),
    "BatchNorm": (lambda: layers.Sequential(layers.Linear(6, 4), layers.BatchNorm(4)), (16, 6)),
    "BatchNorm-ReLU": (lambda: layers.Sequential(layers.Linear(6, 4), layers.BatchNorm(4), layers.ReLU()), (16, 6)),
    "LayerNorm": (lambda: layers.Sequential(layers.Linear(6, 4), layers.LayerNorm(4)), (16, 6)),
    "LocalResponseNorm": (
        lambda: layers.Sequential(layers.Conv2d(3, 6, 3), layers.LocalResponseNorm(5, alpha=1.0)),
        (2, 5, 5, 3),
    ),
    "Softmax": (lambda: layers.Sequential(layers.Linear(6, 4), layers.Softmax()), (8, 6)),
    "GELU": (lambda: layers.Sequential(layers.Linear(6, 4), layers.GELU()), (8, 6)),
    "Dropout": (lambda: layers.Sequential(layers.Linear(6, 40), layers.Dropout(0.5)), (8, 6)),
    "AvgPool2d": (lambda: layers.Sequential(layers.Conv2d(3, 4, 3), layers.AvgPool2d(3, stride=1)), (2, 7, 7, 3)),
    "MaxPool2d": (lambda: layers.Sequential(layers.Conv2d(3, 4, 3), layers.MaxPool2d(2)), (2, 6, 6, 3)),
    "GlobalAvgPool": (lambda: layers.Sequential(layers.Conv2d(3, 4, 3), layers.GlobalAvgPool()), (2, 6, 6, 3)),
    "SqueezeExcite": (
        lambda: layers.Sequential(layers.Conv2d(3, 4, 3), layers.SqueezeExcite(4, reduction=2)),
        (2, 6, 6, 3),
    ),
    "Residual": (lambda: layers.Sequential(layers.Linear(6, 6), layers.Residual(layers.Linear(6, 6))), (8, 6)),
    "Concat": (lambda: layers.Concat(layers.Linear(6, 4), layers.Linear(6, 3)), (8, 6)),
    "shared": (lambda: (lambda layer: layers.Sequential(layer, layers.Tanh(), layer))(layers.Linear(6, 6)), (8, 6)),
    "frozen": (
        lambda: layers.Sequential(layers.Linear(6, 6), layers.Frozen(layers.Linear(6, 6)), layers.Linear(6, 2)),
        (8, 6),
    ),
}


@pytest.mark.parametrize(("make", "shape"), LAYERS.values(), ids=LAYERS)
def test_gradients_are_those_of_float32_to_float16s_precision(backend, make, shape):
    found = []
    for precision in ("float32", "float16"):
        xpnet.seed(0)
        model = make()
        (x,) = arrays(backend, shape)
        (t,) = arrays(backend, model.output_shape(shape), seed=1)
        loss = losses.mean_squared_error
        _, value, y = one_step(model, x, t, loss=loss, precision=precision, rate=1e-3)
        assert y.dtype == value.dtype == backend.xp.float32
        assert all(p.data.dtype == p.grad.dtype == backend.xp.float32 for p in model.parameters().values())
        found.append((host_gradients(model), float(value)))
    (expected, loss), (got, loss_in_half) = found
    assert loss_in_half == pytest.approx(loss, rel=5e-3)
    for path, gradient in expected.items():
        scale = max(np.abs(values).max() for values in expected.values())
        np.testing.assert_allclose(got[path], gradient, rtol=1e-2, atol=5e-3 * scale, err_msg=path)
    assert any((got[path] != expected[path]).any() for path in expected)


def test_gradients_are_those_of_pytorchs_mixed_precision():
    torch = pytest.importorskip("torch")
    model = layers.Sequential(layers.Linear(6, 16), layers.LayerNorm(16), layers.ReLU(), layers.Linear(16, 3))
    theirs = torch.nn.Sequential(
        torch.nn.Linear(6, 16), torch.nn.LayerNorm(16), torch.nn.ReLU(), torch.nn.Linear(16, 3)
    )
    for mine, module in ((model["0"], theirs[0]), (model["3"], theirs[3])):
        module.weight.data = torch.tensor(np.array(mine.weight.data.T))
        module.bias.data = torch.tensor(np.array(mine.bias.data))
    (x,) = arrays(xpnet.get_backend(), (8, 6))
    t = np.arange(8) % 3
    _, value, _ = one_step(model, x, t, loss=losses.softmax_cross_entropy, rate=1e-6)
    with torch.autocast("cpu", dtype=torch.float16):
        y = theirs(torch.tensor(x))
    loss = torch.nn.functional.cross_entropy(y.float(), torch.tensor(t))
    (loss * 2.0**16).backward()
    assert float(value) == pytest.approx(loss.item(), rel=1e-3)
    for mine, parameter in (
        (model["0"].weight.grad.T, theirs[0].weight),
        (model["1"].weight.grad, theirs[1].weight),
        (model["3"].weight.grad.T, theirs[3].weight),
        (model["3"].bias.grad, theirs[3].bias),
    ):
        expected = parameter.grad.numpy() / 2.0**16
        np.testing.assert_allclose(mine, expected, atol=3e-3 * np.abs(expected).max())


class InFloat32(layers.Layer):
    """A layer that computes in float32, whatever it gets."""

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        xp = array_namespace(x)
        y = xp.astype(x, xp.float32)

        def pullback(dy, *, input_gradient=False):
            assert dy.dtype == y.dtype
            return xp.astype(dy, x.dtype) if input_gradient else None

        return y, pullback


def test_a_model_whose_outputs_are_float32_gets_such_gradients(backend):
    x, t = arrays(backend, (4, 3), (4, 2))
    found = []
    for precision in ("float32", "float16"):
        xpnet.seed(0)
        model = layers.Sequential(layers.Linear(3, 2), InFloat32())
        one_step(model, x, t, precision=precision)
        found.append(host_gradients(model))
    for path, gradient in found[0].items():
        np.testing.assert_allclose(found[1][path], gradient, rtol=1e-2, atol=1e-2, err_msg=path)


class Heads(layers.Layer):
    """In training two outputs, the second of an auxiliary head."""

    def __init__(self):
        self.main, self.head = layers.Linear(3, 2), layers.Linear(3, 2)

    def output_shape(self, input_shape):
        return self.main.output_shape(input_shape)

    def forward(self, x, *, training=True):
        (y, pull), (z, pull_head) = self.main.forward(x), self.head.forward(x)
        if not training:
            return y, pull

        def pullback(dy, *, input_gradient=False):
            for gradient, through in zip(dy, (pull, pull_head), strict=True):
                if gradient is not None:
                    through(gradient)

        return (y, z), pullback


def test_outputs_of_several_heads(backend):
    x, t = arrays(backend, (4, 3), (4, 2))
    found = []
    for precision in ("float32", "float16"):
        xpnet.seed(0)
        model = Heads()
        one_step(model, x, t, loss=losses.with_auxiliary(losses.squared_error, 0.5), precision=precision)
        found.append(host_gradients(model))
    for path, gradient in found[0].items():
        np.testing.assert_allclose(found[1][path], gradient, rtol=1e-2, atol=1e-2, err_msg=path)


def test_a_parameter_that_no_gradient_reaches_counts_as_zero(backend):
    x, t = arrays(backend, (4, 3), (4, 2))
    model = Heads()
    before = np.array(backend.to_host(model.head.weight.data))

    def main_only(y, t):
        value, pull = losses.squared_error(y[0], t)
        return value, lambda: (pull(), None)

    one_step(model, x, t, loss=main_only)
    assert not backend.to_host(model.head.weight.grad).any()
    assert (backend.to_host(model.head.weight.data) == before).all()
    assert backend.to_host(model.main.weight.grad).any()


# What stays float32 -------------------------------------------------------------------------------------------------


def test_updates_smaller_than_float16_can_hold_are_not_lost(backend):
    model = layers.Linear(1, 1, bias=False)
    model.weight.data = backend.zeros((1, 1)) + 1.0
    x = backend.zeros((1, 1)) + 1.0
    optimizer = SGD(model, 1e-5)

    def slope(y, t):
        return y[0, 0] * 1.0, lambda: y * 0.0 + 1.0

    for _ in range(50):
        train_step(model, x, x, loss=slope, optimizer=optimizer, precision="float16")
    assert np.float16(1.0 - 1e-5) == 1.0
    assert float(model.weight.data[0, 0]) == pytest.approx(1.0 - 50e-5, abs=1e-5)


class Watch(layers.Layer):
    """Passes on what it gets, and notes its type."""

    def __init__(self):
        self.seen = []

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        self.seen.append(str(x.dtype).rpartition(".")[2])

        def pullback(dy, *, input_gradient=False):
            self.seen.append(str(dy.dtype).rpartition(".")[2])
            return dy if input_gradient else None

        return x * 1.0, pullback


def test_training_runs_in_float16_and_evaluation_in_float32(backend):
    x, t = arrays(backend, (8, 3), (8, 2))
    watch = Watch()
    model = layers.Sequential(layers.Linear(3, 2), watch, layers.BatchNorm(2), watch)
    types = []

    def loss(y, t):
        types.append(str(y.dtype).rpartition(".")[2])
        return losses.squared_error(y, t)

    xpnet.fit(model, [(x, t)], loss=loss, optimizer=SGD(model, 0.1), epochs=1, precision="float16")
    assert watch.seen == ["float16"] * 4
    assert types == ["float32"]
    xpnet.training.evaluate(model, (x, t), loss=loss)
    assert watch.seen[4:] == ["float32"] * 2
    assert all(t.data.dtype == backend.xp.float32 for t in model.tensors().values())


# Around the pass ----------------------------------------------------------------------------------------------------


class Breaks(layers.Layer):
    def __init__(self, where):
        self.where = where

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        if self.where == "forward":
            raise RuntimeError("broken")

        def pullback(dy, *, input_gradient=False):
            raise RuntimeError("broken")

        return x, pullback


@pytest.mark.parametrize("where", ["forward", "loss", "pullback"])
def test_an_error_leaves_the_parameters_as_they_were(backend, where):
    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Sequential(
        layers.Frozen(layers.Linear(3, 3)), layers.Linear(3, 3), Breaks(where), layers.Linear(3, 2)
    )
    optimizer = Adam(model, 0.1)
    before = [(p.data, p.grad, p.stale) for p in model.tensors().values()]

    def loss(y, t):
        if where == "loss":
            raise RuntimeError("broken")
        return losses.squared_error(y, t)

    with pytest.raises(RuntimeError, match="broken"):
        train_step(model, x, t, loss=loss, optimizer=optimizer, precision="float16")
    after = [(p.data, p.grad, p.stale) for p in model.tensors().values()]
    assert all(a[0] is b[0] and a[1] is b[1] and a[2] == b[2] for a, b in zip(after, before, strict=True))
    assert optimizer.steps == 0


@pytest.mark.parametrize("first", ["float32", "float16"])
def test_gradients_of_several_passes_are_added_up(backend, first):
    from xpnet.training._precision import gradients

    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Linear(3, 2)
    optimizer, found = SGD(model, 0.1), []
    for precision in ("float32", first, "float16"):
        gradients(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision=precision)
        found.append(host_gradients(model))
        if len(found) == 1:
            optimizer.store.mark_stale()
    for path, gradient in found[0].items():
        np.testing.assert_allclose(found[1][path], gradient, rtol=1e-2, atol=1e-2)
        np.testing.assert_allclose(found[2][path], 2.0 * gradient, rtol=1e-2, atol=2e-2)


def test_a_frozen_part_that_another_optimizer_trains_is_seen_as_it_is_now(backend):
    x, t = arrays(backend, (4, 3), (4, 3))
    inner = layers.Linear(3, 3)
    trainer = SGD(inner, 0.5)
    model = layers.Sequential(layers.Linear(3, 3), layers.Frozen(inner))
    optimizer = SGD(model, 1e-6)
    losses_seen = []
    for precision in ("float16", "float16", "float32"):
        value, *_ = train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision=precision)
        losses_seen.append(float(value))
        if len(losses_seen) == 1:
            train_step(inner, x, t, loss=losses.squared_error, optimizer=trainer)
    assert losses_seen[1] == pytest.approx(losses_seen[2], rel=1e-2)
    assert losses_seen[0] != pytest.approx(losses_seen[2], rel=1e-2)


def test_fit_sees_a_frozen_part_that_was_loaded_since(backend):
    x, t = arrays(backend, (4, 3), (4, 3))
    model = layers.Sequential(layers.Linear(3, 3), layers.Frozen(layers.Linear(3, 3)))
    optimizer = SGD(model, 1e-6)
    options = {"loss": losses.squared_error, "optimizer": optimizer, "epochs": 1}
    first = xpnet.fit(model, [(x, t)], precision="float16", **options)["loss"][0]
    model.load_state({path: 3.0 * values for path, values in model.state().items()})
    loaded = xpnet.fit(model, [(x, t)], precision="float16", **options)["loss"][0]
    assert loaded == pytest.approx(xpnet.fit(model, [(x, t)], **options)["loss"][0], rel=1e-2)
    assert loaded != pytest.approx(first, rel=1e-2)


# Overflow -----------------------------------------------------------------------------------------------------------


def test_a_step_that_overflows_is_skipped_and_halves_the_scale(backend, bits_of):
    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Linear(3, 2)
    optimizer = Adam(model, 0.1, clip_norm=1.0)
    set_scale(optimizer, 2.0**20)
    before = bits_of(model)
    taken = []
    for _ in range(20):
        train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision="float16")
        taken.append(bits_of(model) != before)
    scale = optimizer.loss_scale
    assert taken[0] is False
    assert taken[-1] is True
    skipped = taken.index(True)
    assert float(scale.scale) == 2.0 ** (20 - skipped)
    assert (int(scale.count), int(scale.skipped), optimizer.steps) == (20 - skipped, skipped, 20)
    assert int(optimizer.state()["step"]) == 20 - skipped
    optimizer.raise_if_not_finite()


REMEDIES = "No parameter was changed by this step. precision='float32', a lower learning rate, or inputs of a smaller"


@pytest.mark.parametrize("looking", [True, False])
@pytest.mark.parametrize(
    ("size", "layer", "text"),
    [(1e6, "inputs", "it is in the batch's inputs already"), (6e4, "0", r"forward pass of layer '0' \(Linear")],
)
def test_overflow_at_the_lowest_scale_is_an_error_that_names_the_place(
    backend, monkeypatch, bits_of, looking, size, layer, text
):
    if not looking:
        monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Sequential(layers.Linear(3, 4), layers.ReLU(), layers.Linear(4, 2))
    model["0"].weight.data = backend.zeros((3, 4)) + 1.0
    optimizer = Adam(model, 0.01)
    set_scale(optimizer, 256.0)
    large = x * 0.0 + size
    pairs = [(x, t)] * 3 + [(large, t)] * 20
    with pytest.raises(NonFiniteError, match=f"^step 11: .* in float16, .*lowest, 1; .*{text}.*{REMEDIES}") as caught:
        xpnet.fit(
            model, pairs, loss=losses.squared_error, optimizer=optimizer, epochs=1, precision="float16", log_every=4
        )
    assert (caught.value.step, caught.value.layer, optimizer.steps) == (11, layer, 11)
    assert int(optimizer.state()["step"]) == 3
    assert float(optimizer.loss_scale.scale) == 1.0
    value, *_ = train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision="float16")
    assert np.isfinite(float(value))
    assert int(optimizer.state()["step"]) == 4


def test_a_step_by_hand_says_the_same(backend):
    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Linear(3, 2)
    optimizer = SGD(model, 0.1)
    set_scale(optimizer, 1.0)

    def steps(precision):
        size = 1e6 if precision == "float16" else float("nan")
        train_step(model, x * size, t, loss=losses.squared_error, optimizer=optimizer, precision=precision)
        optimizer.raise_if_not_finite()

    with pytest.raises(NonFiniteError, match=r"^step 0: .* in float16, with the loss scale at its lowest, 1; no para"):
        steps("float16")
    with pytest.raises(NonFiniteError, match=r"^step 0: the loss or the gradients' norm is infinite or NaN; no para"):
        steps("float32")


# State --------------------------------------------------------------------------------------------------------------


def test_going_on_from_a_saved_state_is_never_having_stopped(backend, network, bits_of):
    x, t = arrays(backend, (6, 4), (6, 3))

    def run(model, optimizer, steps):
        for _ in range(steps):
            train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision="float16")

    model = network()
    optimizer = Adam(model, 0.01)
    set_scale(optimizer, 2.0**20)
    run(model, optimizer, 8)
    weights, memory = model.state(), optimizer.state()
    assert {"loss_scale", "good_steps", "skipped_steps"} < set(memory)
    assert int(memory["skipped_steps"]) > 0
    run(model, optimizer, 4)

    resumed = network()
    resumed.load_state(weights)
    other = Adam(resumed, 0.01)
    other.load_state(memory)
    assert other.steps == 8
    run(resumed, other, 4)
    assert bits_of(resumed) == bits_of(model)
    assert float(other.loss_scale.scale) == float(optimizer.loss_scale.scale)


def test_a_state_from_before_mixed_precision_lets_the_scale_begin_anew(backend):
    x, t = arrays(backend, (4, 3), (4, 2))
    model = layers.Linear(3, 2)
    optimizer = Adam(model, 0.01)
    train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer)
    memory = optimizer.state()
    assert "loss_scale" not in memory
    train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision="float16")
    optimizer.loss_scale.scale[...] = 4.0
    optimizer.load_state(memory)
    assert (float(optimizer.loss_scale.scale), float(optimizer.loss_scale.inverse)) == (2.0**16, 2.0**-16)
    assert (int(optimizer.loss_scale.count), optimizer.steps) == (0, 1)


# Errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float64", "half", None])
def test_another_precision_is_refused(precision):
    model = models.mlp([3, 2])
    x, t = arrays(xpnet.get_backend(), (4, 3), (4, 2))
    optimizer = SGD(model, 0.1)
    expected = rf"precision must be one of 'float32', 'float16', got {precision!r}$"
    with pytest.raises(ValueError, match="^fit: " + expected):
        xpnet.fit(model, [(x, t)], loss=losses.squared_error, optimizer=optimizer, epochs=1, precision=precision)
    with pytest.raises(ValueError, match="^train_step: " + expected):
        train_step(model, x, t, loss=losses.squared_error, optimizer=optimizer, precision=precision)


def test_a_library_without_float16_is_named():
    pytest.importorskip("array_api_strict")
    with use_backend("array_api_strict") as strict:
        model = models.mlp([3, 2])
        x, t = arrays(strict, (4, 3), (4, 2))
        with pytest.raises(ValueError, match=r"^precision: backend 'array_api_strict' has no float16; 'float32' is"):
            xpnet.fit(
                model, [(x, t)], loss=losses.squared_error, optimizer=SGD(model, 0.1), epochs=1, precision="float16"
            )


def test_a_model_of_float64_is_refused(backend):
    with use_backend(backend.name, dtype="float64"):
        model = models.mlp([3, 2])
        with pytest.raises(
            ValueError, match=r"^precision: 'float16' is for models of float32, this one is of .*float64"
        ):
            one_step(model, model.backend.zeros((4, 3)), model.backend.zeros((4, 2)))


def test_inputs_of_float64_are_refused_as_in_float32():
    x, t = np.zeros((4, 3)), np.zeros((4, 2), np.float32)
    with pytest.raises(TypeError, match="x is float64 but weight is float16"):
        one_step(models.mlp([3, 2]), x, t)

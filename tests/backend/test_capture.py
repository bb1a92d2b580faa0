"""`capture` on every backend: CuPy records CUDA graphs, the others get a recorder that does what one would do."""

import threading
import warnings
import weakref

import numpy as np
import pytest

import xpnet
from xpnet.backend import CaptureUnavailableError, CaptureWarning, capture, recording
from xpnet.losses import softmax_cross_entropy
from xpnet.training import Watch, _fit, train_step
from xpnet.training._ledger import Ledger


def make(backend, **options):
    """A model with everything that a replay could get wrong, and its optimizer."""
    xpnet.seed(3)
    model = xpnet.models.mlp([4, 8, 3], batch_norm=True, dropout=0.25)
    rates = xpnet.schedules.cosine(0.1, steps=30)
    return model, xpnet.optimizers.Adam(model, rates, **({"clip_norm": 0.5, "weight_decay": 0.01} | options))


def stepping(model, optimizer):
    penalty = xpnet.penalties.L2(1e-3)

    def step(x, t):
        value, y, _ = train_step(model, x, t, loss=softmax_cross_entropy, optimizer=optimizer, penalty=penalty)
        return value, y

    return step


@pytest.fixture
def pairs(backend):
    random = np.random.default_rng(1)
    return [
        (backend.asarray(random.standard_normal((6, 4))), backend.asarray(random.integers(0, 3, 6))) for _ in range(12)
    ]


def bits(model):
    backend = model.backend
    return {path: backend.to_host(values) for path, values in model.state().items()}


def agree(model, other, backend):
    """Bit for bit where the same kernels run; on a device, products may be other kernels."""
    for path, values in bits(model).items():
        if backend.name == "cupy":
            np.testing.assert_allclose(values, bits(other)[path], rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(values, bits(other)[path], err_msg=path)


def trained(backend, pairs, through, change=lambda model, optimizer: None):
    model, optimizer = make(backend)
    step = through(stepping(model, optimizer), model, optimizer)
    losses = []
    for i, pair in enumerate(pairs):
        losses.append(float(backend.to_host(step(*pair)[0])))
        if i == 6:
            change(model, optimizer)
    return model, optimizer, step, losses


def test_recorded_steps_are_the_steps(backend, pairs, changed):
    plain, _, _, expected = trained(backend, pairs, lambda step, *_: step)

    def captured(step, *pair):
        changed.pairs.append(pair)
        return capture(step)

    model, optimizer, step, losses = trained(backend, pairs, captured)
    assert (step.graphs, step.replays, step.why_not) == (1, 10, None)
    assert optimizer.steps == 12
    assert losses == pytest.approx(expected, rel=1e-5 if backend.name == "cupy" else 0, abs=0)
    agree(model, plain, backend)


def test_nothing_is_recorded_where_operations_run_as_they_are_called():
    calls = []
    step = capture(lambda x: calls.append(1) or x)
    for _ in range(4):
        step(np.ones(3))
    assert (len(calls), step.graphs, step.replays) == (4, 0, 0)
    assert "numpy runs each operation when it is called" in step.why_not


def dropout_of(model):
    return next(layer for layer in model.layers().values() if isinstance(layer, xpnet.layers.Dropout))


@pytest.mark.parametrize(
    ("change", "recordings"),
    [
        (lambda model, optimizer: setattr(optimizer, "learning_rate", 0.3), 1),
        (lambda model, optimizer: setattr(optimizer, "weight_decay", 0.2), 2),
        (lambda model, optimizer: setattr(optimizer, "clip_norm", None), 2),
        (lambda model, optimizer: setattr(dropout_of(model), "rate", 0.5), 2),
        (lambda model, optimizer: xpnet.optimizers.seed_masks(model, 99), 2),
    ],
    ids=["rate", "decay", "clip", "dropout", "seed"],
)
def test_what_is_changed_between_steps_takes_effect(backend, pairs, changed, change, recordings):
    plain, *_ = trained(backend, pairs, lambda step, *_: step, change)

    def captured(step, *pair):
        changed.pairs.append(pair)
        return capture(step)

    model, _, step, _ = trained(backend, pairs, captured, change)
    agree(model, plain, backend)
    assert step.graphs == 1
    assert step.replays == {1: 10, 2: 8}[recordings]


@pytest.mark.parametrize(
    ("layer", "shape", "name", "value"),
    [
        (lambda: xpnet.layers.Dropout(0.0), (4, 64), "rate", 0.5),
        (lambda: xpnet.layers.Dropout(0.5, by_channel=True), (2, 8, 8, 4), "by_channel", False),
        (lambda: xpnet.layers.LeakyReLU(0.1), (4, 3), "slope", 0.5),
        (lambda: xpnet.layers.LayerNorm(3), (4, 3), "eps", 1.0),
        (lambda: xpnet.layers.LocalResponseNorm(3), (4, 3), "k", 2.0),
        (lambda: xpnet.layers.Pad(1), (2, 3, 3, 2), "value", 5.0),
    ],
    ids=["dropout from 0", "dropout by channel", "leaky_relu", "layer_norm", "response_norm", "pad"],
)
def test_settings_of_layers_are_watched(backend, changed, layer, shape, name, value):
    x = backend.asarray(np.random.default_rng(0).standard_normal(shape))
    with xpnet.use_backend(backend):
        layer = layer()
    captured = capture(lambda x: layer.forward(x)[0])
    for _ in range(4):
        captured(x)
    assert captured.replays == 2
    setattr(layer, name, value)
    np.testing.assert_array_equal(backend.to_host(captured(x)), backend.to_host(layer.forward(x)[0]))
    assert captured.replays == 2  # the stub's replays would see the new value


def test_the_eps_of_a_batch_normalization_is_watched_in_inference(backend, changed):
    with xpnet.use_backend(backend):
        layer = xpnet.layers.BatchNorm(3)
    x, captured = backend.asarray(np.ones((4, 3))), capture(layer)
    for _ in range(4):
        captured(x)
    layer.eps = 3.0
    np.testing.assert_allclose(backend.to_host(captured(x)), np.full((4, 3), 0.5), rtol=1e-6)
    assert captured.replays == 2


def test_whoever_observes_a_model_is_told_of_captured_calls_too(backend, changed):
    with xpnet.use_backend(backend):
        model = xpnet.models.mlp([4, 3])
    x, captured, told = backend.asarray(np.ones((2, 4))), capture(model), []
    for _ in range(4):
        captured(x)
    with xpnet.layers.observe(model, on_forward=lambda path, x, y: told.append(backend.to_host(y))):
        y = captured(x)
    assert captured.replays == 2
    np.testing.assert_array_equal(told[0], backend.to_host(y))
    captured(x)
    assert (len(told), captured.replays) == (1, 3)


def test_each_shape_is_recorded_apart(backend, pairs, changed):
    step = capture(lambda x: x + 1.0)
    sizes = [6, 4, 6, 4, 6, 4, 6]
    for i, n in enumerate(sizes):
        x = pairs[i][0][:n, ...]
        got = backend.to_host(step(x))
        np.testing.assert_array_equal(got, backend.to_host(x) + np.float32(1.0))
    assert (step.graphs, step.replays) == (2, 3)


def test_arrays_of_another_library_are_not_recorded_for_the_first_one(backend, changed):
    step = capture(lambda x: x + 1.0)
    other = pytest.importorskip("torch").ones(3) if backend.name == "numpy" else np.ones(3, np.float32)
    for _ in range(5):
        step(backend.asarray(np.ones(3)))
        assert type(step(other)) is type(other)
    assert (step.graphs, step.replays) == (1, 3)


def test_what_a_step_returns_of_its_arguments_may_be_its_next_arguments(backend, changed):
    """The latest two of a sequence, one of them as it came in: it lies where the graph reads."""
    step = capture(lambda new, old: (new + old, new[::1]))
    new, old = (backend.asarray(np.asarray([value])) for value in (1.0, 0.0))
    found = []
    for _ in range(8):
        new, old = step(new, old)
        found.append(float(backend.to_host(new)[0]))
    assert found == [1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0]
    assert step.replays == 6


def test_too_many_shapes_are_said_and_run_as_they_are(backend, changed):
    step = capture(lambda x: x * 2.0)
    arrays = [backend.asarray(np.ones(n)) for n in range(1, 10) for _ in range(3)]
    with pytest.warns(CaptureWarning, match=r"more than 8 shapes came.*drop_last=True"):
        found = [backend.to_host(step(x)).copy() for x in arrays]
    assert all(np.array_equal(got, 2.0 * backend.to_host(x)) for got, x in zip(found, arrays, strict=True))
    assert step.graphs == 0


def test_settings_that_change_with_each_call_are_said_and_the_step_runs_as_it_is(backend, pairs, changed):
    model, optimizer = make(backend)
    changed.pairs.append((model, optimizer))
    step = capture(stepping(model, optimizer))

    def train(calls):
        for i in range(calls):
            optimizer.weight_decay += 1e-4
            step(*pairs[i % 12])

    train(3 * 8 + 2)
    assert step.why_not is None
    with pytest.warns(CaptureWarning, match=r"8 recordings were launched once each.*was changed before the next call"):
        train(1)
    train(3)
    assert (step.graphs, step.replays, optimizer.steps) == (0, 8, 30)


def test_a_step_that_looks_at_a_value_is_named_with_its_line_and_runs_as_it_is(backend, pairs, changed):
    plain, *_ = trained(backend, pairs, lambda step, *_: step)

    def look(value):
        if backend.name != "cupy" and recording() is not None:  # where CuPy itself refuses
            raise RuntimeError("the current stream is capturing, so D2H transfers are disallowed")
        return float(value)

    def captured(step, *pair):
        changed.pairs.append(pair)

        def looking(x, t):
            value, y = step(x, t)
            assert look(value) > 0.0
            return value, y

        return capture(looking)

    with pytest.warns(CaptureWarning) as caught:
        model, optimizer, step, _ = trained(backend, pairs, captured)
    (message,) = (str(warning.message) for warning in caught if warning.category is CaptureWarning)
    assert "test_capture.py, line " in message
    assert "cannot be recorded (RuntimeError: the current stream is capturing" in message
    assert (step.graphs, step.replays, optimizer.steps) == (0, 0, 12)
    agree(model, plain, backend)


def test_a_recording_that_fails_half_way_leaves_gradients_to_be_overwritten(backend, pairs, changed):
    model, optimizer = make(backend)
    changed.pairs.append((model, optimizer))

    def step(x, t):
        y, pullback = model.forward(x)
        value, dloss = softmax_cross_entropy(y, t)
        pullback(dloss())
        if recording() is not None:
            raise RuntimeError("not to be recorded")
        optimizer.step(value)

    captured = capture(step)
    captured(*pairs[0])
    captured(*pairs[1])
    with pytest.warns(CaptureWarning, match="RuntimeError: not to be recorded"):
        captured(*pairs[2])
    other, another = make(backend)
    for x, t in pairs[:3]:
        train_step(other, x, t, loss=softmax_cross_entropy, optimizer=another)
    agree(model, other, backend)


def test_a_recording_that_is_interrupted_changes_nothing_and_is_made_at_the_next_call(backend, pairs, changed):
    def through(step, model, optimizer):
        changed.pairs[:] = [(model, optimizer)]

        def interrupted(x, t):
            y, pullback = model.forward(x)
            pullback(softmax_cross_entropy(y, t)[1]())
            if recording() is not None and keyboard:
                raise keyboard.pop()
            return step(x, t)

        return capture(interrupted)

    keyboard = [KeyboardInterrupt()]
    model, optimizer = make(backend)
    captured = through(stepping(model, optimizer), model, optimizer)
    for pair in pairs[:2]:
        captured(*pair)
    before = bits(model)
    with pytest.raises(KeyboardInterrupt):
        captured(*pairs[2])
    assert optimizer.steps == 2
    assert all(parameter.stale for parameter in model.parameters().values())
    for path, values in bits(model).items():
        np.testing.assert_array_equal(values, before[path])
    captured(*pairs[2])
    assert (captured.graphs, captured.replays, optimizer.steps, captured.why_not) == (1, 1, 3, None)


def test_a_recording_that_fails_holds_no_memory_when_the_step_runs_as_it_is(backend, changed):
    held, alive = [], []

    class Activations:
        pass

    def step(x):
        alive.append([each() for each in held if each() is not None])
        activations = Activations()
        held.append(weakref.ref(activations))
        if recording() is not None:
            raise RuntimeError("no memory")
        return x

    captured, x = capture(step), backend.asarray(np.ones(3))
    for _ in range(2):
        captured(x)
    with pytest.warns(CaptureWarning, match="no memory"):
        captured(x)
    assert alive == [[], [], [], []]


def test_a_device_that_cannot_record_says_so_once(backend, monkeypatch):
    def refuse(self):
        raise CaptureUnavailableError("recording is written for CuPy 14, and this is 13.6.0")

    monkeypatch.setattr(type(backend), "recorder", refuse)
    step = capture(lambda x: x + 1.0)
    x = backend.asarray(np.ones(2))
    with pytest.warns(CaptureWarning, match="because recording is written for CuPy 14, and this is 13.6.0"):
        step(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step(x)
    assert step.why_not == "recording is written for CuPy 14, and this is 13.6.0"


def test_a_captured_step_inside_another_is_a_part_of_it(backend, changed):
    inner = capture(lambda x: x + 1.0)
    outer = capture(lambda x: 2.0 * inner(x))
    for i in range(6):
        x = backend.asarray(np.full(3, float(i)))
        np.testing.assert_array_equal(backend.to_host(outer(x)), 2.0 * (np.full(3, float(i)) + 1.0))
    assert outer.replays == 4


def test_two_models_are_captured_side_by_side_and_in_threads(backend, pairs, changed):
    plain, *_ = trained(backend, pairs, lambda step, *_: step)
    errors = []

    def captured(step, *pair):
        changed.pairs.append(pair)
        return capture(step)

    first = [make(backend) for _ in range(2)]
    steps = [captured(stepping(*pair), *pair) for pair in first]
    for pair in pairs:
        for step in steps:
            step(*pair)
    for model, _ in first:
        agree(model, plain, backend)
    changed.pairs.clear()

    def work(model, optimizer):
        try:
            with xpnet.use_backend(backend):
                step = capture(stepping(model, optimizer))
                for pair in pairs:
                    step(*pair)
        except Exception as error:
            errors.append(error)

    if backend.name == "cupy":  # the stub puts all arrays back, also those of other threads
        second = [make(backend) for _ in range(2)]  # here, for the seed is the process's
        threads = [threading.Thread(target=work, args=pair) for pair in second]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        for model, _ in second:
            agree(model, plain, backend)


def accumulated(backend, pairs, through):
    """Gradients of three batches, one captured call each, for every update, another."""
    model, optimizer = make(backend)

    def accumulate(x, t):
        y, pullback = model.forward(x)
        value, dloss = softmax_cross_entropy(y, t)
        pullback(dloss())
        return value

    accumulate, update = through(model, optimizer, accumulate), through(model, optimizer, optimizer.step)
    with xpnet.use_backend(backend):
        for _ in range(3):
            for i, pair in enumerate(pairs):
                accumulate(*pair)
                if i % 3 == 2:
                    update()
    return model, optimizer, accumulate, update


def test_gradients_are_gathered_over_captured_calls_until_the_next_update(backend, pairs, changed):
    plain, *_ = accumulated(backend, pairs, lambda model, optimizer, step: step)

    def captured(model, optimizer, step):
        changed.pairs[:] = [(model, optimizer)]
        return capture(step)

    model, optimizer, accumulate, update = accumulated(backend, pairs, captured)
    assert optimizer.steps == 12
    assert (accumulate.why_not, update.why_not) == (None, None)
    assert (accumulate.graphs, update.graphs) == (2, 1)
    assert (accumulate.replays, update.replays) == (34, 10)
    agree(model, plain, backend)


def test_a_recording_that_fails_in_the_update_keeps_the_gradients(backend, pairs, changed):
    model, optimizer = make(backend)
    changed.pairs.append((model, optimizer))

    def update():
        optimizer.step()
        if recording() is not None:
            raise RuntimeError("not to be recorded")

    captured = capture(update)

    def step(x, t):
        y, pullback = model.forward(x)
        pullback(softmax_cross_entropy(y, t)[1]())
        captured()

    with xpnet.use_backend(backend):
        for pair in pairs[:2]:
            step(*pair)
        with pytest.warns(CaptureWarning, match="not to be recorded"):
            step(*pairs[2])
    assert optimizer.steps == 3


def test_an_argument_that_is_no_array_is_an_error(backend):
    with pytest.raises(TypeError, match=r"capture: expected arrays, got float; a number would be recorded as it is"):
        capture(lambda x, rate: x * rate)(backend.asarray(np.ones(2)), 0.5)


def test_what_is_no_function_is_an_error():
    with pytest.raises(TypeError, match=r"capture: expected a function of arrays, got 3"):
        capture(3)


@pytest.mark.parametrize("callbacks", [[], [Watch(every=2)]], ids=["alone", "watched"])
def test_the_examples_of_a_run_are_recorded_but_for_a_smaller_last_batch(callbacks, backend, changed, monkeypatch):
    """`fit` with and without: the same parameters and the same history."""
    random = np.random.default_rng(2)
    x, t = random.standard_normal((32, 4)).astype(np.float32), random.integers(0, 3, 32)
    launched = []
    monkeypatch.setattr(
        xpnet.backend.Captured,
        "_replay",
        lambda self, *rest, then=xpnet.backend.Captured._replay: launched.append(1) or then(self, *rest),
    )

    def run(mode):
        model, optimizer = make(backend)
        changed.pairs.append((model, optimizer))
        history = xpnet.fit(
            model,
            xpnet.data.batches(x, t, 6),
            loss=softmax_cross_entropy,
            optimizer=optimizer,
            epochs=3,
            penalty=xpnet.penalties.L2(1e-3),
            metrics={"accuracy": xpnet.training.accuracy},
            capture=mode,
            log_every=4,
            callbacks=[] if mode == "off" else callbacks,
        )
        changed.pairs.clear()
        return model, history

    plain, expected = run("off")
    assert not launched
    if backend.name != "cupy":  # as if the host had to wait: refusals, losses and metrics stay on the device
        monkeypatch.setattr(type(backend), "readable", lambda self, x: False)

        class Told(Ledger):
            def __init__(self, *arguments):
                super().__init__(*arguments)
                changed.others[:] = [self._table, self._place]

        monkeypatch.setattr(_fit, "Ledger", Told)
    model, history = run("auto")
    assert len(launched) == 3 * 5 - 2
    assert history.steps["loss"] == pytest.approx(expected.steps["loss"], rel=1e-5)
    for name in ("loss", "accuracy", "penalty"):
        assert history[name] == pytest.approx(expected[name], rel=1e-5)
    assert history["learning_rate"] == expected["learning_rate"]
    agree(model, plain, backend)


def test_fit_knows_its_modes(backend):
    model, optimizer = make(backend)
    with pytest.raises(ValueError, match=r"fit: capture must be one of 'auto', 'off', got 'on'"):
        xpnet.fit(model, [], loss=softmax_cross_entropy, optimizer=optimizer, epochs=1, capture="on")

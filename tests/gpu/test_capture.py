"""A captured step is the step: over many steps, in threads, beside another, and where it cannot be recorded."""

import inspect
import re
import threading
import warnings

import numpy as np
import pytest

import xpnet
from xpnet.backend import use_backend

STEPS = 200


def regularized(training, backend, many, through):
    """Dropout, batch normalization, a schedule, clipping, decay and a penalty: what a replay could get wrong."""
    xpnet.seed(3)
    model = xpnet.models.mlp([64, 128, 64, 10], batch_norm=True, dropout=0.25)
    (x, t), _ = xpnet.data.digits()
    pairs = [(backend.asarray(x[i : i + 64]), backend.asarray(t[i : i + 64])) for i in range(0, 1280, 64)]
    return training(
        backend,
        model,
        pairs,
        through,
        rate=xpnet.schedules.cosine(1e-2, steps=STEPS),
        penalty=xpnet.penalties.L2(1e-3),
        clip_norm=0.5,
        weight_decay=0.01,
    )


def test_200_captured_steps_give_the_bits_of_the_same_kernels_run_one_by_one(
    training, device, many, capture, rehearse, agree
):
    captured = regularized(training, device, many, capture)
    plain = regularized(training, device, many, rehearse(device))
    agree(captured.run(many(STEPS)), plain.run(many(STEPS)))
    assert (captured.step.graphs, captured.step.replays) == (1, many(STEPS) - 2)
    assert captured.optimizer.steps == many(STEPS)


def test_200_captured_steps_are_the_eager_ones_to_1e_6(training, device64, many, capture, agree):
    """In float64: in float32 other kernels' rounding, amplified over 200 steps, would hide what is looked for."""
    captured = regularized(training, device64, many, capture)
    eager = regularized(training, device64, many, lambda step: step)
    before = eager.state()
    agree(captured.run(many(STEPS)), eager.run(many(STEPS)), 1e-6)
    assert captured.step.why_not is None
    with pytest.raises(AssertionError):  # the steps did change something
        agree(before, eager.state(), 1e-3)


def test_in_float32_the_losses_are_the_eager_ones(training, device, many, capture):
    found = []
    for through in (capture, lambda step: step):
        run = regularized(training, device, many, through)
        found.append([float(device.to_host(run.step(*run.pairs[i % 20]))) for i in range(many(20))])
    np.testing.assert_allclose(*found, rtol=1e-2)


@pytest.mark.parametrize("model", ["simple_cnn", "vgg_small"])
def test_captured_convolutional_steps_give_the_bits_of_the_same_kernels_run_one_by_one(
    model, training, device, images, many, capture, rehearse, agree
):
    shape = (8, 28, 28, 1) if model == "simple_cnn" else (8, 32, 32, 3)
    states = []
    for through in (capture, rehearse(device)):
        xpnet.seed(5)
        run = training(device, getattr(xpnet.models, model)(), images(device, shape), through)
        states.append(run.run(many(12)))
    agree(*states)


def test_two_models_captured_side_by_side_are_as_each_alone(training, device, images, many, capture, agree):
    def make(seed):
        xpnet.seed(seed)
        return training(device, xpnet.models.mlp([20, 30, 10], dropout=0.5), images(device, (16, 20)), capture)

    alone = [make(seed).run(many(30)) for seed in (1, 2)]
    both = [make(1), make(2)]
    for i in range(many(30)):
        for each in both:
            each.step(*each.pairs[i % 4])
    for each, expected in zip(both, alone, strict=True):
        assert each.step.graphs == 1
        agree(each.state(), expected)


def test_capture_inside_a_thread_is_capture(training, device, images, many, capture, agree):
    def make():
        xpnet.seed(1)
        return training(device, xpnet.models.mlp([20, 30, 10]), images(device, (16, 20)), capture)

    def work():
        with use_backend(device):
            found.append(make().run(many(30)))

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    agree(make().run(many(30)), found[0])


def test_each_shape_is_recorded_apart_and_the_results_are_the_eager_ones(
    training, device64, images, many, capture, agree
):
    states = []
    for through in (capture, lambda step: step):
        xpnet.seed(1)
        pairs = [*images(device64, (16, 20), 3), *((x[:7], t[:7]) for x, t in images(device64, (16, 20), 2))]
        run = training(device64, xpnet.models.mlp([20, 30, 10]), pairs, through)
        states.append(run.run(20))
        if through is capture:
            assert run.step.why_not is None
    agree(*states, 1e-6)


def test_a_changed_argument_is_seen_by_the_next_replay(device, capture):
    double = capture(lambda x: x * 2.0)
    for value in range(6):
        assert float(device.to_host(double(device.asarray([float(value)])))[0]) == 2.0 * value


@pytest.mark.needs_gpu
def test_a_step_that_looks_at_a_value_says_so_once_with_file_and_line_and_runs_as_it_is(
    training, device64, images, capture, agree
):
    def curious(step):
        def looking(x, t):
            value = step(x, t)
            looked.append(float(value))
            return value

        return capture(looking)

    def make(through):
        xpnet.seed(1)
        return training(device64, xpnet.models.mlp([20, 30, 10]), images(device64, (16, 20)), through)

    looked = []
    captured = make(curious)
    lines, first = inspect.getsourcelines(curious)
    line = first + next(i for i, text in enumerate(lines) if "looked.append" in text)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = captured.run(10)
    told = [str(warning.message) for warning in caught if issubclass(warning.category, xpnet.CaptureWarning)]
    assert len(told) == 1
    assert re.search(rf"{re.escape(__file__)}, line {line}\b", told[0]), told[0]
    assert captured.step.graphs == 0
    assert len(looked) == 10
    agree(state, make(lambda step: step).run(10), 1e-6)


@pytest.mark.filterwarnings("ignore::xpnet.CaptureWarning")
def test_a_step_that_uploads_numbers_gives_the_right_ones_captured_or_not(device, capture):
    add = capture(lambda x: x + device.asarray([1.0, 2.0]))
    for value in range(8):
        found = device.to_host(add(device.asarray([float(value), float(value)]))).tolist()
        assert found == [value + 1.0, value + 2.0]
        for other in range(50):  # what was uploaded once may lie in memory that is used again
            device.asarray([other, other + 0.5])


def test_fit_learns_the_digits_captured_as_it_does_eagerly(device):
    (x, t), test = xpnet.data.digits()
    accuracies = {}
    for mode in ("auto", "off"):
        xpnet.seed(0)
        model = xpnet.models.mlp([64, 64, 10], dropout=0.1)
        history = xpnet.fit(
            model,
            xpnet.data.batches(x, t, 50),  # the last one is smaller
            loss=xpnet.losses.softmax_cross_entropy,
            optimizer=xpnet.optimizers.Adam(model, 3e-3),
            epochs=8,
            validation=test,
            metrics={"accuracy": xpnet.training.accuracy},
            capture=mode,
            progress=False,
        )
        accuracies[mode] = history["val_accuracy"][-1]
    assert min(accuracies.values()) > 0.9
    assert accuracies["auto"] == pytest.approx(accuracies["off"], abs=0.03)

"""What a step does, whatever the rule: counts, adds, refuses, and leaves alone."""

import numpy as np
import pytest

from xpnet import models, schedules
from xpnet.initializers import zeros
from xpnet.layers import BatchNorm, Frozen, Linear, Sequential, Tanh
from xpnet.optimizers import SGD, AdaGrad, Adam, Momentum, NonFiniteError, RMSprop


def test_first_step_of_adam_has_full_precision_in_float32(backend, accumulate, values_of):
    model = Linear(5, 4, bias=False, weight=zeros)
    optimizer = Adam(model, 0.01)
    gradient = np.geomspace(1e-6, 1e6, 20).reshape(5, 4) * (-1.0) ** np.arange(20).reshape(5, 4)
    accumulate(model, {"weight": gradient})
    optimizer.step()
    expected = -0.01 * gradient / (np.abs(gradient) + 1e-8)
    np.testing.assert_allclose(values_of(model)["weight"], expected, rtol=5e-7)


def test_betas_that_are_changed_correct_the_bias_too(backend, accumulate, bits_of):
    changed, made = Linear(5, 4, weight=zeros), Linear(5, 4, weight=zeros)
    optimizer, other = Adam(changed), Adam(made, beta1=0.5, beta2=0.6)
    optimizer.beta1, optimizer.beta2 = 0.5, 0.6
    for model in (changed, made):
        accumulate(model, {"weight": np.linspace(-1.0, 1.0, 20).reshape(5, 4), "bias": np.ones(4)})
    optimizer.step()
    other.step()
    assert bits_of(changed, optimizer) == bits_of(made, other)


def test_a_parameter_that_no_pullback_reached_counts_as_zero(
    backend, rule, network, slope, accumulate, descend, values_of, bits_of
):
    trained, told = ((model, rule(model, 0.02)) for model in (network(), network()))
    told[0].load_state(trained[0].state())
    for model, optimizer in (trained, told):
        descend(model, optimizer, range(2))
        gradients = slope(values_of(model), 2)
        accumulate(model, {path: gradients[path] for path in ("0.weight", "1.bias")})
        if optimizer is told[1]:
            accumulate(model, {path: 0.0 * g for path, g in gradients.items() if path not in ("0.weight", "1.bias")})
        optimizer.step()
    assert bits_of(*trained) == bits_of(*told)


def test_pullbacks_add_until_a_step_or_clear_gradients(backend):
    model = Linear(3, 2)
    optimizer = SGD(model, 0.1)
    x, dy = backend.asarray(np.arange(12.0).reshape(4, 3)), backend.asarray(np.ones((4, 2)))

    def gradient_after(pullbacks):
        for _ in range(pullbacks):
            model.forward(x)[1](dy)
        return backend.to_host(model.weight.grad).copy()

    once = np.repeat([[18.0], [22.0], [26.0]], 2, axis=1)
    np.testing.assert_array_equal(gradient_after(1), once)
    np.testing.assert_array_equal(gradient_after(2), 3 * once)
    optimizer.step()
    np.testing.assert_array_equal(gradient_after(2), 2 * once)
    model.clear_gradients()
    np.testing.assert_array_equal(gradient_after(1), once)


def test_a_shared_layer_moves_by_the_sum_of_its_gradients(backend64, values_of):
    shared = Linear(3, 3)
    model = Sequential(shared, Tanh(), shared)
    twice = Sequential(Linear(3, 3), Tanh(), Linear(3, 3))
    for layer in (twice[0], twice[2]):
        layer.load_state(shared.state())
    start = values_of(shared)
    x, dy = (backend64.asarray(np.random.default_rng(i).normal(size=(5, 3))) for i in range(2))
    for network in (model, twice):
        optimizer = SGD(network, 0.1)
        network.forward(x)[1](dy)
        optimizer.step()
    moves = [{path: after - start[path] for path, after in values_of(layer).items()} for layer in (shared, *twice)]
    for path in start:
        np.testing.assert_allclose(moves[0][path], moves[1][path] + moves[-1][path], rtol=1e-12)


def test_two_optimizers_of_one_model_share_its_parameters_and_not_their_states(
    backend, network, descend, values_of, bits_of
):
    model = network()
    adam, momentum = Adam(model, 0.01), Momentum(model, 0.01)
    assert adam.store is momentum.store
    descend(model, adam, range(2))
    before, moments = values_of(model), adam.state()
    descend(model, momentum, range(2, 5))
    assert not np.array_equal(values_of(model)["0.weight"], before["0.weight"])
    assert (adam.steps, momentum.steps, int(adam.store.step)) == (2, 3, 5)
    for name in ("mean", "mean_squares", "step"):
        np.testing.assert_array_equal(backend.to_host(adam.state()[name]), backend.to_host(moments[name]))


def test_an_optimizer_whose_parameters_were_taken_over_says_so(backend):
    part = Linear(3, 2)
    optimizer = SGD(part, 0.1)
    SGD(Sequential(part, Linear(2, 1)), 0.1)
    with pytest.raises(RuntimeError, match="parameters have moved into the store of an optimizer that was built later"):
        optimizer.step()


def test_the_learning_rate_can_be_changed_at_any_time(backend, accumulate, values_of):
    model = Linear(1, 1, bias=False, weight=zeros)
    optimizer = SGD(model, np.float32(0.5))
    for rate, expected in ((None, -0.5), (2.0, -2.5), (schedules.step(1.0, every=3, factor=0.25), -3.5)):
        if rate is not None:
            optimizer.learning_rate = rate
        accumulate(model, {"weight": np.ones((1, 1))})
        optimizer.step()
        assert values_of(model)["weight"] == expected
    assert optimizer.current_rate == 0.25


def test_clipping_leaves_small_gradients_alone(backend64, network, slope, accumulate, values_of):
    model = network()
    optimizer = SGD(model, 1.0, clip_norm=1e3)
    before = values_of(model)
    gradients = slope(before, 0)
    accumulate(model, gradients)
    optimizer.step()
    for path, values in values_of(model).items():
        np.testing.assert_array_equal(values, before[path] - gradients[path])


# Steps that are refused ---------------------------------------------------------------------------------------------


@pytest.fixture
def pair(backend, rule, network):
    """Two models with their optimizers, alike in every bit."""
    first, second = network(), network()
    second.load_state(first.state())
    return [(model, rule(model, 0.02, weight_decay=0.1, clip_norm=2.0)) for model in (first, second)]


@pytest.fixture
def bad_step(slope, accumulate, values_of):
    """Takes a step with an infinite gradient, or with a good one and a loss that is not finite."""

    def take(model, optimizer, cause, value):
        accumulate(model, slope(values_of(model), 2))
        loss = model.backend.asarray(np.asarray(value if cause == "loss" else 1.0))
        if cause == "gradient":
            accumulate(model, {"3.bias": np.asarray([0.0, value])})
        optimizer.step(loss)

    return take


CAUSES = pytest.mark.parametrize("cause", ["gradient", "loss"])
REFUSED = r"^step 2: the loss or the gradients' norm is infinite or NaN; no parameter was changed by it\. A lower"


@CAUSES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_refused_step_changes_nothing_and_the_next_one_works(pair, cause, value, bad_step, descend, bits_of):
    (model, optimizer), undisturbed = pair
    descend(model, optimizer, range(2))
    before = bits_of(model, optimizer)

    def refused():
        bad_step(model, optimizer, cause, value)
        optimizer.raise_if_not_finite()  # on a device the step itself does not look

    with pytest.raises(NonFiniteError, match=REFUSED) as caught:
        refused()
    assert caught.value.step == 2
    assert bits_of(model, optimizer) == before
    descend(model, optimizer, range(2, 4))
    descend(*undisturbed, range(4))
    assert bits_of(model, optimizer) == bits_of(*undisturbed)


@CAUSES
def test_where_the_host_cannot_look_a_bad_step_and_those_after_it_change_nothing(
    backend, monkeypatch, pair, cause, bad_step, descend, bits_of
):
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    (model, optimizer), undisturbed = pair
    descend(model, optimizer, range(2))
    optimizer.raise_if_not_finite()
    before = bits_of(model, optimizer)
    bad_step(model, optimizer, cause, np.nan)
    assert bits_of(model, optimizer) == before
    descend(model, optimizer, range(3, 6))
    assert bits_of(model, optimizer) == before
    with pytest.raises(NonFiniteError, match=REFUSED) as caught:
        optimizer.raise_if_not_finite()
    assert caught.value.step == optimizer.steps == 2

    optimizer.raise_if_not_finite()
    descend(model, optimizer, range(2, 4))
    monkeypatch.undo()
    descend(*undisturbed, range(4))
    assert bits_of(model, optimizer) == bits_of(*undisturbed)


def test_where_the_host_cannot_look_the_numbers_are_the_same(backend, monkeypatch, pair, descend, bits_of):
    descend(*pair[0], range(5))
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    descend(*pair[1], range(5))
    assert bits_of(*pair[0]) == bits_of(*pair[1])


# Bad arguments ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (SGD, {"learning_rate": 0}, "SGD: learning_rate must be above 0, got 0"),
        (Adam, {"learning_rate": -0.1}, "Adam: learning_rate must be above 0, got -0.1"),
        (SGD, {"learning_rate": np.nan}, "SGD: learning_rate must be above 0, got nan"),
        (SGD, {"learning_rate": np.inf}, "SGD: learning_rate must be above 0, got inf"),
        (SGD, {"clip_norm": 0.0}, "SGD: clip_norm must be above 0, got 0.0"),
        (SGD, {"clip_norm": np.nan}, "SGD: clip_norm must be above 0, got nan"),
        (SGD, {"weight_decay": -1e-4}, "SGD: weight_decay must not be negative, got -0.0001"),
        (SGD, {"weight_decay": np.inf}, "SGD: weight_decay must not be negative, got inf"),
        (Momentum, {"momentum": 1.0}, "Momentum: momentum must be from 0 and below 1, got 1.0"),
        (Momentum, {"momentum": -0.1}, "Momentum: momentum must be from 0 and below 1, got -0.1"),
        (RMSprop, {"decay": np.nan}, "RMSprop: decay must be from 0 and below 1, got nan"),
        (Adam, {"beta1": 1.0}, "Adam: beta1 must be from 0 and below 1, got 1.0"),
        (Adam, {"beta2": 1.5}, "Adam: beta2 must be from 0 and below 1, got 1.5"),
        (Adam, {"eps": 0.0}, "Adam: eps must be above 0, got 0.0"),
        (AdaGrad, {"eps": np.inf}, "AdaGrad: eps must be above 0, got inf"),
        (RMSprop, {"eps": -1e-8}, "RMSprop: eps must be above 0, got -1e-08"),
    ],
)
def test_constants_out_of_their_range(make, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make(Linear(2, 1), **({"learning_rate": 0.1} | options))


@pytest.mark.parametrize("rate", [np.nan, np.inf, -0.1])
def test_a_schedule_that_gives_no_rate(backend, rate, network, descend, bits_of):
    model = network()
    optimizer = SGD(model, lambda step: 0.1 if step < 2 else rate)
    descend(model, optimizer, range(2))
    before = bits_of(model, optimizer)
    with pytest.raises(ValueError, match=f"^SGD: the schedule gave {rate} at step 2, expected >= 0$"):
        descend(model, optimizer, range(2, 3))
    assert bits_of(model, optimizer) == before


@pytest.mark.parametrize("model", [Tanh(), Frozen(Linear(2, 1))], ids=repr)
def test_a_model_without_parameters(model):
    with pytest.raises(ValueError, match=r"^optimizer: the model has no parameters to train \(are all of its layers"):
        SGD(model, 0.1)


def test_a_model_of_two_types(backend):
    model = Sequential(Linear(2, 2), models.mlp([2, 1]))
    for parameter in model["1"].parameters().values():
        parameter.move(backend.xp.astype(parameter.data, backend.xp.float64))
    with pytest.raises(
        TypeError, match=r"^optimizer: the model's parameters are of several types \(.*float32.*float64"
    ):
        SGD(model, 0.1)


def test_a_model_without_weights_has_nothing_to_decay(backend, values_of):
    model = BatchNorm(3)
    before = values_of(model)
    optimizer = SGD(model, 0.1, weight_decay=0.5)
    model.weight.grad = backend.zeros((3,))
    optimizer.step()
    for path, values in values_of(model).items():
        np.testing.assert_array_equal(values, before[path])


def test_a_step_without_any_gradient_is_refused(backend):
    model = models.mlp([3, 2])
    optimizer = SGD(model, 0.1)
    with pytest.raises(RuntimeError, match=r"no gradient has come since the last step\. Was the pullback called"):
        optimizer.step()


def test_setting_values_and_gradients_writes_into_the_store(backend, values_of):
    model = models.mlp([3, 2])
    optimizer, bias = SGD(model, 1.0), model["0"].bias
    bias.data = np.asarray([1.0, 2.0])
    bias.grad = backend.asarray([0.25, 0.5])
    optimizer.step()
    np.testing.assert_allclose(values_of(model)["0.bias"], [0.75, 1.5])
    bias.grad = None
    np.testing.assert_array_equal(backend.to_host(bias.grad), [0.0, 0.0])


@pytest.mark.parametrize("name", ["data", "grad"])
def test_values_of_another_shape_are_refused(backend, name):
    bias = models.mlp([3, 2])["0"].bias
    with pytest.raises(ValueError, match=rf"parameter.{name}: expected shape \(2,\), got \(1,\); nothing is broadcast"):
        setattr(bias, name, backend.zeros((1,)))


def test_gradients_of_an_interrupted_step_are_not_added_to_the_next(backend, values_of, monkeypatch):
    model = models.mlp([3, 2])
    optimizer, bias = SGD(model, 1.0), model["0"].bias
    before = values_of(model)["0.bias"].copy()
    with monkeypatch.context() as interrupted:
        interrupted.setattr(SGD, "_update", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        bias.grad = backend.asarray([1.0, 1.0])
        with pytest.raises(KeyboardInterrupt):
            optimizer.step()
    bias.accumulate(backend.asarray([0.5, 0.5]))
    optimizer.step()
    np.testing.assert_allclose(values_of(model)["0.bias"], before - 0.5)

"""A state holds all that a rule remembers."""

from itertools import permutations

import pytest

import xpnet
from xpnet import models, schedules
from xpnet.optimizers import SGD, AdaGrad, Adam, Momentum, RMSprop

RATES = {
    "number": 0.02,
    "cosine": schedules.cosine(0.02, steps=12),
    "warm-up": schedules.warm_up(schedules.exponential(0.02, factor=0.9), steps=7),
}


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
def test_going_on_from_a_loaded_state_is_never_having_stopped(backend, rule, rate, network, descend, bits_of):
    model = network()
    optimizer = rule(model, rate, weight_decay=0.1)
    descend(model, optimizer, range(5))
    weights, memory = (
        {name: backend.to_host(a).copy() for name, a in part.state().items()} for part in (model, optimizer)
    )
    descend(model, optimizer, range(5, 10))

    xpnet.seed(1)
    resumed = network()
    resumed.load_state(weights)
    other = rule(resumed, rate, weight_decay=0.1)
    other.load_state(memory)
    assert other.steps == 5
    descend(resumed, other, range(5, 10))
    assert bits_of(resumed, other) == bits_of(model, optimizer)


@pytest.mark.parametrize(("make", "other"), [*permutations([SGD, Momentum, AdaGrad, RMSprop, Adam], 2)])
def test_the_state_of_another_rule_is_refused(backend, make, other, network, descend, bits_of):
    model = network()
    optimizer = make(model, 0.01)
    descend(model, optimizer, range(2))
    before = bits_of(model, optimizer)
    with pytest.raises(
        ValueError, match=f"^{make.__name__}.load_state: the names .* nothing was changed\n  (mis|unex)"
    ):
        optimizer.load_state(other(network(), 0.01).state())
    assert bits_of(model, optimizer) == before


def test_the_state_for_another_model_is_refused(backend):
    larger = Adam(models.mlp([30, 20, 1]))
    with pytest.raises(ValueError, match=r"shape: mean is \(\d+,\) there, \(\d+,\) in the model"):
        Adam(models.mlp([3, 2, 1])).load_state(larger.state())


def test_a_loaded_state_is_taken_up_where_the_host_has_not_seen_a_bad_step(backend, monkeypatch, network, descend):
    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    model = network()
    optimizer = RMSprop(model, 0.01)
    good = optimizer.state()
    descend(model, optimizer, range(1))
    optimizer.store.parameters["0.weight"].grad = optimizer.store.parameters["0.weight"].data * float("nan")
    optimizer.step()
    optimizer.load_state(good)
    descend(model, optimizer, range(3))
    optimizer.raise_if_not_finite()
    assert int(optimizer.state()["step"]) == 3


def test_the_state_for_a_model_of_the_same_total_size_is_refused(backend):
    optimizer = Adam(models.mlp([3, 5, 1]))
    with pytest.raises(ValueError, match=r"sizes \[8, 4, 4, 1\], not \[15, 5, 5, 1\]; nothing was changed"):
        optimizer.load_state(Adam(models.mlp([2, 4, 1])).state())

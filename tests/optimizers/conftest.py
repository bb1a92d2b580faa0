"""What the optimizers' tests share: every rule, and gradients that come from a formula instead of a loss."""

from functools import partial

import numpy as np
import pytest

from xpnet import models, optimizers

RULES = {
    "SGD": optimizers.SGD,
    "Momentum": optimizers.Momentum,
    "Nesterov": partial(optimizers.Momentum, nesterov=True),
    "AdaGrad": optimizers.AdaGrad,
    "RMSprop": optimizers.RMSprop,
    "Adam": optimizers.Adam,
    "AdamW": optimizers.AdamW,
}


def noisy_slope(values, step, part=0):
    """The gradient of a noisy quadratic at host values {path: array}; the noise is that of this step and part."""
    random = np.random.default_rng([step, part])
    return {path: w - 0.3 + 0.5 * random.standard_normal(w.shape) for path, w in values.items()}


def host_values(model):
    """Copies of all parameters on the host, by path."""
    return {path: np.array(model.backend.to_host(p.data)) for path, p in model.parameters().items()}


def add_gradients(model, gradients):
    """What a pullback does: each gradient {path: array} goes to its parameter."""
    for path, gradient in gradients.items():
        model.parameters()[path].accumulate(model.backend.asarray(gradient))


def descend_slope(model, optimizer, steps, parts=1):
    """Takes these steps down the noisy slope, each with the sum of so many pullbacks."""
    for step in steps:
        for part in range(parts):
            add_gradients(model, noisy_slope(host_values(model), step, part))
        optimizer.step()


def all_bytes(model, optimizer):
    """All that a step may change, bit for bit."""
    states = {f"state {name}": optimizer.store.backend.to_host(a) for name, a in optimizer.state().items()}
    return {name: array.tobytes() for name, array in (host_values(model) | states).items()}


@pytest.fixture(params=RULES)
def rule_name(request):
    return request.param


@pytest.fixture
def rule(rule_name):
    """Each rule in turn: `rule(model, learning_rate, …)`."""
    return RULES[rule_name]


@pytest.fixture
def network():
    """Makes a small model whose weights decay, and whose biases and normalization do not."""
    return lambda: models.mlp([3, 4, 2], batch_norm=True)


@pytest.fixture
def slope():
    return noisy_slope


@pytest.fixture
def values_of():
    return host_values


@pytest.fixture
def accumulate():
    return add_gradients


@pytest.fixture
def descend():
    return descend_slope


@pytest.fixture
def bits_of():
    return all_bytes

"""What the tests of training share: a small problem, and the state of a model bit for bit."""

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers


def three_classes(n=60):
    """Inputs (n, 4) around three centres, and the number of each one's centre."""
    random = np.random.default_rng(7)
    t = random.integers(0, 3, n)
    x = (random.normal(size=(3, 4))[t] + random.normal(size=(n, 4))).astype(np.float32)
    x.flags.writeable = t.flags.writeable = False
    return x, t


def new_model(seed=0):
    """A network with everything that has a state of its own: batch normalization and dropout."""
    xpnet.seed(seed)
    return models.mlp([4, 8, 3], batch_norm=True, dropout=0.25)


def fit_classes(model, examples, *, size=10, epochs=2, rate=0.05, **options):
    """`fit` with what most tests do not care about filled in."""
    given = {"loss": losses.softmax_cross_entropy, "optimizer": None} | options
    given["optimizer"] = given["optimizer"] or optimizers.Adam(model, rate)
    return xpnet.fit(model, data.batches(*examples, size), epochs=epochs, **given)


def all_bytes(model):
    backend = model.backend
    return {path: backend.to_host(values).tobytes() for path, values in model.state().items()}


@pytest.fixture
def examples():
    return three_classes()


@pytest.fixture
def network():
    return new_model


@pytest.fixture
def train():
    return fit_classes


@pytest.fixture
def bits_of():
    return all_bytes

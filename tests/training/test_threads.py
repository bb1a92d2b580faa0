"""Each model trains in its own thread as if it were alone."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import xpnet
from xpnet import models


@pytest.fixture
def assert_threads_do_not_matter(examples, train):
    """Two models, made from seeds 0 and 1, learn in two threads what they learn one after the other."""

    def check(make):
        def learn(model, seed):
            return train(model, examples, epochs=10, rate=0.01, seed=seed, validation=examples).steps["loss"]

        networks = [make(seed) for seed in range(2)]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(learn, networks, range(2)))
        expected = [learn(make(seed), seed) for seed in range(2)]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert not np.allclose(expected[0], expected[1], rtol=1e-2)

    return check


def test_two_models_in_two_threads(backend, network, assert_threads_do_not_matter):
    assert_threads_do_not_matter(network)


def test_two_models_so_large_that_compiled_loops_are_used(assert_threads_do_not_matter):
    def make(seed):
        xpnet.seed(seed)
        return models.mlp([4, 300, 100, 3], dropout=0.1)

    assert_threads_do_not_matter(make)

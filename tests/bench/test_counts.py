"""Operations and bytes, against numbers counted by hand."""

import pytest

from bench.counts import operations, traffic
from bench.networks import NETWORKS, Conv, Flatten, Linear, Network, ReLU, Residual, walk


def test_operations_of_the_simple_cnn():
    forward = 24 * 24 * 30 * 5 * 5 + 4320 * 100 + 100 * 10
    first = 24 * 24 * 30 * 5 * 5  # its input needs no gradient
    network = NETWORKS["simple_cnn"]
    assert operations(network, 100, "forward") == 2 * 100 * forward
    assert operations(network, 100, "backward") == operations(network, 100, "step") == 2 * 100 * (3 * forward - first)


def test_the_published_multiply_adds_of_resnet50():
    count = operations(Network("resnet50", NETWORKS["resnet50"].layers, (224, 224, 3), 1), 1, "forward")
    assert count == pytest.approx(2 * 4.09e9, rel=0.02)


def test_the_published_multiply_adds_of_resnet18():
    layers, batch = NETWORKS["resnet18"].layers, 1
    count = operations(Network("resnet18", layers, (224, 224, 3), batch), batch, "forward")
    assert count / 2e9 == pytest.approx(1.814, abs=1e-3)


def test_bytes_of_a_small_network():
    network = Network("small", (Linear(3, 4), ReLU(), Linear(4, 2)), (3,), batch=5)
    inputs, outputs, weights = 3 + 4 + 4, 4 + 4 + 2, 4 * 4 + 5 * 2
    forward = 5 * (inputs + outputs) + weights
    backward = forward + 5 * (2 * inputs + outputs) + 2 * weights
    assert traffic(network, 5, "forward") == 4 * forward
    assert traffic(network, 5, "backward") == 4 * backward
    assert traffic(network, 5, "step") == 4 * (backward + 7 * weights)


def test_walk_goes_into_residuals_and_ends_with_their_sum():
    body, shortcut = Conv(1, 2, 3, stride=2, padding=1), Conv(1, 2, 1, stride=2)
    block = Residual((body, ReLU()), (shortcut,))
    assert list(walk((block, Flatten()), (5, 5, 1))) == [
        (body, (5, 5, 1), (3, 3, 2)),
        (ReLU(), (3, 3, 2), (3, 3, 2)),
        (shortcut, (5, 5, 1), (3, 3, 2)),
        (block, (2, 3, 3, 2), (3, 3, 2)),
        (Flatten(), (3, 3, 2), (18,)),
    ]

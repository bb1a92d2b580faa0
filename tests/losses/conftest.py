"""Every loss as one case: how to call it, with which arrays, and each example's loss by PyTorch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from xpnet import losses


def normal(shape, seed):
    return np.random.default_rng(seed).standard_normal(shape)


def torch_mean_over_outputs(values):
    return values.reshape(values.shape[0], -1).mean(1)


@dataclass(frozen=True)
class Case:
    """`loss(y, t, weights)`; `targets(shape)` are on the host; `torch(torch, y, t)` is one number an example."""

    name: str
    loss: Callable[..., Any]
    targets: Callable[[tuple[int, ...]], Any]
    torch: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...] = ((5,), (4, 1), (4, 3), (3, 2, 4), (2, 3, 1, 2))

    def arrays(self, shape):
        """Outputs, targets and weights by example."""
        return 2.0 * normal(shape, 1), self.targets(shape), np.random.default_rng(3).uniform(0.0, 2.0, shape[0])


def labels(shape):
    return np.random.default_rng(2).integers(0, shape[1], shape[0])


def probabilities(shape):
    t = np.exp(normal(shape, 2))
    return t / t.sum(axis=-1, keepdims=True)


def torch_cross_entropy(torch, y, t):
    return torch.nn.functional.cross_entropy(y, t, reduction="none")


def torch_binary_cross_entropy(torch, y, t):
    values = torch.nn.functional.binary_cross_entropy_with_logits(y, t, reduction="none")
    return torch_mean_over_outputs(values)


CASES = [
    Case("labels", losses.softmax_cross_entropy, labels, torch_cross_entropy, ((5, 2), (4, 1), (1, 3), (40, 10))),
    Case("probabilities", losses.softmax_cross_entropy, probabilities, torch_cross_entropy, ((5, 2), (4, 1), (1, 3))),
    Case(
        "binary_cross_entropy",
        losses.binary_cross_entropy,
        lambda shape: np.random.default_rng(2).uniform(0.0, 1.0, shape),
        torch_binary_cross_entropy,
    ),
    Case(
        "squared_error",
        losses.squared_error,
        lambda shape: normal(shape, 2),
        lambda torch, y, t: (0.5 * (y - t) ** 2).reshape(y.shape[0], -1).sum(1),
    ),
    Case(
        "mean_squared_error",
        losses.mean_squared_error,
        lambda shape: normal(shape, 2),
        lambda torch, y, t: torch_mean_over_outputs(torch.nn.functional.mse_loss(y, t, reduction="none")),
    ),
    Case(
        "huber",
        lambda y, t, weights=None: losses.huber(y, t, weights, delta=0.7),
        lambda shape: normal(shape, 2),
        lambda torch, y, t: torch_mean_over_outputs(torch.nn.functional.huber_loss(y, t, reduction="none", delta=0.7)),
    ),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request):
    """Each loss in turn."""
    return request.param


@pytest.fixture(params=[case for case in CASES if case.name != "labels"], ids=lambda case: case.name)
def case_of_floats(request):
    """Each loss whose targets are floating-point."""
    return request.param


@pytest.fixture(params=[case for case in CASES if (5,) in case.shapes], ids=lambda case: case.name)
def case_by_output(request):
    """Each loss of single outputs against single targets."""
    return request.param


@pytest.fixture(params=[(case, shape) for case in CASES for shape in case.shapes], ids=lambda p: f"{p[0].name}-{p[1]}")
def case_and_shape(request):
    """Each loss with each shape that its outputs may have."""
    return request.param


@pytest.fixture(params=[False, True], ids=["unweighted", "weighted"])
def weighted(request):
    return request.param

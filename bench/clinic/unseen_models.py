"""The unseen programs that use xpnet: models of their own making, and losses that a learner wrote."""

from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from bench.clinic.case import Arguments
from bench.clinic.tasks import Data, as_float32
from bench.clinic.unseen_networks import Array
from xpnet import layers as L
from xpnet.models import mlp

Pulled = tuple[Array, Callable[[], Array]]


def trained(
    points: Callable[[int], Data],
    build: Callable[[], L.Layer],
    loss: Any,
    optimizer: Any,
    rate: float,
    seed: int,
    **options: Any,
) -> Arguments:
    """What `diagnose` takes."""
    xpnet.seed(seed)
    model = build()
    train, validation = as_float32(points(seed))
    return {
        "model": model,
        "train": train,
        "validation": validation,
        "loss": loss,
        "optimizer": optimizer(model, rate, **options),
    }


def convolution(bias: float = 0.0, norm: bool = False) -> L.Layer:
    """Two convolutions, a mean over the image; biases of the first as said."""
    first = L.Conv2d(1, 12, 3, padding=1)
    first.parameters()["bias"].data[...] = bias
    between = [L.BatchNorm(12)] if norm else []
    return L.Sequential(
        *(first, *between, L.ReLU(), L.MaxPool2d(2)),
        *(L.Conv2d(12, 16, 3), L.LeakyReLU(), L.Flatten(), L.Linear(64, 3)),
    )


def residual() -> L.Layer:
    """A branch that adds to its input, and layer normalization."""
    block = L.Residual(L.Sequential(L.Linear(24, 24), L.SiLU(), L.Linear(24, 24)))
    return L.Sequential(L.Linear(2, 24), L.Tanh(), block, L.LayerNorm(24), L.Linear(24, 1))


def bottleneck(*last: L.Layer) -> L.Layer:
    """An autoencoder."""
    return L.Sequential(mlp([12, 16, 5, 16, 12], "tanh"), *last)


def huber_sum(y: Array, t: Array) -> Pulled:
    """Huber's loss, summed over the batch."""
    distance = y - t
    pull = np.clip(distance, -1.0, 1.0)
    return np.sum(pull * (distance - 0.5 * pull)), lambda: pull  # fault: no mean


def row_square(y: Array, t: Array) -> Pulled:
    """The squared error; what came out too large is averaged until it fits."""
    distance = y - t  # fault: (n, 1) - (n,)
    return np.mean(distance**2), lambda: 2.0 * distance.mean(axis=1, keepdims=True) / len(y)

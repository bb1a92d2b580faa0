"""The third style: xpnet models, and the faults that can still be made with them."""

from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from bench.clinic.case import Arguments
from bench.clinic.tasks import Data, Task, as_float32, data
from xpnet import layers as L
from xpnet import losses, optimizers

Array = Any
Loss = Callable[[Array, Array], tuple[Array, Callable[[], Array]]]

SIZES = {"sine": [1, 30, 30, 1], "polynomial": [2, 30, 1], "digits": [64, 50, 10]}
RATE = {"sine": 0.1, "polynomial": 0.1, "digits": 0.2}


def mlp_program(
    task: Task,
    seed: int,
    *,
    points: Data | None = None,
    sizes: list[int] | None = None,
    activation: str = "tanh",
    rate: float | None = None,
    optimizer: Any = optimizers.SGD,
    loss: Loss | None = None,
    **options: Any,
) -> Arguments:
    """A multilayer perceptron with a loss that fits the task: what `diagnose` takes."""
    xpnet.seed(seed)
    model = xpnet.models.mlp(sizes or SIZES[task.name], activation, **options)
    return arguments(task, seed, model, points=points, rate=rate, optimizer=optimizer, loss=loss)


def arguments(
    task: Task,
    seed: int,
    model: L.Layer,
    *,
    points: Data | None = None,
    rate: float | None = None,
    optimizer: Any = optimizers.SGD,
    loss: Loss | None = None,
) -> Arguments:
    """What `diagnose` takes for this model."""
    train, validation = as_float32(points or data(task, seed))
    return {
        "model": model,
        "train": train,
        "validation": validation,
        "loss": loss or (losses.softmax_cross_entropy if task.classes else losses.squared_error),
        "optimizer": optimizer(model, rate or RATE[task.name]),
    }


def summed_squares(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
    """A learner's own loss: half the squared error, summed over the batch."""
    difference = y - t
    return 0.5 * np.sum(difference**2), lambda: difference  # fault: no mean


def summed_cross_entropy(y: Array, t: Array) -> tuple[Array, Callable[[], Array]]:
    """A learner's own loss: the cross-entropy summed over the batch."""
    loss, pullback = losses.softmax_cross_entropy(y, t)
    n = len(t)
    return n * loss, lambda: n * pullback()  # fault: no mean


def biased(task: Task, seed: int, bias: float, **options: Any) -> Arguments:
    """ReLUs whose first biases all start at this value."""
    made = mlp_program(task, seed, activation="relu", **options)
    made["model"].parameters()["0.bias"].data[...] = bias
    return made


def with_output(task: Task, seed: int, last: L.Layer) -> Arguments:
    """An activation behind the last layer."""
    xpnet.seed(seed)
    body = xpnet.models.mlp(SIZES[task.name], "tanh")
    return arguments(task, seed, L.Sequential(body, last))


class EverDropping(L.Layer):
    """A learner's own dropout layer that does not ask whether it trains."""

    def __init__(self, rate: float, seed: int) -> None:
        self.rate, self.random = rate, np.random.default_rng(seed)

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Any]:
        mask = (self.random.random(x.shape) >= self.rate).astype(x.dtype) / (1.0 - self.rate)  # fault: `training`

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            return dy * mask if input_gradient else None

        return x * mask, pullback


def dropping(task: Task, seed: int, *, fault: bool) -> Arguments:
    """Dropout of half the hidden units, left on in evaluation or not."""
    xpnet.seed(seed)
    drop = EverDropping(0.5, seed) if fault else L.Dropout(0.5)
    activation = L.ReLU() if task.classes else L.Tanh()
    model = L.Sequential(L.Linear(task.inputs, 64), activation, drop, L.Linear(64, task.outputs))
    return arguments(task, seed, model)

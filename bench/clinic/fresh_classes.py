"""A learner of the fresh programs who writes classes: modules with parameters, after PyTorch's manner."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_networks import Array, Arrays, Head, Points


class Parameter:
    """An array and its gradient."""

    def __init__(self, data: Array) -> None:
        self.data, self.grad = data, np.zeros_like(data)


class Linear:
    """Adds to its gradients, weights are (outputs, inputs)."""

    def __init__(self, weight: Array, bias: Array) -> None:
        self.weight, self.bias = Parameter(weight), Parameter(bias)

    def __call__(self, x: Array) -> Array:
        self.x = x
        return x @ self.weight.data.T + self.bias.data

    def backward(self, dy: Array) -> Array:
        self.weight.grad += dy.T @ self.x
        self.bias.grad += self.bias_gradient(dy)
        return dy @ self.weight.data

    def bias_gradient(self, dy: Array) -> Array:
        return dy.sum(axis=0)


class ReLU:
    """Keeps where it was on."""

    def __call__(self, x: Array) -> Array:
        self.on = x > 0.0
        return np.where(self.on, x, 0.0)

    def backward(self, dy: Array) -> Array:
        return np.where(self.on, dy, 0.0)


class Tanh:
    """Keeps what it gave."""

    def __call__(self, x: Array) -> Array:
        self.y = np.tanh(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * (1.0 - self.y**2)


class Sigmoid:
    """Keeps what it gave."""

    def __call__(self, x: Array) -> Array:
        self.y = 0.5 + 0.5 * np.tanh(0.5 * x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * self.y * (1.0 - self.y)


class Sine:
    """A wave for an activation."""

    def __call__(self, x: Array) -> Array:
        self.x, self.y = x, np.sin(x)
        return self.y

    def backward(self, dy: Array) -> Array:
        return dy * np.cos(self.x)


class Module:
    """Layers and a head; `eval` and `train` as the learner has them."""

    def __init__(self, layers: Sequence[Any], head: Head) -> None:
        self.layers = list(layers)
        self.last, self.criterion, self.delta = head

    def linears(self) -> list[Linear]:
        return [layer for layer in self.layers if isinstance(layer, Linear)]

    def zero_grad(self) -> None:
        for linear in self.linears():
            linear.weight.grad[...] = 0.0
            linear.bias.grad[...] = 0.0

    def predict(self, x: Array) -> Array:
        return self(x)

    def __call__(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer(x)
        return self.last(x)

    def backward(self, y: Array, t: Array) -> None:
        dy = self.delta(y, t)
        for layer in reversed(self.layers):
            dy = layer.backward(dy)


class NoisyInputs(Module):
    """Leaves out three in ten inputs when it trains, as a denoising network does."""

    share = 0.3

    def __call__(self, x: Array) -> Array:
        kept = np.random.random(x.shape) >= self.share  # noqa: NPY002
        return super().__call__(x * kept / (1.0 - self.share))

    def predict(self, x: Array) -> Array:
        return super().__call__(x)


class EverNoisyInputs(NoisyInputs):
    """Leaves out inputs when it predicts, too."""

    def predict(self, x: Array) -> Array:
        return self(x)  # fault: the inputs are for training


class Optimizer:
    """Momentum; one object for all parameters."""

    def __init__(self, lr: float, momentum: float = 0.0) -> None:
        self.lr, self.momentum = lr, momentum
        self.kept: dict[str, Array] = {}

    def step(self, name: str, parameter: Parameter) -> None:
        self.kept[name] = self.momentum * self.kept.get(name, 0.0) + parameter.grad
        parameter.data -= self.lr * self.kept[name]


class Rprop(Optimizer):
    """Only the gradient's sign counts."""

    def step(self, name: str, parameter: Parameter) -> None:
        parameter.data -= self.lr * np.sign(parameter.grad)


def module(
    points: Points,
    sizes: Sequence[int],
    head: Head,
    optimizer: Callable[[], Optimizer],
    seed: int,
    *,
    activation: Callable[[], Any] = ReLU,
    weight: Callable[[Any, int, int], Array] = lambda r, out, fan_in: (
        r.standard_normal((out, fan_in)) * (1.6 / fan_in**0.5)
    ),
    bias: Callable[[Any, int], Array] = lambda r, out: np.zeros(out),
    linear: type[Linear] = Linear,
    kind: type[Module] = Module,
    shown: bool = True,
) -> Arguments:
    """A `Module` behind functions; parameters are "layers.0.weight", "layers.0.bias", …"""
    np.random.seed(seed)  # noqa: NPY002
    random = np.random.RandomState(seed + 70)
    layers: list[Any] = []
    for inputs, outputs in pairwise(sizes):
        between = [activation()] if layers else []
        layers += [*between, linear(weight(random, outputs, inputs), bias(random, outputs))]
    net, update = kind(layers, head), optimizer()
    own = {
        f"layers.{i}.{name}": getattr(layer, name)
        for i, layer in enumerate(net.linears())
        for name in ("weight", "bias")
    }

    def load(p: Arrays) -> Module:
        for name, parameter in own.items():
            parameter.data = p[name]
        return net

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        load(p).zero_grad()
        net.backward(net(x), t)
        return {name: parameter.grad.copy() for name, parameter in own.items()}

    def step(p: Arrays, x: Array, t: Array) -> None:
        load(p).zero_grad()
        net.backward(net(x), t)
        for name, parameter in own.items():
            update.step(name, parameter)

    made = {
        "forward": lambda p, x: load(p).predict(x),
        "loss": net.criterion,
        "parameters": {name: parameter.data for name, parameter in own.items()},
        "step": step,
        "data": points(seed),
    }
    return made | ({"gradients": gradients} if shown else {})

"""A network in plain NumPy as courses teach it: images channels first, windows gathered into columns, one product.

The method is that of K. Saito, "Deep Learning from Scratch" (2016), chapters 5 to 7: each layer keeps what its backward
pass needs, and Adam goes over the parameters one by one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bench.case import LEARNING_RATE, Case, Floats, channels_first
from bench.contenders._im2col import col2im, im2col
from bench.networks import BatchNorm, Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, ReLU, Residual
from bench.passes import Passes, Run

Arrays = dict[str, Floats]


class _Module(ABC):
    """A layer: `parameters` and, after `backward`, `gradients` of the same names."""

    def __init__(self, parameters: Arrays | None = None) -> None:
        self.parameters = parameters or {}
        self.gradients: Arrays = {}

    @abstractmethod
    def forward(self, x: Any, training: bool) -> Any: ...

    @abstractmethod
    def backward(self, dy: Any) -> Any: ...


def build(case: Case) -> Passes:
    """The network as a list of layers, softmax with cross-entropy, and Adam."""
    x, t = case.data()
    if case.network.on_images:
        x = np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    model = _Chain(case.network.layers, iter(case.weights()))
    adam = _Adam(model.all_modules())
    rows = np.arange(len(t))

    def backward() -> Any:
        y = model.forward(x, True)
        shifted = y - y.max(axis=1, keepdims=True)
        probabilities = np.exp(shifted)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        loss = -np.log(probabilities[rows, t] + 1e-30).mean()
        probabilities[rows, t] -= 1
        model.backward(probabilities / np.float32(len(t)))
        return loss

    def step() -> Any:
        loss = backward()
        adam.step()
        return loss

    run: dict[str, Run] = {"forward": lambda: model.forward(x, False), "backward": backward, "step": step}
    return Passes(run)


class _Chain(_Module):
    """Layers one after the other."""

    def __init__(self, layers: Sequence[Layer], weights: Iterator[Arrays]) -> None:
        super().__init__()
        self.modules = [_module(layer, weights) for layer in layers]

    def forward(self, x: Any, training: bool) -> Any:
        for module in self.modules:
            x = module.forward(x, training)
        return x

    def backward(self, dy: Any) -> Any:
        for module in reversed(self.modules):
            dy = module.backward(dy)
        return dy

    def all_modules(self) -> Iterator[_Module]:
        for module in self.modules:
            if isinstance(module, _Residual):
                yield from module.body.all_modules()
                yield from module.shortcut.all_modules()
            else:
                yield module


class _Linear(_Module):
    def __init__(self, layer: Linear, arrays: Arrays) -> None:
        super().__init__(arrays | {"weight": channels_first(layer, arrays["weight"])})

    def forward(self, x: Any, training: bool) -> Any:
        self.x = x
        return x @ self.parameters["weight"] + self.parameters["bias"]

    def backward(self, dy: Any) -> Any:
        self.gradients = {"weight": self.x.T @ dy, "bias": dy.sum(axis=0)}
        return dy @ self.parameters["weight"].T


class _Conv(_Module):
    def __init__(self, layer: Conv, arrays: Arrays) -> None:
        weight = np.ascontiguousarray(arrays["weight"].transpose(3, 2, 0, 1))  # (h, w, i, o) -> (o, i, h, w)
        super().__init__(arrays | {"weight": weight})
        self.layer = layer

    def forward(self, x: Any, training: bool) -> Any:
        self.shape = x.shape
        self.columns, height, width = im2col(x, self.layer.kernel_size, self.layer.stride, self.layer.padding)
        y = self.columns @ self.parameters["weight"].reshape(self.layer.outputs, -1).T
        if self.layer.bias:
            y += self.parameters["bias"]
        return y.reshape(len(x), height, width, -1).transpose(0, 3, 1, 2)

    def backward(self, dy: Any) -> Any:
        weight = self.parameters["weight"]
        dy = dy.transpose(0, 2, 3, 1).reshape(-1, self.layer.outputs)
        self.gradients = {"weight": (self.columns.T @ dy).T.reshape(weight.shape)}
        if self.layer.bias:
            self.gradients["bias"] = dy.sum(axis=0)
        dcolumns = dy @ weight.reshape(self.layer.outputs, -1)
        return col2im(dcolumns, self.shape, self.layer.kernel_size, self.layer.stride, self.layer.padding)


class _MaxPool(_Module):
    def __init__(self, layer: MaxPool) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Any, training: bool) -> Any:
        size, stride, padding = self.layer.kernel_size, self.layer.stride, self.layer.padding
        columns, height, width = im2col(x, size, stride, padding, -np.inf)
        columns = columns.reshape(-1, size * size)
        self.shape, self.largest = x.shape, columns.argmax(axis=1)
        return columns.max(axis=1).reshape(len(x), height, width, -1).transpose(0, 3, 1, 2)

    def backward(self, dy: Any) -> Any:
        size, stride, padding = self.layer.kernel_size, self.layer.stride, self.layer.padding
        dcolumns = np.zeros((dy.size, size * size), dy.dtype)
        dcolumns[np.arange(dy.size), self.largest] = dy.transpose(0, 2, 3, 1).ravel()
        return col2im(dcolumns, self.shape, size, stride, padding)


class _BatchNorm(_Module):
    def __init__(self, arrays: Arrays) -> None:
        super().__init__({name: arrays[name].reshape(1, -1, 1, 1) for name in ("weight", "bias")})
        self.mean, self.variance = (arrays[name].reshape(1, -1, 1, 1) for name in ("running_mean", "running_var"))

    def forward(self, x: Any, training: bool) -> Any:
        mean, variance = self.mean, self.variance
        if training:
            mean, variance = (f(x, axis=(0, 2, 3), keepdims=True) for f in (np.mean, np.var))
            n = x.size // x.shape[1]
            self.mean = 0.9 * self.mean + 0.1 * mean
            self.variance = 0.9 * self.variance + 0.1 * variance * n / (n - 1)
        self.deviation = np.sqrt(variance + 1e-5)
        self.normal = (x - mean) / self.deviation
        return self.parameters["weight"] * self.normal + self.parameters["bias"]

    def backward(self, dy: Any) -> Any:
        axes: Any = {"axis": (0, 2, 3), "keepdims": True}
        self.gradients = {"weight": (dy * self.normal).sum(**axes), "bias": dy.sum(**axes)}
        dnormal = dy * self.parameters["weight"]
        toward_mean = dnormal.mean(**axes) + self.normal * (dnormal * self.normal).mean(**axes)
        return (dnormal - toward_mean) / self.deviation


class _ReLU(_Module):
    def forward(self, x: Any, training: bool) -> Any:
        self.negative = x <= 0
        y = x.copy()
        y[self.negative] = 0
        return y

    def backward(self, dy: Any) -> Any:
        dx = dy.copy()
        dx[self.negative] = 0
        return dx


class _Flatten(_Module):
    def forward(self, x: Any, training: bool) -> Any:
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy: Any) -> Any:
        return dy.reshape(self.shape)


class _GlobalAvgPool(_Module):
    def forward(self, x: Any, training: bool) -> Any:
        self.shape = x.shape
        return x.mean(axis=(2, 3))

    def backward(self, dy: Any) -> Any:
        places = self.shape[2] * self.shape[3]
        return np.broadcast_to(dy[:, :, None, None] / np.float32(places), self.shape)


class _Residual(_Module):
    def __init__(self, layer: Residual, weights: Iterator[Arrays]) -> None:
        super().__init__()
        self.body = _Chain(layer.body, weights)
        self.shortcut = _Chain(layer.shortcut, weights)

    def forward(self, x: Any, training: bool) -> Any:
        return self.body.forward(x, training) + self.shortcut.forward(x, training)

    def backward(self, dy: Any) -> Any:
        return self.body.backward(dy) + self.shortcut.backward(dy)


def _module(layer: Layer, weights: Iterator[Arrays]) -> _Module:
    match layer:
        case Linear():
            return _Linear(layer, next(weights))
        case Conv():
            return _Conv(layer, next(weights))
        case BatchNorm():
            return _BatchNorm(next(weights))
        case MaxPool():
            return _MaxPool(layer)
        case ReLU():
            return _ReLU()
        case Flatten():
            return _Flatten()
        case GlobalAvgPool():
            return _GlobalAvgPool()
        case Residual():
            return _Residual(layer, weights)


class _Adam:
    """Adam, parameter by parameter."""

    def __init__(self, modules: Iterator[_Module]) -> None:
        self.places = [(module, name) for module in modules for name in module.parameters]
        self.means = [np.zeros_like(module.parameters[name]) for module, name in self.places]
        self.squares = [np.zeros_like(mean) for mean in self.means]
        self.time = 0

    def step(self) -> None:
        self.time += 1
        rate = LEARNING_RATE * (1 - 0.999**self.time) ** 0.5 / (1 - 0.9**self.time)
        for (module, name), mean, square in zip(self.places, self.means, self.squares, strict=True):
            gradient = module.gradients[name]
            mean += 0.1 * (gradient - mean)
            square += 0.001 * (gradient**2 - square)
            module.parameters[name] -= rate * mean / (np.sqrt(square) + 1e-8)

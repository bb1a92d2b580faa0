"""The networks of the held-out programs: functions for any depth, and a class that speaks of `hidden` and `out`."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.classes import Adapter
from bench.clinic.functions import (
    DERIVATIVES,
    Array,
    Function,
    Parameters,
    cross_entropy,
    cross_entropy_delta,
    identity,
    sigmoid,
    softmax,
    squared_error,
    squared_error_delta,
    tanh,
)
from bench.clinic.tasks import Data

Head: TypeAlias = tuple[Function, Function, Function]
Update: TypeAlias = Callable[[Parameters, Parameters], None]


def softplus(z: Array) -> Array:
    return np.logaddexp(0.0, z)


def elu(z: Array) -> Array:
    return np.where(z > 0.0, z, np.expm1(np.minimum(z, 0.0)))


def elu_derivative(z: Array) -> Array:
    return np.exp(np.minimum(z, 0.0))


SLOPES = DERIVATIVES | {softplus: sigmoid, elu: elu_derivative}


def binary_cross_entropy(p: Array, t: Array) -> float:
    return float(-np.mean(t * np.log(p + 1e-9) + (1.0 - t) * np.log(1.0 - p + 1e-9)))


def absolute_error(y: Array, t: Array) -> float:
    return float(np.mean(np.abs(y - t)))


def absolute_error_delta(y: Array, t: Array) -> Array:
    return np.sign(y - t) / len(t)


REGRESSION: Head = (identity, squared_error, squared_error_delta)
ABSOLUTE: Head = (identity, absolute_error, absolute_error_delta)
CLASSIFICATION: Head = (softmax, cross_entropy, cross_entropy_delta)
PROBABILITY: Head = (sigmoid, binary_cross_entropy, lambda p, t: (p - t) / len(t))


def initial(sizes: Sequence[int], seed: int, gain: float = 1.0) -> Parameters:
    """W1, b1, W2, …: normal weights of deviation gain / √inputs, biases of zero."""
    random = np.random.default_rng(seed + 77)
    found: Parameters = {}
    for layer, (inputs, outputs) in enumerate(pairwise(sizes), start=1):
        found[f"W{layer}"] = gain * random.standard_normal((inputs, outputs)) / np.sqrt(inputs)
        found[f"b{layer}"] = np.zeros(outputs)
    return found


def run(parameters: Parameters, x: Array, activation: Function) -> tuple[list[Array], list[Array]]:
    """Each layer's sums z, and what goes into each layer: x, a1, a2, …"""
    depth = len(parameters) // 2
    sums, inputs = [], [x]
    for layer in range(1, depth + 1):
        sums.append(inputs[-1] @ parameters[f"W{layer}"] + parameters[f"b{layer}"])
        if layer < depth:
            inputs.append(activation(sums[-1]))
    return sums, inputs


def backward(parameters: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """From the last layer to the first."""
    found: Parameters = {}
    for layer in range(len(sums), 0, -1):
        found[f"W{layer}"] = inputs[layer - 1].T @ dz
        found[f"b{layer}"] = dz.sum(axis=0)
        if layer > 1:
            dz = (dz @ parameters[f"W{layer}"].T) * slope(sums[layer - 2])
    return found


def descent(rate: float) -> Update:
    def update(parameters: Parameters, gradients: Parameters) -> None:
        for name in parameters:
            parameters[name] -= rate * gradients[name]

    return update


def momentum(rate: float, kept: float = 0.9) -> Update:
    velocities: Parameters = {}

    def update(parameters: Parameters, gradients: Parameters) -> None:
        for name in parameters:
            velocities[name] = kept * velocities.get(name, 0.0) + gradients[name]
            parameters[name] -= rate * velocities[name]

    return update


def adam(rate: float) -> Update:
    means: dict[str, Any] = {}
    squares: dict[str, Any] = {}
    number = [0]

    def update(parameters: Parameters, gradients: Parameters) -> None:
        number[0] += 1
        for name in parameters:
            g = gradients[name]
            means[name] = 0.9 * means.get(name, 0.0) + 0.1 * g
            squares[name] = 0.999 * squares.get(name, 0.0) + 0.001 * g**2
            mean, square = means[name] / (1 - 0.9 ** number[0]), squares[name] / (1 - 0.999 ** number[0])
            parameters[name] -= rate * mean / (np.sqrt(square) + 1e-8)

    return update


def clipped(update: Update) -> Update:
    """Gradients are shortened to a norm of at most 1 first."""

    def shortened(parameters: Parameters, gradients: Parameters) -> None:
        norm = np.sqrt(sum(float(np.sum(g**2)) for g in gradients.values()))
        update(parameters, {name: g / max(1.0, norm) for name, g in gradients.items()})

    return shortened


def decayed(update: Update, share: float) -> Update:
    """Weights lose a share of themselves in each step."""

    def shrinking(parameters: Parameters, gradients: Parameters) -> None:
        for array in parameters.values():
            array *= 1.0 - share
        update(parameters, gradients)

    return shrinking


def deep(
    points: Callable[[int], Data],
    sizes: Sequence[int],
    head: Head,
    update: Callable[[], Update],
    seed: int,
    *,
    activation: Function = tanh,
    slope: Function | None = None,
    gain: float = 1.0,
    prepare: Callable[[Parameters], None] | None = None,
    back: Callable[[], Function] | None = None,
    forward: Function = run,
    evaluate: Function | None = None,
) -> Arguments:
    """The learner's functions put together.

    `prepare` changes the parameters before the first step, `back()` is the backward pass, and `evaluate` runs the
    network where it is not trained, if not `forward`.
    """
    output, loss, delta = head
    parameters = initial(sizes, seed, gain)
    if prepare:
        prepare(parameters)
    walk, apply, slope = (back() if back else backward), update(), slope or SLOPES[activation]

    def predict(parameters: Parameters, x: Array) -> Array:
        return output((evaluate or forward)(parameters, x, activation)[0][-1])

    def gradients(parameters: Parameters, x: Array, t: Array) -> Parameters:
        sums, inputs = forward(parameters, x, activation)
        found: Parameters = walk(parameters, sums, inputs, delta(output(sums[-1]), t), slope)
        return found

    def step(parameters: Parameters, x: Array, t: Array) -> None:
        apply(parameters, gradients(parameters, x, t))

    return {
        "forward": predict,
        "loss": loss,
        "parameters": parameters,
        "gradients": gradients,
        "step": step,
        "data": points(seed),
    }


class Regressor:
    """One hidden layer of ReLUs, squared error, momentum; arrays `hidden`, `shift`, `out` and `offset`."""

    def __init__(self, inputs: int, units: int, rate: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.hidden = random.normal(0.0, np.sqrt(2.0 / inputs), (inputs, units))
        self.shift = np.zeros(units)
        self.out = random.normal(0.0, np.sqrt(1.0 / units), (units, 1))
        self.offset = np.zeros(1)
        self.rate = rate
        self.speed: dict[str, Array] = {}

    def predict(self, x: Array) -> Array:
        return self.forward(x)

    def forward(self, x: Array) -> Array:
        self.batch = x
        self.signal = np.clip(x @ self.hidden + self.shift, 0.0, None)
        return self.signal @ self.out + self.offset

    def loss(self, y: Array, t: Array) -> float:
        return float(((y - t) ** 2).mean())

    def backward(self, y: Array, t: Array) -> None:
        error = 2.0 * (y - t) / y.size
        self.dout = self.signal.T @ error
        self.doffset = error.sum(0)
        error = error @ self.out.T * (self.signal > 0.0)
        self.dhidden = self.batch.T @ error
        self.dshift = error.sum(0)

    def step(self, x: Array, t: Array) -> None:
        self.backward(self.forward(x), t)
        for name in ("hidden", "shift", "out", "offset"):
            self.speed[name] = 0.8 * self.speed.get(name, 0.0) - self.rate * getattr(self, "d" + name)
            setattr(self, name, getattr(self, name) + self.speed[name])


def regressor(
    kind: type[Regressor], points: Callable[[int], Data], units: int, rate: float, seed: int, *, shown: bool = True
) -> Arguments:
    """A class of this kind behind functions; `shown=False` keeps its gradients to itself."""
    here = points(seed)
    adapter = Adapter(kind(here[0][0].shape[1], units, rate, seed))
    made = {
        "forward": adapter.forward,
        "loss": adapter.loss,
        "parameters": adapter.parameters,
        "step": adapter.step,
        "data": here,
    }
    return made | ({"gradients": adapter.gradients} if shown else {})

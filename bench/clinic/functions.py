"""The first style: a dict of arrays and plain functions, one hidden layer.

A fault replaces one of these functions, the parameters, the data or the rate; `program` puts them together.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.tasks import Data, Task, data

Array: TypeAlias = Any
Parameters: TypeAlias = dict[str, Array]
Function: TypeAlias = Callable[..., Any]

HIDDEN = {"sine": 30, "polynomial": 30, "digits": 64}
RATE = {"sine": 0.03, "polynomial": 0.1, "digits": 0.5}


def initial(task: Task, seed: int, hidden: int | None = None, scale: float = 1.0) -> Parameters:
    """Weights whose sums have deviation `scale`, biases of zero."""
    random = np.random.default_rng(seed)
    hidden = hidden or HIDDEN[task.name]
    return {
        "W1": scale * random.standard_normal((task.inputs, hidden)) / np.sqrt(task.inputs),
        "b1": np.zeros(hidden),
        "W2": scale * random.standard_normal((hidden, task.outputs)) / np.sqrt(hidden),
        "b2": np.zeros(task.outputs),
    }


def tanh(z: Array) -> Array:
    return np.tanh(z)


def tanh_derivative(z: Array) -> Array:
    return 1.0 - np.tanh(z) ** 2


def sigmoid(z: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-z))


def sigmoid_derivative(z: Array) -> Array:
    return sigmoid(z) * (1.0 - sigmoid(z))


def relu(z: Array) -> Array:
    return np.maximum(z, 0.0)


def relu_derivative(z: Array) -> Array:
    return (z > 0.0) * 1.0


def leaky_relu(z: Array) -> Array:
    return np.where(z > 0.0, z, 0.1 * z)


def leaky_relu_derivative(z: Array) -> Array:
    return np.where(z > 0.0, 1.0, 0.1)


DERIVATIVES: dict[Function, Function] = {
    tanh: tanh_derivative,
    sigmoid: sigmoid_derivative,
    relu: relu_derivative,
    leaky_relu: leaky_relu_derivative,
}


def identity(z: Array) -> Array:
    return z


def softmax(z: Array) -> Array:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def squared_error(y: Array, t: Array) -> float:
    return float(np.mean((y - t) ** 2))


def squared_error_delta(y: Array, t: Array) -> Array:
    return 2.0 * (y - t) / len(t)


def cross_entropy(p: Array, t: Array) -> float:
    return float(-np.mean(np.log(p[np.arange(len(t)), t] + 1e-12)))


def cross_entropy_delta(p: Array, t: Array) -> Array:
    dz = p.copy()
    dz[np.arange(len(t)), t] -= 1.0
    return dz / len(t)


def backward(parameters: Parameters, x: Array, z1: Array, a1: Array, dy: Array, derivative: Function) -> Parameters:
    dz1 = (dy @ parameters["W2"].T) * derivative(z1)
    return {
        "W1": x.T @ dz1,
        "b1": dz1.sum(axis=0),
        "W2": a1.T @ dy,
        "b2": dy.sum(axis=0),
    }


def descend(parameters: Parameters, gradients: Parameters, rate: float) -> None:
    for name in parameters:
        parameters[name] -= rate * gradients[name]


def program(
    task: Task,
    seed: int,
    *,
    points: Data | None = None,
    parameters: Parameters | None = None,
    activation: Function = tanh,
    derivative: Function | None = None,
    output: Function | None = None,
    loss: Function | None = None,
    delta: Function | None = None,
    backward: Function = backward,
    descend: Function = descend,
    rate: float | None = None,
) -> Arguments:
    """The learner's functions put together: what `diagnose_functions` takes."""
    derivative = derivative or DERIVATIVES[activation]
    output = output or (softmax if task.classes else identity)
    loss = loss or (cross_entropy if task.classes else squared_error)
    delta = delta or (cross_entropy_delta if task.classes else squared_error_delta)
    rate = rate or RATE[task.name]

    def forward(parameters: Parameters, x: Array) -> Array:
        z1 = x @ parameters["W1"] + parameters["b1"]
        a1 = activation(z1)
        return output(a1 @ parameters["W2"] + parameters["b2"])

    def gradients(parameters: Parameters, x: Array, t: Array) -> Parameters:
        z1 = x @ parameters["W1"] + parameters["b1"]
        a1 = activation(z1)
        y = output(a1 @ parameters["W2"] + parameters["b2"])
        found: Parameters = backward(parameters, x, z1, a1, delta(y, t), derivative)
        return found

    def step(parameters: Parameters, x: Array, t: Array) -> None:
        descend(parameters, gradients(parameters, x, t), rate)

    return {
        "forward": forward,
        "loss": loss,
        "parameters": parameters or initial(task, seed),
        "gradients": gradients,
        "step": step,
        "data": points or data(task, seed),
    }

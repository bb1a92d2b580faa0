"""The second style: a class with attributes W1, b1, … and methods.

`OneHidden` and `TwoHidden` are the learner's networks. What is special about a program, a fault among it, is a class
that overrides a method; `network` puts it before the network: `class Mine(Fault, Classifying, OneHidden)`.
"""

from typing import Any, TypeAlias

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.tasks import Data, Task, data

Array: TypeAlias = Any

HIDDEN = {"sine": 20, "polynomial": 20, "digits": 50}
RATE = {"sine": 0.1, "polynomial": 0.1, "digits": 0.2}


class Learner:
    """What every network of this style has: activation tanh, linear outputs, squared error, plain descent."""

    rate: float
    names: tuple[str, ...]
    x: Array
    z1: Array
    a1: Array
    z2: Array
    a2: Array
    z3: Array
    W1: Array
    b1: Array
    W2: Array
    b2: Array
    W3: Array
    b3: Array
    dW1: Array
    db1: Array
    dW2: Array
    db2: Array
    dW3: Array
    db3: Array

    def activation(self, z: Array) -> Array:
        return np.tanh(z)

    def derivative(self, z: Array) -> Array:
        return 1.0 - np.tanh(z) ** 2

    def output(self, z: Array) -> Array:
        return z

    def loss(self, y: Array, t: Array) -> float:
        return float(np.mean((y - t) ** 2))

    def delta(self, y: Array, t: Array) -> Array:
        return 2.0 * (y - t) / len(t)

    def forward(self, x: Array) -> Array:
        raise NotImplementedError

    def predict(self, x: Array) -> Array:
        return self.forward(x)

    def backward(self, y: Array, t: Array) -> None:
        raise NotImplementedError

    def update(self) -> None:
        for name in self.names:
            array = getattr(self, name)
            array -= self.rate * getattr(self, "d" + name)

    def step(self, x: Array, t: Array) -> None:
        y = self.forward(x)
        self.backward(y, t)
        self.update()


class OneHidden(Learner):
    """One hidden layer."""

    names = ("W1", "b1", "W2", "b2")

    def __init__(self, inputs: int, hidden: int, outputs: int, rate: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.rate = rate
        self.W1 = random.standard_normal((inputs, hidden)) / np.sqrt(inputs)
        self.b1 = np.zeros(hidden)
        self.W2 = random.standard_normal((hidden, outputs)) / np.sqrt(hidden)
        self.b2 = np.zeros(outputs)

    def forward(self, x: Array) -> Array:
        self.x = x
        self.z1 = self.x @ self.W1 + self.b1
        self.a1 = self.activation(self.z1)
        self.z2 = self.a1 @ self.W2 + self.b2
        return self.output(self.z2)

    def backward(self, y: Array, t: Array) -> None:
        dz2 = self.delta(y, t)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class TwoHidden(Learner):
    """Two hidden layers of the same width."""

    names = ("W1", "b1", "W2", "b2", "W3", "b3")

    def __init__(self, inputs: int, hidden: int, outputs: int, rate: float, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.rate = rate
        self.W1 = random.standard_normal((inputs, hidden)) / np.sqrt(inputs)
        self.b1 = np.zeros(hidden)
        self.W2 = random.standard_normal((hidden, hidden)) / np.sqrt(hidden)
        self.b2 = np.zeros(hidden)
        self.W3 = random.standard_normal((hidden, outputs)) / np.sqrt(hidden)
        self.b3 = np.zeros(outputs)

    def forward(self, x: Array) -> Array:
        self.x = x
        self.z1 = self.x @ self.W1 + self.b1
        self.a1 = self.activation(self.z1)
        self.z2 = self.a1 @ self.W2 + self.b2
        self.a2 = self.activation(self.z2)
        self.z3 = self.a2 @ self.W3 + self.b3
        return self.output(self.z3)

    def backward(self, y: Array, t: Array) -> None:
        dz3 = self.delta(y, t)
        self.dW3 = self.a2.T @ dz3
        self.db3 = dz3.sum(axis=0)
        dz2 = (dz3 @ self.W3.T) * self.derivative(self.z2)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class Classifying(Learner):
    """Softmax outputs and cross-entropy."""

    def output(self, z: Array) -> Array:
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def loss(self, y: Array, t: Array) -> float:
        return float(-np.mean(np.log(y[np.arange(len(t)), t] + 1e-12)))

    def delta(self, y: Array, t: Array) -> Array:
        dz = y.copy()
        dz[np.arange(len(t)), t] -= 1.0
        return dz / len(t)


class Sigmoid(Learner):
    """Sigmoid hidden units."""

    def activation(self, z: Array) -> Array:
        return 1.0 / (1.0 + np.exp(-z))

    def derivative(self, z: Array) -> Array:
        a = self.activation(z)
        return a * (1.0 - a)


class ReLU(Learner):
    """Rectified linear hidden units."""

    def activation(self, z: Array) -> Array:
        return np.maximum(z, 0.0)

    def derivative(self, z: Array) -> Array:
        return (z > 0.0) * 1.0


class Momentum(Learner):
    """Descent with momentum; the velocities are made at the first step."""

    velocities: dict[str, Array]

    def update(self) -> None:
        if not hasattr(self, "velocities"):
            self.velocities = {name: np.zeros_like(getattr(self, name)) for name in self.names}
        for name in self.names:
            self.velocities[name] = 0.9 * self.velocities[name] - self.rate * getattr(self, "d" + name)
            setattr(self, name, getattr(self, name) + self.velocities[name])


class Adapter:
    """A learner's network behind the functions that `diagnose_functions` takes.

    The parameters are the instance's arrays. Each function puts the given ones into the instance, then calls its
    methods; `step` copies what the instance holds afterwards back into them.
    """

    def __init__(self, net: Any) -> None:
        self.net = net
        self.parameters = {name: value for name, value in vars(net).items() if isinstance(value, np.ndarray)}

    def _put(self, parameters: dict[str, Array]) -> None:
        for name in self.parameters:
            setattr(self.net, name, parameters[name])

    def forward(self, parameters: dict[str, Array], x: Array) -> Array:
        self._put(parameters)
        return self.net.predict(x)

    def loss(self, y: Array, t: Array) -> float:
        value: float = self.net.loss(y, t)
        return value

    def gradients(self, parameters: dict[str, Array], x: Array, t: Array) -> dict[str, Array]:
        self._put(parameters)
        self.net.backward(self.net.forward(x), t)
        return {name: getattr(self.net, "d" + name) for name in self.parameters}

    def step(self, parameters: dict[str, Array], x: Array, t: Array) -> None:
        self._put(parameters)
        self.net.step(x, t)
        for name, array in parameters.items():
            array[...] = getattr(self.net, name)


def network(
    task: Task,
    seed: int,
    *special: type,
    base: Any = TwoHidden,
    points: Data | None = None,
    hidden: int | None = None,
    rate: float | None = None,
    gradients: bool = True,
) -> Arguments:
    """The learner's class, with what is special about it, made for a task: what `diagnose_functions` takes.

    `gradients=False` keeps the method `backward` to itself: a diagnosis sees steps only.
    """
    parts = (*special, *((Classifying,) if task.classes else ()), base)
    net = type("Net", parts, {})(task.inputs, hidden or HIDDEN[task.name], task.outputs, rate or RATE[task.name], seed)
    adapter = Adapter(net)
    made = {
        "forward": adapter.forward,
        "loss": adapter.loss,
        "parameters": adapter.parameters,
        "step": adapter.step,
        "data": points or data(task, seed),
    }
    return made | ({"gradients": adapter.gradients} if gradients else {})

"""Faults in the second style: each class overrides the method that its learner got wrong."""

from typing import Any

import numpy as np

from bench.clinic.classes import Array, Learner


class HiddenSign(Learner):
    """A minus too many on the way back to the first layers."""

    def backward(self, y: Array, t: Array) -> None:
        dz3 = self.delta(y, t)
        self.dW3 = self.a2.T @ dz3
        self.db3 = dz3.sum(axis=0)
        dz2 = -(dz3 @ self.W3.T) * self.derivative(self.z2)  # fault: the minus
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class BiasOverUnits(Learner):
    """The first bias gradient summed over the units: as many as examples, and there are as many units as examples."""

    def backward(self, y: Array, t: Array) -> None:
        dz2 = self.delta(y, t)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=1)  # fault: axis=0


class BiasOverAll(Learner):
    """Bias gradients summed over examples and units: one number for all."""

    def backward(self, y: Array, t: Array) -> None:
        dz2 = self.delta(y, t)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum()  # fault: axis=0 is missing


class SummedLoss(Learner):
    """The squared error summed over the batch, as is its gradient."""

    def loss(self, y: Array, t: Array) -> float:
        return float(np.sum((y - t) ** 2))

    def delta(self, y: Array, t: Array) -> Array:
        return 2.0 * (y - t)


class SummedGradient(Learner):
    """The cross-entropy is a mean, its gradient is not."""

    def delta(self, y: Array, t: Array) -> Array:
        dz = y.copy()
        dz[np.arange(len(t)), t] -= 1.0
        return dz  # fault: / len(t) is missing


class WrongActivation(Learner):
    """The last weights' gradient with the first layer's activation."""

    def backward(self, y: Array, t: Array) -> None:
        dz3 = self.delta(y, t)
        self.dW3 = self.a1.T @ dz3  # fault: a2
        self.db3 = dz3.sum(axis=0)
        dz2 = (dz3 @ self.W3.T) * self.derivative(self.z2)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class ActivationsSwapped(Learner):
    """Both hidden activations, each in the other's place."""

    def backward(self, y: Array, t: Array) -> None:
        dz3 = self.delta(y, t)
        self.dW3 = self.a1.T @ dz3  # fault: a2
        self.db3 = dz3.sum(axis=0)
        dz2 = (dz3 @ self.W3.T) * self.derivative(self.z2)
        self.dW2 = self.a2.T @ dz2  # fault: a1
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class DerivativeOfZ(Learner):
    """tanh' = 1 - a² with z for a."""

    def derivative(self, z: Array) -> Array:
        return 1.0 - z**2  # fault: tanh(z)**2


class ZeroWeights(Learner):
    """All weights start at zero."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for name in self.names:
            setattr(self, name, np.zeros_like(getattr(self, name)))


class SmallWeights(Learner):
    """Weights of 0.0001 in all layers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for name in self.names:
            setattr(self, name, 1e-4 * getattr(self, name))


class LargeWeights(Learner):
    """Weights fifty times too large in all layers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        for name in self.names:
            setattr(self, name, 50.0 * getattr(self, name))


class NegativeBiases(Learner):
    """Biases of -10: no ReLU ever gives anything but zero."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.b1 -= 10.0


class ReLUOutput(Learner):
    """ReLU behind the last layer, for targets of both signs."""

    def output(self, z: Array) -> Array:
        return np.maximum(z, 0.0)

    def delta(self, y: Array, t: Array) -> Array:
        return 2.0 * (y - t) * (y > 0.0) / len(t)


class SigmoidOutput(Learner):
    """A sigmoid behind the last layer, for targets up to 5."""

    def output(self, z: Array) -> Array:
        return 1.0 / (1.0 + np.exp(-z))

    def delta(self, y: Array, t: Array) -> Array:
        return 2.0 * (y - t) * y * (1.0 - y) / len(t)


class SoftmaxOverBatch(Learner):
    """Softmax over the examples."""

    def output(self, z: Array) -> Array:
        e = np.exp(z - z.max())
        return e / e.sum(axis=0, keepdims=True)  # fault: axis=1


class PlainSoftmax(Learner):
    """exp of whatever comes."""

    def output(self, z: Array) -> Array:
        e = np.exp(z)  # fault: z - z.max(axis=1, keepdims=True)
        return e / e.sum(axis=1, keepdims=True)


class Dropout(Learner):
    """Half of the first hidden units dropped in training."""

    training = False

    def __init__(self, inputs: int, hidden: int, outputs: int, rate: float, seed: int) -> None:
        super().__init__(inputs, hidden, outputs, rate, seed)  # type: ignore[call-arg]
        np.random.seed(seed)  # noqa: NPY002

    def forward(self, x: Array) -> Array:
        self.x = x
        self.z1 = x @ self.W1 + self.b1
        self.mask = (np.random.rand(*self.z1.shape) < 0.5) / 0.5 if self.training else 1.0  # noqa: NPY002
        self.a1 = self.activation(self.z1) * self.mask
        self.z2 = self.a1 @ self.W2 + self.b2
        return self.output(self.z2)

    def backward(self, y: Array, t: Array) -> None:
        dz2 = self.delta(y, t)
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * self.mask * self.derivative(self.z1)
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)

    def step(self, x: Array, t: Array) -> None:
        self.training = True
        super().step(x, t)
        self.training = False


class DropoutLeftOn(Dropout):
    """The switch is never turned off."""

    training = True

    def step(self, x: Array, t: Array) -> None:
        Learner.step(self, x, t)


class DerivativeInPlace(Learner):
    """Each layer's derivative is computed in the array of its activation (sigmoid), before the weights' gradient."""

    def backward(self, y: Array, t: Array) -> None:
        dz3 = self.delta(y, t)
        slope2 = self.a2
        slope2 *= 1.0 - self.a2  # fault: this changes a2, which dW3 needs
        self.dW3 = self.a2.T @ dz3
        self.db3 = dz3.sum(axis=0)
        dz2 = (dz3 @ self.W3.T) * slope2
        slope1 = self.a1
        slope1 *= 1.0 - self.a1  # fault: this changes a1, which dW2 needs
        self.dW2 = self.a1.T @ dz2
        self.db2 = dz2.sum(axis=0)
        dz1 = (dz2 @ self.W2.T) * slope1
        self.dW1 = self.x.T @ dz1
        self.db1 = dz1.sum(axis=0)


class NumericalGradient(Learner):
    """Gradients by differences, number by number, as the first chapters of books do it."""

    def backward(self, y: Array, t: Array) -> None:
        for name in self.names:
            array, gradient = getattr(self, name), np.zeros_like(getattr(self, name))
            for place in np.ndindex(array.shape):
                kept = array[place]
                array[place] = kept + 1e-4
                above = self.loss(self.forward(self.x), t)
                array[place] = kept - 1e-4
                below = self.loss(self.forward(self.x), t)
                array[place] = kept
                gradient[place] = (above - below) / 2e-4
            setattr(self, "d" + name, gradient)

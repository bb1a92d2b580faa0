"""What is wrong in the held-out programs; a line of each says so."""

from collections.abc import Callable
from typing import Any

import numpy as np

import xpnet
from bench.clinic.case import Arguments
from bench.clinic.functions import Array, Function, Parameters
from bench.clinic.held_out_networks import Head, Regressor, backward
from bench.clinic.tasks import Data, as_float32
from xpnet import optimizers

# Gradients


def transposed(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """dz.T @ x for x.T @ dz where weights are square, so that no shape complains."""
    found = backward(p, sums, inputs, dz, slope)
    return {name: g.T if g.shape == g.T.shape else g for name, g in found.items()}  # fault: .T


def unmasked(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """The activation's derivative is left out in all layers."""
    return backward(p, sums, inputs, dz, np.ones_like)  # fault: slope


def middle_turned(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """The sign of one layer's gradients is wrong."""
    found = backward(p, sums, inputs, dz, slope)
    return found | {"W2": -found["W2"], "b2": -found["b2"]}  # fault: the minus


def divided_twice(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """The mean over the examples is taken in the loss's derivative and once more in each gradient."""
    return {name: g / len(dz) for name, g in backward(p, sums, inputs, dz, slope).items()}  # fault: / len(dz)


def last_only(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """The loop over the layers ends after the last one; the others keep the zeros they were made with."""
    found = {name: np.zeros_like(array) for name, array in p.items()}
    found[f"W{len(sums)}"] = inputs[-1].T @ dz
    found[f"b{len(sums)}"] = dz.sum(axis=0)
    return found  # fault: the rest is missing


def first_activation_for_all(
    p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function
) -> Parameters:
    """Hidden layers are equally wide, and all weights behind them get a1, as if its name had been used again."""
    return backward(p, sums, [inputs[0], *[inputs[1]] * (len(inputs) - 1)], dz, slope)  # fault: a2


def squared_in_place(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
    """tanh' = 1 - a², with a² in the array of a; the weights' gradients come afterwards."""
    slopes = [1.0 - np.square(a, out=a) for a in inputs[1:]]  # fault: out=a
    found: Parameters = {}
    for layer in range(len(sums), 0, -1):
        found[f"W{layer}"] = inputs[layer - 1].T @ dz
        found[f"b{layer}"] = dz.sum(axis=0)
        if layer > 1:
            dz = (dz @ p[f"W{layer}"].T) * slopes[layer - 2]
    return found


def elu_derivative_of_a(z: Array) -> Array:
    """ELU' = a + 1 below zero, where z comes instead of a."""
    return np.where(z > 0.0, 1.0, z + 1.0)  # fault: exp(z)


def remembering() -> Function:
    """A cache that is never emptied: the first batch's gradient of W1 serves for ever."""
    cache: Parameters = {}

    def walk(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
        found = backward(p, sums, inputs, dz, slope)
        if "W1" not in cache:  # fault: should be made anew
            cache["W1"] = found["W1"]
        return found | {"W1": cache["W1"].copy()}

    return walk


def summed(head: Head) -> Head:
    """The same loss and its derivative without the mean over the examples."""
    output, loss, delta = head

    def loss_sum(y: Array, t: Array) -> float:
        return float(len(t) * loss(y, t))  # fault: len(t)

    def delta_sum(y: Array, t: Array) -> Array:
        return len(t) * delta(y, t)

    return output, loss_sum, delta_sum


# Outputs


def tanh_behind(head: Head) -> Head:
    """tanh behind the last layer, rightly differentiated."""
    _, loss, delta = head
    return np.tanh, loss, lambda y, t: delta(y, t) * (1.0 - y**2)


def softmax_of_columns(z: Array) -> Array:
    e = np.exp(z - np.max(z, axis=0))
    return e / np.sum(e, axis=0)  # fault: axis=1, keepdims=True


def averaged_away(y: Array, t: Array) -> Array:
    """y - t is (n, n) for targets (n,); the learner made it fit again."""
    return 2.0 * (y - t).mean(axis=1, keepdims=True) / len(t)


# Parameters


def biases_of(value: float) -> Callable[[Parameters], None]:
    def prepare(parameters: Parameters) -> None:
        for name, array in parameters.items():
            if name.startswith("b"):
                array[...] = value

    return prepare


def times(layer: str, factor: float) -> Callable[[Parameters], None]:
    def prepare(parameters: Parameters) -> None:
        parameters[layer] *= factor

    return prepare


def all_alike(parameters: Parameters) -> None:
    for array in parameters.values():
        array[...] = 0.3


# Dropout


def dropping(share: float, seed: int) -> Function:
    """A network that drops hidden units whenever it runs."""
    random = np.random.default_rng(seed)

    def run(parameters: Parameters, x: Array, activation: Function) -> tuple[list[Array], list[Array]]:
        depth = len(parameters) // 2
        sums, inputs = [], [x]
        for layer in range(1, depth + 1):
            sums.append(inputs[-1] @ parameters[f"W{layer}"] + parameters[f"b{layer}"])
            if layer < depth:
                a = activation(sums[-1])
                inputs.append(a * (random.random(a.shape) > share) / (1.0 - share))
        return sums, inputs

    return run


def through_dropout(share: float) -> Function:
    """The right way back for ReLUs: what was dropped is zero, and so is its derivative."""

    def walk(p: Parameters, sums: list[Array], inputs: list[Array], dz: Array, slope: Function) -> Parameters:
        found: Parameters = {}
        for layer in range(len(sums), 0, -1):
            found[f"W{layer}"] = inputs[layer - 1].T @ dz
            found[f"b{layer}"] = dz.sum(axis=0)
            dz = (dz @ p[f"W{layer}"].T) * (inputs[layer - 1] > 0.0) / (1.0 - share)
        return found

    return walk


# The class


class EverPositive(Regressor):
    """`rand` for `randn`, for biases as well: every hinge lies left of 0, and the data right of it."""

    def __init__(self, inputs: int, units: int, rate: float, seed: int) -> None:
        super().__init__(inputs, units, rate, seed)
        random = np.random.default_rng(seed)
        self.hidden = random.random((inputs, units))
        self.shift = random.random(units)


# xpnet's models


def perceptron(
    points: Callable[[int], Data],
    sizes: list[int],
    loss: Any,
    rate: float,
    seed: int,
    *,
    activation: str = "tanh",
    optimizer: Any = optimizers.Adam,
    **options: Any,
) -> Arguments:
    """A multilayer perceptron and what `diagnose` takes besides."""
    xpnet.seed(seed)
    model = xpnet.models.mlp(sizes, activation, **options)
    train, validation = as_float32(points(seed))
    return {
        "model": model,
        "train": train,
        "validation": validation,
        "loss": loss,
        "optimizer": optimizer(model, rate),
    }

"""Activations that a hand-written network may have: value and derivative, as plain formulas of the pre-activation."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from xpnet.backend import HostArray


def sigmoid(z: HostArray) -> HostArray:
    """1 / (1 + exp(-z)), without overflow."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0.0, 1.0, e) / (1.0 + e)


def _gelu_tanh(z: HostArray) -> HostArray:
    return 0.5 * z * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (z + 0.044715 * z**3)))


def _dgelu_tanh(z: HostArray) -> HostArray:
    root = math.sqrt(2.0 / math.pi)
    t = np.tanh(root * (z + 0.044715 * z**3))
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * root * (1.0 + 3.0 * 0.044715 * z * z)


class Activation(NamedTuple):
    """A function of each element: its value, its derivative by z, and the derivative written by the value h.

    Attributes
    ----------
    by_value : what gives the derivative from h in place of z, as programs often write it; None where none is usual.
    """

    value: Callable[[HostArray], HostArray]
    derivative: Callable[[HostArray], HostArray]
    by_value: Callable[[HostArray], HostArray] | None = None


def _leaky(slope: float) -> Activation:
    return Activation(lambda z: np.where(z > 0.0, z, slope * z), lambda z: np.where(z > 0.0, 1.0, slope))


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(
        lambda z: np.maximum(z, 0.0), lambda z: (z > 0.0).astype(np.float64), lambda h: (h > 0.0).astype(np.float64)
    ),
    "tanh": Activation(np.tanh, lambda z: 1.0 - np.tanh(z) ** 2, lambda h: 1.0 - h * h),
    "sigmoid": Activation(sigmoid, lambda z: sigmoid(z) * (1.0 - sigmoid(z)), lambda h: h * (1.0 - h)),
    "identity": Activation(lambda z: z.copy(), lambda z: np.ones_like(z)),
    "leaky_relu(0.01)": _leaky(0.01),
    "leaky_relu(0.1)": _leaky(0.1),
    "leaky_relu(0.2)": _leaky(0.2),
    "softplus": Activation(lambda z: np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))), sigmoid),
    "elu": Activation(
        lambda z: np.where(z > 0.0, z, np.expm1(np.minimum(z, 0.0))), lambda z: np.exp(np.minimum(z, 0.0))
    ),
    "silu": Activation(lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))),
    "gelu(tanh)": Activation(_gelu_tanh, _dgelu_tanh),
    "sin": Activation(np.sin, np.cos),
    "square": Activation(np.square, lambda z: 2.0 * z),
    "gaussian": Activation(lambda z: np.exp(-z * z), lambda z: -2.0 * z * np.exp(-z * z)),
    "hard_tanh": Activation(lambda z: np.clip(z, -1.0, 1.0), lambda z: (np.abs(z) < 1.0).astype(np.float64), None),
}
"""Of each element; the usual ones first."""


def softmax(z: HostArray, axis: int) -> HostArray:
    """Exponentials that sum to one along an axis."""
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    y: HostArray = e / e.sum(axis=axis, keepdims=True)
    return y


def _log_softmax(z: HostArray, axis: int) -> HostArray:
    shifted = z - z.max(axis=axis, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True)))


ROW_ACTIVATIONS: dict[str, Callable[[HostArray], HostArray]] = {
    "softmax": lambda z: softmax(z, 1),
    "softmax(axis 0)": lambda z: softmax(z, 0),
    "log_softmax": lambda z: _log_softmax(z, 1),
    "log_softmax(axis 0)": lambda z: _log_softmax(z, 0),
}
"""Of whole rows, or columns; only behind the last layer."""


def activate(name: str, z: HostArray) -> HostArray:
    """The activation's value, for (examples, units)."""
    return ROW_ACTIVATIONS[name](z) if name in ROW_ACTIVATIONS else ACTIVATIONS[name].value(z)


def derivative(name: str, z: HostArray) -> HostArray:
    """The derivative of each element by its own z; for softmax, that of its diagonal."""
    if name in ROW_ACTIVATIONS:
        y = softmax(z, 0 if name.endswith("(axis 0)") else 1)
        return 1.0 - y if name.startswith("log") else y * (1.0 - y)
    return ACTIVATIONS[name].derivative(z)


def pull_back(name: str, z: HostArray, dh: HostArray) -> HostArray:
    """The gradient by z of what has the gradient `dh` by the activation's value."""
    if name not in ROW_ACTIVATIONS:
        return dh * ACTIVATIONS[name].derivative(z)
    axis = 0 if name.endswith("(axis 0)") else 1
    y = softmax(z, axis)
    if name.startswith("log"):
        return np.asarray(dh - y * dh.sum(axis=axis, keepdims=True))
    return np.asarray(y * (dh - (dh * y).sum(axis=axis, keepdims=True)))

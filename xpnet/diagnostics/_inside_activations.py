"""Activations that a hand-written network may have: value and derivative, as plain formulas of the pre-activation."""

import math
from collections.abc import Callable
from functools import cache
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


def _elu(alpha: float = 1.0, scale: float = 1.0) -> Activation:
    """scale · z for z > 0, scale · alpha (exp(z) - 1) below."""
    return Activation(
        lambda z: scale * np.where(z > 0.0, z, alpha * np.expm1(np.minimum(z, 0.0))),
        lambda z: scale * np.where(z > 0.0, 1.0, alpha * np.exp(np.minimum(z, 0.0))),
        lambda h: np.where(h > 0.0, scale, h + scale * alpha),
    )


def _softplus(z: HostArray) -> HostArray:
    return np.asarray(np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))))


@cache
def _normal_table() -> tuple[HostArray, HostArray]:
    """The normal distribution function at places 1/256 apart."""
    at = np.arange(-10.0, 10.0 + 1.5 / 256.0, 1.0 / 256.0)
    return at, np.asarray([0.5 * math.erfc(-z / math.sqrt(2.0)) for z in at])


def _density(z: HostArray) -> HostArray:
    return np.asarray(np.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi))


def _normal(z: HostArray) -> HostArray:
    """The distribution function of the normal distribution, by a Taylor series around the nearest place of a table."""
    at, values = _normal_table()
    i = np.clip(np.rint((np.nan_to_num(z) + 10.0) * 256.0), 0, len(at) - 1).astype(int)
    a, h = at[i], np.clip(z, -10.0, 10.0) - at[i]
    # Φ(a + h) = Φ(a) + φ(a) (h - a h²/2 + (a² - 1) h³/6 - (a³ - 3a) h⁴/24 + …), φ the density
    series = h * (1.0 - h * (a / 2.0 - h * ((a * a - 1.0) / 6.0 - h * (a**3 - 3.0 * a) / 24.0)))
    return np.asarray(values[i] + _density(a) * series)


def _dmish(z: HostArray) -> HostArray:
    t = np.tanh(_softplus(z))
    return np.asarray(t + z * (1.0 - t * t) * sigmoid(z))


def _clipped(low: float, high: float, slope: float = 1.0, shift: float = 0.0) -> Activation:
    """slope · z + shift between two bounds."""
    return Activation(
        lambda z: np.clip(slope * z + shift, low, high),
        lambda z: slope * ((slope * z + shift > low) & (slope * z + shift < high)),
    )


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
    "softplus": Activation(_softplus, sigmoid, lambda h: -np.expm1(-h)),
    "elu": _elu(),
    "silu": Activation(lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))),
    "gelu(tanh)": Activation(_gelu_tanh, _dgelu_tanh),
    "gelu": Activation(lambda z: z * _normal(z), lambda z: _normal(z) + z * _density(z)),
    "selu": _elu(1.6732632423543772, 1.0507009873554805),
    "mish": Activation(lambda z: z * np.tanh(_softplus(z)), _dmish),
    "softsign": Activation(
        lambda z: z / (1.0 + np.abs(z)), lambda z: (1.0 + np.abs(z)) ** -2, lambda h: (1.0 - np.abs(h)) ** 2
    ),
    **{f"leaky_relu({slope:g})": _leaky(slope) for slope in (0.05, 0.3, 0.25, 0.02, 0.001, 0.15, 0.5)},
    "elu(0.5)": _elu(0.5),
    "quick_gelu": Activation(
        lambda z: z * sigmoid(1.702 * z),
        lambda z: sigmoid(1.702 * z) * (1.0 + 1.702 * z * (1.0 - sigmoid(1.702 * z))),
    ),
    "arctan": Activation(np.arctan, lambda z: 1.0 / (1.0 + z * z), lambda h: np.cos(h) ** 2),
    "scaled_tanh": Activation(
        lambda z: 1.7159 * np.tanh(2.0 * z / 3.0),
        lambda z: 1.7159 * 2.0 / 3.0 * (1.0 - np.tanh(2.0 * z / 3.0) ** 2),
        lambda h: 2.0 / 3.0 * (1.7159 - h * h / 1.7159),
    ),
    "relu6": _clipped(0.0, 6.0),
    "hard_sigmoid": _clipped(0.0, 1.0, 0.2, 0.5),
    "hard_sigmoid(1/6)": _clipped(0.0, 1.0, 1.0 / 6.0, 0.5),
    "cos": Activation(np.cos, lambda z: -np.sin(z)),
    "cube": Activation(lambda z: z**3, lambda z: 3.0 * z * z),
    "abs": Activation(np.abs, np.sign),
    "exp": Activation(lambda z: np.exp(np.minimum(z, 50.0)), lambda z: np.exp(np.minimum(z, 50.0)), lambda h: h),
    "sin": Activation(np.sin, np.cos),
    "square": Activation(np.square, lambda z: 2.0 * z),
    "gaussian": Activation(lambda z: np.exp(-z * z), lambda z: -2.0 * z * np.exp(-z * z)),
    "hard_tanh": _clipped(-1.0, 1.0),
}
"""Of each element; the usual ones first."""

MIXED: dict[str, dict[str, Callable[[HostArray, HostArray], HostArray]]] = {
    "silu": {
        "f + s(z) (1 - f)": lambda z, f: f + sigmoid(z) * (1.0 - f),
        "s(z) (1 + z (1 - s(z)))": lambda z, f: sigmoid(z) * (1.0 + f * (1.0 - sigmoid(z))),
    },
    "gelu": {"Φ(z) + z φ(z)": lambda z, f: _normal(z) + f * _density(z)},
    "elu": {"f + 1 where z < 0": lambda z, f: np.where(z > 0.0, 1.0, f + 1.0)},
    "softplus": {"1 - exp(-f)": lambda z, f: -np.expm1(-f)},
}
"""Derivatives written by two places, z and the value f, or z twice, which may be mixed up."""


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

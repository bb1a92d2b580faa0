"""Backpropagation through the inside of a network, with places where a mistake can be put in.

delta_k = dh_k * f'(z_k),    dW_k = h_{k-1}.T delta_k,    db_k = sum of delta_k over the examples,
dh_{k-1} = delta_k W_k.T
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_activations import pull_back

Swaps: TypeAlias = Mapping[tuple[str, int], Any]
"""What stands in for the right thing, by place and layer, counted from 0.

`("delta", k)`, `("dbias", k)` : functions of delta_k. `("derivative", k)` : an array for f'(z_k).
`("activation", k)` : an array for h_{k-1} in dW_k. `("weights", k)` : a matrix for W_k on the way back.
"""


@dataclass(frozen=True)
class Pass:
    """What a backward pass starts from: one batch, run forwards.

    Attributes
    ----------
    items : the parameters by name.
    x : the inputs as rows; z, h : pre-activations and activations of each layer.
    dy : the gradient of the loss by the last activation.
    t : targets as rows, if they are known.
    """

    items: Mapping[str, Any]
    x: HostArray
    z: list[HostArray]
    h: list[HostArray]
    dy: HostArray
    t: HostArray | None = None

    def input_of(self, k: int) -> HostArray:
        """What layer k multiplies its weights by."""
        return self.h[k - 1] if k else self.x


@dataclass(frozen=True)
class Mistake:
    """A usual mistake of hand-written backward passes.

    Attributes
    ----------
    cause : its code.
    sentence : what the program does.
    swaps : where it differs.
    update : the learning rate, where weights are updated during the backward pass.
    """

    cause: str
    sentence: str
    swaps: Swaps = field(default_factory=dict)
    update: float = 0.0


RIGHT = Mistake("gradient_wrong", "")


def backward(inside: Inside, start: Pass, mistake: Mistake = RIGHT) -> dict[str, HostArray]:
    """The gradients of all weights and biases, as a program with this mistake gives them.

    Returns
    -------
    Arrays by name, in the parameters' shapes where the sizes agree.
    """
    swaps, found = mistake.swaps, dict[str, HostArray]()
    dh = start.dy
    for k in reversed(range(len(inside.layers))):
        layer = inside.layers[k]
        weight = inside.weight(start.items, layer)
        delta = _times(dh, swaps[("derivative", k)]) if ("derivative", k) in swaps else None
        delta = pull_back(layer.activation, start.z[k], dh) if delta is None else delta
        delta = _call(swaps, ("delta", k), delta)
        dweight = swaps.get(("activation", k), start.input_of(k)).T @ delta
        found[layer.weight] = dweight.T if layer.transposed else dweight
        if layer.bias is not None:
            dbias = _call(swaps, ("dbias", k), delta, lambda delta: delta.sum(axis=0))
            found[layer.bias] = _shaped(dbias, tuple(start.items[layer.bias].shape))
        going_back = swaps.get(("weights", k), weight)
        if mistake.update:
            going_back = going_back - mistake.update * dweight
        dh = delta @ going_back.T
    return found


def _times(dh: HostArray, what: HostArray | Callable[[HostArray], HostArray]) -> HostArray:
    return dh * (what(dh) if callable(what) else what)


def _call(
    swaps: Swaps,
    place: tuple[str, int],
    delta: HostArray,
    usual: Callable[[HostArray], HostArray] = lambda delta: delta,
) -> HostArray:
    value: HostArray = np.asarray(swaps.get(place, usual)(delta))
    return value


def _shaped(values: HostArray, shape: tuple[int, ...]) -> HostArray:
    return values.reshape(shape) if values.size == np.prod(shape) else values

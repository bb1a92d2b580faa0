"""The inside of a hand-written network: which arrays are weights and biases of which layer, with which activation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside_activations import activate
from xpnet.diagnostics._trial_arrays import is_array, items_of, on_host


@dataclass(frozen=True)
class InsideLayer:
    """One affine layer and its activation: h = activation(x W + b).

    Attributes
    ----------
    weight, bias : names of the arrays; `bias` is None without one.
    transposed : whether the weight is (outputs, inputs).
    activation : a name, such as `"relu"`, `"softmax"`, `"softmax(axis 0)"` (over the batch).
    """

    weight: str
    bias: str | None
    transposed: bool
    activation: str


@final
@dataclass(frozen=True)
class Inside:
    """A chain of affine layers and activations that computes what a hand-written `forward` does.

    Attributes
    ----------
    layers : from the input to the output.
    examples_last : whether inputs are (features, examples) there, as where z = W x + b.
    """

    layers: tuple[InsideLayer, ...]
    examples_last: bool = False

    def run(self, parameters: Any, x: Any) -> tuple[list[HostArray], list[HostArray]]:
        """All pre-activations z and activations h, one of each a layer, (examples, units) in float64.

        Parameters
        ----------
        parameters : the dict, or object, of arrays.
        x : inputs as `forward` takes them.
        """
        items, h = items_of(parameters), self.inputs(x)
        zs, hs = [], []
        for layer in self.layers:
            z = h @ self.weight(items, layer)
            bias = self.bias(items, layer)
            z = z if bias is None else z + bias
            h = activate(layer.activation, z)
            zs.append(z)
            hs.append(h)
        return zs, hs

    def inputs(self, x: Any) -> HostArray:
        """Inputs as (examples, features) in float64."""
        return rows_of(x, self.examples_last)

    def weight(self, parameters: Mapping[str, Any], layer: InsideLayer) -> HostArray:
        """A layer's weight as (inputs, outputs) in float64."""
        values = _host(parameters[layer.weight])
        return values.T if layer.transposed else values

    def bias(self, parameters: Mapping[str, Any], layer: InsideLayer) -> HostArray | None:
        """A layer's bias as (outputs,) in float64."""
        return None if layer.bias is None else _host(parameters[layer.bias]).reshape(-1)

    def names(self) -> tuple[str, ...]:
        """The names of all weights and biases, from the input to the output."""
        return tuple(name for layer in self.layers for name in (layer.weight, layer.bias) if name is not None)

    def __str__(self) -> str:
        return ", ".join(
            f"{layer.activation}(h {layer.weight}{'.T' if layer.transposed else ''}"
            f"{'' if layer.bias is None else ' + ' + layer.bias})"
            for layer in self.layers
        )


def rows_of(x: Any, examples_last: bool) -> HostArray:
    """An array as (examples, features) in float64."""
    values = _host(x)
    if examples_last and values.ndim == 2:
        return values.T
    return values.reshape(values.shape[0], -1)


def _host(values: Any) -> HostArray:
    return np.asarray(on_host(values) if is_array(values) else values, dtype=np.float64)


def inside_of(parameters: Any, forward: Callable[[Any, Any], Any], x: Any) -> Inside | None:
    """The layers of a hand-written network, found by trying what reproduces its outputs.

    Parameters
    ----------
    parameters : a dict of arrays, or an object with arrays as attributes: weights (inputs, outputs) or transposed,
        biases (h,), (1, h) or (h, 1), in any order and of any names. Arrays that `forward` does not use are passed
        over.
    forward : `forward(parameters, x) -> y`.
    x : inputs, (examples, features) or (features, examples).

    Returns
    -------
    The layers, or None where no chain of affine layers and known activations gives the same outputs to rounding.

    Examples
    --------
    >>> import numpy as np
    >>> p = {"W1": np.ones((2, 3)), "b1": np.zeros(3), "W2": np.ones((3, 1)), "b2": np.zeros(1)}
    >>> print(inside_of(p, lambda p, x: np.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"], np.zeros((5, 2))))
    tanh(h W1 + b1), identity(h W2 + b2)
    """
    from xpnet.diagnostics._inside_search import search  # it makes objects of this module's classes

    return search(parameters, forward, x)

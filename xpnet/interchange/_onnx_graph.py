import copy
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import Any, Self, TypeVar, final

import numpy as np

from xpnet._typing import Shape
from xpnet.backend import HostArray, backend_of
from xpnet.layers import Buffer, Layer, Parameter, TorchLayout

INPUT, OUTPUT = "input", "output"


@final
@dataclass(frozen=True)
class OnnxValue:
    """An array of an ONNX graph.

    Parameters
    ----------
    name : its name in the graph.
    shape : what xpnet has there, (n, *size, channels) or (n, features); n is only an example's.
    channels_first : whether the graph has it as (n, channels, *size), as ONNX's operators on images want it.
    image : of a flat (n, features) that a `Flatten` made channel by channel, as ONNX has it, the (*size, channels) it
        was; empty where the features stand as in xpnet.

    Examples
    --------
    >>> OnnxValue("x", (1, 4, 6, 3), channels_first=True).axes
    (1, 3, 4, 6)
    """

    name: str
    shape: Shape
    channels_first: bool = False
    image: Shape = ()

    @property
    def axes(self) -> Shape:
        """The shape in the graph."""
        n, *size, channels = self.shape
        return (n, channels, *size) if self.channels_first else self.shape

    @property
    def channel_axis(self) -> int:
        """Which of the axes in the graph counts the channels."""
        return 1 if self.channels_first else -1


@final
@dataclass(frozen=True)
class Node:
    """One operator of the graph, which has one result, of the node's name."""

    operator: str
    name: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]


@final
@dataclass(frozen=True)
class Weight:
    """A parameter or buffer as the graph holds it; its values are arranged only when they are asked for."""

    tensor: Parameter | Buffer
    layout: TorchLayout

    @property
    def shape(self) -> Shape:
        """The shape in the graph."""
        return self.layout.shape(tuple(self.tensor.data.shape))

    def values(self) -> HostArray:
        """The values in the graph."""
        return self.layout.to_torch(backend_of(self.tensor.data).to_host(self.tensor.data))


@final
class OnnxGraph:
    """A graph of ONNX operators that grows layer by layer, seen from one layer's path.

    Attributes
    ----------
    path : of the layer whose operators are being added.
    dtype : of all numbers in the graph.
    nodes, weights, constants : what it is made of so far.

    Examples
    --------
    >>> from xpnet.layers import ReLU
    >>> graph = OnnxGraph(ReLU(), np.dtype("float32")).below("features").below("0")
    >>> graph.node("Relu", OnnxValue("input", (1, 3))).name
    'features.0'
    """

    def __init__(self, model: Layer, dtype: "np.dtype[Any]") -> None:
        self.path, self.dtype = "", dtype
        self.nodes: list[Node] = []
        self.weights: dict[str, Weight] = {}
        self.constants: dict[str, HostArray] = {}
        self._paths = {id(tensor): path for path, tensor in model.tensors().items()}
        self._taken = {INPUT, OUTPUT, *self._paths.values()}
        self._arranged: dict[tuple[str, bool], OnnxValue] = {}

    def below(self, name: str) -> Self:
        """The same graph, seen from the child of that name; an empty name adds no level."""
        graph = copy.copy(self)  # its lists and dictionaries are the same ones
        graph.path = ".".join(part for part in (self.path, name) if part)
        return graph

    def child(self, name: str, layer: Any, x: OnnxValue) -> OnnxValue:
        """Adds the operators of this layer's child of that name; returns the child's result."""
        return add_layer(layer, x, self.below(name))

    # What is in it ----------------------------------------------------------------------------------------------

    def node(self, operator: str, *inputs: OnnxValue | str, **attributes: Any) -> OnnxValue:
        """Adds the operator whose result is this layer's, and which is named by its path.

        Returns
        -------
        The result. It is taken to have the shape and order of the first value among the inputs; where that is not so,
        `dataclasses.replace` tells the truth.
        """
        return self._add(self.path or operator, operator, inputs, attributes)

    def step(self, operator: str, *inputs: OnnxValue | str, **attributes: Any) -> OnnxValue:
        """Adds an operator before the layer's last one, named by its path and its own name."""
        return self._add(f"{self.path}/{operator}", operator, inputs, attributes)

    def _add(
        self, name: str, operator: str, inputs: tuple[OnnxValue | str, ...], attributes: dict[str, Any]
    ) -> OnnxValue:
        name = self._new_name(name, operator)
        names = tuple(each if isinstance(each, str) else each.name for each in inputs)
        self.nodes.append(Node(operator, name, names, attributes))
        return replace(next(each for each in inputs if isinstance(each, OnnxValue)), name=name)

    def weight(self, tensor: Parameter | Buffer, layout: TorchLayout | None = None) -> str:
        """The name of a parameter or buffer in the graph: its path, as in PyTorch.

        Parameters
        ----------
        tensor : one of the model's.
        layout : how the operator wants it; None takes PyTorch's.
        """
        if layout is None:
            layout = tensor.layout if isinstance(tensor, Parameter) else TorchLayout()
        weight = Weight(tensor, layout)
        name = self._paths[id(tensor)]
        if self.weights.setdefault(name, weight) == weight:
            return name
        name = self._new_name(name, "arranged")  # a layer used twice, on values of different order
        self.weights[name] = weight
        return name

    def constant(self, name: str, values: Any, dtype: Any = None) -> str:
        """Adds numbers that belong to an operator, in the graph's type or the given one; returns their name."""
        name = self._new_name(f"{self.path}/{name}", name)
        self.constants[name] = np.asarray(values, self.dtype if dtype is None else dtype)
        return name

    def _new_name(self, name: str, detail: str) -> str:
        candidates = itertools.chain((name, f"{name}/{detail}"), (f"{name}/{detail}_{i}" for i in itertools.count(2)))
        found = next(candidate for candidate in candidates if candidate not in self._taken)
        self._taken.add(found)
        return found

    # The order of axes ------------------------------------------------------------------------------------------

    def channels_first(self, x: OnnxValue) -> OnnxValue:
        """The same value as (n, channels, *size); transposed if need be, and only once. (n, features) stays."""
        axes = len(x.shape)
        if x.channels_first or axes < 3:
            return x
        return self._once(x, lambda: self._transposed(x, (0, axes - 1, *range(1, axes - 1))))

    def channels_last(self, x: OnnxValue) -> OnnxValue:
        """The same value as xpnet has it, (n, *size, channels) or (n, features)."""
        if x.image:
            return self._once(x, lambda: self._unflattened(x))
        if not x.channels_first:
            return x
        return self._once(x, lambda: self._transposed(x, (0, *range(2, len(x.shape)), 1)))

    def alike(self, values: list[OnnxValue]) -> list[OnnxValue]:
        """The same values, all in one order."""
        if any(x.channels_first for x in values):
            return [self.channels_first(x) for x in values]
        return values if len({x.image for x in values}) == 1 else [self.channels_last(x) for x in values]

    def reshape(self, x: OnnxValue, *axes: int) -> OnnxValue:
        """The same numbers with other axes behind the batch; the value keeps its shape in xpnet."""
        return self.step("Reshape", x, self.constant("shape", (0, *axes), np.int64))  # 0: as many as there are

    def _once(self, x: OnnxValue, make: Callable[[], OnnxValue]) -> OnnxValue:
        key = x.name, x.channels_first
        if key not in self._arranged:
            self._arranged[key] = make()
        return self._arranged[key]

    def _transposed(self, x: OnnxValue, axes: Shape) -> OnnxValue:
        y = self._add(f"{x.name}/Transpose", "Transpose", (x,), {"perm": axes})
        return replace(y, channels_first=not x.channels_first)

    def _unflattened(self, x: OnnxValue) -> OnnxValue:
        """Features channel by channel -> features pixel by pixel."""
        *size, channels = x.image
        image = self.reshape(replace(x, image=()), channels, *size)
        image = self.step("Transpose", image, perm=(0, *range(2, len(size) + 2), 1))
        return self.reshape(image, math.prod(x.image))


@singledispatch
def add_layer(layer: Layer, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    """Adds a layer's operators to the graph; returns its result."""
    where = f"layer {graph.path!r}: " if graph.path else ""
    kind = type(layer).__name__
    raise TypeError(
        f"{where}to_onnx knows no operators for {kind}; make the model of xpnet's own layers, or tell it the operators "
        "by xpnet.interchange.register_onnx"
    )


_Adds = TypeVar("_Adds", bound=Callable[..., OnnxValue])


def register_onnx(function: _Adds) -> _Adds:
    """Tells `to_onnx` the operators of a layer class: a decorator for `add(layer: Class, x, graph) -> y`.

    The function's first annotation says for which class it is. `x` and `y` are `OnnxValue`; `graph` is an `OnnxGraph`
    at the layer's path: `graph.node` adds the operator that gives the result, `graph.weight` names a parameter,
    `graph.child` adds a layer inside, `graph.channels_last(x)` and `channels_first` put the axes into the order wanted.

    Raises
    ------
    TypeError : the function's first parameter is not annotated with a class.

    Examples
    --------
    >>> from xpnet.layers import Layer, Parameter
    >>> class Scale(Layer):
    ...     def __init__(self, weight):
    ...         self.weight = Parameter(weight)
    ...     def output_shape(self, input_shape):
    ...         return input_shape
    ...     def forward(self, x, *, training=True):
    ...         ...
    >>> @register_onnx
    ... def add_scale(layer: Scale, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    ...     return graph.node("Mul", graph.channels_last(x), graph.weight(layer.weight))
    """
    try:
        add_layer.register(function)
    except TypeError as error:
        raise TypeError(
            "register_onnx: expected a function whose first parameter is annotated with a layer class, as in "
            f"add(layer: Scale, x, graph); got {function!r}"
        ) from error
    return function

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from xpnet._typing import Shape
from xpnet.layers._containers import Residual
from xpnet.layers._layer import Layer

_Asked: TypeAlias = Callable[[Layer, Callable[[Shape], Shape], Shape], Shape]
"""Called with a layer, its `output_shape` and the input's shape, instead of that method."""


@dataclass(frozen=True)
class LayerShapes:
    """One layer in its place: what goes in, what comes out, and the same for the layers it asked in between.

    Attributes
    ----------
    path : from the model to the layer; a shared layer has another one each time.
    layer : the layer.
    input_shape, output_shape : with the batch axis. Two of them that are one object stand for one array.
    inside : the layers below it that its `output_shape` asked, in order; empty for a layer that asked none.
    """

    path: str
    layer: Layer
    input_shape: Shape
    output_shape: Shape
    inside: "tuple[LayerShapes, ...]"

    def walk(self) -> "Iterator[LayerShapes]":
        """This one and all inside it, each after those inside it: the order in which their outputs come into being."""
        for below in self.inside:
            yield from below.walk()
        yield self


def layer_shapes(model: Layer, input_shape: Shape) -> LayerShapes:
    """What each layer makes of an input of that shape, found without running anything: `output_shape`, listened to.

    Layers of one's own appear like all others; what they do not ask for their `output_shape` does not appear.

    Parameters
    ----------
    model : the model; it is left as it was.
    input_shape : with the batch axis.

    Returns
    -------
    The model's own shapes, with those of its layers inside.

    Raises
    ------
    ValueError : what the model's `output_shape` raises.

    Examples
    --------
    >>> from xpnet.layers import Linear, ReLU, Sequential
    >>> found = layer_shapes(Sequential(Linear(2, 4), ReLU()), (3, 2))
    >>> [(each.path, each.output_shape) for each in found.walk()]
    [('0', (3, 4)), ('1', (3, 4)), ('', (3, 4))]
    """
    places = dict(_places(model, ""))
    open_calls: list[tuple[str, Layer, list[LayerShapes]]] = []
    found: list[LayerShapes] = []

    def asked(layer: Layer, output_shape: Callable[[Shape], Shape], shape: Shape) -> Shape:
        shape, inside = tuple(shape), list[LayerShapes]()
        path = _path(layer, *open_calls[-1]) if open_calls else ""
        open_calls.append((places[layer] if path is None else path, layer, inside))
        try:
            result = tuple(output_shape(shape))
        finally:
            path = open_calls.pop()[0]
        if isinstance(layer, Residual) or not any(result is below.output_shape for below in inside):
            result = (*result,)  # a new array, hence a new object
        whole = LayerShapes(path, layer, shape, result, tuple(inside))
        (open_calls[-1][2] if open_calls else found).append(whole)
        return result

    with _listening(places, asked):
        model.output_shape(tuple(input_shape))
    return found[-1]


def _places(layer: Layer, path: str) -> Iterator[tuple[Layer, str]]:
    """The layer and all below it, each with a path; one below an empty name has the path of the layer above it."""
    for name, member in layer.members().items():
        if isinstance(member, Layer):
            yield from _places(member, _joined(path, name))
    yield layer, path


def _joined(path: str, name: str) -> str:
    return ".".join(part for part in (path, name) if part)


def _path(layer: Layer, path: str, parent: Layer, siblings: list[LayerShapes]) -> str | None:
    """Where this call of the layer stands below its parent; None for a layer that is no member of it.

    A layer under several names has the first at its first call, the second at its second, and so on.
    """
    names = [name for name, member in parent.members().items() if member is layer]
    if not names:
        return None
    before = sum(sibling.layer is layer for sibling in siblings)
    return _joined(path, names[min(before, len(names) - 1)])


@contextmanager
def _listening(layers: Iterable[Layer], asked: _Asked) -> Iterator[None]:
    def listener(layer: Layer) -> Callable[[Shape], Shape]:
        output_shape = layer.output_shape
        return lambda shape: asked(layer, output_shape, shape)

    before = [(layer, vars(layer).get("output_shape")) for layer in layers]
    for layer in layers:
        vars(layer)["output_shape"] = listener(layer)
    try:
        yield
    finally:
        for layer, output_shape in before:
            del vars(layer)["output_shape"]
            if output_shape is not None:  # that of a listener around this one
                vars(layer)["output_shape"] = output_shape

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace
from xpnet.layers._activations import ReLU
from xpnet.layers._layer import Layer, Member, located
from xpnet.layers._parameter import Parameter
from xpnet.layers._shape import Identity


def _named(container: str, children: tuple[Layer, ...], named_children: dict[str, Layer]) -> dict[str, Layer]:
    """Children by name: positional ones are counted from 0."""
    found = {str(i): child for i, child in enumerate(children)} | named_children
    if len(found) < len(children) + len(named_children):
        raise ValueError(f"{container}: the names 0 to {len(children) - 1} are those of the children without names")
    for name, child in found.items():
        if not isinstance(child, Layer):
            is_class = isinstance(child, type)
            got = f"the class {child.__name__}; write {child.__name__}()" if is_class else type(child).__name__
            raise TypeError(f"{container}: child {name!r} must be a layer, got {got}")
        if "." in name:
            raise ValueError(f"{container}: the name {name!r} has a dot, which separates the levels of a path")
    return found


def _listed(container: str, children: Mapping[str, Layer]) -> str:
    lines = [f"  {name}: " + repr(child).replace("\n", "\n  ") for name, child in children.items()]
    return f"{container}(\n" + "\n".join(lines) + "\n)" if lines else f"{container}()"


def _paired(children: Mapping[str, Layer]) -> Iterator[tuple[dict[str, Layer], Layer | None]]:
    """The children alone or by two: those that one pass computes, with what computes it."""
    names = list(children)
    while names:
        name, *names = names
        follows = bool(names) and isinstance(children[names[0]], ReLU)
        child = children[name]  # whose class is asked: a setting of the instance may have that name
        together = type(child).with_relu(child) if follows else None
        pair = [name] if together is None else [name, names.pop(0)]
        yield {each: children[each] for each in pair}, together


def _side_by_side(children: Mapping[str, Layer], x: Array, training: bool) -> tuple[list[Array], list[Pullback]]:
    """All children's values and pullbacks for the same input."""
    pairs = [located(name, child.forward, x, training=training) for name, child in children.items()]
    return [value for value, _ in pairs], [pull for _, pull in pairs]


class _Container(Layer):
    """A layer whose children are those it was made of."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Layer):  # in PyTorch it would take the place of a child, here it would do nothing
            kind = type(self).__name__
            raise AttributeError(
                f"{kind}: the layers of a {kind} are fixed; instead of setting .{name}, make a new one, such as "
                f"Sequential(**{{**model.members(), {name!r}: layer}})"
            )
        super().__setattr__(name, value)


@final
class Sequential(_Container):
    """Layers one after the other.

    Its layers are fixed. A model with another last layer is a new one of the same layers, here with the same names:

        Sequential(**{**model.members(), "fc": Linear(512, 4)})

    Parameters
    ----------
    *children : layers, named "0", "1", …
    **named_children : layers with names of their own.

    Raises
    ------
    TypeError : a child is no layer.

    Examples
    --------
    >>> from xpnet.layers import Linear, ReLU
    >>> model = Sequential(Linear(2, 8), ReLU(), Linear(8, 1))
    >>> list(model.parameters())
    ['0.weight', '0.bias', '2.weight', '2.bias']
    >>> model.output_shape((5, 3))
    Traceback (most recent call last):
    ...
    ValueError: layer '0': Linear(2, 8): expected 2 features in the last axis, got 3 (shape (5, 3))
    """

    def __init__(self, *children: Layer, **named_children: Layer) -> None:
        self._children = _named("Sequential", children, named_children)
        self._runs = list(_paired(self._children))
        self._first_trainable = next((name for name, child in self._children.items() if child.parameters()), None)

    def __repr__(self) -> str:
        return _listed("Sequential", self._children)

    def __len__(self) -> int:
        return len(self._children)

    def __getitem__(self, name: str | int | slice) -> Layer:
        """A child by name or by position; a slice gives a `Sequential` of these very layers, under their names."""
        if isinstance(name, slice):
            return Sequential(**dict(list(self._children.items())[name]))
        return list(self._children.values())[name] if isinstance(name, int) else self._children[name]

    def members(self) -> Mapping[str, Member]:
        return self._children

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = tuple(input_shape)
        for name, child in self._children.items():
            shape = located(name, child.output_shape, shape)
        return shape

    def __call__(self, x: Array) -> Array:
        for name, layer in self._steps():
            x = located(name, layer, x)
        return x

    def _steps(self) -> Iterator[tuple[str, Layer]]:
        """What runs, one after the other: the children, pairs in one pass unless somebody watches them apart."""
        for pair, together in self._runs:
            if together is None or any("forward" in vars(child) for child in pair.values()):
                yield from pair.items()
            else:
                yield next(iter(pair)), together

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        pullbacks: dict[str, Pullback] = {}
        for name, layer in self._steps():
            x, pullbacks[name] = located(name, layer.forward, x, training=training)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            if not input_gradient and self._first_trainable is None:
                return None
            for name, pull in reversed(pullbacks.items()):
                lowest = not input_gradient and name == self._first_trainable
                dy = pull(dy, input_gradient=not lowest)
                if lowest:
                    return None
            return dy

        return x, pullback


@final
class Residual(_Container):
    """y = body(x) + shortcut(x): the layers learn what to add to their input.

    Parameters
    ----------
    body, shortcut : layers whose outputs have the same shape.
    body_name, shortcut_name : their names in paths; an empty one adds no level, as PyTorch's models have it.

    Raises
    ------
    ValueError : the two outputs differ in shape.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> list(Residual(Linear(3, 3)).parameters())
    ['body.weight', 'body.bias']

    References
    ----------
    K. He et al., "Deep residual learning for image recognition", CVPR 2016, section 3.2.
    """

    def __init__(
        self, body: Layer, shortcut: Layer | None = None, *, body_name: str = "body", shortcut_name: str = "shortcut"
    ) -> None:
        shortcut = Identity() if shortcut is None else shortcut
        if body_name == shortcut_name:
            raise ValueError(f"Residual: body and shortcut need different names, got {body_name!r} twice")
        self._children = _named("Residual", (), {body_name: body, shortcut_name: shortcut})
        self._names = body_name, shortcut_name

    def __repr__(self) -> str:
        return _listed("Residual", self._children)

    def members(self) -> Mapping[str, Member]:
        return self._children

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [located(name, child.output_shape, input_shape) for name, child in self._children.items()]
        self._check_shapes(*shapes)
        return shapes[0]

    def with_relu(self) -> Layer:
        return _ResidualReLU(self)

    def _check_shapes(self, body: Shape, shortcut: Shape) -> None:
        if tuple(body) != tuple(shortcut):
            raise ValueError(f"Residual: body gives shape {tuple(body)}, shortcut {tuple(shortcut)}; expected the same")

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.run(x, F.add, training)

    def run(self, x: Array, add: Callable[..., Any], training: bool) -> tuple[Array, Pullback]:
        """Value and pullback, with `add` for the sum at the end."""
        values, pullbacks = _side_by_side(self._children, x, training)
        self._check_shapes(values[0].shape, values[1].shape)
        y, pull_sum = add(*values)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            dbody, dshortcut = (
                pull(dsum, input_gradient=input_gradient) for pull, dsum in zip(pullbacks, pull_sum(dy), strict=True)
            )
            return F.add(dbody, dshortcut)[0] if input_gradient else None

        return y, pullback


@final
class _ResidualReLU(Layer):
    """A residual block and the ReLU after it, in one pass."""

    def __init__(self, block: Residual) -> None:
        self.block = block

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.block.output_shape(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.block.run(x, F.add_relu, training)


@final
class Concat(_Container):
    """Branches side by side on the same input, their outputs joined on the last axis.

    Parameters
    ----------
    *children : layers, named "0", "1", …
    **named_children : layers with names of their own.

    Raises
    ------
    ValueError : no branch, or outputs that differ in more than the last axis.
    TypeError : a child is no layer.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> Concat(Linear(3, 2), Linear(3, 5)).output_shape((4, 3))
    (4, 7)
    """

    def __init__(self, *children: Layer, **named_children: Layer) -> None:
        self._children = _named("Concat", children, named_children)
        if not self._children:
            raise ValueError("Concat: expected at least one branch, got none")

    def __repr__(self) -> str:
        return _listed("Concat", self._children)

    def members(self) -> Mapping[str, Member]:
        return self._children

    def output_shape(self, input_shape: Shape) -> Shape:
        shapes = [located(name, child.output_shape, input_shape) for name, child in self._children.items()]
        return self._joined(shapes)

    def _joined(self, shapes: list[Shape]) -> Shape:
        if any(shape[:-1] != shapes[0][:-1] for shape in shapes):
            raise ValueError(f"Concat: branches must agree in all but the last axis, got shapes {shapes}")
        return (*shapes[0][:-1], sum(shape[-1] for shape in shapes))

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        values, pullbacks = _side_by_side(self._children, x, training)
        self._joined([tuple(value.shape) for value in values])
        y = array_namespace(x).concat(values, axis=-1)
        check = F.gradient_check("Concat", y)
        widths = [value.shape[-1] for value in values]

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            check(dy)
            dx, start = None, 0
            for width, pull in zip(widths, pullbacks, strict=True):
                dbranch = pull(dy[..., start : start + width], input_gradient=input_gradient)
                dx = dbranch if dx is None else dx + dbranch
                start += width
            return dx

        return y, pullback


@final
class Frozen(_Container):
    """A layer that is not trained: it runs in inference mode, and optimizers do not see its parameters.

    Its state is saved and loaded as if it were not frozen, under the same paths. Gradients pass through it to what
    lies before and leave those of its parameters alone, so the same layer may be trained elsewhere.

    Examples
    --------
    >>> from xpnet.layers import Linear
    >>> frozen = Frozen(Linear(3, 2))
    >>> list(frozen.parameters()), list(frozen.state())
    ([], ['weight', 'bias'])
    """

    trainable: ClassVar[bool] = False

    def __init__(self, layer: Layer) -> None:
        self._children = _named("Frozen", (), {"": layer})
        self._held = [tensor for tensor in layer.tensors().values() if isinstance(tensor, Parameter)]

    def __repr__(self) -> str:
        return f"Frozen({self._children['']!r})"

    def members(self) -> Mapping[str, Member]:
        return self._children

    def output_shape(self, input_shape: Shape) -> Shape:
        return self._children[""].output_shape(input_shape)

    def __call__(self, x: Array) -> Array:
        return self._children[""](x)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        y, pull = self._children[""].forward(x, training=False)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            if not input_gradient:
                return None
            with ExitStack() as aside:
                for parameter in self._held:
                    aside.enter_context(parameter.gradient_aside())
                return pull(dy, input_gradient=True)

        return y, pullback

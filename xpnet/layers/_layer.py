import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from xpnet._typing import Array, Pullback, Result, Shape
from xpnet.backend import Backend, backend_of, get_backend, open_backend
from xpnet.functional import Part
from xpnet.layers._parameter import Buffer, Parameter

if TYPE_CHECKING:
    from xpnet.layers._store import FlatStore

Member: TypeAlias = "Parameter | Buffer | Layer"


class Layer(ABC):
    """A function with parameters. Calling it is inference, `forward` is training.

    `y = layer(x)` computes in inference mode and keeps nothing. `y, pullback = layer.forward(x)` computes in training
    mode; `pullback(dy)` leaves each parameter's gradient in `parameter.grad`, and returns `dx` if asked for with
    `input_gradient=True`, else None. A layer keeps nothing between the two, so it may be called twice in a step. A
    pullback belongs before the optimizer's step, which changes the parameters it reads.

    A layer is made of other layers or of functions: to write a new one, put parameters, buffers and layers into
    attributes, and define `forward` and `output_shape`. Concrete layers are final: compose, do not subclass.
    """

    trainable: ClassVar[bool] = True
    _store: "FlatStore | None" = None

    @abstractmethod
    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        """The value, and the pullback that fills the parameters' gradients."""

    @abstractmethod
    def output_shape(self, input_shape: Shape) -> Shape:
        """The shape of `layer(x)` for x of `input_shape`, batch axis included, computed without running.

        Raises
        ------
        ValueError : the same that running would raise.
        """

    def __call__(self, x: Array) -> Array:
        """The value in inference mode: no dropout, running statistics."""
        return self.forward(x, training=False)[0]

    def with_relu(self) -> "Layer | None":
        """A layer that computes this one and a ReLU after it in one pass; None where there is no such thing.

        It shares the parameters. A `Sequential` runs it in place of the two.
        """
        return None

    # What it is made of -----------------------------------------------------------------------------------------

    def members(self) -> Mapping[str, Member]:
        """Its own parameters, buffers and layers by name, in order of construction.

        An empty name adds no level to the paths below it.
        """
        found = {name: value for name, value in vars(self).items() if isinstance(value, (Parameter, Buffer, Layer))}
        for name, value in vars(self).items():
            inner = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
            if any(isinstance(item, (Parameter, Layer)) for item in inner):
                raise TypeError(
                    f"{type(self).__name__}.{name}: layers and parameters in a {type(value).__name__} would not be "
                    "trained; put layers into a Sequential, parameters into attributes"
                )
        return found

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def _walk(self, prefix: str, trainable_only: bool) -> Iterator[tuple[str, Member]]:
        if trainable_only and not self.trainable:
            return
        for name, member in self.members().items():
            path = f"{prefix}.{name}" if prefix and name else prefix or name
            yield path, member
            if isinstance(member, Layer):
                yield from member._walk(path, trainable_only)

    def _collect(self, kind: type[Any] | tuple[type[Any], ...], trainable_only: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {}
        seen: set[int] = set()
        for path, member in self._walk("", trainable_only):
            if isinstance(member, kind) and id(member) not in seen:
                seen.add(id(member))
                found[path] = member
        return found

    def layers(self) -> dict[str, "Layer"]:
        """All layers below this one by path, in order of construction, a shared one once."""
        found: dict[str, Layer] = self._collect(Layer)
        return found

    def parameters(self) -> dict[str, Parameter]:
        """The parameters to be trained by path, in order of construction, a shared one once."""
        return self._collect(Parameter, trainable_only=True)

    def buffers(self) -> dict[str, Buffer]:
        """The arrays of the state that no gradient changes, by path."""
        return self._collect(Buffer)

    def tensors(self) -> dict[str, "Parameter | Buffer"]:
        """Parameters (frozen ones too) and buffers by path: what makes up the state."""
        return self._collect((Parameter, Buffer))

    # State ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, Array]:
        """Copies of all parameters (frozen ones too) and buffers, by path."""
        return {path: backend_of(tensor.data).copy(tensor.data) for path, tensor in self.tensors().items()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state` returned; arrays of any registered library.

        Raises
        ------
        ValueError : names are missing or unexpected, or shapes differ; nothing is changed then.
        TypeError : values that are not floating-point; nothing is changed then.
        """
        tensors = self.tensors()
        check_names_and_shapes(
            "load_state",
            {path: tuple(values.shape) for path, values in state.items()},
            {path: tuple(tensor.data.shape) for path, tensor in tensors.items()},
        )
        new = {path: self.backend.asarray(values) for path, values in state.items()}
        wrong = [
            f"{path} is {values.dtype}" for path, values in state.items() if new[path].dtype != tensors[path].data.dtype
        ]
        if wrong:
            raise TypeError(f"load_state: expected floating-point values, but {', '.join(wrong)}; nothing was changed")
        for path, tensor in tensors.items():
            tensor.data[...] = new[path]

    def clear_gradients(self) -> None:
        """Sets all gradients to zero; the next pullback overwrites them."""
        for parameter in self._collect(Parameter).values():
            parameter.clear()

    @property
    def backend(self) -> Backend:
        """Where its parameters live, and of which type; without any, what `get_backend()` says."""
        tensor = next(iter(self.tensors().values()), None)
        if tensor is None:
            return get_backend()
        return backend_of(tensor.data).at(tensor.data)

    def to(self, backend: Backend | str) -> Self:
        """A copy of this layer on another backend; a name alone means its default device and float32.

        Examples
        --------
        >>> from xpnet.layers import Linear
        >>> Linear(2, 3).to("array_api_strict").weight.data.dtype
        array_api_strict.float32
        """
        target = open_backend(backend) if isinstance(backend, str) else backend
        moved = copy.deepcopy(self)
        for tensor in moved.tensors().values():
            tensor.move(target.asarray(tensor.data))
        return moved

    def __getstate__(self) -> dict[str, Any]:
        """A copy has no optimizer yet: it leaves the flat store behind."""
        return {name: value for name, value in vars(self).items() if name != "_store"}

    # What it is told of a run -----------------------------------------------------------------------------------

    def bind_masks(self, path: str, seed: int, step: Array) -> None:  # noqa: B027 - most layers have no masks
        """Tells a random layer its path, the seed and the step counter its masks are counted from."""

    def bind_part(self, part: Part) -> None:  # noqa: B027 - most layers do not look across examples
        """Tells a layer where to read which part of a step's examples it is given."""


def check_names_and_shapes(what: str, theirs: Mapping[str, Shape], ours: Mapping[str, Shape]) -> None:
    """The same names with the same shapes.

    Raises
    ------
    ValueError : one readable list of what is missing, unexpected or of another shape.
    """
    lines = [f"missing: {name} {ours[name]}" for name in ours if name not in theirs]
    lines += [f"unexpected: {name} {theirs[name]}" for name in theirs if name not in ours]
    lines += [
        f"shape: {name} is {theirs[name]} there, {ours[name]} in the model"
        for name in ours
        if name in theirs and theirs[name] != ours[name]
    ]
    if lines:
        raise ValueError(
            f"{what}: the names or shapes do not fit the model; nothing was changed\n  " + "\n  ".join(lines)
        )


def located(name: str, call: Callable[..., Result], *arguments: Any, **options: Any) -> Result:
    """`call(...)` on behalf of the child of that name: an error's message begins with the path to where it arose."""
    try:
        return call(*arguments, **options)
    except (TypeError, ValueError) as error:
        known = vars(error)
        known.setdefault("message", str(error))
        known["path"] = ".".join(part for part in (name, known.get("path", "")) if part)
        if known["path"]:
            error.args = (f"layer {known['path']!r}: {known['message']}",)
        raise

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from xpnet._typing import Shape
from xpnet.diagnostics._live_arrays import LiveArrays
from xpnet.diagnostics._multiplications import multiplications
from xpnet.diagnostics._summary_table import table
from xpnet.layers import (
    Buffer,
    Frozen,
    Layer,
    LayerShapes,
    Parameter,
    Sequential,
    check_model,
    check_shape,
    layer_shapes,
)


@dataclass(frozen=True)
class LayerSummary:
    """One row of a `Summary`: a layer, or several that were folded into the one above them.

    Attributes
    ----------
    path : from the model to the layer; a shared layer has a row for each time it runs.
    kind : the layer with its settings.
    input_shape, output_shape : with the batch axis; empty for a layer that is not on the path of `output_shape`.
    parameters : their number, each counted in the first row that it belongs to.
    frozen : how many of them are not trained.
    multiplications : multiply-adds for the whole batch; None if a layer here has no known number.
    forward_bytes : the most that is alive at once while the layer runs in inference, with its input and output.
    backward_bytes : what a training step keeps from the forward for the backward pass, less what rows above keep.
    note : what is special.
    """

    path: str
    kind: str
    input_shape: Shape
    output_shape: Shape
    parameters: int
    frozen: int
    multiplications: int | None
    forward_bytes: int
    backward_bytes: int
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """What `summary` found; printed, it is a table.

    Attributes
    ----------
    rows : the layers in the order they run.
    input_shape, output_shape : of the model, with the batch axis.
    parameters, frozen : how many numbers there are, and how many of them are not trained.
    multiplications : multiply-adds for the whole batch, less those of the layers in `unknown`.
    unknown : paths of the layers whose multiplications are not known.
    parameter_bytes, gradient_bytes : of all parameters and buffers; of the gradients of what is trained.
    activation_bytes : the most bytes of layers' inputs and outputs alive at once in inference.
    kept_bytes : of the arrays that a training step keeps for the backward pass, the output among them.
    passing_bytes : the most bytes of gradients by inputs and outputs alive at once on the way back.
    """

    rows: tuple[LayerSummary, ...]
    input_shape: Shape
    output_shape: Shape
    parameters: int
    frozen: int
    multiplications: int
    unknown: tuple[str, ...]
    parameter_bytes: int
    gradient_bytes: int
    activation_bytes: int
    kept_bytes: int
    passing_bytes: int

    @property
    def trained(self) -> int:
        """How many parameters are trained."""
        return self.parameters - self.frozen

    @property
    def forward_bytes(self) -> int:
        """The estimated peak of inference."""
        return self.parameter_bytes + self.activation_bytes

    @property
    def backward_bytes(self) -> int:
        """The estimated peak of a training step, without what the optimizer keeps."""
        return self.parameter_bytes + self.gradient_bytes + self.kept_bytes + self.passing_bytes

    def __str__(self) -> str:
        return table(self)


def summary(model: Layer, input_shape: Sequence[int], *, depth: int | None = None) -> Summary:
    """The layers of a model, with output shapes, parameters, multiplications and memory; nothing is run.

        forward    parameters and buffers + the arrays that are alive at once while a layer runs
        backward   parameters and buffers + gradients + what the pullbacks keep + the gradients on their way back

    The memory is an estimate of the peak. Counted are layers' inputs and outputs, what each layer's pullback holds
    (ReLU its output, a convolution its input, dropout its mask, …; an array that two hold counts once), and the
    gradients by them. Not counted are the pieces that a convolution works on, the optimizer's own arrays (for Adam
    twice the parameters), and dead arrays whose memory is kept for the next ones. Measured peaks of live arrays were
    at most a third above the estimate, and a few hundredths for large networks with small batches.

    Parameters
    ----------
    model : any layer. Layers of your own have their rows; for their multiplications see `multiplications`.
    input_shape : the shape of a batch, as for `output_shape`: (8, 224, 224, 3).
    depth : the levels of paths to show, 1 or more; what lies deeper is folded into the layer above. None shows all.

    Returns
    -------
    A `Summary`: `print` it, or read its rows and totals. Parameters below layers that `output_shape` does not ask, such
    as the heads that only training runs, have rows of their own at the end.

    Raises
    ------
    ValueError : `depth` or a length of `input_shape` is no positive integer, or what `output_shape` raises for the
        shape.
    TypeError : `model` is no layer.

    Examples
    --------
    >>> from xpnet.models import mlp
    >>> found = summary(mlp([784, 100, 10]), (32, 784))
    >>> found.parameters, found.multiplications, found.rows[0].output_shape
    (79510, 2540800, (32, 100))
    >>> print(found)
    path  layer             output     parameters  multiplications    forward  backward
    -----------------------------------------------------------------------------------
    0     Linear(784, 100)  (32, 100)      78,500            2.5 M  110.5 KiB  98.0 KiB
    1     ReLU()            (32, 100)                                25.0 KiB  12.5 KiB
    2     Linear(100, 10)   (32, 10)        1,010           32.0 k   13.8 KiB
    -----------------------------------------------------------------------------------
    parameters       79,510
    ...
    """
    if depth is not None and (isinstance(depth, bool) or not isinstance(depth, int) or depth < 1):
        raise ValueError(f"summary: depth must be a positive integer or None, got {depth!r}")
    check_model("summary", model)
    whole = layer_shapes(model, check_shape("summary", "input_shape", input_shape))
    item = model.backend.item_bytes(model.backend.zeros((1,)))
    rows = _Rows(model, LiveArrays(whole, item))
    listed = (*rows.on_the_path(whole, depth), *rows.beside_the_path())
    tensors, trained = model.tensors().values(), model.parameters().values()
    parameters = sum(_size(tensor) for tensor in tensors if isinstance(tensor, Parameter))
    return Summary(
        rows=listed,
        input_shape=whole.input_shape,
        output_shape=whole.output_shape,
        parameters=parameters,
        frozen=parameters - sum(map(_size, trained)),
        multiplications=sum(count for _, count in rows.counts if count is not None),
        unknown=tuple(path for path, count in rows.counts if count is None),
        parameter_bytes=sum(map(_size, tensors)) * item,
        gradient_bytes=sum(map(_size, trained)) * item,
        activation_bytes=rows.live.forward(whole),
        kept_bytes=sum(row.backward_bytes for row in listed) + rows.live.ends(),
        passing_bytes=rows.live.passing(),
    )


def _size(tensor: Parameter | Buffer) -> int:
    return math.prod(tensor.data.shape)


class _Rows:
    """Makes rows, and counts each parameter in the first of its rows."""

    def __init__(self, model: Layer, live: LiveArrays) -> None:
        self.model, self.live = model, live
        self.counts: list[tuple[str, int | None]] = []
        self._trained = {id(parameter) for parameter in model.parameters().values()}
        self._first: dict[int, str] = {}  # layers and parameters by the path of their first row

    def on_the_path(self, here: LayerShapes, depth: int | None, frozen: bool = False) -> Iterator[LayerSummary]:
        frozen = frozen or isinstance(here.layer, Frozen)
        if not here.inside or (here.path and depth is not None and here.path.count(".") + 1 >= depth):
            yield self._row(here, list(here.walk()), frozen)
            return
        for below in here.inside:
            yield from self.on_the_path(below, depth, frozen)
        if _has_own(here) or not _passes_on(here):
            yield self._row(here, [here], frozen)

    def _row(self, here: LayerShapes, steps: list[LayerShapes], frozen: bool) -> LayerSummary:
        """One row for these steps: a layer without layers, one apart from those inside it, or one with all of them."""
        leaves = [step for step in steps if not step.inside]
        working = [step for step in steps if not step.inside or _has_own(step)]
        counts = [(step.path, multiplications(step.layer, step.input_shape, step.output_shape)) for step in working]
        self.counts += counts
        before = self._first.get(id(here.layer)) if here.layer.tensors() else None
        notes = ["frozen"] * frozen + [f"shared with {before}"] * (before is not None)
        parameters, not_trained = self._parameters(here, alone=not leaves)
        return LayerSummary(
            here.path,
            _kind(here) if steps == [here] else f"{type(here.layer).__name__} ({_layers(len(leaves))})",
            here.input_shape,
            here.output_shape,
            parameters,
            not_trained,
            _sum([count for _, count in counts]),
            self.live.forward(here),
            sum(self.live.newly_kept(step) for step in steps),
            ", ".join(notes),
        )

    def _parameters(self, here: LayerShapes, *, alone: bool) -> tuple[int, int]:
        """How many are not counted yet, without those of the layers inside if `alone`; how many of them are frozen."""
        self._first.setdefault(id(here.layer), here.path)
        members = here.layer.members() if alone else here.layer.tensors()
        new = [each for each in members.values() if isinstance(each, Parameter) and id(each) not in self._first]
        self._first |= {id(parameter): here.path for parameter in new}
        return sum(map(_size, new)), sum(_size(each) for each in new if id(each) not in self._trained)

    def beside_the_path(self) -> Iterator[LayerSummary]:
        """Rows for the parameters that no row has counted, by the highest layers that have no others."""
        everything = {path: each for path, each in self.model.tensors().items() if isinstance(each, Parameter)}
        counted = {above for path, each in everything.items() if id(each) in self._first for above in _above(path)}
        groups: dict[str, list[Parameter]] = {}
        for path, each in everything.items():
            if id(each) not in self._first:
                groups.setdefault(next((above for above in _above(path) if above not in counted), path), []).append(
                    each
                )
        layers = self.model.layers()
        for name, here in groups.items():
            frozen = sum(_size(each) for each in here if id(each) not in self._trained)
            kind = type(layers[name]).__name__ if name in layers else ""
            yield LayerSummary(name, kind, (), (), sum(map(_size, here)), frozen, 0, 0, 0, "not on this path")


def _above(path: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c` of a.b.c."""
    return itertools.accumulate(path.split("."), "{}.{}".format)


def _sum(counts: list[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _has_own(here: LayerShapes) -> bool:
    """Whether a layer has parameters beside those of the layers inside it."""
    return any(isinstance(member, Parameter) for member in here.layer.members().values())


def _passes_on(here: LayerShapes) -> bool:
    """A layer whose value is that of the last layer inside it."""
    return isinstance(here.layer, (Sequential, Frozen)) or here.output_shape is here.inside[-1].output_shape


def _layers(number: int) -> str:
    return "1 layer" if number == 1 else f"{number} layers"


def _kind(here: LayerShapes) -> str:
    if here.inside:
        return type(here.layer).__name__
    text = repr(here.layer).partition("\n")[0]
    return text if len(text) <= 60 else text[:59] + "…"

from collections.abc import Iterable
from contextlib import nullcontext

from xpnet._typing import Array
from xpnet.layers import Layer, observe
from xpnet.optimizers import NonFiniteError
from xpnet.training._evaluate import Loss
from xpnet.training._precision import narrowed, scaled, widened


def first_not_finite(
    model: Layer, x: Array, t: Array, loss: Loss, precision: str = "float32"
) -> tuple[str, str] | None:
    """Runs a step's batch again without changing anything, and finds where the first infinity or NaN appears.

    In float16 it runs as a step does, with a loss scale of 1.

    Returns
    -------
    The layer's path (or `"inputs"` or `"loss"`) and `"forward"` or `"backward"`; None where all is finite.
    """
    backend = model.backend
    xp = backend.xp
    found: list[tuple[str, str]] = []

    def look(name: str, direction: str, *arrays: Array | None) -> None:
        if not found and any(not bool(xp.all(xp.isfinite(a))) for a in arrays if a is not None):
            found.append((name, direction))

    def on_forward(path: str, x: Array, y: Array) -> None:
        look(path, "forward", y)

    def on_backward(path: str, layer: Layer, dx: Array | None) -> None:
        look(path, "backward", dx, *(p.grad for p in layer.parameters().values()))

    buffers = {path: backend.copy(buffer.data) for path, buffer in model.buffers().items()}
    in_half = precision == "float16" and model._store is not None
    copies = model._store.half.parameters_of(model) if in_half and model._store is not None else nullcontext()
    model.clear_gradients()
    with backend.quiet(), copies, observe(model, on_forward=on_forward, on_backward=on_backward):
        if in_half:
            model.clear_gradients()
        x = narrowed(x) if in_half else x
        look("inputs", "forward", x)
        y, pullback = model.forward(x)
        if not found:
            value, dloss = loss(widened(y), t)
            dy = scaled(dloss(), y, xp.ones_like(value)) if in_half else dloss()
            look("loss", "forward", value)
            look("loss", "backward", *(dy if isinstance(dy, tuple) else (dy,)))
            pullback(dy)
    for path, buffer in model.buffers().items():
        buffer.data[...] = buffers[path]
    model.clear_gradients()
    return found[0] if found else None


_HOW = {"float32": "", "float16": " in float16, with the loss scale at its lowest, 1"}
_REMEDIES = {
    "float32": "A lower learning rate, clip_norm, or inputs of a smaller scale",
    "float16": "precision='float32', a lower learning rate, or inputs of a smaller scale",
}


def first_of_all(
    model: Layer, batches: Iterable[tuple[Array, Array]], loss: Loss, precision: str = "float32"
) -> tuple[str, str] | None:
    """`first_not_finite` of the first of a step's batches that shows it."""
    found = (first_not_finite(model, x, t, loss, precision) for x, t in batches if x.shape[0])
    return next((where for where in found if where), None)


def explained(
    error: NonFiniteError, model: Layer, where: tuple[str, str] | None, precision: str = "float32"
) -> NonFiniteError:
    """The same error, with the layer and the direction that were found by running the step's batches again."""
    layer = direction = None
    place = "every value of both passes is finite, but the gradients' norm or the penalty is too large for the type"
    if where:
        layer, direction = where
        place = _place(model, layer, direction)
    return NonFiniteError(
        f"step {error.step}: the loss or the gradients are infinite or NaN{_HOW[precision]}; {place}. No parameter was "
        f"changed by this step. {_REMEDIES[precision]} are the usual remedies",
        step=error.step,
        layer=layer,
        direction=direction,
    )


def _place(model: Layer, name: str, direction: str) -> str:
    if name == "inputs":
        return "it is in the batch's inputs already"
    if name == "loss":
        return f"it appears first in the {direction} pass of the loss"
    layer = ({"": model} | model.layers())[name]
    return f"it appears first in the {direction} pass of layer {name!r} ({layer!r})"

from xpnet._typing import Array
from xpnet.layers import Layer, observe
from xpnet.optimizers import NonFiniteError
from xpnet.training._evaluate import Loss


def first_not_finite(model: Layer, x: Array, t: Array, loss: Loss) -> tuple[str, str] | None:
    """Runs a step's batch again without changing anything, and finds where the first infinity or NaN appears.

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

    look("inputs", "forward", x)
    buffers = {path: backend.copy(buffer.data) for path, buffer in model.buffers().items()}
    model.clear_gradients()
    with backend.quiet(), observe(model, on_forward=on_forward, on_backward=on_backward):
        y, pullback = model.forward(x)
        if not found:
            value, dloss = loss(y, t)
            dy = dloss()
            look("loss", "forward", value)
            look("loss", "backward", *(dy if isinstance(dy, tuple) else (dy,)))
            pullback(dy)
    for path, buffer in model.buffers().items():
        buffer.data[...] = buffers[path]
    model.clear_gradients()
    return found[0] if found else None


def explained(error: NonFiniteError, model: Layer, x: Array, t: Array, loss: Loss) -> NonFiniteError:
    """The same error, with the layer and the direction found by running the batch again."""
    layer = direction = None
    place = "every value of both passes is finite, but the gradients' norm or the penalty is too large for the type"
    if where := first_not_finite(model, x, t, loss):
        layer, direction = where
        place = _place(model, layer, direction)
    return NonFiniteError(
        f"step {error.step}: the loss or the gradients are infinite or NaN; {place}. No parameter was changed by this "
        "step. A lower learning rate, clip_norm, or inputs of a smaller scale are the usual remedies",
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

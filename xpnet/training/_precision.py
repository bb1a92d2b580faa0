"""A step's forward and backward pass, in float32 or in mixed precision."""

from typing import Any

from xpnet._typing import Array
from xpnet.backend import backend_of, goes_by
from xpnet.layers import Layer
from xpnet.optimizers import Optimizer
from xpnet.training._evaluate import Loss

PRECISIONS = ("float32", "float16")


def check_precision(function: str, precision: str, model: Layer, optimizer: Optimizer) -> None:
    """One of the names, and one that this model and its backend can have. Copies of frozen parameters are renewed.

    Raises
    ------
    ValueError : another name, a backend without float16, or a model that is not of float32.
    """
    check_name(function, precision)
    if precision == "float16":
        optimizer.store.half.refresh_frozen(model)


def check_name(function: str, precision: str) -> None:
    """One of the names.

    Raises
    ------
    ValueError : another one.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"{function}: precision must be one of {', '.join(map(repr, PRECISIONS))}, got {precision!r}")


def gradients(
    model: Layer,
    x: Array,
    t: Array,
    *,
    loss: Loss,
    optimizer: Optimizer,
    precision: str = "float32",
    weight: float | None = None,
) -> tuple[Array, Any]:
    """The loss of one batch and the outputs; the gradients, times `weight` if given, are left with the parameters.

    In float16 the passes run on float16 copies of inputs and parameters. The loss and its gradient are computed in
    float32; the gradient goes back times the optimizer's loss scale, and arrives in the store without it. Outputs are
    float32 either way.

    Raises
    ------
    ValueError : see `check_precision`.
    """
    if precision == "float32":
        y, pullback = model.forward(x)
        value, dloss = loss(y, t)
        pullback(_weighted(dloss(), weight))
        return value, y
    check_name("train_step", precision)
    optimizer.store.check_intact()
    half, scale = optimizer.store.half, optimizer.loss_scale
    half.refresh()
    with model.backend.quiet(), half.parameters_of(model):
        y, pullback = model.forward(narrowed(x))
        outputs = widened(y)
        value, dloss = loss(outputs, t)
        pullback(scaled(_weighted(dloss(), weight), y, scale.scale))
        reached = half.reached()
    half.hand_over(scale.inverse, reached)
    goes_by(scale, "pending")
    scale.pending = True
    return value, outputs


def _weighted(dy: Any, weight: float | None) -> Any:
    """The gradient times the weight; a tuple one by one."""
    if weight is None or weight == 1.0 or dy is None:
        return dy
    return tuple(_weighted(each, weight) for each in dy) if isinstance(dy, tuple) else dy * weight


def narrowed(values: Any) -> Any:
    """Float32 as float16; a tuple one by one; anything else as it is."""
    if isinstance(values, tuple):
        return tuple(narrowed(each) for each in values)
    if values is None:
        return None
    backend = backend_of(values)
    return backend.xp.astype(values, backend.half) if values.dtype == backend.xp.float32 else values


def scaled(dy: Any, y: Any, scale: Array) -> Any:
    """The gradient times the scale, in the type of the output that it belongs to; a tuple one by one."""
    if isinstance(dy, tuple):
        if not isinstance(y, tuple) or len(y) != len(dy):
            return dy  # whose pullback says what is wrong
        return tuple(scaled(each, output, scale) for each, output in zip(dy, y, strict=True))
    if dy is None or isinstance(y, tuple):
        return dy
    backend = backend_of(dy)
    place = backend.empty(dy.shape, y)
    backend.scale_into(dy, scale, place)
    return place


def widened(values: Any) -> Any:
    """Float16 as float32; a tuple one by one; anything else as it is."""
    if isinstance(values, tuple):
        return tuple(widened(each) for each in values)
    return values if values is None else backend_of(values).wide(values)

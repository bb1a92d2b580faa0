from typing import Any

from xpnet._typing import Array, Shape
from xpnet.backend import array_namespace, readable
from xpnet.functional import check_floats


def check_single(loss: str, y: Any) -> None:
    """One array of outputs, not those of several heads.

    Raises
    ------
    TypeError : a tuple or a list of them.
    """
    if isinstance(y, tuple | list):
        raise TypeError(
            f"{loss}: expected one array of outputs, got a {type(y).__name__} of {len(y)}; a model with auxiliary "
            f"heads gives a tuple in training, of which xpnet.losses.with_auxiliary({loss}) is a loss"
        )


def check_pair(loss: str, y: Array, t: Array) -> Any:
    """The namespace of outputs and targets of one shape and type, with at least one example.

    Raises
    ------
    ValueError : the shapes differ (nothing is broadcast), or the batch is empty.
    TypeError : integers, or different types or libraries.
    """
    check_single(loss, y)
    xp = array_namespace(t, y)
    check_floats(loss, outputs=y, targets=t)
    if y.shape != t.shape:
        hint = f"; reshape the targets to {tuple(y.shape)}" if _same_but_for_ones(y.shape, t.shape) else ""
        raise ValueError(
            f"{loss}: outputs have shape {tuple(y.shape)} but targets {tuple(t.shape)}; nothing is broadcast{hint}"
        )
    check_batch(loss, y)
    return xp


def check_batch(loss: str, y: Array) -> None:
    """At least one axis, at least one example and one output.

    Raises
    ------
    ValueError : an empty batch, or a 0-d array.
    """
    if y.ndim < 1 or 0 in y.shape:
        raise ValueError(f"{loss}: expected outputs for at least one example, got a batch of shape {tuple(y.shape)}")


def check_range(loss: str, xp: Any, t: Array) -> None:
    """Targets between 0 and 1, where reading them waits for nothing.

    Raises
    ------
    ValueError : one is outside, or NaN.
    """
    if readable(t):
        low, high = float(xp.min(t)), float(xp.max(t))
        if not (low >= 0.0 and high <= 1.0):
            raise ValueError(f"{loss}: targets must be between 0 and 1, got {low:g} to {high:g}")


def example_weights(loss: str, weights: Array | None, y: Array) -> Array | float:
    """What each example counts, summing to 1: (n, 1, …) to go with `y`, or the number 1/n where all count the same.

    Raises
    ------
    ValueError : not one weight an example, or (where reading waits for nothing) negative, non-finite or all zero.
    TypeError : integers, or another type or library than the outputs.
    """
    if weights is None:
        return 1.0 / float(y.shape[0])
    xp = array_namespace(weights, y)
    check_floats(loss, outputs=y, weights=weights)
    if weights.shape != (y.shape[0],):
        raise ValueError(
            f"{loss}: expected one weight an example, shape ({y.shape[0]},), got shape {tuple(weights.shape)}"
        )
    total = xp.sum(weights)
    if readable(weights) and not (bool(xp.isfinite(total)) and bool(xp.min(weights) >= 0.0) and bool(total > 0.0)):
        raise ValueError(f"{loss}: weights must be finite, not negative and not all zero")
    return xp.reshape(weights / total, (-1,) + (1,) * (y.ndim - 1))  # (n,) -> (n, 1, …)


def _same_but_for_ones(a: Shape, b: Shape) -> bool:
    return [n for n in a if n != 1] == [n for n in b if n != 1]

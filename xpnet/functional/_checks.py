"""What every function asks of its arguments, and says when it is not so."""

import math
from collections.abc import Callable

from xpnet._typing import Array, Shape
from xpnet.backend import backend_of


def check_floats(function: str, **arrays: Array | None) -> None:
    """All arrays floating-point and of one type; None is passed over.

    Raises
    ------
    TypeError : an argument of integers or of another type than the first.
    """
    first_name, first = "", None
    for name, array in arrays.items():
        if array is None:
            continue
        if first is None:
            first_name, first = name, array
            if not backend_of(array).is_float(array):
                raise TypeError(
                    f"{function}: {name} must be floating-point, got {array.dtype}; convert the values first, as in "
                    "get_backend().asarray(values.astype('float32'))"
                )
        elif array.dtype != first.dtype:
            raise TypeError(
                f"{function}: {first_name} is {first.dtype} but {name} is {array.dtype}; "
                "nothing is converted in between: model.backend.asarray(values) makes arrays of a model's type"
            )


def check_normalized(function: str, x: Array, **arrays: Array) -> None:
    """All arrays floating-point and of one type; or `x` float16 and all others float32, as in mixed precision.

    Normalization then computes in float32 and gives float16.

    Raises
    ------
    TypeError : an argument of integers, or another mixture of types.
    """
    backend = backend_of(x)
    if x.dtype != backend.half or any(array.dtype != backend.xp.float32 for array in arrays.values()):
        check_floats(function, x=x, **arrays)


def check_gradient(function: str, dy: Array, shape: Shape, like: Array) -> None:
    """The gradient given to a pullback has the shape of the value, and the library, device and type of `like`.

    Raises
    ------
    ValueError : it has another shape; nothing is broadcast.
    TypeError : it is of another library or type; nothing is converted.
    """
    backend_of(like, dy)
    if dy.shape != shape:
        raise ValueError(f"{function}: the pullback expects dy of shape {tuple(shape)}, got {tuple(dy.shape)}")
    if dy.dtype != like.dtype:
        raise TypeError(f"{function}: the pullback expects dy of {like.dtype}, got {dy.dtype}")


def gradient_check(function: str, y: Array) -> Callable[[Array], None]:
    """`check_gradient` for the value y, which it does not keep alive: a pullback that needs no y frees its memory."""
    shape, like = y.shape, backend_of(y).empty((0,), y)
    return lambda dy: check_gradient(function, dy, shape, like)


def check_features(function: str, x: Array, features: int) -> None:
    """The last axis of `x` has this length.

    Raises
    ------
    ValueError : it has another, or `x` has no axis.
    """
    if x.ndim < 1 or x.shape[-1] != features:
        raise ValueError(f"{function}: expected {features} features in the last axis of x, got shape {tuple(x.shape)}")


def into(out: Array | None, values: Array) -> Array:
    """`values`, written into `out` where a place is given."""
    if out is None:
        return values
    if out is not values:
        out[...] = values
    return out


def check_eps(function: str, eps: float) -> float:
    """A positive number, as a Python float.

    Raises
    ------
    ValueError : anything else.
    """
    if not (math.isfinite(eps) and eps > 0.0):
        raise ValueError(f"{function}: expected eps > 0, got {eps!r}")
    return float(eps)

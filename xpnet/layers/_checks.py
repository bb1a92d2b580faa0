import operator
from typing import Any

from xpnet._typing import Shape
from xpnet.layers._layer import Layer


def check_count(layer: str, name: str, value: Any) -> int:
    """A positive integer, such as a number of features, as a Python integer.

    Raises
    ------
    ValueError : anything else.
    """
    if isinstance(value, bool) or not hasattr(type(value), "__index__") or value < 1:
        raise ValueError(f"{layer}: {name} must be a positive integer, got {value!r}")
    return operator.index(value)


def check_shape(what: str, name: str, value: Any) -> Shape:
    """The shape of a batch, as a tuple of Python integers.

    Raises
    ------
    ValueError : it is none, such as an array or a number.
    """
    if isinstance(value, str) or not hasattr(type(value), "__iter__") or getattr(value, "ndim", 1) != 1:
        raise ValueError(
            f"{what}: {name} must be the shape of a batch, such as (8, 224, 224, 3), got "
            f"{repr(value) if isinstance(value, int | float | str) else f'a {type(value).__name__}'}"
        )
    return tuple(check_count(what, f"each length of {name}", length) for length in value)


def check_model(what: str, model: Any) -> None:
    """A model is a layer.

    Raises
    ------
    TypeError : it is something else, such as the function that makes one.
    """
    if not isinstance(model, Layer):
        raise TypeError(f"{what}: the model must be a layer, got {type(model).__name__}")

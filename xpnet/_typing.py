"""The two types that every signature speaks of."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

Array: TypeAlias = Any
"""An array of any library that follows the Array API standard (NumPy, CuPy, PyTorch, …)."""

Pullback: TypeAlias = Callable[..., Any]
"""Takes the gradient of a scalar by a function's value, returns its gradients by the function's arguments."""

Shape: TypeAlias = tuple[int, ...]

Result = TypeVar("Result")

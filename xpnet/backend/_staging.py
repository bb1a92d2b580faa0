"""How an array is handed to what reads and writes the host's memory, such as MPI."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np


def _nothing() -> None:
    """What shares its memory needs no copy."""


@final
@dataclass(frozen=True)
class Staging:
    """An array as NumPy sees it: the same memory, or a copy of it, in pinned memory where that is a GPU's.

    Attributes
    ----------
    host : contiguous and writable; where it is a copy, its values are there after `fetch`.
    fetch : brings the array's values to `host`.
    put : brings the values of `host` back to the array.
    """

    host: np.ndarray[Any, Any]
    fetch: Callable[[], None] = _nothing
    put: Callable[[], None] = _nothing

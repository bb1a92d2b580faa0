"""What inputs and targets may be: checked on the host, before a step meets them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpnet.data._source import Rows


def check_inputs(name: str, x: NDArray[Any], rows: Rows) -> None:
    """Inputs are floating-point and finite.

    Raises
    ------
    TypeError, ValueError : they are not; the message says where.
    """
    if x.dtype.kind != "f":
        hint = "; convert and scale them first, as in x.astype('float32') / 255" if x.dtype.kind in "iub" else ""
        raise TypeError(f"{name}: expected floating-point inputs, got {x.dtype}{hint}")
    _check_finite(name, x, rows)


def check_targets(name: str, t: NDArray[Any], rows: Rows) -> None:
    """Targets are finite numbers, or labels from 0.

    Raises
    ------
    TypeError, ValueError : they are not; the message says where.
    """
    if t.dtype.kind not in "fiub":
        raise TypeError(f"{name}: expected integer labels or floating-point targets, got {t.dtype}")
    if t.dtype.kind == "f":
        _check_finite(name, t, rows)
    elif t.ndim == 1 and t.dtype.kind == "i" and t.size and t.min() < 0:
        raise ValueError(f"{name}: labels count from 0, got {t.min()} in row {_row(rows, t.argmin())}")


def _check_finite(name: str, values: NDArray[Any], rows: Rows) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        first, *rest = np.argwhere(~finite)[0]
        where = (_row(rows, first), *map(int, rest))
        count = values.size - int(finite.sum())
        raise ValueError(
            f"{name}: {count} of {values.size} values are not finite; the first is {values[first, *rest]} at {where}"
        )


def _row(rows: Rows, i: int | np.integer[Any]) -> int:
    """The number in the whole data of the i-th of these rows."""
    return int(rows.start + i if isinstance(rows, slice) else rows[i])

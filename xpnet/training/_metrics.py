"""Metrics: functions of raw outputs and targets that return a 0-d array."""

from typing import Any

from xpnet._typing import Array
from xpnet.backend import array_namespace, backend_of


def accuracy(y: Array, t: Array) -> Array:
    """The part of examples whose largest output is at the right class.

    Parameters
    ----------
    y : (n, classes) outputs, at least two classes.
    t : (n,) labels, or (n, classes) probabilities, of which the largest counts as right.

    Raises
    ------
    ValueError : shapes that do not fit, or a single output, of which none is largest.

    Examples
    --------
    >>> import numpy as np
    >>> float(accuracy(np.asarray([[0.1, 0.9], [0.8, 0.2]]), np.asarray([1, 1])))
    0.5
    """
    xp = array_namespace(y, t)
    if y.ndim != 2 or t.shape not in ((y.shape[0],), y.shape):
        raise ValueError(
            f"accuracy: expected outputs (n, classes) and labels (n,), got shapes {tuple(y.shape)} and {tuple(t.shape)}"
        )
    if y.shape[1] < 2:
        raise ValueError(
            f"accuracy: one output an example, shape {tuple(y.shape)}, has no largest; for yes-or-no outputs pass a "
            "function that compares y > 0 with t > 0.5"
        )
    labels = t if t.ndim == 1 else xp.argmax(t, axis=-1)
    return xp.mean(xp.astype(xp.argmax(y, axis=-1) == labels, _float_type(y)))


def r2(y: Array, t: Array) -> Array:
    """The coefficient of determination: 1 is perfect, 0 as good as the targets' mean.

        R² = 1 - Σ (t - y)² / Σ (t - mean t)²

    Parameters
    ----------
    y, t : outputs and targets of one shape, (n, ...); all outputs count together, each against its own mean.

    Raises
    ------
    ValueError : shapes that differ.

    Examples
    --------
    >>> import numpy as np
    >>> float(r2(np.asarray([[1.0], [2.0]]), np.asarray([[1.0], [2.0]])))
    1.0
    """
    xp = array_namespace(y, t)
    if y.shape != t.shape:
        raise ValueError(f"r2: outputs have shape {tuple(y.shape)} but targets {tuple(t.shape)}; nothing is broadcast")
    deviation = t - xp.mean(t, axis=0, keepdims=True)
    return 1.0 - xp.sum((t - y) ** 2.0) / xp.sum(deviation * deviation)


def _float_type(y: Array) -> Any:
    return y.dtype if backend_of(y).is_float(y) else backend_of(y).dtype_for("float")

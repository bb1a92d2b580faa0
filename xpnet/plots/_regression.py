"""Targets and predictions of a regression."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from xpnet.plots._panels import BLUE, GREY, VERMILION, Floats, draw_line, dress, floats, panels_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def regression(
    x: ArrayLike,
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    hinges: ArrayLike | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw what a regression learned: its curve through the targets, or predictions against targets.

    Parameters
    ----------
    x : the inputs, shape (n,) or (n, features). With one feature, targets and predictions are drawn over it; with
        several, predictions are drawn over targets, with the diagonal.
    targets, predictions : shape (n,) or (n, 1).
    hinges : shape (h,), for one feature only: the x where ReLU units bend, -bias/weight. Ticks at the bottom mark
        them; those outside the data are only counted.
    axes : the Axes to draw into; None makes a figure.

    Returns
    -------
    The Axes. Its title tells the root mean square error over the pairs that are finite.

    Raises
    ------
    TypeError, ValueError : arrays that are not numbers or do not fit together.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> panel = regression([0, 1, 2], [0, 1, 4], [0, 2, 3], hinges=[0.5, 7], axes=Figure().subplots())
    >>> [text.get_text() for text in panel.get_legend().get_texts()]
    ['target', 'prediction', '2 hinges (1 outside the data)']
    """
    inputs = floats("x", x)
    if inputs.ndim not in (1, 2) or inputs.size == 0:
        raise ValueError(f"x has shape {inputs.shape}, expected (n,) or (n, features), not empty")
    n = len(inputs)
    target, predicted = _column("targets", targets, n), _column("predictions", predictions, n)
    finite = np.isfinite(target) & np.isfinite(predicted)
    with np.errstate(over="ignore"):
        error = math.sqrt(np.square(predicted - target)[finite].mean()) if finite.any() else math.nan
    lost = "" if finite.all() else f" ({n - finite.sum()} of {n} not finite)"
    title = f"Regression: RMSE {error:.3g}{lost}"
    dots: dict[str, Any] = {"s": 20 if n <= 300 else 8, "alpha": 0.6 if n <= 300 else 0.35, "linewidths": 0}
    if inputs.size > n:
        if hinges is not None:
            raise ValueError(f"hinges need x with one feature, shape (n,) or (n, 1), but x has shape {inputs.shape}")
        panel: Axes = panels_for(axes, 1, size=(5.0, 5.2))[0]
        panel.scatter(target[finite], predicted[finite], color=BLUE, **dots)
        panel.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--", label="prediction = target")
        panel.set_aspect("equal", adjustable="datalim")
        dress(panel, title, "target", "prediction")
        return panel
    position = inputs.reshape(n)
    if not np.isfinite(position).all():
        raise ValueError(f"x has {n - np.isfinite(position).sum()} of {n} values not finite, expected none")
    bends = None if hinges is None else floats("hinges", hinges)
    if bends is not None and bends.ndim != 1:
        raise ValueError(f"hinges has shape {bends.shape}, expected (h,)")
    panel = panels_for(axes, 1, size=(6.4, 4.2))[0]
    order = np.argsort(position, kind="stable")
    panel.scatter(position, target, color=GREY, label="target", **dots)
    curve = np.stack([position[order], predicted[order]], axis=1)  # 2 x (n,) -> (n, 2)
    draw_line(panel, curve, label="prediction", color=VERMILION, linewidth=2)
    if bends is not None:
        inside = bends[(bends >= position.min()) & (bends <= position.max())]
        outside = f" ({bends.size - inside.size} outside the data)" if inside.size < bends.size else ""
        bottom, height = panel.get_xaxis_transform(), np.full(inside.size, 0.03)
        label = f"{bends.size} hinge{'' if bends.size == 1 else 's'}{outside}"
        panel.plot(inside, height, "|", color=BLUE, markersize=10, transform=bottom, label=label)
        panel.margins(y=0.1)
    dress(panel, title, "x", "value")
    return panel


def _column(name: str, values: Any, n: int) -> Floats:
    array = floats(name, values)
    if array.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name} has shape {array.shape}, expected ({n},) or ({n}, 1), as x has {n} rows")
    return array.reshape(n)

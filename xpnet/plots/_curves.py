"""What a run has shown, epoch by epoch and step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xpnet.plots._panels import BLUE, AxesLike, Floats, Panels, attribute, draw_line, dress, floats, panels_for, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NOT_CURVES = ("epoch", "learning_rate", "penalty", "seconds")


class _History(Protocol):
    @property
    def epochs(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def gradient_norms(self) -> Mapping[str, Mapping[int, float]]: ...


def learning_curves(history: _History, *, axes: AxesLike | None = None) -> Panels:
    """Draw the loss and every metric over the epochs, training (dashed) beside validation (solid).

    Parameters
    ----------
    history : its `epochs` has one dict for each epoch: "epoch" (from 1), "loss", any metrics, and the same names
        with "val_" in front. "learning_rate", "penalty" and "seconds" are not drawn.
    axes : one Axes for each panel; None makes a figure.

    Returns
    -------
    The panels, the loss first, on a log scale if it spans over two decades. Values that are not finite leave a gap.

    Raises
    ------
    TypeError, ValueError : no rows, no curves, values that are not numbers, or too few axes.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from matplotlib.figure import Figure
    >>> history = SimpleNamespace(epochs=[{"epoch": 1, "loss": 0.9, "val_loss": 1.1}, {"epoch": 2, "loss": 0.4}])
    >>> [panel] = learning_curves(history, axes=Figure().subplots())
    >>> [line.get_label() for line in panel.lines]
    ['training', 'validation']
    """
    rows = attribute(history, "epochs", "a row for each epoch")
    names = list(dict.fromkeys(key.removeprefix("val_") for row in rows for key in row))
    names = sorted((name for name in names if name not in _NOT_CURVES), key=lambda name: name != "loss")
    if not names:
        raise ValueError(f"history.epochs has only {sorted(rows[0])}, expected a loss or a metric")
    panels = panels_for(axes, len(names), wide=3, size=(4.2, 3.3))
    for panel, name in zip(panels, names, strict=True):
        curves: dict[str, Floats] = {}
        for label, key in (("training", name), ("validation", "val_" + name)):
            points = [(row.get("epoch", i), row[key]) for i, row in enumerate(rows, 1) if key in row]
            if points:
                curves[label] = floats(f"history.epochs[...][{key!r}]", points)  # (rows with it, 2)
        values = np.concatenate([curve[:, 1] for curve in curves.values()])
        values = values[np.isfinite(values)]
        log = name == "loss" and values.size > 0 and values.min() > 0 and values.max() > 100 * values.min()
        panel.set_yscale("log" if log else "linear")
        for label, curve in curves.items():
            behind = label == "training" and len(curves) == 2
            look = {"linestyle": (0, (4, 1.5)), "markerfacecolor": "white"} if behind else {"linestyle": "-"}
            draw_line(panel, curve, label=label, color=BLUE, linewidth=1.7, **look)
        title = name.replace("_", " ")
        dress(panel, title[:1].upper() + title[1:], "epoch", f"{title} (log scale)" if log else title, counted=True)
    return panels


def gradient_norms(history: _History, *, axes: Axes | None = None) -> Axes:
    """Draw the norm of every gradient over the training steps, coloured in order from the first layer to the last.

    Parameters
    ----------
    history : its `gradient_norms`, from a `GradientNorms` callback, is a dict, path -> {step: norm}.
    axes : the Axes to draw into; None makes a figure.

    Returns
    -------
    The Axes, with a log scale. A norm of zero leaves a gap and a triangle at the bottom, a norm that is not finite
    a gap and a cross at the top.

    Raises
    ------
    TypeError, ValueError : no norms, or values that are not numbers.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from matplotlib.figure import Figure
    >>> history = SimpleNamespace(gradient_norms={"0.weight": {0: 1.5, 10: 0.7}, "2.weight": {0: 0.2, 10: 0.0}})
    >>> panel = gradient_norms(history, axes=Figure().subplots())
    >>> [text.get_text() for text in panel.get_legend().get_texts()]
    ['zero']
    """
    recorded = attribute(history, "gradient_norms", "what a GradientNorms callback records")
    norms = {path: steps for path, steps in recorded.items() if steps}
    if not norms:
        raise ValueError("history.gradient_norms has no step for any path, expected at least one")
    curves = [floats(f"history.gradient_norms[{path!r}]", sorted(steps.items())) for path, steps in norms.items()]
    panel: Axes = panels_for(axes, 1, size=(7.6, 4.4))[0]
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    paths, n = list(norms), len(norms)
    colors = colormaps["viridis"](np.linspace(0, 0.92, n))  # the yellow at the end is lost on white
    panel.set_yscale("log")
    for color, curve in zip(colors, curves, strict=True):
        draw_line(panel, curve, color=color, linewidth=1.5 if n <= 12 else 1.0)
    if n > 1:
        shown = np.linspace(0, n - 1, min(n, 20)).round().astype(int)
        scale = ScalarMappable(BoundaryNorm(np.arange(n + 1) - 0.5, n), ListedColormap(colors))
        bar = panel.figure.colorbar(scale, ax=panel, ticks=shown, aspect=30, pad=0.02)
        bar.ax.set_yticklabels([short(paths[i]) for i in shown], fontsize=8)
        bar.ax.tick_params(which="both", length=0)
        bar.ax.invert_yaxis()
        bar.outline.set_visible(False)
    title = "Gradient norms, first to last layer" if n > 1 else f"Gradient norm of {short(paths[0])}"
    dress(panel, title, "training step", "gradient norm (log scale)", counted=True)
    return panel

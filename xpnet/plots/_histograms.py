"""How numbers are distributed, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from xpnet.plots._panels import BLUE, GREY, VERMILION, AxesLike, Floats, Panels, dress, floats, panels_for, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def activations(outputs: Mapping[str, ArrayLike], *, axes: AxesLike | None = None) -> Panels:
    """Draw a histogram of every layer's outputs, with their mean, standard deviation and share of exact zeros.

    Parameters
    ----------
    outputs : layer path -> host array of any shape.
    axes : one Axes for each layer; None makes a figure.

    Returns
    -------
    One panel for each layer, in the dict's order. Exact zeros are in no bar: a line marks them, and the text gives
    their share. The panels have one x axis, unless a layer's range is under a twentieth of the widest. Values that
    are not finite are left out and counted.

    Raises
    ------
    TypeError, ValueError : an empty dict, an empty array, values that are not numbers, or too few axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> [panel] = activations({"relu": [[0.0, 1.0], [0.0, 3.0]]}, axes=Figure().subplots())
    >>> [text.get_text() for text in panel.texts]
    ['mean 1, std 1.22', 'zeros 50 %']
    """
    return _histograms("outputs", outputs, axes, title="Layer outputs", xlabel="output", zeros=True)


def weights(parameters: Mapping[str, ArrayLike], *, axes: AxesLike | None = None) -> Panels:
    """Draw a histogram of every parameter, with its mean and standard deviation.

    Parameters
    ----------
    parameters : path -> host array of any shape, such as `model.state()` moved to the host.
    axes : one Axes for each entry; None makes a figure.

    Returns
    -------
    One panel for each entry, in the dict's order, each with its own x axis. Values that are not finite are left out
    and counted.

    Raises
    ------
    TypeError, ValueError : an empty dict, an empty array, values that are not numbers, or too few axes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> panels = weights({"0.weight": [[0.0, 1.0]], "0.bias": [0.5]}, axes=Figure().subplots(1, 2))
    >>> [panel.get_title(loc="left") for panel in panels]
    ['0.weight', '0.bias']
    """
    return _histograms("parameters", parameters, axes, title="Parameters", xlabel="value", zeros=False)


def _histograms(name: str, arrays: Any, axes: Any, *, title: str, xlabel: str, zeros: bool) -> Panels:
    """One histogram for each array; with `zeros`, exact zeros are shown apart and the panels share x if they can."""
    if not isinstance(arrays, Mapping):
        raise TypeError(f"{name} is of type {type(arrays).__name__}, expected a dict from path to array")
    if not arrays:
        raise ValueError(f"{name} is an empty dict, expected at least one array")
    data = {path: floats(f"{name}[{path!r}]", values).ravel() for path, values in arrays.items()}
    empty = [path for path, values in data.items() if values.size == 0]
    if empty:
        raise ValueError(f"{name}[{empty[0]!r}] is empty, expected at least one value")
    n, own = len(data), axes is None
    small = n > 12
    panels = panels_for(axes, n, wide=4, size=(2.1, 1.7) if small else (3.0, 2.4))
    ranges = []
    for panel, (path, values) in zip(panels, data.items(), strict=True):
        dress(panel, "", "" if own else xlabel, "" if own else "share of values (%)")
        ranges += _histogram(panel, short(path), values, font=7.0 if small else 8.5, zeros=zeros)
    low, high = np.transpose(ranges or [(-1.0, 1.0)])  # (panels with bars, 2) -> 2 x (panels with bars,)
    shared = zeros and (high - low).min() >= (high - low).max() / 20
    if shared:
        margin = 0.03 * (high.max() - low.min())
        for i, panel in enumerate(panels):
            panel.set_xlim(low.min() - margin, high.max() + margin)
            panel.tick_params(labelbottom=not own or i + panel.get_gridspec().ncols >= n)
    if own:
        figure = panels[0].figure
        figure.suptitle(title, fontsize=12)
        figure.supxlabel(xlabel if shared or n == 1 else f"{xlabel} (each panel has its own scale)", fontsize=10)
        figure.supylabel("share of values (%)", fontsize=10)
    return panels


def _histogram(axes: Axes, path: str, values: Floats, *, font: float, zeros: bool) -> list[tuple[float, float]]:
    """Draw one histogram under its path and its numbers; the range of its bars and 0, if it has bars."""
    from matplotlib.ticker import MaxNLocator

    finite = values[np.isfinite(values)]
    bars = finite[finite != 0] if zeros else finite
    with np.errstate(over="ignore", invalid="ignore"):
        notes = [f"mean {finite.mean():.3g}, std {finite.std():.3g}" if finite.size else "no finite value"]
    remarks = [f"zeros {100 * (1 - bars.size / finite.size):.3g} %"] if zeros and finite.size else []
    remarks += [f"{values.size - finite.size} not finite"] if finite.size < values.size else []
    notes += [", ".join(remarks)] if remarks else []
    colors = (GREY, VERMILION if bars.size < values.size else GREY)
    for note, color, line in zip(notes, colors, range(len(notes))[::-1], strict=False):
        above = (0, 3 + line * (font + 2))  # points
        axes.annotate(note, (0, 1), above, "axes fraction", "offset points", fontsize=font, color=color)
    axes.set_title(path, loc="left", fontsize=font + 1, pad=5 + len(notes) * (font + 2))
    axes.tick_params(labelsize=font)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3 if font < 8 else 5, steps=[1, 2, 2.5, 3, 4, 5, 10]))
    if bars.size < finite.size:
        axes.axvline(0, color=VERMILION, linewidth=1.5)
    if not bars.size:
        axes.set_yticks([])
        return []
    low, high = float(bars.min()), float(bars.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # equal values stand in the middle
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    bins = round(min(40.0, 2 * math.cbrt(bars.size))) | 1  # Rice's rule, made odd
    counts, edges = np.histogram(bars, bins, (low, high))
    axes.stairs(counts * (100 / finite.size), edges, fill=True, color=BLUE, alpha=0.8)
    axes.set_ylim(bottom=0)
    return [(min(low, 0.0), max(high, 0.0))]

"""What all pictures share: reading arrays, making panels, colours, labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import find_backend

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels: TypeAlias = NDArray[np.object_]
"""A one-dimensional NumPy array of matplotlib Axes, one for each panel, in reading order."""
Floats: TypeAlias = NDArray[np.float64]
AxesLike: TypeAlias = "Axes | Sequence[Axes] | Panels"

# Blue, vermilion and grey stay apart for colour-blind readers: Okabe and Ito, "Color Universal Design" (2008).
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#555555"

_MARKS = ("zero", "not finite")


def host(name: str, values: Any) -> NDArray[Any]:
    """Any array of numbers as a host array: of a registered library, or of anything that NumPy can read."""
    backend = find_backend(type(values))
    if backend is not None:
        values = backend.to_host(values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, and arrays that live on a device
        kind = type(values).__name__
        raise TypeError(f"{name} of type {kind} is no host array that NumPy can read: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array


def floats(name: str, values: Any) -> Floats:
    return host(name, values).astype(np.float64, copy=False)


def attribute(history: Any, name: str, expected: str) -> Any:
    if not hasattr(history, name):
        raise TypeError(f"history of type {type(history).__name__} has no .{name}, expected the History of fit")
    found = getattr(history, name)
    if not found:
        raise ValueError(f"history.{name} is empty, expected {expected}")
    return found


def panels_for(axes: Any, needed: int, *, size: tuple[float, float], wide: int = 1) -> Panels:
    """The first `needed` of the given axes, or new ones of `size` inches: up to `wide` in a row, more near a square."""
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError("xpnet.plots draws with matplotlib: pip install matplotlib") from error
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        wrong = next((type(a).__name__ for a in given if not isinstance(a, Axes)), None)
        if wrong is not None:
            raise TypeError(f"axes holds a {wrong}, expected matplotlib Axes")
        if given.size < needed:
            raise ValueError(f"axes has {given.size} Axes, expected at least {needed}, one for each panel")
        return given[:needed]
    from matplotlib import pyplot

    columns = needed if needed <= wide else math.ceil(math.sqrt(needed))
    rows = math.ceil(needed / columns)
    figsize = (max(3.6, size[0] * columns), size[1] * rows + 0.3)
    grid = pyplot.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)[1].ravel()
    for unused in grid[needed:]:
        unused.remove()
    return grid[:needed]


def draw_line(axes: Axes, points: Floats, **style: Any) -> None:
    """Draw points (n, 2) as a line, and at the edge those that the scale cannot show; a lone point gets a dot."""
    x, y = points.T
    finite = np.isfinite(y)
    drawn = finite & (y > 0) if axes.get_yscale() == "log" else finite
    beside = np.pad(drawn, 1)
    alone = np.flatnonzero(drawn & ~beside[:-2] & ~beside[2:])
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "markevery": alone.tolist()} if alone.size else {}
    axes.plot(x, np.where(drawn, y, np.nan), **dot, **style)
    edges = ((finite & ~drawn, "v", 0.02), (~finite, "x", 0.98))
    for (where, marker, height), label in zip(edges, _MARKS, strict=True):
        if where.any():
            edge, heights = axes.get_xaxis_transform(), np.full(where.sum(), height)
            axes.plot(x[where], heights, marker, color=style["color"], markersize=5, transform=edge)
            if label not in axes.get_legend_handles_labels()[1]:
                axes.plot([], [], marker, color=GREY, markersize=5, label=label)


def dress(axes: Axes, title: str, xlabel: str, ylabel: str, *, counted: bool = False) -> None:
    """Set labels and a light grid, and the legend under the title, where it hides nothing; `counted` is a whole x."""
    from matplotlib.ticker import MaxNLocator

    entries = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] in _MARKS)
    if entries:
        look: dict[str, Any] = {"frameon": False, "borderaxespad": 0.2, "columnspacing": 1.3, "handletextpad": 0.6}
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.01, 1.0)}  # the left end may hold "1e6"
        axes.legend(*zip(*entries, strict=True), ncols=len(entries), fontsize=9, **look, **place)
    axes.set_title(title, loc="left", fontsize=11, pad=22 if entries else 6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if counted:
        x = axes.dataLim.intervalx
        if x[0] == x[1]:
            axes.set_xlim(x[0] - 0.5, x[1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def short(path: str) -> str:
    """A path of at most 28 characters: its end tells most."""
    return path if len(path) <= 28 else "…" + path[-27:]

"""Pictures of findings, from the numbers in their evidence. Matplotlib is imported where something is drawn."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from xpnet.backend import HostArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels: TypeAlias = NDArray[np.object_]
"""A one-dimensional NumPy array of matplotlib Axes, one for each panel, in reading order."""
Draw: TypeAlias = Callable[["Axes"], None]

# Apart for colour-blind readers: Okabe and Ito, "Color Universal Design" (2008).
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#555555"
_COLORS = (_BLUE, _VERMILION, "#009E73", "#CC79A7")


class FindingLike(Protocol):
    """What a picture needs of a finding."""

    @property
    def cause(self) -> str:
        """Its code."""

    @property
    def sentence(self) -> str:
        """What is wrong."""

    @property
    def evidence(self) -> Mapping[str, Any]:
        """Numbers by name."""

    @property
    def remedy(self) -> str:
        """What to do."""

    @property
    def verified(self) -> Mapping[str, Any] | None:
        """What trying the remedy brought."""


def draw_report(findings: Sequence[FindingLike], well: str, axes: Any) -> Panels:
    """All pictures of a report; words where there is none."""
    drawn: list[tuple[str, Draw]] = []
    for number, finding in enumerate(findings, 1):
        title = f"{number}. {finding.cause.replace('_', ' ')}"
        drawn += [(title, draw) for draw in pictures(finding) or [_words(finding.sentence)]]
    panels = _panels(axes, max(1, len(drawn)))
    for panel, (title, draw) in zip(panels, drawn or [("", _words(well))], strict=True):
        draw(panel)
        panel.set_title(title, loc="left", fontsize=11)
    return panels


def pictures(finding: FindingLike) -> list[Draw]:
    """What draws each picture that there are numbers for."""
    numbers = finding.evidence
    found = [_curves(finding.verified or {}), _hinges(numbers) or _shares(numbers)]
    found += [make(numbers) for make in (_values, _gradients, _reach)]
    return [draw for draw in found if draw is not None]


def _panels(axes: Any, needed: int) -> Panels:
    from matplotlib.axes import Axes

    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        wrong = next((type(each).__name__ for each in given if not isinstance(each, Axes)), None)
        if wrong is not None:
            raise TypeError(f"axes holds a {wrong}, expected matplotlib Axes")
        if given.size < needed:
            raise ValueError(f"axes has {given.size} Axes, expected at least {needed}, one for each panel")
        return given[:needed]
    from matplotlib import pyplot

    columns = min(needed, 3)
    rows = math.ceil(needed / columns)
    size = 4.6 * columns, 3.4 * rows
    grid = pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)[1].ravel()
    for unused in grid[needed:]:
        unused.remove()
    return grid[:needed]


def _numbers(values: Any, *shape: int) -> HostArray | None:
    """Finite or not, in this shape, where -1 is any length; None for what is something else."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return None
    fits = array.ndim == len(shape) and all(n in (-1, m) for n, m in zip(shape, array.shape, strict=True))
    return array if fits and array.size else None


def _mapping(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


# The pictures -----------------------------------------------------------------------------------------------------


def _words(text: str) -> Draw:
    def draw(axes: Axes) -> None:
        axes.set_axis_off()
        lines = textwrap.fill(text, 48, max_lines=10)
        axes.text(0.0, 0.95, lines, va="top", transform=axes.transAxes, parse_math=False, in_layout=False)

    return draw


def _curves(verified: Mapping[str, Any]) -> Draw | None:
    """Losses of the run as it is and with the remedy."""
    given = {str(name): _numbers(points, -1, 2) for name, points in _mapping(verified, "curves").items()}
    curves = {name: points for name, points in given.items() if points is not None}
    if not curves:
        return None
    losses = np.concatenate([points[:, 1] for points in curves.values()])
    losses = losses[np.isfinite(losses)]
    log = bool(losses.size and losses.min() > 0.0 and losses.max() > 20.0 * losses.min())
    highest = 1e3 * float(np.nan_to_num(max(points[0, 1] for points in curves.values())))

    def draw(axes: Axes) -> None:
        axes.set_yscale("log" if log else "linear")
        for (name, points), color in zip(curves.items(), (_VERMILION, *_COLORS), strict=False):
            finite = np.isfinite(points[:, 1])
            look: dict[str, Any] = {"color": color, "marker": "o", "markersize": 3.0, "linewidth": 1.6}
            axes.plot(points[:, 0], np.where(finite, points[:, 1], np.nan), label=_label(name), **look)
            lost = points[~finite, 0]
            if lost.size:
                edge = axes.get_xaxis_transform()
                axes.plot(lost, np.full(lost.size, 0.97), "x", color=color, transform=edge, label="not finite")
        if log and losses.max() > highest > losses.min():  # a run that diverges leaves nothing of the other one
            axes.set_ylim(0.5 * losses.min(), highest)
        _dress(axes, "step", "loss (log scale)" if log else "loss", legend=True)

    return draw


def _hinges(evidence: Mapping[str, Any]) -> Draw | None:
    """Where units bend, over the data."""
    given = _mapping(evidence, "hinges")
    at, inputs = (_numbers(given.get(name), -1) for name in ("at", "inputs"))
    if at is None or inputs is None:
        return None
    low, high = float(np.nanmin(inputs)), float(np.nanmax(inputs))
    room = 0.25 * (high - low) or 1.0
    heights = _numbers(given.get("targets"), len(inputs))

    def draw(axes: Axes) -> None:
        y = np.zeros_like(inputs) if heights is None else heights
        axes.plot(inputs, y, ".", color=_GREY, markersize=4, alpha=0.7, label="data")
        edge, near = axes.get_xaxis_transform(), np.clip(at, low - room, high + room)
        look: dict[str, Any] = {"color": _VERMILION, "markersize": 16, "transform": edge}
        axes.plot(near, np.full(at.size, 0.04), "|", label=f"{at.size} hinges", **look)
        beyond = int(np.count_nonzero(near != at))
        axes.axvspan(low, high, color=_BLUE, alpha=0.07, linewidth=0.0)
        axes.set_xlim(low - 1.1 * room, high + 1.1 * room)
        _dress(axes, f"input ({beyond} of {at.size} hinges farther out)" if beyond else "input", "target", legend=True)

    return draw


def _shares(evidence: Mapping[str, Any]) -> Draw | None:
    """For how many of the examples each unit is active."""
    shares = _numbers(evidence.get("active_shares"), -1)
    if shares is None:
        return None

    def draw(axes: Axes) -> None:
        axes.hist(100.0 * shares, bins=np.linspace(0.0, 100.0, 26).tolist(), color=_BLUE)
        _dress(axes, "% of the examples for which a unit is active", "units")

    return draw


def _values(evidence: Mapping[str, Any]) -> Draw | None:
    """Histograms, of the values before activations or of inputs, over one another."""
    found = {}
    for name, each in _mapping(evidence, "histograms").items():
        if isinstance(each, Mapping):
            counts, edges = _numbers(each.get("counts"), -1), _numbers(each.get("edges"), -1)
            if counts is not None and edges is not None and edges.size == counts.size + 1 and counts.sum() > 0:
                found[str(name)] = (counts / counts.sum(), edges)
    steep = _numbers(evidence.get("steep"), 2)
    if not found:
        return None

    def draw(axes: Axes) -> None:
        for (name, (shares, edges)), color in zip(list(found.items())[:4], _COLORS, strict=False):
            axes.stairs(100.0 * shares, edges, color=color, linewidth=1.5, label=_label(name))
        if steep is not None:
            axes.axvspan(*steep.tolist(), color=_BLUE, alpha=0.12, linewidth=0.0, label="not saturated")
        _dress(axes, "value", "% of the values", legend=True)

    return draw


def _gradients(evidence: Mapping[str, Any]) -> Draw | None:
    """Gradients as given, against differences of the loss."""
    found = {}
    for name, each in _mapping(evidence, "gradients").items():
        if isinstance(each, Mapping):
            own, true = _numbers(each.get("given"), -1), _numbers(each.get("true"), -1)
            if own is not None and true is not None and own.size == true.size:
                found[str(name)] = (true, own)
    if not found:
        return None

    def draw(axes: Axes) -> None:
        axes.axline((0.0, 0.0), slope=1.0, color=_GREY, linewidth=0.9, label="right")
        for (name, (true, own)), color in zip(list(found.items())[:4], _COLORS, strict=False):
            axes.plot(true, own, ".", color=color, markersize=6, label=_label(name))
        _dress(axes, "differences of the loss", "gradient given", legend=True)

    return draw


def _reach(evidence: Mapping[str, Any]) -> Draw | None:
    """What outputs can reach, beside the targets."""
    reach, targets = (_numbers(evidence.get(name), 2) for name in ("reach", "targets"))
    if reach is None or targets is None or not (np.isfinite(reach).all() and np.isfinite(targets).all()):
        return None

    def draw(axes: Axes) -> None:
        for place, (low, high), color in ((0.0, targets, _GREY), (1.0, reach, _BLUE)):
            axes.plot([low, high], [place, place], "|-", color=color, linewidth=5, markersize=14)
        axes.set_yticks([0.0, 1.0], ["targets", "outputs"])
        axes.set_ylim(-0.6, 1.6)
        room = 0.1 * float(np.ptp(targets)) or 1.0
        near = np.clip(reach, targets[0] - 5.0 * room, targets[1] + 5.0 * room)  # they may be unbounded on one side
        axes.set_xlim(min(near[0], targets[0]) - room, max(near[1], targets[1]) + room)
        _dress(axes, "value", "")

    return draw


def _label(name: str) -> str:
    """Matplotlib leaves out labels that begin with an underscore, and reads what stands between dollars as formulas."""
    return (" " if name.startswith("_") else "") + name.replace("$", r"\$")


def _dress(axes: Axes, xlabel: str, ylabel: str, *, legend: bool = False) -> None:
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if legend:
        entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each label once
        axes.legend(entries.values(), entries.keys(), frameon=False, fontsize=9)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)

"""Pictures of results: bars of time, a roofline, and how time grows with the batch and the threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.networks import NETWORKS
from bench.passes import PASSES
from bench.results import Record, Results, best_peer, groups, ours
from bench.table import PRECISIONS, duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Colours that stay apart for colour-blind readers: Okabe and Ito, "Color Universal Design" (2008).
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#999999"
PEERS = (VERMILION, "#009E73", "#E69F00", "#CC79A7", "#56B4E9", GREY)
MARKERS = dict(zip(PASSES, "o^s", strict=True))
STROKES = {"float32": "-", "tf32": "--"}


def save_overview(results: Results, path: Path) -> None:
    """Draws bars for each network, pass and precision, and below them the roofline, for the most threads measured."""
    device = results.about.get("device", "cpu")
    there = [record for record in results.records if record.device == device]
    most = max(record.threads for record in there)
    records = [record for record in there if record.threads == most]
    found = groups(records)
    networks = list(dict.fromkeys(record.network for record in records))
    measured = {(record.name, record.precision) for record in records}
    columns = [(name, precision) for precision in PRECISIONS for name in PASSES if (name, precision) in measured]
    longest = max(len(group) for group in found)
    height = 2.2 * max(1.0, longest / 8)
    figure = _figure(4.6 * max(len(columns), 2), height * len(networks) + 5.2)
    bars, roofline = figure.subfigures(2, 1, height_ratios=(height * len(networks), 5.2))
    panels = bars.subplots(len(networks), len(columns), squeeze=False)
    for panel in panels.flat:
        panel.set_axis_off()
    for group in found:
        first = group[0]
        draw_bars(panels[networks.index(first.network), columns.index((first.name, first.precision))], group)
    rates = {"float32": results.rates[str(most)]} if device == "cpu" else results.rates
    draw_roofline(roofline.subplots(), found, rates)
    figure.suptitle(title(results, most), fontsize=12)
    _save(figure, path)


def save_scaling(results: Results, path: Path) -> None:
    """Draws the time of a step by the size of the batch and by the number of threads, for each network."""
    networks = list(dict.fromkeys(record.network for record in results.scaling))
    most = max(record.threads for record in results.scaling)
    figure = _figure(10, 3.6 * len(networks) + 0.4)
    panels = figure.subplots(len(networks), 2, squeeze=False)
    for network, (by_batch, by_threads) in zip(networks, panels, strict=True):
        records = [record for record in results.scaling if record.network == network]
        batch = NETWORKS[network].batch
        one = [record for record in records if record.threads == most]
        other = [record for record in records if record.batch == batch]
        draw_scaling(by_batch, one, "batch", f"{network}, {_threads(most)}", per_example=True)
        draw_scaling(by_threads, other, "threads", f"{network}, batch {batch}", per_example=False)
    figure.suptitle(title(results, most), fontsize=12)
    _save(figure, path)


def title(results: Results, threads: int) -> str:
    """The machine and the day."""
    about = results.about
    if about.get("device") == "gpu":
        return f"{'; '.join(about['gpus'])}, {about['date']}"
    return f"{about['processor']}, {_threads(threads)}, float32, {about['date']}"


def draw_bars(axes: Axes, group: Sequence[Record]) -> None:
    """Draws the time of each contender, the quartiles as a line."""
    axes.set_axis_on()
    places = np.arange(len(group))
    seconds = np.asarray([record.seconds for record in group])
    colors = [BLUE if record.ours else GREY for record in group]
    axes.barh(places, seconds, xerr=seconds * [r.spread for r in group], color=colors, ecolor=VERMILION, height=0.7)
    for place, record in zip(places, group, strict=True):
        end = (record.seconds * (1 + record.spread), place)
        axes.annotate(duration(record.seconds), end, (4, 0), textcoords="offset points", fontsize=7, va="center")
    axes.set_yticks(places, [record.title for record in group], fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.25 * max(record.seconds * (1 + record.spread) for record in group))
    axes.set_xticks([])
    precision = f", {PRECISIONS[group[0].precision]}" if group[0].device == "gpu" else ""
    axes.set_title(f"{group[0].network}: {group[0].name}{precision}", loc="left", fontsize=9)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def draw_roofline(axes: Axes, found: Sequence[Sequence[Record]], rates: Mapping[str, dict[str, float]]) -> None:
    """Draws what xpnet and the best peer reached against the product rate of each precision and the bandwidth."""
    points = [
        (record.operations / record.traffic, record.operations / record.seconds / 1e9, record, color)
        for group in found
        for record, color in ((ours(group), BLUE), (best_peer(group), GREY))
        if record is not None
    ]
    intensities = [intensity for intensity, *_ in points]
    lines = {precision: (rate["operations"] / 1e9, rate["bytes"] / 1e9) for precision, rate in rates.items()}
    end = max([*intensities, *(peak / bandwidth for peak, bandwidth in lines.values())]) * 2
    x = np.geomspace(min(intensities) / 2, end, 200)
    for precision, (peak, bandwidth) in lines.items():
        axes.plot(x, np.minimum(peak, bandwidth * x), STROKES[precision], color="black", linewidth=1)
    _logarithmic(axes)
    for intensity, speed, record, color in points:
        fill = color if record.precision == "float32" else "white"
        axes.plot(intensity, speed, MARKERS[record.name], color=color, markerfacecolor=fill, markersize=6)
    for network in dict.fromkeys(record.network for *_, record, _ in points):
        best = max((speed, intensity) for intensity, speed, record, _ in points if record.network == network)
        axes.annotate(network, best[::-1], (0, 8), textcoords="offset points", fontsize=8, ha="center")
    for name in dict.fromkeys(record.name for *_, record, _ in points):
        axes.plot([], [], MARKERS[name], color="black", label=name)
    if len(lines) > 1:
        for precision in lines:
            fill = "black" if precision == "float32" else "white"
            look = f"{STROKES[precision]}s"
            axes.plot([], [], look, color="black", markerfacecolor=fill, linewidth=1, label=PRECISIONS[precision])
    for color, label in ((BLUE, "xpnet"), (GREY, "best peer")):
        axes.plot([], [], color=color, linewidth=6, label=label)
    axes.legend(fontsize=8, frameon=False)
    measured = [
        f"{peak:.0f} GFLOP/s in products of matrices{f' in {PRECISIONS[each]}' if len(lines) > 1 else ''} "
        f"and {bandwidth:.0f} GB/s in copies"
        for each, (peak, bandwidth) in lines.items()
    ]
    axes.set_title(
        f"Roofline: {', '.join(measured) or 'rates unknown'}, measured.\n"
        "Operations are those of a convolution's definition; Winograd's algorithm needs fewer.",
        loc="left",
        fontsize=9,
    )
    axes.set_xlabel("floating-point operations per byte")
    axes.set_ylabel("GFLOP/s")
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def draw_scaling(axes: Axes, records: Sequence[Record], by: str, heading: str, *, per_example: bool) -> None:
    """Draws one line for each contender over the batch or the threads."""
    peers = iter(PEERS)
    for contender_title in dict.fromkeys(record.title for record in records):
        own = sorted((r for r in records if r.title == contender_title), key=lambda record: getattr(record, by))
        times = [1e3 * r.seconds / (r.batch if per_example else 1) for r in own]
        look: dict[str, Any] = (
            {"color": BLUE, "linewidth": 2} if own[0].ours else {"color": next(peers), "linewidth": 1}
        )
        axes.plot([getattr(r, by) for r in own], times, "o-", markersize=4, label=contender_title, **look)
    _logarithmic(axes)
    numbers = sorted({getattr(record, by) for record in records})
    axes.set_xticks(numbers, [str(number) for number in numbers], fontsize=8)
    axes.tick_params(axis="x", which="minor", bottom=False, labelbottom=False)
    axes.set_xlabel(by)
    axes.set_ylabel("ms per example" if per_example else "ms per step")
    axes.set_title(heading, loc="left", fontsize=10)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def _logarithmic(axes: Axes) -> None:
    """Makes both scales logarithmic, with plain numbers."""
    from matplotlib.ticker import LogFormatter

    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.5)))


def _threads(number: int) -> str:
    return f"{number} thread{'s' * (number > 1)}"


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)

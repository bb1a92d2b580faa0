"""What `bench.scaling` has found, as a page and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.picture import BLUE, VERMILION
from bench.table import duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SHOWN = (1, 8, 16, 64, 256, 1024)
_BUSY = "**The machine was busy with other work.** Times of steps are too long and their ratios wide."


def page(found: dict[str, Any]) -> str:
    """Tables of what was measured, and of what is predicted with its assumptions."""
    about = found["about"]
    parts = [
        "# How training scales",
        f"Measured on {about['processor']}, {about['cores']} cores, {about['date']}, load before "
        f"{about['load_before']}; written by `python -m bench.scaling`.",
        _BUSY if about["load_before"] > about["cores"] / 4 else "",
        "## All-reduce, measured",
        "float32, ranks of one machine, by its memory; the shortest of the turns. The line is "
        "latency + bytes / bandwidth, fitted with the least relative error.",
        _reductions(found["reductions"]),
        "## Steps, measured",
        "One thread each for n ranks, n for one process. *Cost of MPI*: one rank under mpiexec beside the process "
        "without. *Ranks*: the speed of n ranks by that of one process with n threads. *A share*: one thread with one "
        "rank's share of the batch, alone. *Expected*: that and the fitted all-reduce of the gradient.",
        _steps(found["steps"]),
        "## GPUs, predicted",
        prediction(found["predicted"]),
    ]
    return "\n\n".join(part for part in parts if part)


def prediction(predicted: dict[str, Any]) -> str:
    """What is predicted, behind what is assumed."""
    parts = [
        "**Nothing here was measured.** The model is that of `bench/scaling_model.py`; it assumes:",
        "\n".join(f"- {sentence}" for sentence in predicted["sentences"]),
        "Weak scaling: the part of p times one GPU's speed that p reach, each with the same number of examples.",
        _predicted(predicted, "weak"),
        "Strong scaling: how many times as fast as one GPU p are, with the same examples in all.",
        _predicted(predicted, "strong"),
    ]
    return "\n\n".join(parts)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _size(size: int) -> str:
    scale, unit = next((s, u) for s, u in ((2**20, "MiB"), (2**10, "KiB"), (1, "B")) if size >= s)
    return f"{size / scale:g} {unit}"


def _reductions(found: Sequence[dict[str, Any]]) -> str:
    if not found:
        return ""
    header = ["ranks", "latency", "bandwidth", *map(_size, found[0]["bytes"])]
    rows = [
        [
            str(each["ranks"]),
            duration(each["latency"]),
            f"{1e-9 / each['seconds_a_byte']:.3g} GB/s" if each["seconds_a_byte"] else "-",
            *map(duration, each["seconds"]),
        ]
        for each in found
    ]
    return _table([header, *rows])


def _steps(found: Sequence[dict[str, Any]]) -> str:
    header = [
        "network",
        "n",
        "process",
        "one rank",
        "n ranks",
        "a share",
        "expected",
        "cost of MPI",
        "ranks (quartiles)",
    ]
    rows = [
        [
            f"{each['network']}, batch {each['batch']}",
            str(each["ranks"]),
            *(duration(each["seconds"][name]) for name in ("process", "rank", "ranks", "share")),
            "-" if each["expected"] is None else duration(each["expected"]),
            f"{each['cost_of_mpi']:+.1%}",
            f"**{each['of_threads']:.2f}** ({' to '.join(f'{q:.2f}' for q in each['of_threads_quartiles'])})",
        ]
        for each in found
    ]
    return _table([header, *rows]) if rows else ""


def _predicted(predicted: dict[str, Any], kind: str) -> str:
    gpus = predicted["gpus"]
    header = ["network", "all-reduce", *(f"{p} GPU{'s' * (p > 1)}" for p in _SHOWN)]
    rows = []
    for line in predicted["lines"]:
        what = f"{line['each']} on each" if kind == "weak" else f"{line['whole']} in all"
        values = [line[kind][gpus.index(p)] for p in _SHOWN]
        shown = [f"{value:.0%}" if kind == "weak" else f"{value:.3g}" for value in values]
        rows.append([f"{line['network']}, {what}", _way(line), *shown])
    return _table([header, *rows])


def _way(line: dict[str, Any]) -> str:
    return f"{line['way']}{', overlapped' if line['overlap'] else ''}"


def save_picture(found: dict[str, Any], path: Path) -> None:
    """Draws the reductions that were measured with their fits, and for each network what is predicted."""
    from matplotlib.figure import Figure

    predicted = found["predicted"]
    names = list(dict.fromkeys(line["network"] for line in predicted["lines"]))
    figure = Figure(figsize=(5.2 * len(names), 11.4), layout="constrained")
    parts = figure.subfigures(3, 1, squeeze=False)[:, 0]
    draw_reductions(parts[0].subplots(), found["reductions"])
    for part, kind in zip(parts[1:], ("weak", "strong"), strict=True):
        for axes, name in zip(part.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            lines = [line for line in predicted["lines"] if line["network"] == name]
            draw_predicted(axes, predicted["gpus"], lines, kind)
    figure.suptitle(f"Measured on {found['about']['processor']}; GPUs are predicted, not measured", fontsize=11)
    figure.savefig(path, dpi=110)


def draw_reductions(axes: Axes, found: Sequence[dict[str, Any]]) -> None:
    """Draws the time of a sum over its size, as points, and the fitted lines."""
    for each, color in zip(found, (BLUE, VERMILION, "#009E73", "#E69F00"), strict=False):
        times = [1e6 * second for second in each["seconds"]]
        line = [1e6 * (each["latency"] + size * each["seconds_a_byte"]) for size in each["bytes"]]
        axes.plot(each["bytes"], times, "o", color=color, markersize=4, label=f"{each['ranks']} ranks")
        axes.plot(each["bytes"], line, color=color, linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xlabel("bytes")
    axes.set_ylabel("µs")
    axes.set_title("measured: all-reduce between ranks of one machine", loc="left", fontsize=10)
    _finish(axes)


def draw_predicted(axes: Axes, gpus: Sequence[int], lines: Sequence[dict[str, Any]], kind: str) -> None:
    """Draws what is predicted over the number of GPUs: dashed without overlap."""
    for line in lines:
        color = BLUE if line["way"] == "ring" else VERMILION
        axes.plot(gpus, line[kind], "-" if line["overlap"] else "--", color=color, label=_way(line))
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 4, 16, 64, 256, 1024], ["1", "4", "16", "64", "256", "1024"])
    axes.set_xlabel("GPUs")
    first = lines[0]
    if kind == "weak":
        axes.set_ylim(0, 1.05)
        axes.set_ylabel("part of p times one GPU")
        axes.set_title(f"predicted, weak: {first['network']}, {first['each']} on each", loc="left", fontsize=10)
    else:
        axes.plot(gpus, gpus, color="black", linewidth=0.6, label="ideal")
        axes.set_yscale("log", base=2)
        axes.set_ylim(0.5, 2 * max(gpus))
        axes.set_ylabel("times one GPU")
        axes.set_title(f"predicted, strong: {first['network']}, {first['whole']} in all", loc="left", fontsize=10)
    _finish(axes)


def _finish(axes: Axes) -> None:
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xpnet.diagnostics._summary import LayerSummary, Summary

_HEADINGS = ("path", "layer", "output", "parameters", "multiplications", "forward", "backward", "")
_LEFT = (0, 1, 2, 7)


def table(summary: Summary) -> str:
    """The rows under their headings, then the totals."""
    cells = [_HEADINGS, *(_cells(row) for row in summary.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(_HEADINGS))]
    lines = [_aligned(row, widths) for row in cells]
    rule = "-" * max(map(len, lines))
    return "\n".join([lines[0], rule, *lines[1:], rule, *_totals(summary)])


def _cells(row: LayerSummary) -> tuple[str, ...]:
    on_path = row.output_shape != () or row.input_shape != ()
    return (
        row.path or "(model)",
        row.kind,
        str(row.output_shape) if on_path else "",
        f"{row.parameters:,}" if row.parameters else "",
        "?" if row.multiplications is None else count(row.multiplications) if row.multiplications else "",
        size(row.forward_bytes) if on_path else "",
        size(row.backward_bytes) if row.backward_bytes else "",
        row.note,
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column in _LEFT else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _totals(summary: Summary) -> list[str]:
    frozen = f" ({summary.trained:,} trained, {summary.frozen:,} frozen)" if summary.frozen else ""
    products = f"{count(summary.multiplications)} for a batch of shape {summary.input_shape}"
    if summary.unknown:
        products += f", and those of {', '.join(path or 'the model' for path in summary.unknown)}, which are not known"
    forward = {"parameters and buffers": summary.parameter_bytes, "live arrays": summary.activation_bytes}
    backward = {
        "parameters and buffers": summary.parameter_bytes,
        "gradients": summary.gradient_bytes,
        "kept arrays": summary.kept_bytes,
        "gradients on their way": summary.passing_bytes,
    }
    return [
        f"parameters       {summary.parameters:,}{frozen}",
        f"multiplications  {products}",
        f"forward          {_sum(summary.forward_bytes, forward)}",
        f"backward         {_sum(summary.backward_bytes, backward)}",
    ]


def _sum(total: int, parts: dict[str, int]) -> str:
    return f"about {size(total)} = " + " + ".join(f"{size(value)} {name}" for name, value in parts.items())


def count(number: int) -> str:
    """A large number in short: 4.1 G.

    Examples
    --------
    >>> count(999), count(2_540_800), count(4_089_184_256)
    ('999', '2.5 M', '4.1 G')
    """
    return _scaled(number, 1000, ("", " k", " M", " G", " T", " P"))


def size(number: int) -> str:
    """A number of bytes in short: 97.7 MiB.

    Examples
    --------
    >>> size(100), size(98_000), size(102_400_000)
    ('100 B', '95.7 KiB', '97.7 MiB')
    """
    return _scaled(number, 1024, (" B", " KiB", " MiB", " GiB", " TiB", " PiB"))


def _scaled(number: int, base: int, units: Sequence[str]) -> str:
    value, unit = float(number), 0
    while round(value, 1) >= base and unit < len(units) - 1:
        value, unit = value / base, unit + 1
    return f"{number}{units[0]}" if unit == 0 else f"{value:.1f}{units[unit]}"

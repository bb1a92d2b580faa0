"""Results as text."""

from collections.abc import Sequence

from bench.results import Record, best_peer, groups, ours

PRECISIONS = {"float32": "float32", "tf32": "TF32"}


def duration(seconds: float) -> str:
    """Three digits, in the unit that suits."""
    scale, unit = next(((s, u) for s, u in ((1.0, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "µs"))
    return f"{seconds / scale:#.3g}".rstrip(".") + f" {unit}"


def table(records: Sequence[Record]) -> str:
    """A table for each pass of each network: medians, spreads, ratios and peak memory.

    `/ xpnet` is a contender's time by xpnet's; `best peer /` is the best peer's time by this contender's: for xpnet,
    above 1 means faster than all others.
    """
    return "\n\n".join("\n".join(_lines(group)) for group in groups(records))


def _lines(group: Sequence[Record]) -> list[str]:
    first, reference, peer = group[0], ours(group), best_peer(group)
    threads = f"{first.threads} thread{'s' * (first.threads > 1)}"
    where = threads if first.device == "cpu" else PRECISIONS[first.precision]
    heading = f"{first.network}, batch {first.batch}, {where}: {first.name}"
    lines = [f"{heading:<48}{'median':>10}{'spread':>8}{'/ xpnet':>9}{'best peer /':>13}{'memory':>10}"]
    for record in group:
        by_ours = f"{record.seconds / reference.seconds:.2f}" if reference else ""
        by_peer = f"{peer.seconds / record.seconds:.2f}" if peer else ""
        memory = f"{record.peak_memory / 2**20:.0f} MiB"
        figures = f"{duration(record.seconds):>10}{record.spread:>8.1%}{by_ours:>9}{by_peer:>13}{memory:>10}"
        lines.append(f"  {record.title:<46}{figures}")
    return lines

"""`python -m bench.readme`: writes the tables of bench/results into the README; `--check` only looks."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from bench.results import Record, Results, best_peer, groups, ours
from bench.table import PRECISIONS, duration

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"
PASSES = {"forward": "inference", "step": "training step"}
LIBRARIES = {
    "numpy": "NumPy",
    "numba": "Numba",
    "torch": "PyTorch",
    "jax": "JAX",
    "scikit-learn": "scikit-learn",
    "cupy-cuda12x": "CuPy",
    "cupy-cuda13x": "CuPy",
    "nvidia-cudnn-cu12": "cuDNN",
    "nvidia-cudnn-cu13": "cuDNN",
}


OTHERS = ("checkpoint", "clinic", "scaling")
"""Results of other measurements."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the tables between the README's two marks, or fails where they are not what the results say."""
    parser = argparse.ArgumentParser(prog="python -m bench.readme", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if the README is out of date")
    parser.add_argument("--readme", type=Path, default=ROOT / "README.md")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results")
    options = parser.parse_args(arguments)
    before = options.readme.read_text(encoding="utf-8")
    paths = [path for path in sorted(options.results.glob("*.json")) if path.stem not in OTHERS]
    after = replaced(before, text([Results.load(path) for path in paths]))
    if options.check and before != after:
        raise SystemExit(f"{options.readme}: its benchmark tables are out of date; python -m bench.readme renews them")
    if before != after:
        options.readme.write_text(after, encoding="utf-8")


def replaced(page: str, tables: str, begin: str = BEGIN, end: str = END) -> str:
    """The page with new tables between its marks.

    Raises
    ------
    SystemExit : the page has not each mark once, in their order.
    """
    head, first, rest = page.partition(begin)
    _, second, tail = rest.partition(end)
    if not (first and second) or begin in rest or end in tail:
        raise SystemExit(f"the page needs the lines {begin} and {end} once each, in this order")
    return f"{head}{begin}\n{tables}\n{end}{tail}"


def text(found: Sequence[Results]) -> str:
    """A heading and a table for each machine, device and precision."""
    if not found:
        return "No machine has been measured yet: `python -m bench`."
    parts = []
    for results in found:
        for device, precision in (("cpu", "float32"), ("gpu", "float32"), ("gpu", "tf32")):
            rows = [
                group
                for group in groups(results.records)
                if (group[0].device, group[0].precision) == (device, precision)
                and group[0].name in PASSES
                and ours(group)
            ]
            if rows:
                parts.append(f"{_heading(results, device, precision)}\n\n{_table(rows)}")
    return "\n\n".join(parts)


def _heading(results: Results, device: str, precision: str) -> str:
    about = results.about
    where = f"{about['processor']}, {about['cores']} cores" if device == "cpu" else "; ".join(about["gpus"])
    found = about["versions"]
    versions = [
        f"{title} {found[name]}"
        for name, title in LIBRARIES.items()
        if name in found and (title not in ("CuPy", "cuDNN") or device == "gpu")
    ]
    products = f"products in {PRECISIONS[precision]}: " if device == "gpu" else ""
    return f"{where}, {about['date']}: {products}{', '.join(versions)}."


def _table(rows: Sequence[Sequence[Record]]) -> str:
    """Times by xpnet's; a dash where a contender cannot run a network."""
    first = ours(rows[0])
    titles = dict.fromkeys(record.title for row in rows for record in row if first and record.title != first.title)
    threads = ["threads"] if rows[0][0].device == "cpu" else []
    header = ["network", *threads, "pass", "xpnet", "best other", *titles]
    lines = [header, ["---"] * len(header), *(_cells(row, list(titles)) for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cells(row: Sequence[Record], titles: Sequence[str]) -> list[str]:
    reference, peer = ours(row), best_peer(row)
    assert reference is not None
    ratios = {record.title: f"{record.seconds / reference.seconds:.2f}" for record in row}
    best = f"**{ratios[peer.title]}**" if peer else "-"
    threads = [str(reference.threads)] if reference.device == "cpu" else []
    what = [f"{reference.network}, batch {reference.batch}", *threads, PASSES[reference.name]]
    return [*what, duration(reference.seconds), best, *(ratios.get(title, "-") for title in titles)]


if __name__ == "__main__":
    main()

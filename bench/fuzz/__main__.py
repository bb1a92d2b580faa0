"""The command: `python -m bench.fuzz --files 250000`, which takes about ten minutes on one core.

Each loader has its share of the files, checkpoints a tenth of the others'. A table tells what came of them. Findings
are written to `--out`, made small, with what went wrong as the folder's name, and the exit status is 1 where there are
any. With the same seed the same files are made. `--kept tests/bench/kept` writes the smallest of each kind of answer,
for the regression test.
"""

import argparse
import json
import multiprocessing
import re
import zlib
from base64 import b85decode, b85encode
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tqdm import tqdm

from bench.fuzz.loaders import LOADERS, Files
from bench.fuzz.running import Report, fuzz, pieces


def main(arguments: Sequence[str] | None = None) -> dict[str, Report]:
    """Fuzzes what the options say and prints the table."""
    options = _options(arguments)
    work = list(pieces(options.loaders, options.files, options.seed))
    reports = {name: Report() for name in options.loaders}
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        for (name, _, _), report in zip(
            work, tqdm(pool.map(fuzz, *zip(*work, strict=True)), total=len(work)), strict=True
        ):
            reports[name].add(report)
    print(table(reports))
    for name, report in reports.items():
        for what, files in report.findings.items():
            print(f"{name}: {what}: {_written(options.out / f'{name} {_plain(what)}', files)}")
        if options.kept:
            options.kept.mkdir(parents=True, exist_ok=True)
            (options.kept / f"{name}.json").write_text(packed(report.kinds), encoding="ascii")
    if any(report.findings for report in reports.values()):
        raise SystemExit(1)
    return reports


def table(reports: dict[str, Report]) -> str:
    """One line a loader."""
    lines = ["| loader | files | loaded | kinds of answers | findings | beyond twice the size | slowest | files/s |"]
    lines.append("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name, report in reports.items():
        rate = report.files / max(report.seconds, 1e-9)
        lines.append(
            f"| {name} | {report.files} | {report.loaded} | {len(report.kinds)} | {len(report.findings)} | "
            f"{report.beyond / 1024:.0f} KiB | {1000 * report.slowest:.0f} ms | {rate:.0f} |"
        )
    return "\n".join(lines)


def packed(kinds: dict[str, Files]) -> str:
    """Folders of files as JSON, one for each kind of answer: whether they are loaded, and each file as text."""
    kept = [
        {
            "loaded": kind == "loaded",
            "files": {name: b85encode(zlib.compress(content, 9)).decode() for name, content in files.items()},
        }
        for kind, files in sorted(kinds.items())
    ]
    return json.dumps(kept, indent=1) + "\n"


def unpacked(text: str) -> list[tuple[bool, Files]]:
    """Whether each folder is loaded, and its files."""
    return [
        (case["loaded"], {name: zlib.decompress(b85decode(content)) for name, content in case["files"].items()})
        for case in json.loads(text)
    ]


def _plain(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text)


def _written(folder: Path, files: Files) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description="Damaged files for all that xpnet reads.")
    parser.add_argument("--files", type=int, default=2000, help="how many, all loaders together")
    parser.add_argument("--loaders", nargs="+", choices=list(LOADERS), default=list(LOADERS), help="which")
    parser.add_argument("--seed", type=int, default=0, help="of the random numbers")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--out", type=Path, default=Path("out") / "fuzz", help="where findings are written")
    parser.add_argument("--kept", type=Path, help="where the smallest file of each kind of answer is written")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()

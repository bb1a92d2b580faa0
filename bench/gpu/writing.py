"""Where the report and the figures of `make gpu` go."""

import dataclasses
import datetime
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.gpu.report import Step, report
from bench.gpu.steps import measured
from bench.machine import gpu_file_name
from bench.options import RESULTS
from bench.picture import save_overview
from bench.results import Results


def write(machine: dict[str, Any], steps: Sequence[Step], folder: Path, out: Path | None) -> list[Path]:
    """Writes the report, the figures as JSON, and their picture; the report's path comes first.

    Without figures nothing of bench/results is replaced: the report goes to the folder out.
    """
    results = measured(folder)
    out = out or (RESULTS if results else Path("out"))
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{gpu_file_name({'gpus': [machine['gpu']]})}.md"
    about: dict[str, Any] = results.about if results else {"date": datetime.date.today().isoformat()}
    path.write_text(report(machine["gpu"], facts(machine, about), steps, results), encoding="utf-8")
    written = [path]
    if results:
        about["checks"] = [dataclasses.asdict(step) for step in steps]
        results.save(path.with_suffix(".json"))
        written.append(path.with_suffix(".json"))
        written += _picture(results, folder, path.with_suffix(".png"))
    return written


def _picture(results: Results, folder: Path, path: Path) -> list[Path]:
    """The one that the bench drew; drawn here if it did not come so far."""
    drawn = sorted(folder.glob("*.png"))
    try:
        if drawn:
            shutil.copy(drawn[0], path)
        else:
            save_overview(results, path)
    except ImportError:
        return []  # no matplotlib: the bench has said so
    return [path]


def version(number: int) -> str:
    """CUDA's way of counting, as people write it: 13000 is 13.0."""
    return f"{number // 1000}.{number % 1000 // 10}"


def facts(machine: dict[str, Any], about: dict[str, Any]) -> list[str]:
    """What a reader of figures wants to know of the machine."""
    versions = about.get("versions", {})
    return [
        f"{about.get('date', 'no date')}; driver {about.get('driver') or version(machine['driver'])}, "
        f"CUDA {version(machine['cuda'])}, CuPy {machine['cupy']}",
        ", ".join(f"{name} {number}" for name, number in versions.items() if "cupy" not in name) or "no versions",
        f"not there: {', '.join(machine['absent']) or 'nothing'}",
        f"xpnet's convolutions: {about.get('convolution', 'unknown')}",
    ]

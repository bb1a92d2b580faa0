"""`python -m bench.checkpoint`: how long does a checkpoint hold up training, beside safetensors writing the same?

One run of an MLP of 25 million parameters with Adam, turn by turn: a checkpoint with time to be written, while steps go
on; one that is waited for; three in three steps; and the same arrays by `safetensors` on the same disk, as it is and
forced to the disk. Medians go into `checkpoint.json`.
"""

import argparse
import datetime
import importlib.metadata
import json
import math
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

import xpnet
from bench import machine
from bench.options import RESULTS
from xpnet import data, layers, losses, models, optimizers
from xpnet.files import sync_folder
from xpnet.training import Callback, Checkpoint, Run

UNITS = [1024, 3072, 3072, 3072, 1024]
"""25 million parameters."""
BATCH = 16
BESIDE = 6
"""Steps, in the least, between a checkpoint and the next in the part with time to be written."""
IN_A_ROW = 3
TITLES = {
    "stall": "a checkpoint holds up a step, the last one written",
    "stall_in_a_row": "a checkpoint holds up a step, where each step has one",
    "slower": "steps while it is written take longer, together",
    "durable": "a checkpoint until it is on the disk",
    "safetensors": "safetensors: save_file",
    "safetensors_durable": "safetensors: save_file, fsync of file and folder",
}


class Turns(Callback):
    """Says when a checkpoint is due, and notes how long what takes.

    Parameters
    ----------
    checkpoint : of the run; this stands before it among the callbacks.
    folder : for the files of safetensors.
    turns : how many, after one that does not count.
    """

    def __init__(self, checkpoint: Checkpoint, folder: Path, turns: int) -> None:
        self.checkpoint, self.folder, self.turns = checkpoint, folder, turns
        self.seconds: dict[str, list[float]] = {name: [] for name in TITLES}
        self.first = self.last_end = 0.0
        self.steps: list[float] = []
        self.undisturbed: list[float] = []
        self.bytes = 0
        self._saved, self._waits = 0.0, False
        self._plan = self._turn()
        checkpoint.every = NEVER
        vars(checkpoint)["save"] = self._timed(checkpoint.save)

    def _timed(self, save: Callable[..., None]) -> Callable[..., None]:
        def timed(*arguments: Any) -> None:
            start = time.perf_counter()
            save(*arguments)
            if self._waits:
                self.checkpoint.wait()
            self._saved = time.perf_counter() - start
            self.last_end = time.perf_counter()

        return timed

    def on_step(self, run: Run) -> None:
        """Ends what the step belongs to."""
        self.steps.append(time.perf_counter() - self.last_end)
        self.run = run
        next(self._plan, None)
        self.last_end = time.perf_counter()

    def _due(self, whether: bool) -> None:
        """Whether there will be a checkpoint at the end of the next step."""
        self.checkpoint.every = 1 if whether else NEVER

    def _turn(self) -> Any:
        """What comes between steps: each `yield` is a step, and a checkpoint behind it where one is due."""
        for turn in range(self.turns + 1):
            found = dict.fromkeys(TITLES, 0.0)
            self.steps.clear()
            for _ in range(BESIDE):
                yield
            usual = statistics.median(self.steps[1:])
            yield from self._save()
            found["stall"], beside = self._saved, 0
            self.steps.clear()
            while self._being_written() or beside < BESIDE:
                yield
                beside += 1
            found["slower"] = sum(self.steps) - usual * len(self.steps)
            self._waits = True
            yield from self._save()
            found["durable"], self._waits = self._saved, False
            yield from self._save(IN_A_ROW)
            found["stall_in_a_row"] = self._saved
            self.checkpoint.wait()
            found["safetensors"], found["safetensors_durable"] = self._peer()
            if turn == 0:
                self.first = found["stall"]
                continue
            self.undisturbed.append(usual)
            for name, seconds in found.items():
                self.seconds[name].append(seconds)
        self.run.stop("all turns are over")

    def _save(self, steps: int = 1) -> Any:
        """Steps with a checkpoint at the end of each, and one without: by then the last has been begun."""
        self._due(True)
        for _ in range(steps):
            yield
        self._due(False)
        yield

    def _being_written(self) -> bool:
        writing = self.checkpoint._writing
        return writing is not None and not writing.done()

    def _peer(self) -> tuple[float, float]:
        """The same arrays by safetensors: until the call returns, and until they are on the disk."""
        arrays: dict[str, Any] = {f"model.{path}": each.data for path, each in self.run.model.tensors().items()}
        arrays |= {f"optimizer.{name}": np.asarray(values) for name, values in self.run.optimizer.arrays().items()}
        path = self.folder / "peer.safetensors"
        start = time.perf_counter()
        save_file(arrays, path)
        returned = time.perf_counter() - start
        with open(path, "rb") as file:
            os.fsync(file.fileno())
        sync_folder(self.folder)
        durable = time.perf_counter() - start
        self.bytes = path.stat().st_size
        path.unlink()
        return returned, durable


NEVER = 10**9


def measure(folder: Path, turns: int) -> dict[str, Any]:
    """Medians and ranges in seconds, by name, and what they belong to."""
    random = np.random.default_rng(0)
    x = random.standard_normal((16 * BATCH, UNITS[0])).astype(np.float32)
    t = random.integers(0, UNITS[-1], len(x))
    xpnet.seed(0)
    model = models.mlp(UNITS)
    checkpoint = Checkpoint(folder / "run", keep=1)
    meter = Turns(checkpoint, folder, turns)
    xpnet.fit(
        model,
        data.batches(x, t, BATCH),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.Adam(model, 1e-4),
        epochs=10**6,
        callbacks=[meter, checkpoint],
        progress=False,
    )
    medians = {name: statistics.median(values) for name, values in meter.seconds.items()}
    return {
        "parameters": parameters(model),
        "bytes": meter.bytes,
        "step": statistics.median(meter.undisturbed),
        "first_stall": meter.first,
        "seconds": medians,
        "range": {name: [min(values), max(values)] for name, values in meter.seconds.items()},
        "ratio": ratio(meter.seconds, "stall", "safetensors"),
        "ratio_in_a_row": ratio(meter.seconds, "stall_in_a_row", "safetensors_durable"),
        "ratio_durable": ratio(meter.seconds, "durable", "safetensors_durable"),
        "ratio_with_slower_steps": statistics.median(
            (stall + slower) / peer
            for stall, slower, peer in zip(*(meter.seconds[n] for n in ("stall", "slower", "safetensors")), strict=True)
        ),
    }


def ratio(seconds: dict[str, list[float]], ours: str, peer: str) -> float:
    """The median of the ratios of each turn."""
    return statistics.median(a / b for a, b in zip(seconds[ours], seconds[peer], strict=True))


def parameters(model: layers.Layer) -> int:
    """How many numbers are trained."""
    return sum(math.prod(each.data.shape) for each in model.parameters().values())


def table(found: dict[str, Any]) -> str:
    """A line for each quantity, then the ratios."""
    lines = [
        f"{found['parameters'] / 1e6:.1f} million parameters with Adam, {found['bytes'] / 1e6:.0f} MB; "
        f"a step takes {found['step'] * 1e3:.0f} ms; medians of {found['about']['turns']} turns"
    ]
    for name, title in TITLES.items():
        least, most = (seconds * 1e3 for seconds in found["range"][name])
        lines.append(f"{title:64}{found['seconds'][name] * 1e3:9.0f} ms   {least:.0f} to {most:.0f}")
    lines.append(f"{'the first checkpoint of a run, whose memory is new':64}{found['first_stall'] * 1e3:9.0f} ms")
    for name, title in (
        ("ratio", "stall / save_file (promised: at most 1.2)"),
        ("ratio_with_slower_steps", "stall and slower steps / save_file"),
        ("ratio_in_a_row", "stall where each step has one / save_file, both on the disk"),
        ("ratio_durable", "until on the disk, both"),
    ):
        lines.append(f"{title:64}{found[name]:9.2f}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints, and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.checkpoint", description=__doc__)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--folder", type=Path, help="on the disk to write to; by default where temporary files are")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    about = machine.describe() | {"date": datetime.date.today().isoformat(), "turns": options.turns}
    about["versions"]["safetensors"] = importlib.metadata.version("safetensors")
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        found = {"about": about} | measure(Path(folder), options.turns)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "checkpoint.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(table(found))
    return found


if __name__ == "__main__":
    main()

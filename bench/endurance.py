"""`python -m bench.endurance`: does a long run stay as fast and as small as it was?

A small network is trained by `fit`, with batch normalization, dropout, augmentation, metrics, validation and
checkpoints. For each tenth of the steps a line is printed: the median processor time of its steps, the resident memory,
and what is kept.
"""

import argparse
import gc
import json
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import numpy as np

import xpnet
from xpnet import data, layers, losses, models, optimizers
from xpnet.layers import Layer
from xpnet.training import Callback, Checkpoint, Run, accuracy

PARTS = 10
KEPT = 3
"""Checkpoints."""


@dataclass(frozen=True)
class Part:
    """What there was at the end of a tenth of the run.

    Attributes
    ----------
    steps : done so far.
    step_seconds : the median of this part, in time of the processor, as what else runs on the machine does not count.
    resident, kept : bytes of the process, and of them memory for the next arrays.
    objects : that Python's collector knows.
    threads : of Python.
    files : in the folder of checkpoints.
    """

    steps: int
    step_seconds: float
    resident: int
    kept: int
    objects: int
    threads: int
    files: int


class Record(Callback):
    """Takes the parts, without growing itself."""

    def __init__(self, steps: int, folder: Path) -> None:
        self.length, self.folder = steps // PARTS, folder
        self.parts: list[Part] = []
        self._seconds = np.zeros(self.length)
        self._last = 0.0

    def on_start(self, run: Run) -> None:
        """Begins to count the time."""
        self._last = time.thread_time()

    def on_step(self, run: Run) -> None:
        """Notes the step's time, and after each tenth of the steps a part."""
        now = time.thread_time()
        self._seconds[(run.step - 1) % self.length] = now - self._last
        if run.step % self.length == 0:
            gc.collect()
            memory = xpnet.get_backend().memory()
            self.parts.append(
                Part(
                    run.step,
                    median(self._seconds.tolist()),
                    memory["resident"],
                    memory["kept"],
                    len(gc.get_objects()),
                    threading.active_count(),
                    len(list(self.folder.iterdir())),
                )
            )
        self._last = time.thread_time()


def _mlp() -> tuple[Layer, tuple[int, ...]]:
    return models.mlp([16, 24, 3], batch_norm=True, dropout=0.1), (16,)


def _cnn() -> tuple[Layer, tuple[int, ...]]:
    """So large that its arrays are kept for reuse, and go through compiled loops."""
    first = layers.Conv2d(1, 8, 3, padding=1), layers.BatchNorm(8), layers.ReLU(), layers.MaxPool2d(2)
    return layers.Sequential(*first, layers.Flatten(), layers.Dropout(0.1), layers.Linear(288, 3)), (12, 12, 1)


NETWORKS: dict[str, Callable[[], tuple[Layer, tuple[int, ...]]]] = {"mlp": _mlp, "cnn": _cnn}


def endure(network: str, steps: int, folder: Path, *, epoch: int = 500, every: int = 1000) -> list[Part]:
    """Trains for that many steps; what there was at the end of each tenth.

    Parameters
    ----------
    network : a name of `NETWORKS`.
    steps : a multiple of ten epochs.
    folder : for the checkpoints.
    epoch, every : steps of an epoch, and from one checkpoint to the next.
    """
    xpnet.seed(0)
    model, shape = NETWORKS[network]()
    random, size = np.random.default_rng(0), 32
    examples = epoch * size - size // 2  # the last batch is smaller
    x, t = random.standard_normal((examples, *shape)).astype(np.float32), random.integers(0, 3, examples)
    record = Record(steps, folder)
    xpnet.fit(
        model,
        data.batches(x, t, size, augment=[data.RandomFlip()] if len(shape) == 3 else []),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.Adam(model, 1e-4),
        epochs=steps // epoch,
        validation=(x[:256], t[:256]),
        metrics={"accuracy": accuracy},
        callbacks=[record, Checkpoint(folder, every=every, keep=KEPT)],
        progress=False,
    )
    return record.parts


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs and prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description="A long run, by tenths.")
    parser.add_argument("--network", choices=NETWORKS, default="mlp")
    parser.add_argument("--steps", type=int, default=200_000, help="a multiple of 5000 (default: 200000)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of a table")
    options = parser.parse_args(arguments)
    if options.steps < 5000 or options.steps % 5000:
        parser.error(f"--steps: expected a multiple of 5000, got {options.steps}")
    with tempfile.TemporaryDirectory() as folder:
        parts = endure(options.network, options.steps, Path(folder))
    print(json.dumps([asdict(part) for part in parts]) if options.json else table(parts))


def table(parts: Sequence[Part]) -> str:
    """A line for each tenth, and the last one's step beside the second's."""
    lines = [f"{'steps':>9}{'a step':>12}{'resident':>14}{'kept':>12}{'objects':>10}{'threads':>9}{'files':>7}"]
    for p in parts:
        times = f"{p.steps:>9}{p.step_seconds * 1e6:>9.1f} µs{p.resident / 1e6:>11.2f} MB{p.kept / 1e6:>9.2f} MB"
        lines.append(f"{times}{p.objects:>10}{p.threads:>9}{p.files:>7}")
    lines.append(f"a step of the last tenth / of the second: {parts[-1].step_seconds / parts[1].step_seconds:.3f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()

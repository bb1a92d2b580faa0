"""A long run stays as small as it was."""

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bench.endurance import KEPT, endure
from xpnet import data, losses, models, optimizers
from xpnet.training import Callback, fit


class Traced(Callback):
    """Bytes that Python and NumPy have after some steps."""

    def __init__(self, *steps):
        self.at, self.found = steps, []

    def on_step(self, run):
        if run.step in self.at:
            self.found.append(tracemalloc.get_traced_memory()[0])


@pytest.mark.parametrize("steps_of_an_epoch", [50, 700], ids=["many epochs", "one epoch"])
def test_a_step_leaves_no_more_than_what_the_history_keeps(steps_of_an_epoch):
    """8 bytes for the loss of a step, 16 more in the epoch under way, and a row of 500 bytes for an epoch."""
    random, size = np.random.default_rng(0), 4
    x = random.standard_normal((steps_of_an_epoch * size, 4)).astype(np.float32)
    model = models.mlp([4, 8, 3], batch_norm=True, dropout=0.1)
    traced = Traced(200, 690)
    tracemalloc.start()
    try:
        fit(
            model,
            data.batches(x, random.integers(0, 3, len(x)), size),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizers.Adam(model),
            epochs=700 // steps_of_an_epoch,
            callbacks=[traced],
            progress=False,
        )
    finally:
        tracemalloc.stop()
    before, after = traced.found
    steps, epochs = 490, 490 / steps_of_an_epoch
    assert after - before < 1.125 * 24 * steps + 500 * epochs + 4000


@pytest.mark.long
def test_counts_stay_as_they_are(tmp_path):
    """Of threads, of objects that Python's collector knows, of files and of bytes kept for the next arrays."""
    parts = endure("cnn", 1000, tmp_path, epoch=100, every=20)
    assert [part.steps for part in parts] == list(range(100, 1001, 100))
    assert parts[-1].objects - parts[2].objects < 100
    assert parts[-1].threads == parts[1].threads
    assert parts[-1].kept - parts[2].kept < 2**22  # what threads happen to need at once differs by some blocks
    assert all(part.files <= 2 * (KEPT + 1) + 2 for part in parts)
    assert len(list(tmp_path.glob("*.json"))) == KEPT


@pytest.mark.long
def test_200_000_steps():
    """In a process of its own: resident memory within 5 MB after a warm-up of 20 000 steps."""
    command = [sys.executable, "-m", "bench.endurance", "--json"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr
    first, *parts = json.loads(done.stdout)
    assert first["steps"] == 20_000
    assert parts[-1]["steps"] == 200_000
    for part in parts:
        assert part["resident"] - first["resident"] < 5e6
        assert part["files"] <= 2 * (KEPT + 1) + 2
        assert part["threads"] == first["threads"]
    assert parts[-1]["objects"] - first["objects"] < 100

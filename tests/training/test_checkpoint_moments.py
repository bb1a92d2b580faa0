"""Checkpoints at moments when something else is going on: values that change, steps not looked at, signals too late."""

import json
import os
import signal
import threading

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.backend import get_backend
from xpnet.optimizers import NonFiniteError
from xpnet.training import Callback, Checkpoint, CheckpointWarning, Interrupted, _checkpoint_folder
from xpnet.training._checkpoint_folder import CheckpointFolder, Saved


@pytest.fixture
def run(examples):
    def train(*callbacks, loss=losses.softmax_cross_entropy, epochs=2, **options):
        xpnet.seed(0)
        model = models.mlp([4, 8, 3], dropout=0.25)
        optimizer = optimizers.SGD(model, 0.1)
        given = {"loss": loss, "optimizer": optimizer, "epochs": epochs, "callbacks": callbacks}
        return xpnet.fit(model, data.batches(*examples, 10), **given, **options)

    return train


@pytest.fixture
def waits(monkeypatch):
    """Looking at values waits, as on a GPU."""
    monkeypatch.setattr(type(get_backend()), "readable", lambda self, x: False)


def manifests(folder):
    return [json.loads(file.read_text())["content"] for file in sorted(folder.glob("*.json"))]


class Collects(Callback):
    def __init__(self):
        self.seen = []

    def on_step(self, run):
        self.seen.append(run.step)

    def state(self):
        return {"seen": self.seen}


def test_what_changes_while_it_is_written_is_saved_as_it_was(tmp_path, run, monkeypatch):
    """The writer waits until the run is a step further."""
    further, write = threading.Event(), CheckpointFolder.write

    def late(self, saved):
        assert further.wait(60)
        return write(self, saved)

    def go_on(run):
        if run.step > 4:
            further.set()

    class Next(Callback):
        on_step = staticmethod(go_on)

    monkeypatch.setattr(CheckpointFolder, "write", late)
    run(Collects(), Next(), Checkpoint(tmp_path, every=4, keep=9))
    first = manifests(tmp_path)[0]
    assert (first["step"], first["callbacks"]["Collects"]["seen"]) == (4, [1, 2, 3, 4])


class At(Callback):
    """Sends this process a signal at a point of the run."""

    def __init__(self, number, point, step=0):
        self.number, self.point, self.step = number, point, step

    def _send(self, point, run):
        if self.point == point and run.step >= self.step:
            self.point = None
            os.kill(os.getpid(), self.number)

    def on_start(self, run):
        self._send("start", run)

    def on_step(self, run):
        self._send("step", run)

    def on_epoch(self, run):
        self._send("epoch", run)

    def on_end(self, run):
        self._send("end", run)


@pytest.fixture
def received():
    """Signals that come to the program itself."""
    found = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: found.append(number))
    yield found
    signal.signal(signal.SIGTERM, before)


def test_a_signal_in_the_last_moments_goes_to_the_program(tmp_path, run, received):
    """No step is left that it could end; the checkpoint is whole when it comes."""
    checkpoint = Checkpoint(tmp_path)
    history = run(At(signal.SIGTERM, "end"), checkpoint)
    assert len(history.epochs) == 2
    assert received == [signal.SIGTERM]
    assert checkpoint.last == CheckpointFolder(tmp_path).newest()[0]


def test_a_signal_while_the_last_checkpoint_is_written(tmp_path, run, received, monkeypatch):
    write, main = CheckpointFolder.write, threading.main_thread().ident

    def interrupted(self, saved):
        if saved.values["epoch"] == 2:
            signal.pthread_kill(main, signal.SIGTERM)
        return write(self, saved)

    monkeypatch.setattr(CheckpointFolder, "write", interrupted)
    checkpoint = Checkpoint(tmp_path)
    try:
        run(checkpoint)
    except Interrupted as end:  # where it came before the run had looked for the last time
        received.append(-end.code + 128 + 2 * signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert checkpoint.last.stem == "000002-step-12"
    assert CheckpointFolder(tmp_path).newest()[0] == checkpoint.last


@pytest.mark.parametrize(
    ("point", "step", "left"), [("start", 0, 1), ("epoch", 0, 6), ("step", 6, 6), ("epoch", 7, 12)]
)
def test_a_signal_between_steps_ends_the_run_after_one(tmp_path, run, point, step, left):
    with pytest.raises(Interrupted, match=f"SIGTERM: stopped after step {left}, "):
        run(At(signal.SIGTERM, point, step), Checkpoint(tmp_path, every=1000))
    assert manifests(tmp_path)[-1]["step"] == left


def spoilt(at):
    """The loss, which is infinite at one step."""
    count = [0]

    def loss(y, t):
        value, pullback = losses.softmax_cross_entropy(y, t)
        count[0] += 1
        return value * (float("inf") if count[0] == at else 1.0), pullback

    return loss


@pytest.mark.parametrize("log_every", [1, 10])
def test_no_checkpoint_of_steps_that_were_refused(tmp_path, run, waits, log_every):
    """A signal comes when a step has been refused, and nobody has looked."""
    with pytest.raises(NonFiniteError, match="step 2: the loss"):
        run(At(signal.SIGTERM, "step", 5), Checkpoint(tmp_path, every=1000), loss=spoilt(3), log_every=log_every)
    assert manifests(tmp_path) == []


def test_a_checkpoint_looks_before_it_saves(tmp_path, run, waits):
    with pytest.raises(NonFiniteError, match=r"step 2: .*The last checkpoint is .*000002-step-2\.json"):
        run(Checkpoint(tmp_path, every=1), loss=spoilt(3), log_every=10)
    assert [manifest["step"] for manifest in manifests(tmp_path)] == [1, 2]


def test_losses_that_were_not_read_are_in_the_checkpoint(tmp_path, run, waits):
    """They are read for it."""
    whole = run(log_every=10).steps["loss"]
    with pytest.raises(Interrupted):
        run(At(signal.SIGTERM, "step", 3), Checkpoint(tmp_path, every=1000), log_every=10)
    assert list(run(Checkpoint(tmp_path), resume=tmp_path, log_every=10).steps["loss"]) == list(whole)


def test_an_error_at_the_end_of_a_run_leaves_its_checkpoint(tmp_path, run):
    class Fails(Callback):
        def on_end(self, run):
            raise RuntimeError("no more")

    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(RuntimeError, match="no more"):
        run(Fails(), checkpoint)
    assert checkpoint.last.stem == "000002-step-12"
    assert CheckpointFolder(tmp_path).newest()[0] == checkpoint.last
    run(Checkpoint(tmp_path), resume=tmp_path)


def test_a_checkpoint_object_can_serve_one_run_after_another(tmp_path, run):
    checkpoint = Checkpoint(tmp_path / "a")
    whole = run(checkpoint, epochs=3)
    again = run(checkpoint, epochs=4, resume=tmp_path / "a")
    assert list(again.steps["loss"])[:18] == list(whole.steps["loss"])
    assert checkpoint.last.stem == "000004-step-24"


def test_a_signal_where_nothing_can_be_written(tmp_path, run, received, monkeypatch):
    """The line does not say that this moment is saved."""
    replace = os.replace

    def full(old, new):
        if "step-6." not in str(new):
            raise OSError(28, "No space left on device")
        replace(old, new)

    monkeypatch.setattr(os, "replace", full)
    last = f"not saved, the last one is {tmp_path}/000001-step-6.json: fit"
    with pytest.raises(Interrupted, match=last), pytest.warns(CheckpointWarning, match="No space left on device"):
        run(At(signal.SIGTERM, "step", 8), Checkpoint(tmp_path))
    with (
        pytest.raises(Interrupted, match=r"; nothing saved$"),
        pytest.warns(CheckpointWarning, match="there is none yet"),
    ):
        run(At(signal.SIGTERM, "step", 3), Checkpoint(tmp_path / "other"))


def test_new_folders_are_forced_to_the_disk(tmp_path, monkeypatch):
    forced = []
    monkeypatch.setattr(_checkpoint_folder, "sync_folder", forced.append)
    for _ in range(2):
        with CheckpointFolder(tmp_path / "a" / "b").opened():
            pass
    assert forced == [tmp_path / "a", tmp_path]


def test_what_is_done_to_the_disk_in_which_order(tmp_path, monkeypatch):
    """Killing a process does not show whether values were forced to the disk before a name pointed to them."""
    done = []

    def name(place):
        path = os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else str(place)
        return "folder" if path == str(tmp_path) else path.rpartition("/")[2].split(".")[1]

    def noted(function):
        original = getattr(os, function)

        def call(*arguments):
            if not (function == "unlink" and not os.path.exists(arguments[0])):
                done.append((function, *map(name, arguments[:2])))
            return original(*arguments)

        return call

    folder = CheckpointFolder(tmp_path)
    saved = Saved({"step": 1}, {"a": np.zeros(3)})
    folder.write(saved)
    for function in ("fsync", "replace", "unlink"):
        monkeypatch.setattr(os, function, noted(function))
    folder.write(saved)
    folder.prune(1)
    assert done == [
        *(("fsync", "safetensors"), ("replace", "safetensors", "safetensors"), ("fsync", "folder")),
        *(("fsync", "json"), ("replace", "json", "json"), ("fsync", "folder")),
        *(("unlink", "json"), ("unlink", "safetensors"), ("fsync", "folder")),
    ]

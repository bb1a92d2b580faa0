"""Runs that can be killed, each in a process forked off this one, which has imported everything: a start takes no time.

It reads a line of JSON for each run and answers with one, when the run has ended:

- `folder`, `every`, `keep`: of its checkpoints; from the newest there it goes on;
- `result`: the file for what the run comes to; `seen`: one for the name of the last checkpoint known to be whole;
- `after`: seconds until the run is killed; or `at`: the number of the call to the file system, from 0, which kills it.
  With `half`, that call, if it writes, does half of its work first.
"""

import builtins
import json
import os
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings

import numpy as np
from tqdm.auto import tqdm

import xpnet
from xpnet import data, losses, models, optimizers, schedules
from xpnet.files import _replacing
from xpnet.training import BestWeights, Callback, Checkpoint, EarlyStopping, GradientNorms, accuracy

EPOCHS = 4


class Seen(Callback):
    """Notes which checkpoint is whole, as soon as the run knows."""

    def __init__(self, checkpoint, path):
        self.checkpoint, self.path = checkpoint, path

    def on_step(self, run):
        if self.checkpoint.last is not None:
            new = f"{self.path}.new"
            with open(new, "w") as file:
                file.write(self.checkpoint.last.name)
            RENAME(new, self.path)


RENAME = os.replace


def train(folder, every, keep, seen):
    """A run with a state of every kind: what it comes to, byte by byte."""
    random = np.random.default_rng(7)
    t = random.integers(0, 3, 60)
    x = (random.normal(size=(3, 4))[t] + random.normal(size=(60, 4))).astype(np.float32)
    xpnet.seed(0)
    model = models.mlp([4, 8, 3], batch_norm=True, dropout=0.25)
    optimizer = optimizers.Adam(model, schedules.cosine(0.05, steps=30))
    checkpoint = Checkpoint(folder, every=every, keep=keep)
    history = xpnet.fit(
        model,
        data.batches(x, t, 7),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizer,
        epochs=EPOCHS,
        validation=data.batches(x, t, 16, seed=1),
        metrics={"accuracy": accuracy},
        callbacks=[checkpoint, Seen(checkpoint, seen), EarlyStopping(patience=EPOCHS), BestWeights(), GradientNorms(3)],
        progress=False,
        resume=folder,
    )
    for row in history.epochs:
        del row["seconds"]
    arrays = {f"model.{path}": values for path, values in model.state().items()}
    arrays |= {f"optimizer.{name}": values for name, values in optimizer.state().items()}
    return {name: array.tobytes().hex() for name, array in arrays.items()} | history.to_dict()


class Calls:
    """Counts the calls to the file system that write a checkpoint or remove one; one of them kills the process."""

    def __init__(self, at, half):
        self.at, self.half, self.count = at, half, 0

    def come(self, some_of_it=lambda: None):
        if self.count == self.at:
            if self.half:
                some_of_it()
            os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(60)
        self.count += 1

    def counted(self, function):
        def call(*arguments, **options):
            self.come()
            return function(*arguments, **options)

        return call

    def open(self, path, mode):
        self.come()
        return File(builtins.open(path, mode, buffering=0), self)

    def put_in_place(self):
        for name in ("replace", "fsync", "unlink", "mkdir"):
            setattr(os, name, self.counted(getattr(os, name)))
        _replacing.open = self.open


class File:
    """A file without a buffer, so that every part of what is written can be the last."""

    def __init__(self, file, calls):
        self.file, self.calls = file, calls

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.calls.come()
        self.file.close()

    def write(self, values):
        self.calls.come(lambda: self.file.write(values[: len(values) // 2]))
        assert self.file.write(values) == len(values)

    def flush(self):
        pass

    def fileno(self):
        return self.file.fileno()


def child(request):
    """The run, in a process of its own; it does not return."""
    try:
        warnings.simplefilter("ignore", xpnet.training.CheckpointWarning)  # of what the last one has left
        if "at" in request:
            Calls(request["at"], request["half"]).put_in_place()
        found = train(*(request[name] for name in ("folder", "every", "keep", "seen")))
        with open(request["result"], "w") as file:
            json.dump(found, file)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def main():
    tqdm.set_lock(threading.RLock())  # its own is shared among forked processes, and stays locked if one is killed
    tqdm.monitor_interval = 0  # no thread may hold it when the process forks
    with tempfile.TemporaryDirectory() as folder:  # what is imported and compiled at first use is there for all
        train(f"{folder}/run", "epoch", 1, f"{folder}/seen")
    for line in sys.stdin:
        request, started = json.loads(line), time.monotonic()
        end, open_in_child = os.pipe()  # whose other end closes when the child ends
        process = os.fork()
        if process == 0:
            child(request)
        os.close(open_in_child)
        if "after" in request and not select.select([end], [], [], request["after"])[0]:
            os.kill(process, signal.SIGKILL)
        os.close(end)
        status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        print(json.dumps({"status": status, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()

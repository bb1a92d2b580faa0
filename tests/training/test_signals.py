"""SIGINT and SIGTERM in a run with a checkpoint: the step ends, all is saved, and the program leaves."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import xpnet
from xpnet import data, losses, optimizers
from xpnet.training import Callback, Checkpoint, Interrupted

SCRIPT = """
import sys
import numpy as np
import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.training import Callback, Checkpoint

class Say(Callback):
    def on_step(self, run):
        if run.step == 3:
            print("training", flush=True)

x, t = np.ones((40, 3)), np.zeros(40, int)
xpnet.seed(0)
model = models.mlp([3, 4, 2])
xpnet.fit(model, data.batches(x, t, 10), loss=losses.softmax_cross_entropy, optimizer=optimizers.SGD(model, 0.1),
          epochs=10**9, callbacks=[Say(), Checkpoint(sys.argv[1], every=10.0**9)])
"""


class Signal(Callback):
    """Sends this process a signal after a step."""

    def __init__(self, step, number):
        self.step, self.number = step, number

    def on_step(self, run):
        if run.step == self.step:
            os.kill(os.getpid(), self.number)


@pytest.fixture
def run(examples, network):
    def train(*callbacks, **options):
        model = network()
        pairs = data.batches(*examples, 10)
        given = {"loss": losses.softmax_cross_entropy, "optimizer": optimizers.Adam(model, 0.01), "epochs": 3}
        history = xpnet.fit(model, pairs, callbacks=callbacks, **given, **options)
        return model, history

    return train


@pytest.mark.parametrize("step", [1, 8, 12, 18])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(tmp_path, run, bits_of, capsys, step, number, status):
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted) as caught:
        run(Signal(step, number), Checkpoint(tmp_path, every=1000))
    assert (caught.value.code, caught.value.signal) == (status, signal.Signals(number).name)
    line = f"stopped after step {step}, in epoch {-(-step // 6)} of 3; saved as {tmp_path}/000001-step-{step}.json"
    assert line in capsys.readouterr().err
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers

    resumed, history = run(Checkpoint(tmp_path, every=1000), resume=tmp_path)
    whole, expected = run()
    assert bits_of(resumed) == bits_of(whole)
    assert history.steps == expected.steps


def test_a_signal_during_validation(tmp_path, run, examples, bits_of):
    class Pairs:
        """Validation batches, at the second of which a signal comes."""

        def __init__(self, noisy):
            self.noisy = noisy

        def __iter__(self):
            for i in range(3):
                if self.noisy and i == 1:
                    os.kill(os.getpid(), signal.SIGTERM)
                yield examples[0][i : i + 5], examples[1][i : i + 5]

    with pytest.raises(Interrupted):
        run(Checkpoint(tmp_path, every=1000), validation=Pairs(noisy=True))
    resumed, history = run(validation=Pairs(noisy=False), resume=tmp_path)
    whole, expected = run(validation=Pairs(noisy=False))
    assert bits_of(resumed) == bits_of(whole)
    assert history.steps == expected.steps
    assert history["val_loss"] == expected["val_loss"]


def test_without_a_checkpoint_signals_are_left_alone(run):
    with pytest.raises(KeyboardInterrupt):
        run(Signal(2, signal.SIGINT))


def test_in_another_thread_signals_are_left_alone(tmp_path, run):
    before, found = signal.getsignal(signal.SIGTERM), []

    def train():
        run(lambda _: found.append(signal.getsignal(signal.SIGTERM)), Checkpoint(tmp_path))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert found == [before] * 3


def test_an_ignored_signal_stays_ignored(tmp_path, run):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        run(Signal(2, signal.SIGINT), Checkpoint(tmp_path / "one"))
        with pytest.raises(Interrupted):
            run(Signal(2, signal.SIGTERM), Checkpoint(tmp_path / "two"))
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_program_ends_with_a_line_and_a_status(tmp_path, number, status):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "training\n"
        program.send_signal(number)
        _, told = program.communicate(timeout=60)
    assert program.returncode == status
    name = signal.Signals(number).name
    first, last = told.splitlines()
    assert first == f"fit: {name}: ends this step and saves; a second one ends the process at once"
    assert last.startswith(f"fit: {name}: stopped after step ")
    assert "Traceback" not in told
    assert len(list(tmp_path.glob("*.json"))) == 1


def test_a_second_signal_ends_at_once(tmp_path):
    never = SCRIPT.replace("run.step == 3", "run.step >= 3").replace(
        'print("training", flush=True)', 'print("training", flush=True), __import__("time").sleep(600)'
    )
    command = [sys.executable, "-c", never, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout.readline() == "training\n"
        for _ in range(100):  # two that come too close count as one
            program.send_signal(signal.SIGTERM)
            time.sleep(0.2)
            if program.poll() is not None:
                break
        assert program.returncode == -signal.SIGTERM
    assert not list(tmp_path.glob("*.json"))

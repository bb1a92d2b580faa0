"""`fit` on two and four ranks does what it does on one process: real runs under mpiexec, of programs_fit.py."""

import json
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.distributed import CommunicatorUnavailableError
from xpnet.training import CheckpointError
from xpnet.training._checkpoint_folder import CheckpointFolder

pytest.importorskip("mpi4py")

PROGRAMS = Path(__file__).with_name("programs_fit.py")
CLOSE = 1e-12


@pytest.fixture(scope="module")
def fits_of(ranks):
    """`fits_of(n)`: what `fits` has returned on n ranks."""
    found = {}

    def run(n):
        if n not in found:
            status, returned, err = ranks(n, "fits", programs=PROGRAMS)
            assert status == 0, err
            found[n] = returned | {"n": n}
        return found[n]

    return run


@pytest.fixture(scope="module", params=[2, 4])
def fits(fits_of, request):
    """On two and on four ranks."""
    return fits_of(request.param)


@pytest.fixture(scope="module")
def two(fits_of):
    """On two alone."""
    return fits_of(2)


def test_parameters_after_fifty_steps_are_those_of_one_process(fits):
    apart = {name: found["state"] for name, found in fits["equal"].items()}
    assert {"plain", "dropout", "batch norm", "batch norm, accumulated"} < set(apart)
    assert {name: distance for name, distance in apart.items() if not distance <= CLOSE} == {}


def test_the_history_is_that_of_one_process(fits):
    apart = {name: max(found["losses"], found["rows"]) for name, found in fits["equal"].items()}
    assert {name: distance for name, distance in apart.items() if not distance <= CLOSE} == {}
    assert all(found["steps"] >= 45 for found in fits["equal"].values())


def test_parameters_optimizers_and_history_are_the_same_bits_on_all_ranks(fits):
    assert {name: found["versions"] for name, found in fits["equal"].items() if found["versions"] != 1} == {}


def test_metrics_of_validation_are_taken_over_all_of_it(two):
    assert all(distance <= CLOSE for distance in two["metrics"].values())


def test_all_ranks_decide_as_one_process(fits):
    for name, (versions, together, alone, apart) in fits["decisions"].items():
        assert versions == 1, name
        assert together == alone, name
        assert apart <= CLOSE, name
    epochs, stopped = fits["decisions"]["early stopping"][1]
    assert epochs < 10
    assert stopped == "val_loss has not improved for 2 epochs"
    assert fits["decisions"]["rank 0"][1] == [2, "enough"]
    assert fits["decisions"]["the last rank"][1] == [10, None]


def test_a_step_asks_for_one_all_reduce_of_the_gradient_and_nothing_else(two):
    """Three epochs of four steps; what else there is comes once an epoch, but for synchronized batch norm's sums."""
    asked = two["collectives"]
    once = {"all_reduce 12": 3, "broadcast_object 0": 3}
    assert asked["plain"] == asked["looked at each step"] == {"all_reduce gradient": 12} | once
    assert asked["accumulated"] == {"all_reduce gradient": 6, "all_reduce 6": 3, "broadcast_object 0": 3}
    assert asked["list"] == {"all_reduce gradient": 12, "all_reduce 2": 15} | once
    assert asked["own"] == {"all_reduce gradient": 12, "all_reduce 8": 6} | once
    assert asked["synchronized"] == {"all_reduce gradient": 12, "all_reduce 8": 30, "all_reduce 16": 12} | once


def test_only_rank_0_writes_shows_a_bar_and_warns(fits):
    (files, shown, warnings), *others = fits["writes"]
    assert {"log.csv", "run/000001-step-5.json", "run/000002-step-10.json"} < set(files)
    assert [name for name in files if name.startswith("seldom") and name.endswith("json")] == [
        "seldom/000001-step-10.json"
    ]
    assert (shown, warnings) == (True, 1)
    assert others == [[[], False, 0]] * (fits["n"] - 1)


def test_mixed_precision_is_that_of_one_process_and_skips_steps_alike(two):
    found = two["half"]
    assert found["apart"] < 1e-2
    assert found["losses"] < 1e-2
    ours, theirs, overflown = found["skipped"]
    assert ours == theirs == 0 < overflown
    assert found["versions"] == 1
    assert len(found["refused"]) == 2
    assert all("'float16' is for models of float32" in message for message in found["refused"])


def test_an_infinity_on_one_rank_is_everybodys_error_and_named(fits):
    found = fits["not_finite"]
    for name, step in (("inputs", 4), ("first", 0)):
        (at, layer, direction, message), versions, _ = found[name]
        assert (at, layer, direction) == (step, "inputs", "forward")
        assert "it is in the batch's inputs already" in message
        assert versions == 1
    assert found["first"][2]  # no parameter was changed
    assert found["goes on"] <= CLOSE


def test_batch_norm_with_own_statistics_averages_them_and_is_the_same_on_all_ranks(fits):
    """The mean of the parts' means is the batch's mean; their variances are smaller than the batch's."""
    found = fits["own_norm"]
    assert found["running_mean"] < 1e-10
    assert found["running_var"] > 1e-3
    assert found["versions"] == 1


def test_evaluation_is_that_of_one_process_for_any_number_of_examples(fits):
    assert all(versions == 1 and distance <= CLOSE for versions, distance in fits["evaluates"].values())


REFUSED = {
    "model": "model, 0.weight: RANKS 'float64 (6, 8)'; LAST 'float64 (6, 9)'",
    "layers": "layers, 1: RANKS 'ReLU()'; LAST 'Tanh()'",
    "rate of dropout": "layers, 2: RANKS 'Dropout(0.2)'; LAST 'Dropout(0.3)'",
    "data": "batches, examples: RANKS 70; LAST 71",
    "size": "batches, size: RANKS 16; LAST 15",
    "validation": "validation, examples: RANKS 3; LAST nothing",
    "seed": "settings, seed: RANKS 0; LAST 1",
    "epochs": "epochs: RANKS 2; LAST 3",
    "accumulate": "settings, accumulate: RANKS 1; LAST 2",
    "rule": "settings, optimizer: RANKS 'Momentum'; LAST 'SGD'",
    "rate": "learning rate: RANKS 0.1; LAST 0.2",
    "schedule": "learning rate: RANKS 0.1; LAST 0.2",
    "clipping": "settings, clip_norm: RANKS null; LAST 1.0",
    "callbacks": "callbacks: RANKS []; LAST ['Other']",
    "kind of batches": "batches, examples: RANKS 70; LAST nothing",
    "number of batches": "batches: all ranks need the same; some have 6, others more",
    "size of batches": "batches: all ranks need the same; batch 6 has 15 examples on one, 16 on another",
    "more ranks than examples": "fit: SIZE ranks cannot share batches of LESS; take larger ones, or fewer ranks",
    "batch norm without examples": "a synchronized BatchNorm needs an example on each of SIZE ranks, and a batch has",
    "batch norm without examples, a list": "needs an example on each of SIZE ranks, and a batch has LESS",
    "version": "versions, xpnet: RANKS '0.1.0'; LAST '0.0.9'",
}


def test_what_differs_is_refused_by_all_ranks_and_named(fits):
    n, found = fits["n"], fits["disagreements"]
    others = "rank 0 has" if n == 2 else "ranks 0, 1 and 2 have"
    assert set(found) == set(REFUSED)
    for name, message in REFUSED.items():
        for word, value in {"RANKS": others, "LAST": f"rank {n - 1} has", "SIZE": n, "LESS": n - 1}.items():
            message = message.replace(word, str(value))
        assert isinstance(found[name], str), f"{name}: {found[name]}"
        assert message.replace("'", '"') in found[name].replace("'", '"'), name


def test_a_refusal_that_nobody_catches_is_shown_once_and_ends_all(ranks):
    status, _, err = ranks(4, "another_model", programs=PROGRAMS)
    assert status != 0
    assert err.count("DisagreementError: the ranks do not agree") == 1


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("data", "rank 1 of 2: OSError: the disk is gone"),
        ("callback", "rank 1 of 2: NonFiniteError: of one rank alone"),
        pytest.param("end", "rank 1 of 2: KeyError: 'no such quantity'", marks=pytest.mark.long),
    ],
)
def test_an_error_on_one_rank_ends_all(ranks, what, message):
    status, _, err = ranks(2, "one_rank_fails", what, programs=PROGRAMS)
    assert status != 0
    assert f"{message}\nTraceback" in err


def train(**options):
    xpnet.seed(0)
    model = models.mlp([2, 3])
    pairs = data.batches(np.ones((4, 2)), np.zeros(4, int), 2)
    optimizer = optimizers.SGD(model, 0.1)
    return xpnet.fit(model, pairs, loss=losses.softmax_cross_entropy, optimizer=optimizer, epochs=1, **options)


def test_without_mpi4py_the_message_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(CommunicatorUnavailableError, match=r"need mpi4py and an MPI .*pip install 'xpnet\[mpi\]'"):
        train(communicator="mpi")


def test_nccl_without_a_gpu():
    kind = (CommunicatorUnavailableError, ValueError)  # the second where CuPy is there and the model is NumPy's
    with pytest.raises(kind, match=r"^communicator: 'nccl' (needs CuPy and a GPU|is for arrays of CuPy)"):
        train(communicator="nccl")


@pytest.mark.parametrize("value", [3, object(), ["mpi"]])
def test_what_is_no_communicator(value):
    with pytest.raises(TypeError, match=r"^fit: communicator must be one of xpnet.distributed.communicator's, got "):
        train(communicator=value)


def test_a_kind_of_communicator_that_there_is_not():
    with pytest.raises(
        ValueError, match=r"^communicator: kind must be one of 'auto', 'mpi', 'nccl', 'single', got 'x'$"
    ):
        train(communicator="x")


def test_one_process_under_auto_is_one_without():
    ours, theirs = (list(train(communicator=kind).steps["loss"]) for kind in ("auto", None))
    assert ours == theirs


def test_the_example_comes_to_the_same_on_two_ranks_as_on_one(ranks, tmp_path):
    example = Path(__file__).parents[2] / "examples" / "distributed_digits.py"
    shown = []
    for n in (1, 2):
        status, out, err = ranks(n, "--epochs", 1, "--out", tmp_path / str(n), programs=example)
        assert status == 0, err
        assert [path.name for path in (tmp_path / str(n)).iterdir()] == ["distributed_digits.png"]
        assert out.count("norm of all parameters") == 1
        shown.append(out.partition("last loss")[2])
    numbers = [[float(word.strip(",")) for word in text.split() if word[0].isdigit()] for text in shown]
    assert len(numbers[0]) == 2
    np.testing.assert_allclose(*numbers, rtol=1e-10)


# Checkpoints --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(ranks, tmp_path_factory):
    """What one process comes to whom nobody interrupts."""
    status, found, err = ranks(1, "resumable", tmp_path_factory.mktemp("whole"), programs=PROGRAMS)
    assert status == 0, err
    return found


def same(found, whole):
    assert found["versions"] == 1
    for path, values in whole["parameters"].items():
        np.testing.assert_allclose(found["parameters"][path], values, rtol=0, atol=CLOSE * np.abs(values).max())
    np.testing.assert_allclose(found["losses"], whole["losses"], rtol=CLOSE)
    np.testing.assert_allclose(found["rows"], whole["rows"], rtol=CLOSE)


@pytest.fixture(scope="module")
def stopped(ranks, tmp_path_factory):
    """`stopped(n)`: the folder of a run of n ranks that ended in an epoch: one rank was sent SIGTERM, and all left."""
    folders = {}

    def run(n):
        if n not in folders:
            folders[n] = folder = tmp_path_factory.mktemp(f"stopped-{n}") / "run"
            status, _, err = ranks(n, "resumable", folder, 17, programs=PROGRAMS)
            assert status == 128 + signal.SIGTERM
            step = 17 if n == 1 else 18  # ranks look at each other every third step
            assert f"fit: SIGTERM: stopped after step {step}, in epoch 4 of 12; saved as {folder}" in err
            assert err.count("stopped after step") == 1
        return folders[n]

    return run


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (4, 2)])
def test_a_checkpoint_of_n_ranks_is_taken_up_by_m(ranks, stopped, whole, tmp_path, before, after):
    shutil.copytree(stopped(before), tmp_path / "run")
    status, found, err = ranks(after, "resumable", tmp_path / "run", programs=PROGRAMS)
    assert status == 0, err
    same(found, whole)


def test_as_many_ranks_go_on_bit_for_bit(ranks, stopped, whole, tmp_path):
    shutil.copytree(stopped(2), tmp_path / "stopped")
    _, resumed, _ = ranks(2, "resumable", tmp_path / "stopped", programs=PROGRAMS)
    _, found, _ = ranks(2, "resumable", tmp_path / "run", programs=PROGRAMS)
    assert resumed == found
    same(found, whole)


def test_a_checkpoint_of_another_run_is_refused_by_all_ranks(ranks, whole, tmp_path):
    status, found, err = ranks(2, "refuses_to_resume", tmp_path / "run", programs=PROGRAMS)
    assert status == 0, err
    assert len(found) == 2
    assert len(set(found)) == 1
    assert found[0].startswith(f"{CheckpointError.__name__}: fit: resume: {tmp_path / 'run'}")
    assert "seed is 1 here, 0 there" in found[0]


def begun(start, n, folder, checkpoints=1):
    """A slow run with its processes' numbers, once it has written so many checkpoints."""
    process = start(n, "resumable", folder, 0, 0.01, programs=PROGRAMS)
    line = process.stdout.readline()
    assert line.startswith("PROCESSES "), process.stderr.read()
    numbers = json.loads(line.removeprefix("PROCESSES "))
    while not any(int(name.partition("-")[0]) >= checkpoints for name in CheckpointFolder(folder).names()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    return process, numbers


def test_sigterm_to_the_launcher_lets_all_ranks_save_and_leave(start, ranks, whole, tmp_path):
    process, _ = begun(start, 2, tmp_path / "run")
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert "RETURNED" not in out
    assert process.returncode != 0
    assert "fit: SIGTERM: stopped after step" in err
    same(ranks(1, "resumable", tmp_path / "run", programs=PROGRAMS)[1], whole)


def kill_one(start, ranks, whole, folder, n, choice):
    process, numbers = begun(start, n, folder, choice.randrange(1, 7))  # of nine
    time.sleep(choice.uniform(0.0, 0.07))
    os.kill(choice.choice(numbers), signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    assert process.returncode != 0
    assert "RETURNED" not in out
    end = time.monotonic() + 30
    while not all(map(gone, numbers)):
        assert time.monotonic() < end
        time.sleep(0.05)
    path, _, problems = CheckpointFolder(folder).newest()
    assert problems == []
    status, found, err = ranks(choice.randrange(1, n), "resumable", folder, programs=PROGRAMS)
    assert status == 0, err
    same(found, whole)
    return path.name


def gone(process):
    """Whether a process has ended; what is left of one that no one has waited for counts as ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_ranks_leave_a_whole_checkpoint_and_fewer_go_on(start, ranks, whole, tmp_path, seed):
    kill_one(start, ranks, whole, tmp_path / "run", 2, random.Random(seed))


@pytest.mark.long
def test_ranks_killed_at_twenty_random_moments(start, ranks, whole, tmp_path):
    choice = random.Random(20)
    names = {kill_one(start, ranks, whole, tmp_path / str(i), choice.choice([2, 4]), choice) for i in range(20)}
    assert len(names) > 3, json.dumps(sorted(names))

"""Checkpoints that are damaged, folders that cannot be written, and disks that fill up: the rest stays whole."""

import errno
import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.files import _replacing
from xpnet.training import Callback, Checkpoint, CheckpointError, CheckpointWarning, load_checkpoint
from xpnet.training._checkpoint_folder import CheckpointFolder, Saved

OLDER, NEWEST = "000002-step-12", "000003-step-18"
VALUES = {"step": 7, "run": "a", "note": "ü"}


@pytest.fixture
def run(examples):
    """Trains for three epochs of six steps, from the newest checkpoint of the folder on if that is asked for."""

    def train(*callbacks, epochs=3, **options):
        xpnet.seed(0)
        model = models.mlp([4, 8, 3], dropout=0.25)
        xpnet.fit(
            model,
            data.batches(*examples, 10),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizers.Adam(model, 0.01),
            epochs=epochs,
            callbacks=callbacks,
            **options,
        )
        return model

    return train


@pytest.fixture
def three(tmp_path, run):
    """A folder with three checkpoints, the first of a run of five epochs."""
    run(Checkpoint(tmp_path / "run"))
    return tmp_path / "run"


def listing(folder):
    """All files with their bytes, but for the lock."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != ".lock" and file.is_file()}


def step_taken(folder):
    """The step of the checkpoint that is taken, and what the warning says."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        path = load_checkpoint(folder, models.mlp([4, 8, 3], dropout=0.25))
    assert all(each.category is CheckpointWarning for each in told)
    return path.stem, "".join(str(each.message) for each in told)


# Damaged files ------------------------------------------------------------------------------------------------------


def missing(file):
    file.unlink()


def empty(file):
    file.write_bytes(b"")


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def longer(file):
    file.write_bytes(file.read_bytes() + b"\0")


def of_another(file):
    shutil.copy(file.with_stem(OLDER), file)


def a_folder(file):
    file.unlink()
    file.mkdir()


def a_pipe(file):
    file.unlink()
    os.mkfifo(file)


def a_link_to_nothing(file):
    file.unlink()
    file.symlink_to("nowhere")


def a_link_to_itself(file):
    file.unlink()
    file.symlink_to(file.name)


def zeros(file):
    file.write_bytes(bytes(file.stat().st_size))


DAMAGES = [missing, empty, cut, longer, of_another, a_folder, a_pipe, a_link_to_nothing, a_link_to_itself, zeros]


@pytest.mark.parametrize("kind", ["json", "safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_the_next_older_one_is_taken_and_a_warning_says_so(three, run, bits_of, damage, kind):
    damage(three / f"{NEWEST}.{kind}")
    with pytest.warns(
        CheckpointWarning, match=rf"damaged checkpoints were passed over; .*{OLDER}\.json is taken"
    ) as told:
        model = run(Checkpoint(three, keep=2), resume=three, epochs=4)
    assert any(NEWEST in str(each.message).partition("\n")[2] for each in told)
    assert bits_of(model) == bits_of(run(epochs=4))
    *_, before, last = CheckpointFolder(three).names()
    assert (before[6:], last[6:]) == ("-step-18", "-step-24")
    assert step_taken(three) == (last, "")


def test_a_manifest_that_is_exchanged_with_another(three):
    """Each is right in itself, but the tensors are those of the other."""
    one, other = three / f"{NEWEST}.json", three / f"{OLDER}.json"
    spare = three / "spare"
    one.rename(spare)
    other.rename(one)
    spare.rename(other)
    taken, told = step_taken(three)
    assert taken == "000001-step-6"
    assert f"{NEWEST}.safetensors has " in told
    assert f"{OLDER}.safetensors has " in told


def test_where_none_is_whole_the_error_lists_each(three, run, bits_of):
    cut(three / f"{NEWEST}.json")
    missing(three / f"{OLDER}.safetensors")
    zeros(three / "000001-step-6.safetensors")
    before, model = listing(three), models.mlp([4, 8, 3])
    state = bits_of(model)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* is whole") as caught:
        run(Checkpoint(three), resume=three)
    lines = str(caught.value).splitlines()[1:]
    for line, part in zip(
        lines, [f"{NEWEST}.json: the SHA-256", f"{OLDER}.safetensors", "-6.safetensors: the"], strict=True
    ):
        assert part in line
    with pytest.raises(CheckpointError, match="is whole"):
        load_checkpoint(three, model)
    assert (listing(three), bits_of(model)) == (before, state)


def test_where_the_only_manifest_is_lost_the_run_begins_and_says_so(tmp_path, run, bits_of):
    run(Checkpoint(tmp_path, keep=1))
    (tmp_path / f"{NEWEST}.json").unlink()
    with pytest.warns(
        CheckpointWarning, match=rf"the run begins anew: there is no checkpoint in .*\n.*{NEWEST}.* had no m"
    ):
        model = run(Checkpoint(tmp_path), resume=tmp_path)
    assert bits_of(model) == bits_of(run())


def test_damaged_ones_do_not_count_among_those_that_are_kept(three, run):
    cut(three / f"{NEWEST}.safetensors")
    cut(three / f"{OLDER}.json")
    with pytest.warns(CheckpointWarning, match="000001-step-6.json is taken"):
        run(Checkpoint(three, keep=2), resume=three, epochs=2)
    assert CheckpointFolder(three).names() == ["000001-step-6", OLDER, NEWEST, "000004-step-12"]


def flipped(folder, name, places, bits):
    """Checks that each of these bits counts."""
    file = folder / name
    whole = file.read_bytes()
    for place in places(len(whole)):
        for bit in bits:
            wrong = bytearray(whole)
            wrong[place] ^= 1 << bit
            file.write_bytes(wrong)
            taken, told = step_taken(folder)
            assert taken == OLDER, (place, bit)
            assert name in told
    file.write_bytes(whole)
    assert step_taken(folder) == (NEWEST, "")


def shortened(folder, name, lengths):
    file = folder / name
    whole = file.read_bytes()
    for length in lengths(len(whole)):
        file.write_bytes(whole[:length])
        taken, told = step_taken(folder)
        assert taken == OLDER, length
        assert name in told


@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_some_bytes_changed_and_cut_off(three, kind):
    flipped(three, f"{NEWEST}.{kind}", lambda size: [*range(90), *range(90, size, 101), size - 1], [0])
    shortened(three, f"{NEWEST}.{kind}", lambda size: range(0, size, 101))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["json", "safetensors"])
def test_each_byte_changed_and_cut_off(three, kind):
    flipped(three, f"{NEWEST}.{kind}", range, [0, 5, 7])
    shortened(three, f"{NEWEST}.{kind}", range)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"format": "another"}, "expected the format 'xpnet checkpoint'"),
        ({"version": 2}, "is of version 2, expected 1"),
        ({"tensors": {}}, "expected the size and the SHA-256 of the tensors"),
        ({"tensors": {"bytes": True, "sha256": ""}}, "expected the size and the SHA-256 of the tensors"),
    ],
)
def test_a_manifest_of_another_kind(three, monkeypatch, changed, message):
    """Even where its checksum is right."""
    dumps = json.dumps
    monkeypatch.setattr(json, "dumps", lambda content, **options: dumps(content | changed, **options))
    folder = CheckpointFolder(three)
    folder.write(Saved(VALUES, {}))
    taken, told = step_taken(three)
    assert taken == NEWEST
    assert message in told


def test_arrays_that_are_a_pipe_of_the_size_that_the_manifest_tells(three, monkeypatch):
    dumps, nothing = json.dumps, {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", lambda content, **options: dumps(content | {"tensors": nothing}, **options))
        manifest = CheckpointFolder(three).write(Saved(VALUES, {}))
    arrays = manifest.with_suffix(".safetensors")
    arrays.unlink()
    os.mkfifo(arrays)
    taken, told = step_taken(three)
    assert taken == NEWEST
    assert f"{arrays} is a folder or a device, expected the arrays of a checkpoint" in told


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"callbacks": []}, r"expected what callbacks remember by name, got \[\]"),
        ({"callbacks": {"BestWeights": 7}}, r"expected what callbacks remember by name, got \{'BestWeights': 7\}"),
        ({"nominal": "many"}, "expected a nominal number of examples, got many"),
        ({"batches": 7}, "expected the state of batches, got 7"),
        ({"validation": []}, r"expected the state of validation, got \[\]"),
        ({"epoch": None}, "expected counts of steps, epochs and batches, got "),
        ({"nominal": 0}, "expected a nominal number of examples, got 0"),
    ],
)
def test_values_of_another_kind_change_nothing(tmp_path, network, train, examples, bits_of, changed, message):
    """Even where the checksums are right."""
    train(network(), examples, callbacks=[Checkpoint(tmp_path)])
    folder, other = CheckpointFolder(tmp_path), network(1)
    saved, before = folder.newest()[1], bits_of(other)
    folder.write(Saved(saved.values | changed, saved.arrays))
    with pytest.raises(CheckpointError, match=message):
        train(other, examples, resume=tmp_path)
    assert bits_of(other) == before


@pytest.mark.parametrize("name", ["step", "position", "callbacks", "batches", "rates", "settings"])
def test_values_that_are_lost_change_nothing(tmp_path, network, train, examples, bits_of, monkeypatch, name):
    train(network(), examples, callbacks=[Checkpoint(tmp_path)])
    folder, other = CheckpointFolder(tmp_path), network(1)
    saved, before, dumps = folder.newest()[1], bits_of(other), json.dumps
    with monkeypatch.context() as patch:
        patch.setattr(json, "dumps", lambda told, **o: dumps({k: v for k, v in told.items() if k != name}, **o))
        folder.write(saved)
    with pytest.raises(CheckpointError, match=f"it has no '{name}'"):
        train(other, examples, resume=tmp_path)
    assert bits_of(other) == before


def test_a_manifest_larger_than_any(three):
    os.truncate(three / f"{NEWEST}.json", 2**40)
    taken, told = step_taken(three)
    assert taken == OLDER
    assert f"has {2**40} bytes, expected a manifest of at most" in told


def test_a_run_removes_what_another_is_reading(three, monkeypatch):
    """The newest of the first look are gone at the second: what has come since is taken, and nothing is damaged."""
    read, folder, seen = CheckpointFolder.read, CheckpointFolder(three), []

    def late(self, name):
        if not seen:
            for _ in range(3):
                folder.write(Saved(VALUES, {"a": np.zeros(3)}))
            folder.prune(1)
        seen.append(name)
        return read(self, name)

    monkeypatch.setattr(CheckpointFolder, "read", late)
    path, saved, problems = CheckpointFolder(three).newest()
    assert seen == [NEWEST, "000006-step-7"]
    assert (path.stem, saved.values["step"], problems) == ("000006-step-7", 7, [])


# Disks that fill up, folders that cannot be written -----------------------------------------------------------------


@contextmanager
def files_of_at_most(size):
    """The system refuses to let a file grow above so many bytes, in the middle of a write too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def filled_up(three, sizes):
    """Checks that a disk that is full after so many bytes changes nothing."""
    folder, before = CheckpointFolder(three), listing(three)
    saved = Saved(VALUES, {"a": np.zeros(300), "b": np.ones(100)})
    for size in sizes:
        with pytest.raises(OSError, match="File too large"), files_of_at_most(size):
            folder.write(saved)
        assert listing(three) == before
    folder.write(saved)
    assert step_taken_of(three) == "000004-step-7"
    assert (three / "000004-step-7.safetensors").stat().st_size == WRITTEN


def step_taken_of(path):
    return CheckpointFolder(path).newest()[0].stem


WRITTEN = 3360
"""The bytes of the tensors."""


def test_a_disk_that_is_full_after_some_bytes(three):
    filled_up(three, [*range(12), *range(12, WRITTEN, 97)])


@pytest.mark.long
def test_a_disk_that_is_full_after_any_number_of_bytes(three):
    filled_up(three, range(WRITTEN))


class Failing:
    """Counts the calls to the file system that write or remove; from one on, so many of them fail."""

    def __init__(self, monkeypatch, code):
        self.code, self.first, self.times, self.count = code, sys.maxsize, 1, 0
        for name in ("replace", "fsync", "unlink"):
            monkeypatch.setattr(os, name, self.counted(getattr(os, name)))
        monkeypatch.setattr(_replacing, "open", self.counted(open), raising=False)

    def counted(self, function):
        def call(*arguments, **options):
            self.count += 1
            if self.first <= self.count - 1 < self.first + self.times:
                raise OSError(self.code, os.strerror(self.code))
            return function(*arguments, **options)

        return call

    def set(self, first, times=1):
        self.first, self.times, self.count = first, times, 0


def code_of_failure(folder, saved):
    try:
        folder.write(saved)
    except OSError as error:
        return error.errno
    return None


@pytest.mark.parametrize("times", [1, 2, 100])
def test_a_call_to_the_file_system_that_fails(three, monkeypatch, times):
    """Whichever it is: the newest is whole, what was there is there, and the next can be written."""
    folder, failing, failed = CheckpointFolder(three), Failing(monkeypatch, errno.EIO), 0
    saved = Saved(VALUES, {"a": np.zeros(3)})
    for first in range(30):
        before = folder.names()
        failing.set(first, times)
        code = code_of_failure(folder, saved)
        assert code == (errno.EIO if first < failing.count else None)
        failed += code is not None
        failing.set(sys.maxsize)
        names = folder.names()
        assert names[: len(before)] == before
        for name in names if times == 1 else []:  # else what is half there may be impossible to remove
            folder.read(name)
        with folder.opened():
            assert not [file for file in three.iterdir() if file.name.endswith(".part")]
            folder.write(saved)
        folder.newest()
        folder.prune(2)
    assert failed == 10


@pytest.mark.parametrize("first", range(0, 10, 3))
def test_training_goes_on_where_a_checkpoint_cannot_be_written(tmp_path, run, bits_of, monkeypatch, first):
    failing = Failing(monkeypatch, errno.ENOSPC)
    failing.set(first)
    checkpoint = Checkpoint(tmp_path, every=3)
    with pytest.warns(CheckpointWarning, match=r"could not write into .*No space left on device\); there is none yet"):
        model = run(checkpoint)
    assert bits_of(model) == bits_of(run())
    assert step_taken(tmp_path)[0] == checkpoint.last.stem
    assert len(CheckpointFolder(tmp_path).names()) == 3


def test_older_ones_that_cannot_be_removed(tmp_path, run, monkeypatch):
    """The new one is written, and the warning does not say anything else."""
    checkpoint, remove = Checkpoint(tmp_path, keep=1), os.unlink

    def unlink(path, *arguments, **options):
        if str(path).endswith(".json"):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        remove(path, *arguments, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    with pytest.warns(
        CheckpointWarning, match=r"older ones than .*-(12|18)\.json could not be removed .*Operation not permitted"
    ):
        run(checkpoint)
    assert checkpoint.last.stem == NEWEST
    assert step_taken(tmp_path) == (NEWEST, "")


@pytest.fixture
def read_only(monkeypatch):
    """A filesystem on which nothing can be made or changed (permissions do not count for root)."""

    def refuse(*arguments, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    opened = os.open

    def open_to_read(path, flags, *arguments, **options):
        return refuse() if flags & (os.O_WRONLY | os.O_RDWR) else opened(path, flags, *arguments, **options)

    def start():
        for name in ("replace", "unlink"):
            monkeypatch.setattr(os, name, refuse)
        monkeypatch.setattr(os, "open", open_to_read)
        monkeypatch.setattr(_replacing, "open", refuse, raising=False)

    return start


def test_a_run_does_not_begin_on_a_read_only_folder(tmp_path, run, read_only):
    read_only()
    with pytest.raises(
        OSError, match=r"Checkpoint: cannot write into the folder .*run: Read-only file system"
    ) as caught:
        run(Checkpoint(tmp_path / "run"))
    assert caught.value.errno == errno.EROFS


def test_a_run_can_be_taken_up_from_a_read_only_folder(three, run, bits_of, read_only):
    read_only()
    assert bits_of(run(resume=three, epochs=4)) == bits_of(run(epochs=4))


def test_a_folder_that_becomes_read_only_in_the_run(tmp_path, run, bits_of, read_only):
    checkpoint = Checkpoint(tmp_path)

    def at_the_end_of_an_epoch(run):
        if run.epoch == 2:
            checkpoint.wait()
            read_only()

    with pytest.warns(CheckpointWarning, match=r"Read-only file system\); the last one is .*000001-step-6\.json"):
        model = run(at_the_end_of_an_epoch, checkpoint)
    assert bits_of(model) == bits_of(run())


# Whose files --------------------------------------------------------------------------------------------------------

FOREIGN = [
    *("model.safetensors", "history.json", "notes.part", "000001-step-6.json.bak", "000001-step-6.txt"),
    *("1-step-6.json", "000001-step-x.safetensors", "000001-step-6.safetensors.part", "a000001-step-6.safetensors"),
    *("000001-step-6.json.1.2.part.gz", "000001-STEP-6.safetensors", "000001-step-6 (copy).safetensors"),
]


def test_files_that_are_not_ours_stay(tmp_path, run):
    for name in FOREIGN:
        (tmp_path / name).write_text(name)
    for name in ("000008-step-8.safetensors", "000009-step-9.json.1.2.part"):
        (tmp_path / name).mkdir()
    run(Checkpoint(tmp_path, keep=1, every=1))
    run(Checkpoint(tmp_path, keep=1), resume=tmp_path, epochs=4)
    left = listing(tmp_path)
    assert {name: left.get(name) for name in FOREIGN} == {name: name.encode() for name in FOREIGN}
    assert (tmp_path / "000009-step-9.json.1.2.part").is_dir()
    assert (tmp_path / "000008-step-8.safetensors").is_dir()


def test_what_a_killed_writer_left_is_removed(three, run):
    for name in (f"{NEWEST}.json.1.2.part", "000004-step-24.safetensors.30.40.part", "000004-step-24.safetensors"):
        (three / name).write_text("some of it")
    before = {name for name in listing(three) if name.startswith(("000001", "000002", "000003")) and "part" not in name}
    with pytest.warns(CheckpointWarning, match=r"000004-step-24\.safetensors had no manifest: its writer was killed"):
        run(Checkpoint(three), resume=three)
    assert listing(three).keys() == before


def test_a_link_to_a_folder_is_that_folder(tmp_path, run, bits_of):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there")
    run(Checkpoint(tmp_path / "link"), epochs=2)
    model = run(Checkpoint(tmp_path / "there"), resume=tmp_path / "link")
    assert bits_of(model) == bits_of(run())
    assert len(CheckpointFolder(tmp_path / "there").names()) == 3


@pytest.mark.parametrize(
    "name", ["with blanks  ", "[*]?", "ü–日本", "line\nbreak", "%s{0}", "-rf", "000001-step-1.json", "x" * 255]
)
def test_a_folder_of_any_name(tmp_path, run, bits_of, name):
    run(Checkpoint(tmp_path / name), epochs=2)
    assert bits_of(run(Checkpoint(tmp_path / name), resume=tmp_path / name)) == bits_of(run())
    assert [file.name for file in tmp_path.iterdir()] == [name]


class StopAt(Callback):
    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("source", ["often", "rarely"])
def test_a_run_with_two_checkpoints_goes_on_from_either(tmp_path, run, bits_of, source):
    often, rarely = tmp_path / "often", tmp_path / "rarely"

    def both():
        return Checkpoint(often, every=2, keep=2), Checkpoint(rarely, keep=5)

    with pytest.raises(KeyboardInterrupt):
        run(*both(), StopAt(11))
    assert bits_of(run(*both(), resume=tmp_path / source)) == bits_of(run())
    for folder in (often, rarely):
        assert step_taken(folder)[0].endswith("-18")
    assert bits_of(run(*both(), resume=rarely, epochs=4)) == bits_of(run(epochs=4))


def test_a_second_folder_of_another_run_is_refused(tmp_path, run):
    run(Checkpoint(tmp_path / "one"))
    run(Checkpoint(tmp_path / "two"))
    before = listing(tmp_path / "two")
    with pytest.raises(FileExistsError, match=r"two has checkpoints of an earlier run, up to 000003-step-18"):
        run(Checkpoint(tmp_path / "one"), Checkpoint(tmp_path / "two"), resume=tmp_path / "one")
    assert listing(tmp_path / "two") == before


def test_two_checkpoints_in_one_folder_are_refused(tmp_path, run):
    with pytest.raises(BlockingIOError, match=f"is in use by process {os.getpid()}"):
        run(Checkpoint(tmp_path), Checkpoint(tmp_path))


HOLDER = """
import sys, time
import numpy as np
import xpnet

def stay(run):
    print("running", flush=True)
    time.sleep(600)

model = xpnet.models.mlp([4, 8, 3], dropout=0.25)
xpnet.fit(model, xpnet.data.batches(np.zeros((6, 4), np.float32), np.zeros(6, int), 2), epochs=1,
          loss=xpnet.losses.softmax_cross_entropy, optimizer=xpnet.optimizers.SGD(model, 0.1),
          callbacks=[stay, xpnet.training.Checkpoint(sys.argv[1])])
"""


def test_another_process_is_refused_while_the_first_lives(tmp_path, run):
    paths = os.pathsep.join([str(Path(xpnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}) as first:
        assert first.stdout.readline() == "running\n"
        with pytest.raises(BlockingIOError, match=f"{tmp_path} is in use by process {first.pid} on "):
            run(Checkpoint(tmp_path), resume=tmp_path)
        first.send_signal(signal.SIGKILL)
    run(Checkpoint(tmp_path), resume=tmp_path)

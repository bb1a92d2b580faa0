"""Runs are killed at any moment while they write checkpoints as fast as they can, and end as if they had not been."""

import json
import os
import random
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path

import pytest

import xpnet
from xpnet.training._checkpoint_folder import CheckpointFolder

SCRIPT = Path(__file__).with_name("runs_to_kill.py")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
KILLED = -9
TIMES = 5
"""How often one run is killed."""


class Server:
    """A process that starts runs, and what a run comes to that nobody kills."""

    def __init__(self, place):
        self.place, self.numbers = place, count()
        paths = os.pathsep.join([str(Path(xpnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | ONE_THREAD | {"PYTHONPATH": paths},
        )
        self.expected, self.seconds = {}, {}
        for every in (1, 0.001, "epoch"):
            run = self.new(every)
            self.seconds[every] = run.go()["seconds"]
            self.expected[every] = run.result()
            for _ in range(2):  # a busy machine does not make it longer than it is
                self.seconds[every] = min(self.seconds[every], self.new(every).go()["seconds"])

    def new(self, every):
        return ToKill(self, self.place / f"run-{next(self.numbers)}", every)

    def ask(self, request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0
        self.process.stdout.close()


class ToKill:
    """One run, with its folder."""

    def __init__(self, server, folder, every):
        self.server, self.folder, self.every, self.kills = server, folder, every, []
        self.files = {"seen": str(folder.with_suffix(".seen")), "result": str(folder.with_suffix(".json"))}

    def go(self, **when):
        """Until it is killed, or its end; the folder must then have a whole checkpoint, if it ever had one."""
        found = self.server.ask({"folder": str(self.folder), "every": self.every, "keep": 2} | self.files | when)
        self.kills.append(when)
        assert found["status"] in (0, KILLED), f"the run failed, see above, after {self.kills}"
        seen = Path(self.files["seen"])
        if seen.exists():
            folder = CheckpointFolder(self.folder)
            path, _, problems = folder.newest()
            assert problems == [], self.kills
            assert path.name >= seen.read_text(), f"a checkpoint was known to be whole, and is gone: {self.kills}"
            assert len(folder.names()) <= 3
        return found

    def result(self):
        return json.loads(Path(self.files["result"]).read_text())

    def check(self):
        """It has come to what the run that was not killed came to, and has cleaned up."""
        assert self.result() == self.server.expected[self.every], self.kills
        names = CheckpointFolder(self.folder).names()
        assert len(names) in (
            2,
            3,
        )  # three, where the last one was whole and the run was killed as it removed the first
        files = {".lock", *(f"{name}.{kind}" for name in names for kind in ("json", "safetensors"))}
        assert {file.name for file in self.folder.iterdir()} == files


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """In memory, where there is such a place, as that takes no time."""
    place = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else tmp_path_factory.mktemp("killed")
    with tempfile.TemporaryDirectory(dir=place) as folder:
        found = Server(Path(folder))
        yield found
        found.close()


def kill_at_random(server, every, kills, seed):
    """Kills runs again and again, until so many were killed; one that has been killed five times may end."""
    moments = random.Random(seed)
    while kills > 0:
        run, times, status = server.new(every), 0, KILLED
        while status == KILLED and times < min(TIMES, kills):
            status = run.go(after=moments.random() * server.seconds[every])["status"]
            times += status == KILLED
        if status == KILLED:
            run.go()
        run.check()
        kills -= times


def test_all_three_write_and_come_to_the_same(server):
    assert server.expected[1] == server.expected[0.001] == server.expected["epoch"]
    assert len(server.expected[1]["epochs"]) == 4


@pytest.mark.parametrize(("every", "kills"), [(1, 10), (0.001, 5), ("epoch", 5)])
def test_killed_at_random_moments(server, every, kills):
    kill_at_random(server, every, kills, seed=271828)


@pytest.mark.long
@pytest.mark.parametrize(("every", "kills"), [(1, 300), (0.001, 100), ("epoch", 100)])
def test_killed_at_many_random_moments(server, every, kills):
    kill_at_random(server, every, kills, seed=314159)


def kill_at_calls(server, calls, half):
    """Kills a run at each of these calls to the file system; whether the last of them was still in the run."""
    for call in calls:
        run = server.new("epoch")
        status = run.go(at=call, half=half)["status"]
        if status == KILLED:
            run.go()
        run.check()
    return status == KILLED


@pytest.mark.parametrize("half", [False, True])
def test_killed_at_some_calls_to_the_file_system(server, half):
    assert kill_at_calls(server, range(3, 60, 7), half)


@pytest.mark.long
@pytest.mark.parametrize("half", [False, True])
def test_killed_at_each_call_to_the_file_system(server, half):
    """Until there is no further call: of opening, writing, forcing, renaming, removing, in all checkpoints of a run."""
    assert any(not kill_at_calls(server, [call], half) for call in range(1000))


@pytest.mark.long
def test_killed_twice_at_calls_to_the_file_system(server):
    """Again while it takes the run up, where the first has left something to clean."""
    for first in range(1, 60, 7):
        for second in range(4):
            run = server.new("epoch")
            assert run.go(at=first, half=True)["status"] == KILLED
            assert run.go(at=second, half=True)["status"] == KILLED
            run.go()
            run.check()

"""One rank's error or death ends all of them, with its number and what happened; none waits for ever."""

import json
import os
import random
import signal
import time

import pytest

from xpnet.distributed import Single, ending_together

pytest.importorskip("mpi4py")


@pytest.mark.parametrize(("who", "n"), [(0, 2), (2, 4)])
def test_what_one_rank_raises_ends_all_with_its_number_and_traceback(ranks, who, n):
    status, out, err = ranks(n, "raises", who, "inside")
    assert status != 0
    assert f"rank {who} of {n}: ValueError: no such thing\nTraceback (most recent call last):\n" in err
    assert "programs.py" in err
    assert err.count("Traceback") == 1
    assert "RETURNED" not in out


def test_an_error_outside_ends_all_too(ranks):
    status, _, err = ranks(2, "raises", 1, "outside")
    assert status != 0
    assert "rank 1 of 2: ValueError: no such thing\nTraceback" in err


@pytest.mark.parametrize(("kind", "shown"), [("exit", "SystemExit: 0"), ("interrupt", "KeyboardInterrupt")])
def test_a_rank_that_leaves_ends_all_too(ranks, kind, shown):
    status, _, err = ranks(2, "raises", 1, kind)
    assert status != 0
    assert f"rank 1 of 2: {shown}\n" in err


def test_a_rank_that_fails_before_mpi_begins_ends_all_too(ranks):
    status, out, err = ranks(2, "before_mpi")
    assert status != 0
    assert out.startswith("said before")
    assert "ValueError: before MPI has begun" in err


def test_what_all_ranks_raise_alike_can_be_caught(ranks):
    assert ranks(2, "all_raise", "yes")[:2] == (0, ["went on"] * 2)


def test_what_all_ranks_raise_alike_is_shown_once(ranks):
    status, _, err = ranks(2, "all_raise", "no")
    assert status != 0
    assert err.count("ZeroDivisionError: the global gradient") == 1


def gone(process):
    """Whether a process has ended; what is left of one that no one has waited for counts as ended."""
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def kill_one(start, n, who, after):
    process = start(n, "works_for_ever")
    line = process.stdout.readline()
    while not line.startswith("PROCESSES"):
        assert line, process.stderr.read()
        line = process.stdout.readline()
    numbers = json.loads(line.removeprefix("PROCESSES"))
    time.sleep(after)
    killed = time.monotonic()
    os.kill(numbers[who], signal.SIGKILL)
    assert process.wait(30) != 0
    while not all(map(gone, numbers)):
        assert time.monotonic() - killed < 30
        time.sleep(0.05)


@pytest.mark.parametrize("who", [0, 1])
def test_the_death_of_a_rank_ends_the_others(start, who):
    """Of the first as of another; 0.2 s after the start they are in the middle of reductions."""
    kill_one(start, 2, who, 0.2)


@pytest.mark.long
def test_deaths_at_random_moments_end_the_others(start):
    choice = random.Random(3)
    for _ in range(20):
        n = choice.choice([2, 4])
        kill_one(start, n, choice.randrange(n), choice.uniform(0, 0.5))


def test_one_process_raises_as_always():
    error = ValueError("as always")
    with pytest.raises(ValueError, match="as always") as caught, ending_together(Single()):
        raise error
    assert caught.value is error

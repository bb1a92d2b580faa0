"""The harness, on contenders that compute next to nothing: agreement, turns, and workers that fail."""

import os
import sys
from pathlib import Path

import pytest

from bench.agreement import Mismatch
from bench.case import Case
from bench.comparison import Measurement, compare
from bench.contenders import Contender
from bench.networks import NETWORKS
from bench.passes import resident_memory, wall_clock
from bench.workers import THREAD_VARIABLES, Worker, WorkerError, processors

CASE = Case(NETWORKS["784-40-20-10"], batch=2, threads=1)


@pytest.fixture(autouse=True)
def _fakes_are_found(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)


def fake(name, **options):
    return Contender(name, name, "fake_contenders", options)


def compared(*contenders, said=None, **settings):
    settings = {"passes": ("forward", "step"), "turns": 3, "seconds": 0.001} | settings
    return compare(contenders, CASE, say=(said if said is not None else []).append, **settings)


def test_everyone_has_all_turns_of_each_pass():
    found = compared(fake("one"), fake("two"))
    assert [(m.name, m.contender.name) for m in found] == [
        ("forward", "one"),
        ("forward", "two"),
        ("step", "one"),
        ("step", "two"),
    ]
    for measurement in found:
        assert len(measurement.turns) == 3
        assert all(0 < seconds < 1 for seconds in measurement.turns)
        assert 2**20 < measurement.idle_memory <= measurement.peak_memory


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"logit": 1.01}, "the forward pass differs by"),
        ({"scale": 1.001}, "the loss of the backward pass differs by 0.001, allowed is 0.0001"),
        ({"only": ("step",), "scale": 1.001}, "the loss before a step differs by 0.001, allowed is 0.0001"),
        ({"slope": 0.45}, "the change of the loss by a step differs by 0.1, allowed is 0.02"),
        ({"logit": float("nan")}, "the forward pass differs by nan"),
    ],
)
def test_a_contender_that_computes_something_else_stops_the_comparison(options, what):
    with pytest.raises(Mismatch, match=f"784-40-20-10: two and one do not compute the same: {what}"):
        compared(fake("one"), fake("two", **options))


def test_rounding_is_no_mismatch():
    assert compared(fake("one"), fake("two", logit=1.0001, scale=1.00001, slope=0.501), passes=()) == []


@pytest.mark.parametrize(
    ("fails", "reason"),
    [("build", "RuntimeError: no such network"), ("timing", "the process ended with exit code 3")],
)
def test_the_comparison_goes_on_without_a_worker_that_fails(fails, reason):
    said = []
    found = compared(fake("one"), fake("two", fails=fails), said=said)
    assert {m.contender.name for m in found} == {"one"}
    [line] = said
    assert line.startswith("two is left out of 784-40-20-10: ")
    assert reason in line


def test_a_worker_that_does_not_answer_is_given_up():
    worker = Worker("fake_contenders", {"fails": "forward"}, CASE)
    worker._limit = 0.1
    with pytest.raises(WorkerError, match=r"no answer within 0\.1 seconds"):
        worker.check()
    assert not worker._process.is_alive()
    worker.close()


def test_a_contender_without_a_pass_says_so_and_is_timed_in_the_others():
    said = []
    found = compared(fake("one"), fake("two", only=("forward", "step")), said=said, passes=("backward", "step"))
    assert [(m.name, m.contender.name) for m in found] == [("backward", "one"), ("step", "one"), ("step", "two")]
    assert said == ["two has no backward pass of its own."]


def test_a_contender_that_does_not_suit_the_network_is_not_started():
    unsuited = Contender("two", "two", "fake_contenders", {"fails": "build"}, suits=lambda network: False)
    assert {m.contender.name for m in compared(fake("one"), unsuited)} == {"one"}


def test_a_worker_has_the_threads_of_its_case_and_leaves_the_bench_as_it_was():
    before = dict(os.environ)
    worker = Worker("fake_surroundings", {}, CASE)
    try:
        outputs, _ = worker.check()
    finally:
        worker.close()
    assert outputs.losses[:2] == (1.0, 1.0)
    assert dict(os.environ) == before
    assert "OMP_NUM_THREADS" in THREAD_VARIABLES


def test_median_and_spread_of_the_turns():
    measurement = Measurement(fake("one"), CASE, "step", (5.0, 1.0, 2.0, 4.0, 3.0), 0, 0)
    assert measurement.seconds == 3.0
    assert measurement.spread == pytest.approx(1 / 3)  # quartiles 2 and 4
    assert Measurement(fake("one"), CASE, "step", (2.0,), 0, 0).spread == 0.0


def test_the_clock_counts_calls():
    calls = []
    assert wall_clock(lambda: calls.append(1), 7) > 0
    assert len(calls) == 7


def test_memory_is_counted_in_bytes():
    assert 10 * 2**20 < resident_memory() < 2**40


def test_all_processors_are_given_in_an_order_of_cores():
    assert sorted(processors([0, 1, 2])) == [0, 1, 2]


def test_workers_that_start_together_are_timed_in_turns_as_others_are():
    slow = Contender("slow", "slow", "fake_contenders", compiles=True)
    found = compared(fake("one"), slow, fake("two"), together=True)
    assert [(m.name, m.contender.name) for m in found] == [
        (name, who) for name in ("forward", "step") for who in ("one", "slow", "two")
    ]
    assert all(len(measurement.turns) == 3 for measurement in found)


@pytest.mark.parametrize("fails", ["build", "timing"])
def test_of_workers_that_start_together_one_may_fail(fails):
    said = []
    found = compared(fake("one"), fake("two", fails=fails), fake("three"), said=said, together=True)
    assert {m.contender.name for m in found} == {"one", "three"}
    assert [line.partition(":")[0] for line in said] == ["two is left out of 784-40-20-10"]


def test_without_strictness_those_that_differ_from_most_are_left_out():
    said = []
    contenders = [fake("wrong", slope=0.4), fake("one"), fake("two", slope=0.501)]
    found = compared(*contenders, said=said, together=True, strict=False)
    assert {m.contender.name for m in found} == {"one", "two"}
    assert said == [
        "wrong is left out of 784-40-20-10: compared with one, the change of the loss by a step differs by 0.2, "
        "allowed is 0.02"
    ]


def test_each_precision_is_compared_with_itself():
    half = {"precision": "tf32"}
    contenders = [
        fake("one"),
        Contender("rough", "rough", "fake_contenders", {"logit": 1.01, "slope": 0.45}, **half),
        Contender("rougher", "rougher", "fake_contenders", {"logit": 1.02}, **half),
    ]
    assert {m.contender.name for m in compared(*contenders)} == {"one", "rough", "rougher"}
    coarse = Contender("coarse", "coarse", "fake_contenders", {"logit": 1.2}, **half)
    with pytest.raises(Mismatch, match="coarse and rough do not compute the same: the forward pass differs by"):
        compared(*contenders, coarse)


def test_the_fakes_are_no_part_of_this_process():
    assert "fake_contenders" not in sys.modules

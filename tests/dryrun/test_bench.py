"""The bench's own contenders on CuPy, and its rates: built, captured and timed, over a CUDA that does nothing."""

import pytest


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("check_bench.py")


@pytest.mark.parametrize(
    ("who", "passes"),
    [("eager", ["forward", "backward", "step"]), ("captured", ["forward", "step"]), ("rates", ["product", "copy"])],
)
def test_each_pass_is_timed_by_events(found, who, passes):
    assert found[who] == dict.fromkeys(passes, 6e-3)


def test_a_captured_contenders_step_is_two_copies_and_one_launch(found):
    assert found["step"] == ["<D2D>", "<D2D>", "<graph>"]


def test_memory_is_that_of_the_pool(found):
    assert found["memory"] > 2**20

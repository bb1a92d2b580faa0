"""A pool with a limit, CuPy's own: steps that do not fit leave nothing behind, and what they advise fits."""

import pytest

MIB = 2**20


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("count_memory.py")


@pytest.mark.parametrize("model", ["mlp", "simple_cnn", "vgg_small", "resnet18", "inference"])
def test_the_first_advice_fits(found, model):
    steps = found[model]
    assert len(steps["tried"]) == 1
    assert steps["passed"] == steps["tried"][0]["fits"] < steps["tried"][0]["n"]
    assert steps["steps"] == (model != "inference")
    assert steps["tried"][0]["asked"] > 0
    assert f"A batch of {steps['passed']} should fit: " in steps["tried"][0]["text"]


@pytest.mark.parametrize("model", ["mlp", "simple_cnn", "vgg_small", "resnet18", "inference"])
def test_nothing_of_a_failed_step_stays_in_memory_though_the_error_lives(found, model):
    """But rows of ones and numbers, which are kept for later steps."""
    assert found[model]["tried"][0]["used"] < MIB


def test_not_even_one_example(found):
    tried = found["one"]["tried"]
    assert tried[-1]["fits"] is None
    assert found["one"]["passed"] is None
    assert found["one"]["steps"] == 0


def test_what_the_errors_of_cuda_mean(found):
    lost = {"46", "100", "214", "220", "700", "702", "709", "710", "714", "715", "716", "717", "718", "719", "999"}
    assert {status for status, meaning in found["meanings"].items() if meaning == "lost"} == lost
    assert {status for status, meaning in found["meanings"].items() if meaning == "memory"} == {"2"}


def test_a_gpu_that_is_gone(found):
    reason = "cudaErrorIllegalAddress: an illegal memory access was encountered"
    assert found["gone"].startswith(f"the device is gone ({reason}): ")


def test_data_stay_there_if_they_take_at_most_a_quarter_of_what_the_pool_may_still_give(found):
    assert found["resident"] == [["HostSource", "HostSource"], ["DeviceSource", "DeviceSource"]]

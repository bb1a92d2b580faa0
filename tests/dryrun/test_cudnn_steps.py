"""A training step whose convolutions cuDNN computes, as the dry run sees it."""

import pytest

CONVOLUTIONS = {"simple_cnn": 1, "deep_cnn": 6, "vgg_small": 6}


@pytest.fixture(scope="module")
def steps(dry_run):
    return dry_run("count_cudnn_step.py")


EACH = pytest.mark.parametrize("model", CONVOLUTIONS)


@EACH
def test_a_step_copies_nothing_waits_for_nothing_and_takes_no_new_memory(steps, model):
    for step in steps[model]:
        assert [step[kind] for kind in ("h2d", "d2h", "syncs", "bytes_allocated")] == [0, 0, 0, 0], step["events"]


@EACH
def test_plans_and_handles_are_those_of_the_first_steps(steps, model):
    assert [step["made"] for step in steps[model]] == [[0, 0, 0]] * 2


@EACH
def test_each_convolution_is_one_product_each_way_and_the_first_has_no_way_back(steps, model):
    for step in steps[model]:
        events = [event for event in step["events"] if event.startswith("<cudnn")]
        assert events.count("<cudnn:forward>") == CONVOLUTIONS[model]
        assert events.count("<cudnn:data gradient>") == CONVOLUTIONS[model] - 1
        assert events.count("<cudnn:weight gradient>") == CONVOLUTIONS[model]


def test_it_runs_on_the_current_stream(steps):
    assert steps["streams"] == [True, True, True]


def test_a_captured_step_is_planned_in_its_first_call_and_recorded_on_the_recorders_stream(steps):
    own = steps["captured"]["stream"]
    assert own != 0
    assert steps["captured"]["calls"] == [[2, [0, 0]], [0, [own, own]], [0, [own, own]], [0, []], [0, []]]
    assert steps["captured"]["replays"] == 3

"""What CuPy would do on a GPU, shown without one: by a CUDA that does nothing, and by g++ on the kernels it writes.

Both replace parts of CuPy 14.2, so they run in processes of their own, and only where that version is installed.
"""

import pytest


@pytest.fixture(scope="module")
def counts(dry_run):
    return dry_run("count_mlp_step.py")


def test_a_training_step_is_at_most_25_device_operations(counts):
    assert counts["step"]["total"] <= 25, counts["step"]["events"]


def test_a_larger_batch_asks_for_the_same_operations(counts):
    assert counts["larger"]["events"] == counts["step"]["events"]


@pytest.mark.parametrize("forbidden", ["h2d", "d2h", "syncs"])
def test_a_training_step_copies_nothing_to_or_from_the_host_and_waits_for_nothing(counts, forbidden):
    assert counts["step"][forbidden] == 0, counts["step"]["events"]


def test_adam_changes_all_parameters_in_one_launch(counts):
    assert counts["adam"]["events"][-6:] == [
        "xpnet_sum_of_squares",
        "cupy_sum",
        "_judge",
        "_advance",
        "_corrected",
        "_rule",
    ]


def test_every_chain_of_operations_is_one_kernel(counts):
    names = [event for event in counts["step"]["events"] if event.startswith(("_", "drelu"))]
    assert names == [
        *("_bias_relu", "_bias_relu", "_against_unread_labels", "drelu", "drelu"),
        *("_judge", "_advance", "_corrected", "_rule"),
    ]


def test_a_step_with_dropout_and_batch_norm_waits_for_nothing(counts):
    step = counts["regularized"]
    assert (step["h2d"], step["d2h"], step["syncs"]) == (0, 0, 0), step["events"]
    assert step["total"] <= 37, step["events"]


@pytest.fixture(scope="module")
def images(dry_run):
    return dry_run("count_cnn_step.py")


@pytest.mark.parametrize("model", ["simple_cnn", "deep_cnn", "vgg_small"])
def test_a_convolutional_step_copies_nothing_waits_for_nothing_and_does_not_grow_with_the_batch(images, model):
    small, large = images[model]
    assert [small[kind] for kind in ("h2d", "d2h", "syncs")] == [0, 0, 0], small["events"]
    assert small["events"] == large["events"]


@pytest.mark.parametrize(("model", "limit"), [("simple_cnn", 30), ("deep_cnn", 102), ("vgg_small", 145)])
def test_a_convolutional_step_is_at_most_so_many_device_operations(images, model, limit):
    assert images[model][0]["total"] <= limit, images[model][0]["events"]


@pytest.mark.parametrize("model", ["simple_cnn", "deep_cnn", "vgg_small"])
def test_a_convolutional_step_neither_clears_nor_copies_arrays(images, model):
    assert images[model][0]["memsets"] == images[model][0]["d2d"] == 0, images[model][0]["events"]


def test_clipping_penalty_and_update_do_not_grow_with_the_number_of_parameters(dry_run):
    found = dry_run("count_update.py")
    assert found["parameters"] == [2, 161]
    assert found["few"] == found["many"]
    for name, count in found["many"].items():
        assert (count["h2d"], count["d2h"], count["syncs"]) == (0, 0, 0), (name, count["events"])
        assert count["total"] <= 14, (name, count["events"])


def test_fused_bodies_give_the_plain_bodies_numbers(dry_run):
    differences = dry_run("check_fused_bodies.py")
    assert len(differences) > 40
    assert {name: value for name, value in differences.items() if not value <= 3e-7} == {}


@pytest.fixture(scope="module")
def kernels(dry_run):
    return dry_run("check_kernels.py")


@pytest.mark.parametrize(("dtype", "close"), [("float32", 1e-6), ("float64", 1e-12), ("float16", 1e-3)])
def test_kernels_give_the_plain_seams_numbers(kernels, dtype, close):
    differences = {name: value for name, value in kernels["plain"].items() if name.endswith(dtype)}
    assert len(differences) == 17
    assert {name: value for name, value in differences.items() if not value <= close} == {}


@pytest.mark.parametrize(("dtype", "close"), [("float32", 3e-6), ("float64", 1e-13), ("float16", 1e-3)])
def test_kernels_sum_over_rows_as_exactly_as_the_type_allows(kernels, dtype, close):
    differences = {name: value for name, value in kernels["exact"].items() if name.endswith(dtype)}
    assert len(differences) == 6
    assert {name: value for name, value in differences.items() if not value <= close} == {}


def test_training_steps_by_the_kernels_are_those_of_numpy(dry_run):
    found = dry_run("check_steps.py")
    assert {name: arrays for name, (arrays, _) in found.items()} == {
        "simple_cnn": 22,
        "vgg_small": 100,
        "resnet18": 230,
    }
    assert {name: value for name, (_, value) in found.items() if not value <= 1e-10} == {}

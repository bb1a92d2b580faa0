"""TF32 and mixed precision on CuPy, shown without a GPU: what cuBLAS is asked for, how many operations, which values.

The scripts replace parts of CuPy 14.2, so they run in processes of their own, and only where that version is installed.
"""

import pytest

FLOAT32, TF32 = 68, 77
IN_MEMORY = {"float32": 0, "float16": 2}


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("count_precision.py")


@pytest.mark.parametrize(
    ("choice", "compute"),
    [
        ("float32", FLOAT32),
        ("a block in tf32", TF32),
        ("after the block", FLOAT32),
        ("tf32", TF32),
        ("a block in float32", FLOAT32),
        ("another library is chosen", FLOAT32),
    ],
)
def test_each_product_is_one_call_that_computes_as_chosen(found, choice, compute):
    products = found["choices"][choice]["products"]
    names = ["gemmEx", "gemmEx", "gemmStridedBatchedEx", "gemmStridedBatchedEx"]
    assert products == [[name, 0, 0, 0, compute] for name in names]
    assert found["choices"][choice]["total"] == 4, found["choices"][choice]["events"]


def test_sums_are_never_computed_in_tf32_and_float16_is_added_up_in_float32(found):
    half, single = IN_MEMORY["float16"], IN_MEMORY["float32"]
    assert [product[1:] for product in found["choices"]["sums and halves"]["products"]] == [
        *([single, single, single, FLOAT32], [half, half, single, FLOAT32], [half, half, half, FLOAT32]),
        *([half, half, half, FLOAT32], [half, half, single, FLOAT32], [half, half, half, FLOAT32]),
    ]


def test_a_training_step_in_tf32_leaves_only_its_sums_in_float32(found):
    computed = [product[-1] for product in found["choices"]["a step in tf32"]["products"]]
    assert (computed.count(TF32), computed.count(FLOAT32)) == (5, 2)


@pytest.mark.parametrize("model", ["mlp", "regularized", "simple_cnn", "frozen"])
def test_a_mixed_step_waits_for_nothing_and_copies_nothing_to_or_from_the_host(found, model):
    step = found["steps"]["float16"][model]
    assert (step["h2d"], step["d2h"], step["syncs"]) == (0, 0, 0), step["events"]


@pytest.mark.parametrize(("model", "more"), [("mlp", 5), ("frozen", 5), ("regularized", 5), ("simple_cnn", 8)])
def test_a_mixed_step_is_few_operations_more(found, model, more):
    """Inputs, parameters, outputs, their gradient and the parameters' gradients change type: once each."""
    single, half = (found["steps"][precision][model] for precision in ("float32", "float16"))
    assert half["total"] - single["total"] <= more, half["events"]


def test_the_products_of_a_mixed_step_are_of_float16(found):
    products = found["steps"]["float16"]["mlp"]["products"]
    of_half = [product for product in products if product[1:3] == [IN_MEMORY["float16"]] * 2]
    assert len(of_half) == len(products)  # the loss, in float32, is added up by a reduction
    assert {product[-1] for product in products} == {FLOAT32}


def test_unscaling_and_adapting_are_one_launch_each(found):
    assert found["steps"]["float16"]["mlp"]["events"][-7:] == [
        "cupy_multiply__float16_float32_float32",
        "xpnet_sum_of_squares",
        "cupy_sum",
        "_adapt",
        "_advance",
        "_corrected",
        "_rule",
    ]


def test_fused_bodies_on_float16_give_the_plain_bodies_numbers(dry_run):
    differences = dry_run("check_half_bodies.py")
    assert len(differences["bodies"]) > 35
    assert {name: value for name, value in differences["bodies"].items() if not value <= 1e-3} == {}
    assert {name: value for name, value in differences["cases"].items() if value != 0.0} == {}


def test_products_asked_of_cublas_are_numpys_for_every_layout(dry_run):
    differences = dry_run("check_products.py")
    assert len(differences) > 100
    bounds = {name: 1e-3 if "float16" in name and "into" not in name else 1e-6 for name in differences}
    assert {name: value for name, value in differences.items() if not value <= bounds[name]} == {}

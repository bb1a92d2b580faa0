"""A captured step over a CUDA and a cuBLAS that do nothing: what is started, when, and with which arguments."""

import pytest


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("check_capture.py")


def test_a_replay_is_one_graph_and_the_copies_of_its_inputs(found):
    *_, last = found["traces"]
    assert [event for event in last["events"] if event != "cupy_fill"] == ["<D2D>", "<D2D>", "<graph>"]
    assert last["calls"] == []


def test_the_calls_before_are_real_steps(found):
    first, second, third = found["traces"][:3]
    assert first["calls"][:1] == ["create"]
    assert "product" not in first["calls"]
    assert second["calls"][:2] == ["stream", "workspace"]
    assert second["calls"].count("product") == sum(event.startswith("<gemm") for event in first["events"])
    assert third["events"][-1] == "<graph>"
    assert found["counters"] == [1, 4, 6, True]


def test_a_thousand_replays_allocate_nothing(found):
    assert found["thousand"]["bytes"] == 0
    rate = {"<memset>", "cupy_fill"}  # the learning rate is written where it changed
    assert set(found["thousand"]["events"]) <= {"<D2D>", "<graph>", *rate}


@pytest.mark.parametrize("product", ["product", "products", "transposed"])
def test_the_private_handle_gets_what_cupy_s_own_would_get(found, product):
    """Handle, pointers to one and zero and to the result are others; a type of numbers becomes a type to compute in."""
    theirs, ours = found["arguments"][product]["theirs"], found["arguments"][product]["ours"]
    batched = found["arguments"][product]["kind"] == "gemmStridedBatchedEx"
    alpha, beta, result = (6, 15, 16) if batched else (6, 13, 14)
    assert ours[0] == 0xC0B1A5
    assert (ours[alpha], ours[beta]) == (1.0, 0.0)
    assert ours[-2] == 68
    same = [i for i in range(1, len(theirs)) if i not in (alpha, beta, result, len(theirs) - 2)]
    assert [ours[i] for i in same] == [theirs[i] for i in same]


def test_products_of_other_threads_go_where_they_always_go(found):
    assert found["threads"] == {"theirs": 1, "ours": ["product"]}


def test_a_look_at_a_value_is_named_with_its_line(found):
    (message,) = found["look"]
    assert "check_capture.py, line " in message
    assert "`if float(loss) > 1e9:`, cannot be recorded (RuntimeError: the current stream is capturing" in message
    assert found["after the look"] == [0, 4, True, 0]


def test_an_upload_from_the_host_is_named_with_its_line(found):
    (message,) = found["upload"]
    assert "cupy.asarray([1.0, 2.0, 3.0, 4.0]" in message
    assert "H2D transfers are disallowed" in message


def test_kept_arrays_live_as_long_as_the_graphs_that_read_them(found):
    assert found["kept"] == [True, True]  # also those of a step without arguments


def test_a_rehearsal_that_fails_is_waited_for(found):
    assert found["events behind a rehearsal"] == 1


def test_memory_of_a_graph_stays_where_another_step_finds_none(found):
    assert found["out of memory"] == {"freed": 0, "given back": True}
    assert found["freed with its recorder"]


def test_a_product_that_comes_out_wrong_is_found_before_anything_is_recorded(found):
    (message,) = found["self-test"]
    assert "a first product that was recorded came out wrong" in message


def test_another_version_of_cupy_is_not_recorded(found):
    (message,) = found["version"]
    assert "recording is written for CuPy 14, and this is 15.0.0" in message


def test_a_missing_library_is_named(found):
    assert "libcublas.so.12 cannot be loaded (libcublas.so.12: no such file)" in found["library"]


def test_fit_waits_only_when_it_looks(found):
    assert found["fit"]["graphs"] == 38
    waits = found["fit"]["waits between graphs"]
    assert [i for i, count in enumerate(waits) if count] == [7, 17, 27]

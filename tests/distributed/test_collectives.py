"""What ranks send each other arrives, on every backend, and what they compute together is the same bits on all."""

import pytest

pytest.importorskip("mpi4py")


def test_reductions_are_right_and_the_same_bits_on_all_ranks(found):
    assert {name.split()[0] for name in found["reductions"]} >= {"numpy", "array_api_strict"}
    for name, (same, apart, dtype) in found["reductions"].items():
        assert same, name
        assert apart < (1e-15 if "float64" in name else 1e-6), name
        assert dtype == name.split()[1]


def test_arrays_of_any_size_have_the_same_bits_on_all_ranks_and_in_each_run(found):
    assert len(found["sizes"]) == 7
    assert set(found["sizes"].values()) == {1}


def test_pieces_that_are_begun_add_up_to_the_whole(found):
    apart, bits = found["pieces"]
    assert apart < 1e-14
    assert bits == 1


def test_arrays_of_all_types_and_layouts_arrive_from_each_root(found):
    assert [name for name, right in found["broadcasts"].items() if not right] == []
    assert len(found["broadcasts"]) == found["n"] * 7 + 2


def test_values_of_python_arrive_whole(found):
    gathered, shared, infinite, places, shown = found["objects"]
    n = found["n"]
    assert gathered == [{"rank": rank, "list": [None, True, 0.1, "é" * rank]} for rank in range(n)]
    assert shared == [{"loss": 0.1, "best": None}] * n
    assert infinite == f"[{', '.join(['nan', *['inf'] * (n - 1)])}]"
    assert sorted(places) == [
        [rank, rank, n] for rank in range(n)
    ]  # a launcher may number a machine's in another order
    assert shown == f"MPI(rank 0 of {n})"


def test_a_barrier_waits_for_the_last(found):
    assert found["late"] > 0.3


def test_ranks_that_share_batches_train_as_one_process_does(found):
    """Even and uneven shares, and ranks without examples, in the last batch or in each."""
    assert len(found["training"]) == 3
    for name, (apart, bits) in found["training"].items():
        assert apart < 1e-12, name
        assert bits == 1, name


def test_the_loop_of_the_documentation_trains_the_same_model_on_all_ranks(found):
    right, bits = found["documented"]
    assert right > 0.8
    assert bits == 1


def test_one_rank_of_mpiexec_is_single(ranks):
    assert ranks(1, "auto")[:2] == (0, "Single()")

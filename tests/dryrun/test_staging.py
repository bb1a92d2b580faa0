"""A GPU's arrays on their way to MPI: there and back by pinned memory, or as they are where MPI takes them."""

import pytest


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("count_staging.py")


def test_by_the_host_it_is_one_copy_there_and_one_back(found):
    staged = found["staged"]
    assert staged["handed"] == "numpy"
    assert staged["events"].count("<D2H>") == 1
    assert staged["events"].count("<H2D>") == 1
    assert staged["events"].index("<D2H>") < staged["events"].index("<H2D>")
    assert not set(staged["events"]) - {"<D2H>", "<H2D>", "<sync>"}


def test_where_mpi_takes_gpus_arrays_the_host_waits_and_copies_nothing(found):
    assert found["aware"] == {"handed": "cupy", "events": ["<sync>"]}


def test_the_copy_looks_like_the_array(found):
    assert (found["shape"], found["dtype"], found["empty"]) == ([2, 3], "float32", [0, 3])

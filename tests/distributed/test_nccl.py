"""What NCCL is asked for, by a stand-in: how often, on which stream, and what of it the others do by MPI."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.distributed.fake_nccl import KINDS, OPERATIONS, FakeCuPy, FakeMPI, on_gpu
from xpnet.backend import _nccl as backend_nccl
from xpnet.distributed import CommunicatorUnavailableError, _nccl
from xpnet.distributed._nccl import NCCL, shared_gpus

FLOAT32, SUM = KINDS["NCCL_FLOAT32"], OPERATIONS["NCCL_SUM"]


@pytest.fixture
def cupy(monkeypatch):
    monkeypatch.setattr(_nccl, "_on_gpu", lambda x: hasattr(x.data, "ptr"))
    return FakeCuPy()


@pytest.fixture
def mpi():
    return FakeMPI()


@pytest.fixture
def ranks(cupy, mpi):
    made = NCCL(mpi, cupy)
    assert cupy.fake.log == [
        ("begun", 4, (3, -1, 4), 1),
        ("all reduce", 1, FLOAT32, SUM, "computing"),  # connections are made before anything is recorded
        ("waited",),
    ]
    cupy.fake.log.clear()
    return made


def test_one_reduction_is_one_call_on_the_current_stream_and_nothing_waits(ranks, cupy):
    x = cupy.array([1.0, 2.0, 3.0])
    ranks.all_reduce(x)
    assert cupy.fake.log == [("all reduce", 3, FLOAT32, SUM, "computing")]
    assert x.tolist() == [4.0, 8.0, 12.0]
    assert ranks.recordable


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("op", ["sum", "max", "min"])
def test_types_and_operations_are_told_in_nccls_terms(ranks, cupy, dtype, op):
    ranks.all_reduce(cupy.array([1, 2], dtype), op)
    assert cupy.fake.log == [
        ("all reduce", 2, KINDS[f"NCCL_{dtype.upper()}"], OPERATIONS[f"NCCL_{op.upper()}"], "computing")
    ]


def test_a_mean_is_the_sum_divided(ranks, cupy):
    x = cupy.array([1.0, 2.0])
    ranks.all_reduce(x, "mean")
    assert cupy.fake.log == [("all reduce", 2, FLOAT32, SUM, "computing")]
    assert x.tolist() == [1.0, 2.0]
    assert x.dtype == np.float32


def test_what_is_begun_runs_beside_and_the_wait_is_the_streams(ranks, cupy):
    x = cupy.array([1.0, 2.0])
    request = ranks.start_all_reduce(x, "mean")
    assert cupy.fake.log == [
        ("record", "computing"),
        ("wait", "side", ("event", "computing")),
        ("all reduce", 2, FLOAT32, SUM, "side"),
        ("record", "side"),
    ]
    cupy.fake.log.clear()
    request.wait()
    request.wait()
    assert cupy.fake.log == [("wait", "computing", ("event", "side"))]
    assert x.tolist() == [1.0, 2.0]


def test_a_broadcast_is_of_bytes(ranks, cupy):
    ranks.broadcast(cupy.array([1.0, 2.0, 3.0], "float64"), root=2)
    assert cupy.fake.log == [("broadcast", 24, KINDS["NCCL_INT8"], 2, "computing")]


def test_arrays_of_the_host_and_everything_else_go_by_mpi(ranks, cupy, mpi):
    x = np.ones(3)
    ranks.all_reduce(x, "max")
    ranks.start_all_reduce(x)
    ranks.broadcast(x, 1)
    ranks.barrier()
    ranks.abort("the end")
    assert [name for name, *_ in mpi.log] == ["all_reduce", "start_all_reduce", "broadcast", "barrier", "abort"]
    assert mpi.log[0][2] == "max"
    assert ranks.all_gather_object("here") == ["here"] * 4
    assert ranks.broadcast_object("here") == "here"
    assert (ranks.rank, ranks.size, ranks.local_rank, repr(ranks)) == (1, 4, 1, "NCCL(rank 1 of 4)")
    assert cupy.fake.log == []


def test_what_cannot_be_sent_is_an_error_before_nccl_is_asked(ranks, cupy):
    with pytest.raises(ValueError, match=r"NCCL: an array of shape \(2, 2\) is not contiguous; send a copy"):
        ranks.all_reduce(cupy.array([[1.0, 2.0], [3.0, 4.0]]).T)
    with pytest.raises(TypeError, match="the sum is for arrays of float32, float64, int32 and int64, got bool"):
        ranks.all_reduce(cupy.array([True], "bool"))
    with pytest.raises(ValueError, match="all_reduce: op must be one of 'sum', 'mean', 'max', 'min', got 'median'"):
        ranks.start_all_reduce(cupy.array([1.0]), "median")
    assert cupy.fake.log == []


def test_a_group_refuses_types_that_nccl_does_not_sum(cupy):
    group = cupy.nccl_group(0, 2, [3, -1, 4])
    with pytest.raises(TypeError, match="NCCL: arrays of bool cannot be summed; float16, float32"):
        group.all_reduce(on_gpu([True], "bool"), "sum")


def test_where_one_rank_has_no_nccl_all_say_which(cupy):
    there = FakeMPI(others=lambda value, rank: "rank 3: CuPy finds no NCCL library" if rank == 3 else None)
    with pytest.raises(CommunicatorUnavailableError, match="NCCL cannot be used: rank 3: CuPy finds no NCCL library"):
        NCCL(there, cupy)
    with pytest.raises(CommunicatorUnavailableError, match=r"NCCL cannot be used: rank 1: no library$"):
        NCCL(FakeMPI(others=lambda value, rank: None), FakeCuPy(problem="no library"))
    assert cupy.fake.log == []


def test_ranks_that_share_a_gpu_are_found():
    def two_machines(place, rank):
        return ["one" if rank < 2 else "two", "0000:01" if rank in (0, 3) else "0000:02"]

    assert shared_gpus(FakeMPI(others=two_machines), ("one", "0000:02")) == []
    assert shared_gpus(FakeMPI(others=two_machines), ("one", "0000:01")) == [[0, 1]]


def test_a_library_that_is_missing_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    with pytest.raises(ImportError, match="CuPy finds no NCCL library: pip install nvidia-nccl-cu12 "):
        backend_nccl.load()
    there = SimpleNamespace(available=True)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", there)
    assert backend_nccl.load() is there

"""Which communicator there is for whom, and what is said where there is none."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import xpnet
from tests.distributed.conftest import ENVIRONMENT
from tests.distributed.fake_nccl import FakeCuPy, FakeMPI
from xpnet.backend import get_backend
from xpnet.distributed import (
    CommunicatorUnavailableError,
    CommunicatorWarning,
    Single,
    _choice,
    _ending,
    _mpi,
    _nccl,
    communicator,
    launched_size,
    local_rank,
)
from xpnet.distributed._nccl import NCCL

NAMES = [name for name in os.environ if name.startswith(("PMI", "OMPI", "MV2", "SLURM", "MPI_", "PALS", "ALPS"))]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Whatever has started the tests."""
    for name in NAMES:
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(_ending, "_last_resort", None)
    monkeypatch.setattr(_nccl, "_on_gpu", lambda x: hasattr(x.data, "ptr"))


@pytest.fixture
def launched(monkeypatch):
    """`launched(mpi)`: this process is one of several, whose MPI is that stand-in."""

    def start(mpi):
        monkeypatch.setenv("PMI_SIZE", str(mpi.size))
        monkeypatch.setattr(_choice, "MPI", lambda **options: mpi)
        return mpi

    return start


@pytest.mark.parametrize(
    ("environment", "size", "local"),
    [
        ({}, 1, 0),
        ({"PMI_SIZE": "4", "PMI_RANK": "3", "MPI_LOCALRANKID": "1"}, 4, 1),
        ({"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_LOCAL_RANK": "2"}, 8, 2),
        ({"SLURM_STEP_NUM_TASKS": "16", "SLURM_LOCALID": "3"}, 16, 3),
        ({"SLURM_NTASKS": "16", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}, 1, 0),  # the script of sbatch itself
        ({"SLURM_STEP_NUM_TASKS": "1", "PMI_SIZE": "4", "MPI_LOCALRANKID": "2", "SLURM_LOCALID": "0"}, 4, 2),
        ({"PMIX_RANK": "2"}, None, 0),
    ],
)
def test_launchers_tell_by_the_environment(monkeypatch, environment, size, local):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert launched_size() == size
    assert local_rank() == local


def test_one_process_alone_is_single_and_needs_no_mpi(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert isinstance(communicator(), Single)
    assert isinstance(communicator("single"), Single)


def test_one_of_several_may_choose_to_be_single(launched):
    launched(FakeMPI())
    assert isinstance(communicator("single"), Single)


def test_an_unknown_kind_is_an_error():
    with pytest.raises(ValueError, match="kind must be one of 'auto', 'mpi', 'nccl', 'single', got 'gloo'"):
        communicator("gloo")


@pytest.mark.parametrize("kind", ["auto", "mpi"])
def test_several_processes_without_mpi4py_do_not_train_each_for_itself(monkeypatch, kind):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    expected = r"processes that train together need mpi4py and an MPI \(.*\): pip install 'xpnet\[mpi\]'"
    with pytest.raises(CommunicatorUnavailableError, match=expected):
        communicator(kind)


def test_a_launcher_of_another_mpi_is_an_error():
    pytest.importorskip("mpi4py")
    found = subprocess.run(
        [sys.executable, "-c", "import xpnet; xpnet.distributed.communicator()"],
        env={name: value for name, value in ENVIRONMENT.items() if name not in NAMES} | {"OMPI_COMM_WORLD_SIZE": "4"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode != 0
    assert "communicator: 4 processes were started together, but MPI finds each of them alone" in found.stderr


def test_several_that_only_mpi_knows_to_be_one_are_single(monkeypatch, launched):
    launched(FakeMPI(rank=0, size=1))
    monkeypatch.delenv("PMI_SIZE")
    monkeypatch.setenv("PMIX_RANK", "0")
    assert isinstance(communicator(), Single)


def test_arrays_of_the_host_go_by_mpi(launched):
    mpi = launched(FakeMPI())
    assert communicator() is mpi
    assert communicator("mpi") is mpi


def gpus(value, rank):
    """The other ranks have CuPy, NCCL (no problem with it), and each its own GPU."""
    return ("here", f"0000:1{rank}") if isinstance(value, tuple) else value if isinstance(value, bool) else None


def shared(value, rank):
    return value


def test_arrays_of_gpus_go_by_nccl_where_each_rank_has_one(launched):
    launched(FakeMPI(others=gpus))
    assert isinstance(communicator(backend=FakeCuPy()), NCCL)
    assert isinstance(communicator("nccl", backend=FakeCuPy()), NCCL)


@pytest.mark.parametrize(
    ("others", "backend", "expected"),
    [
        (shared, FakeCuPy(), "NCCL needs a GPU for each rank, and ranks 0, 1, 2, 3 share one: xpnet.set_backend"),
        (gpus, FakeCuPy(problem="no library"), "NCCL cannot be used: rank 1: no library"),
    ],
)
def test_without_nccl_gpus_go_by_mpi_unless_it_was_asked_for(launched, others, backend, expected):
    mpi = launched(FakeMPI(others=others))
    assert communicator(backend=backend) is mpi
    launched(FakeMPI(rank=0, others=others))
    with pytest.warns(
        CommunicatorWarning, match=rf"{expected.replace('rank 1', 'rank 0')}.*\. Arrays go by MPI meanwhile"
    ):
        communicator(backend=backend)
    launched(mpi)
    with pytest.raises(CommunicatorUnavailableError, match=expected):
        communicator("nccl", backend=backend)


def test_nccl_is_for_cupy(monkeypatch):
    monkeypatch.setattr(_choice, "why_unavailable", lambda name: None)
    with pytest.raises(ValueError, match=r"'nccl' is for arrays of CuPy, and the backend is 'numpy': xpnet\.set"):
        communicator("nccl", backend=xpnet.set_backend("numpy"))


def test_nccl_without_cupy_or_a_gpu_says_what_mends_it(monkeypatch):
    monkeypatch.setattr(_choice, "why_unavailable", lambda name: "backend 'cupy' needs cupy")
    expected = "communicator: 'nccl' needs CuPy and a GPU: backend 'cupy' needs cupy; 'mpi' needs neither"
    with pytest.raises(CommunicatorUnavailableError, match=expected):
        communicator("nccl", backend=get_backend())


def test_an_error_that_nobody_catches_goes_to_the_ranks(launched, monkeypatch):
    mpi = launched(FakeMPI())
    before = []
    monkeypatch.setattr(sys, "excepthook", lambda *error: before.append(error))
    communicator()
    error = ValueError("nobody caught it")
    error.add_note("a note")
    sys.excepthook(ValueError, error, None)
    [(name, message), *_] = mpi.log
    assert name == "abort"
    assert message == "ValueError: nobody caught it\nValueError: nobody caught it\na note"


@pytest.mark.parametrize(("rank", "times"), [(0, 1), (1, 0)])
def test_what_all_raise_alike_is_shown_by_the_first(launched, monkeypatch, rank, times):
    mpi, before = launched(FakeMPI(rank=rank)), []
    monkeypatch.setattr(sys, "excepthook", lambda *error: before.append(error))
    communicator()
    sys.excepthook(CommunicatorUnavailableError, CommunicatorUnavailableError("all of them"), None)
    assert len(before) == times
    assert mpi.log == []


def test_an_mpi_that_does_not_tell_is_not_handed_arrays_of_gpus(tmp_path):
    no_library = tmp_path / "MPI.so"
    no_library.write_bytes(b"nothing")
    assert not _mpi._takes_device_arrays(SimpleNamespace(__file__=str(no_library)))
    assert not _mpi._takes_device_arrays(SimpleNamespace(__file__=None))  # this process itself, which has no such name

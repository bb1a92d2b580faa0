"""Real runs: a program of programs.py, or of another file, under mpiexec, on as many ranks as a test asks for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import xpnet

PROGRAMS = Path(__file__).parent / "programs.py"
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join([str(Path(xpnet.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"),
}


@pytest.fixture(scope="session")
def mpiexec():
    """The launcher of the MPI that mpi4py finds: beside this Python, or on the path."""
    pytest.importorskip("mpi4py")
    beside = Path(sys.executable).parent / "mpiexec"
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None:
        pytest.skip("there is no mpiexec: pip install 'xpnet[mpi]'")
    return found


@pytest.fixture(scope="session")
def start(mpiexec):
    """`start(n, name, …)`: the running process of mpiexec; it and its ranks are gone when the tests end."""
    running = []

    def begin(n, name, *arguments, programs=PROGRAMS):
        command = [mpiexec, "-n", str(n), sys.executable, str(programs), name, *map(str, arguments)]
        running.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        )
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def ranks(start):
    """`ranks(n, name, …)`: the exit status, what rank 0 has returned, and standard error."""

    def run(n, name, *arguments, programs=PROGRAMS):
        process = start(n, name, *arguments, programs=programs)
        out, err = process.communicate(timeout=100)
        found = [line.removeprefix("RETURNED ") for line in out.splitlines() if line.startswith("RETURNED ")]
        return process.returncode, json.loads(found[0]) if found else out, err

    return run


@pytest.fixture(scope="session", params=[2, pytest.param(4, marks=pytest.mark.long)])
def found(ranks, request):
    """What `everything` has returned on two and on four ranks, and their number."""
    status, returned, err = ranks(request.param, "everything")
    assert status == 0, err
    return returned | {"n": request.param}

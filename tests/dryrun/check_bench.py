"""Builds and times the bench's contenders on CuPy over a CUDA that does nothing; prints JSON. Run by test_bench.py."""

import ctypes
import json
import pathlib
import subprocess
import tempfile

import cupy_dryrun
import cupy

folder = pathlib.Path(tempfile.mkdtemp(prefix="cublas_stub_"))
command = ["gcc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcublas.so.12", "-o", str(folder / "stub.so")]
subprocess.run([*command, str(pathlib.Path(__file__).with_name("cublas_stub.c"))], check=True)
stub = ctypes.CDLL(str(folder / "stub.so"))  # the next to ask for libcublas.so.12 gets this one

from bench.case import Case
from bench.contenders import _xpnet
from bench.gpu import rates
from bench.networks import NETWORKS
from xpnet.backend import _cupy_graph

cupy.cuda.runtime.deviceSynchronize = lambda: None
cupy.cuda.get_elapsed_time = lambda start, stop: 6.0
_cupy_graph.CudaRecorder.check = lambda self: None  # nothing is computed here, so its product would come out wrong


def times(passes):
    return {name: passes.clock(run, 3) for name, run in passes.run.items()}


case = Case(NETWORKS["simple_cnn"], batch=4, threads=1)
eager = _xpnet.build(case, backend="cupy")
captured = _xpnet.build(case, backend="cupy", captured=True)
for _ in range(3):  # as when outputs are compared
    captured.run["step"]()
rates.SIDE, rates.COPIED = 64, 1024
found = {"eager": times(eager), "captured": times(captured), "rates": times(rates.build(case, precision="float32"))}
with cupy_dryrun.trace() as trace:
    captured.run["step"]()
print(json.dumps(found | {"step": trace.events, "memory": eager.memory()}))

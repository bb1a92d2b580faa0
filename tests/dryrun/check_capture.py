"""What recording a step asks of CUDA and cuBLAS, over a CUDA that does nothing; prints JSON. Run by test_capture.py."""

import ctypes
import gc
import json
import pathlib
import subprocess
import tempfile
import threading
import warnings

import cupy_dryrun
import cupy

import xpnet
from xpnet.backend import CaptureUnavailableError, _cupy_graph, capture
from xpnet.losses import softmax_cross_entropy
from xpnet.training import train_step
import contextlib

folder = pathlib.Path(tempfile.mkdtemp(prefix="cublas_stub_"))
command = ["gcc", "-shared", "-fPIC", "-w", "-Wl,-soname,libcublas.so.12", "-o", str(folder / "stub.so")]
subprocess.run([*command, str(pathlib.Path(__file__).with_name("cublas_stub.c"))], check=True)
stub = ctypes.CDLL(str(folder / "stub.so"))  # the next to ask for libcublas.so.12 gets this one
stub.stub_calls.restype = ctypes.c_char_p
stub.stub_last.restype = ctypes.POINTER(ctypes.c_double)

found = {}
xpnet.set_backend("cupy")
x, t = cupy.zeros((8, 4), "float32"), cupy.zeros((8,), "int64")


def stepping(make=lambda: xpnet.models.mlp([4, 8, 3], batch_norm=True, dropout=0.5)):
    model = make()
    optimizer = xpnet.optimizers.Adam(model, xpnet.schedules.cosine(0.1, steps=50), clip_norm=1.0)

    def step(x, t):
        return train_step(model, x, t, loss=softmax_cross_entropy, optimizer=optimizer)[0]

    return step, optimizer


def take(calls):
    """The names of calls since the last time."""
    names = stub.stub_calls().decode().split()
    stub.stub_clear()
    return names


def warnings_of(action):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return [str(warning.message) for warning in caught]


# Nothing is computed here, so the first product comes out wrong, and that is what a user is told.
step = capture(stepping()[0])
found["self-test"] = warnings_of(lambda: step(x, t))

_cupy_graph.CudaRecorder.check = lambda self: None
step, optimizer = stepping()
captured = capture(step)
take(captured)
traces = []
for _ in range(6):
    with cupy_dryrun.trace() as trace:
        captured(x, t)
    traces.append({"events": list(trace.events), "calls": take(captured), "bytes": trace.bytes_allocated})
found["traces"] = traces
found["counters"] = [captured.graphs, captured.replays, optimizer.steps, gc.isenabled()]

with cupy_dryrun.trace() as trace:
    for _ in range(1000):
        captured(x, t)
found["thousand"] = {"bytes": trace.bytes_allocated, "events": sorted(set(trace.events))}

# The private handle gets what CuPy's own function would get, but for the handle and the type to compute in.
a, b = cupy.zeros((5, 7), "float32"), cupy.zeros((7, 3), "float32")
planes = cupy.zeros((2, 5, 7), "float32"), cupy.zeros((2, 7, 3), "float32")
products = _cupy_graph.Products(cupy)
arguments = {}
for name, operands in {"product": (a, b), "products": planes, "transposed": (a, planes[0][0])}.items():
    left, right = operands if name != "transposed" else (a.T, planes[0][1])
    with cupy_dryrun.trace():
        cupy.matmul(left, right)
        ((kind, theirs),) = cupy_dryrun.gemm_calls
    with _cupy_graph.private_products(products):
        cupy.matmul(left, right)
    ours = stub.stub_last()[: len(theirs)]
    arguments[name] = {"kind": kind, "theirs": [float(v) for v in theirs], "ours": list(ours)}
found["arguments"] = arguments

# Products of another thread go where they always go.
take(captured)
with _cupy_graph.private_products(products), cupy_dryrun.trace() as trace:
    thread = threading.Thread(target=lambda: cupy.matmul(a, b))
    thread.start()
    thread.join()
    cupy.matmul(a, b)
found["threads"] = {"theirs": trace.gemms, "ours": take(captured)}

# A look at a value: refused by CuPy, named by xpnet.
step, optimizer = stepping()


def looking(x, t):
    loss = step(x, t)
    if float(loss) > 1e9:
        raise ArithmeticError("never")
    return loss


captured = capture(looking)
found["look"] = warnings_of(lambda: [captured(x, t) for _ in range(4)])
found["after the look"] = [captured.replays, optimizer.steps, gc.isenabled(), cupy.cuda.get_current_stream().ptr]

# A fresh upload from the host would be read again from memory that is no longer there.
captured = capture(lambda x: x + cupy.asarray([1.0, 2.0, 3.0, 4.0], "float32"))
found["upload"] = warnings_of(lambda: [captured(x) for _ in range(3)])

# Kept rows that grow later stay alive for the graphs that read the short ones.
model = xpnet.models.mlp([4, 3])
short = xpnet.backend.backend_of(x).ones_row(8, x)
found["kept"] = []
with xpnet.use_backend("cupy", dtype="float64"):
    for arguments in ((x,), ()):
        captured = capture(lambda x=x: model.forward(x)[1](x[:, :3]))
        for _ in range(3):
            captured(*arguments)
        graph = next(iter(captured._graphs.values()))[0][0]
        found["kept"].append(short.data.ptr in {array.data.ptr for array in graph._alive[2]})


# What a rehearsal has begun goes on when it fails, so the caller's stream waits for it all the same.
class Watched(cupy.cuda.Stream):
    def record(self, event=None):
        found["events behind a rehearsal"] += 1
        return super().record(event)


recorder = _cupy_graph.CudaRecorder(cupy, {})
found["events behind a rehearsal"], recorder._stream = 0, Watched(non_blocking=True)
with contextlib.suppress(IndexError):
    recorder.rehearse(lambda x: x[0, 0, 0], x)


# A pool that gets no more memory gives back what it holds free, which is where a graph of its keeps its intermediates.
class Limited(cupy.cuda.Memory):
    room, freed = 2**40, 0

    def __init__(self, size):
        if size > Limited.room:
            raise cupy.cuda.runtime.CUDARuntimeError(2)
        super().__init__(size)
        self.had = True

    def __del__(self):
        Limited.freed += hasattr(self, "had")


memory, cupy.cuda.Memory = cupy.cuda.Memory, Limited
recorder = _cupy_graph.CudaRecorder(cupy, {})
graph = recorder.record(lambda x: (x + 1.0) * 2.0, x)
cupy.empty((2**20,), "float32")
ours, Limited.room = cupy.get_default_memory_pool(), 2**16
before = ours.free_bytes()
try:
    recorder.rehearse(lambda x: cupy.empty((2**20,), "float32"), x)
except cupy.cuda.memory.OutOfMemoryError:
    found["out of memory"] = {"freed": Limited.freed, "given back": before - ours.free_bytes() >= 2**22}
Limited.room = 2**40
recorder.rehearse(lambda x: cupy.empty((2**20,), "float32"), x)
del recorder, graph
found["freed with its recorder"] = Limited.freed > 0
cupy.cuda.Memory = memory

# A version that this was not written for.
theirs, cupy.__version__ = cupy.__version__, "15.0.0"
captured = capture(stepping()[0])
found["version"] = warnings_of(lambda: captured(x, t))
cupy.__version__ = theirs

# The library is not there.
_cupy_graph.ctypes.CDLL, theirs = lambda name: (_ for _ in ()).throw(OSError(f"{name}: no such file")), ctypes.CDLL
try:
    _cupy_graph.cublas_library(cupy)
except CaptureUnavailableError as error:
    found["library"] = str(error)
ctypes.CDLL = theirs

# Of a run, only its looks wait and bring numbers to the host. (Here they bring zeros, which would say "not finite".)
xpnet.optimizers.Optimizer.raise_if_not_finite = lambda self: bool(self._healthy)
model = xpnet.models.mlp([4, 8, 3], dropout=0.5)
batches = [(x, t)] * 40
with cupy_dryrun.trace() as trace:
    xpnet.fit(
        model,
        batches,
        loss=softmax_cross_entropy,
        optimizer=xpnet.optimizers.Adam(model),
        epochs=1,
        metrics={"accuracy": xpnet.training.accuracy},
        log_every=10,
    )
events = list(trace.events)
found["fit"] = {
    "graphs": trace.graphs,
    "waits between graphs": [
        sum(event in ("<D2H>", "<sync>") for event in events[i:j])
        for i, j in zip(
            [k for k, event in enumerate(events) if event == "<graph>"],
            [k for k, event in enumerate(events) if event == "<graph>"][1:],
        )
    ],
}
print(json.dumps(found))

"""Counts what a training step asks of a GPU where cuDNN convolves, a stand-in that does nothing; prints JSON.

Run by test_cudnn_steps.py.
"""

import json
import sys
from pathlib import Path

import cupy_dryrun
import cupy

sys.path.append(str(Path(__file__).parents[2]))
from tests.backend.fake_cudnn import FakeCuDNN

import xpnet
from xpnet.backend import _cudnn, _cupy_graph
from xpnet.training import train_step

KINDS = ("forward", "data gradient", "weight gradient")


NUMBERS = {kind: cupy_dryrun._lib.dry_register(f"<cudnn:{kind}>".encode()) for kind in KINDS}


class Counted(FakeCuDNN):
    """Each product is an event of the trace, and nothing else happens."""

    def compute(self, graph, pointers):
        cupy_dryrun._lib.dry_gemm(NUMBERS[graph.kind])


_cudnn._cuda_of_cudnn = lambda: None  # of the library that may be installed
cudnn = sys.modules["cudnn"] = Counted(workspace=2**20)
xpnet.set_backend("cupy")


def counts(make, batch):
    model = make()
    optimizer = xpnet.optimizers.Adam(model, 1e-3)
    x, t = cupy.empty((batch, *SHAPES[make]), "float32"), cupy.empty((batch,), "int64")

    def step():
        train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)

    for _ in range(3):
        step()
    before = len(cudnn.graphs), len(cudnn.handles), cudnn.streams_set
    with cupy_dryrun.trace() as trace:
        step()
    made = [now - then for now, then in zip((len(cudnn.graphs), len(cudnn.handles), cudnn.streams_set), before)]
    names = ("h2d", "d2h", "syncs", "total", "bytes_allocated")
    return {name: getattr(trace, name) for name in names} | {"events": trace.events, "made": made}


def streams():
    """The streams that two calls of a model ran on: the current one, whichever it is."""
    layer = xpnet.layers.Conv2d(3, 4, 3)
    x = cupy.empty((2, 8, 8, 3), "float32")
    layer(x)
    own = cupy.cuda.Stream(non_blocking=True)
    with own:
        layer(x)
    layer(x)
    return [stream == other for (_, _, stream), other in zip(cudnn.ran[-3:], (0, own.ptr, 0))]


class NoProducts:
    """The recorder's cuBLAS, which is not there."""

    def __init__(self, cupy):
        pass

    def on(self, stream):
        pass

    def start(self, product, arguments):
        pass


def captured():
    """Of each call of a captured step: the plans made for it, and on which streams cuDNN was called."""
    _cupy_graph.Products, _cupy_graph.CudaRecorder.check = NoProducts, lambda self: None
    model = xpnet.models.simple_cnn()
    optimizer = xpnet.optimizers.SGD(model, 0.1)
    x, t = cupy.empty((7, 28, 28, 1), "float32"), cupy.empty((7,), "int64")

    def step(x, t):
        return train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)[0]

    step, calls = xpnet.capture(step), []
    for _ in range(5):
        plans, runs = len(cudnn.graphs), len(cudnn.ran)
        step(x, t)
        calls.append([len(cudnn.graphs) - plans, [stream for _, _, stream in cudnn.ran[runs:]]])
    return {"calls": calls, "stream": step._recorder._stream.ptr, "replays": step.replays}


SHAPES = {
    xpnet.models.simple_cnn: (28, 28, 1),
    xpnet.models.deep_cnn: (28, 28, 1),
    xpnet.models.vgg_small: (32, 32, 3),
}
results = {make.__name__: [counts(make, batch) for batch in (16, 64)] for make in SHAPES}
print(json.dumps(results | {"streams": streams(), "captured": captured()}))

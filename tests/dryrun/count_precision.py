"""Counts and shows what products in TF32 and steps in mixed precision would ask of a GPU; prints JSON.

Run by test_dryrun_precision.py. Of each product: cuBLAS's function, the types of both factors and of the result, and
the compute type.
"""

import json

import cupy_dryrun
import cupy

import xpnet
from xpnet import layers, losses, models, optimizers
from xpnet.backend import backend_of, column_sum, matmul
from xpnet.training import train_step

PLACES = {"gemmEx": (8, 11, 15, 17), "gemmStridedBatchedEx": (8, 12, 17, 21)}
"""Where cuBLAS's functions take the types of the factors and the result, and the compute type."""


def products():
    """(function, types of the factors and the result, compute type) of each product in the last trace."""
    found = []
    for name, arguments in cupy_dryrun.gemm_calls:
        first, second, result, compute = (arguments[place] for place in PLACES[name])
        found.append([name, first, second, result, compute])
    return found


def traced(action):
    for _ in range(3):
        action()
    with cupy_dryrun.trace() as trace:
        action()
    names = ("launches", "gemms", "memsets", "h2d", "d2h", "d2d", "syncs", "total")
    return {name: getattr(trace, name) for name in names} | {"events": trace.events, "products": products()}


a, b = cupy.empty((8, 16), "float32"), cupy.empty((16, 4), "float32")
stacks = cupy.empty((3, 8, 16), "float32"), cupy.empty((3, 16, 4), "float32")
half = a.astype("float16")


def each_product():
    matmul(a, b)
    matmul(a.T, a, out=cupy.empty((16, 16), "float32"))
    backend_of(a).matmul_planes(*stacks)
    backend_of(a).matmul_planes(stacks[0].transpose(0, 2, 1), stacks[0])


def sums_and_halves():
    column_sum(a)
    column_sum(half)
    column_sum(half, cupy.empty(16, "float16"))
    matmul(half, half.T)
    matmul(half, half.T, out=cupy.empty((8, 8), "float32"))
    backend_of(a).matmul_planes(*(stack.astype("float16") for stack in stacks))


choices = {}
xpnet.set_backend("cupy")
choices["float32"] = traced(each_product)
with xpnet.use_backend("cupy", matmul="tf32"):
    choices["a block in tf32"] = traced(each_product)
choices["after the block"] = traced(each_product)
xpnet.set_backend("cupy", matmul="tf32")
choices["tf32"] = traced(each_product)
choices["sums and halves"] = traced(sums_and_halves)
with xpnet.use_backend("cupy"):
    choices["a block in float32"] = traced(each_product)
with xpnet.use_backend("numpy"):
    choices["another library is chosen"] = traced(each_product)

model = models.mlp([784, 64, 10])
x, t = cupy.empty((128, 784), "float32"), cupy.empty((128,), "int64")
optimizer = optimizers.Adam(model, 1e-3)
with xpnet.use_backend(model.backend):  # as `fit` does
    choices["a step in tf32"] = traced(
        lambda: train_step(model, x, t, loss=losses.softmax_cross_entropy, optimizer=optimizer)
    )
xpnet.set_backend("cupy")


def step_of(model, shape, precision, **options):
    optimizer = optimizers.Adam(model, 1e-3, **options)
    x, t = cupy.empty(shape, "float32"), cupy.empty(shape[:1], "int64")
    return traced(
        lambda: train_step(model, x, t, loss=losses.softmax_cross_entropy, optimizer=optimizer, precision=precision)
    )


def transfer():
    return layers.Sequential(layers.Frozen(layers.Linear(784, 64)), layers.ReLU(), layers.Linear(64, 10))


steps = {
    precision: {
        "mlp": step_of(models.mlp([784, 1024, 1024, 10]), (128, 784), precision),
        "regularized": step_of(
            models.mlp([784, 1024, 10], batch_norm=True, dropout=0.5), (128, 784), precision, clip_norm=1.0
        ),
        "simple_cnn": step_of(models.simple_cnn(), (16, 28, 28, 1), precision),
        "frozen": step_of(transfer(), (128, 784), precision),
    }
    for precision in ("float32", "float16")
}
print(json.dumps({"choices": choices, "steps": steps}))

"""Training steps on a GPU whose pool has a limit: what fails, what is left then, and what fits; prints JSON.

CuPy's own pool counts and refuses here as it does on a GPU. Run by test_memory.py.
"""

import gc
import json

import cupy_dryrun  # noqa: F401
import cupy

import xpnet
from xpnet.training import DeviceLostError, MemoryWatch, OutOfMemoryError, train_step

xpnet.set_backend("cupy")
backend = xpnet.get_backend()
pool = cupy.get_default_memory_pool()
MIB = 2**20


def steps(make, shape, n, spare, training=True):
    """A step on n examples with so many bytes to spare; then on fewer, as the errors advise, until one passes."""
    pool.set_limit(size=0)
    model = make()
    optimizer = xpnet.optimizers.Adam(model, 1e-3)
    watch = MemoryWatch(model)
    t = cupy.empty((n,), "int64")
    x = cupy.empty((n, *shape), "float32")
    gc.collect()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes() + spare)
    before, tried = pool.used_bytes(), []
    while n is not None:
        error = attempt(watch, optimizer, x[:n], t[:n], training)
        if error is None:
            break
        held = pool.used_bytes() - before
        tried.append({"n": n, "fits": error.fits, "asked": error.asked, "text": str(error), "used": held})
        n = error.fits
    return {"tried": tried, "passed": n, "steps": optimizer.steps}


def attempt(watch, optimizer, x, t, training):
    try:
        with watch.step(x, training=training):
            if training:
                train_step(watch.model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)
            else:
                watch.model(x)
    except OutOfMemoryError as error:
        return error


def meanings():
    """What the backend makes of each error that CUDA has."""
    error = cupy.cuda.runtime.CUDARuntimeError
    found = {}
    lost = (46, 100, 214, 220, 700, 702, 709, 710, 714, 715, 716, 717, 718, 719, 999)
    for status in (1, 2, 9, 98, 400, 600, 801, 900, *lost):
        each = error(status)
        found[status] = "memory" if backend.is_out_of_memory(each) else "lost" if backend.is_lost(each) else "other"
    return found


def gone():
    model = xpnet.models.mlp([4, 3])
    try:
        with MemoryWatch(model).step(cupy.empty((8, 4), "float32")):
            raise cupy.cuda.runtime.CUDARuntimeError(700)
    except DeviceLostError as error:
        return str(error)


def resident():
    """Data that are a little larger than a quarter of what the pool may still give, and a little smaller."""
    import numpy as np

    found = []
    for spare in (3.9, 4.1):
        pool.set_limit(size=0)
        gc.collect()
        pool.free_all_blocks()
        pairs = xpnet.data.batches(np.zeros((1024, 256), np.float32), np.zeros(1024, np.float32), 64)
        pool.set_limit(size=pool.total_bytes() + int(spare * (1024 * 257 * 4)))
        list(pairs)
        found.append([type(source).__name__ for source in next(iter(pairs._placed.values()))])
    return found


models = xpnet.models
print(
    json.dumps(
        {
            "resident": resident(),  # first, as long as the pool is empty
            "mlp": steps(lambda: models.mlp([784, 1024, 1024, 10]), (784,), 4096, 40 * MIB),
            "simple_cnn": steps(models.simple_cnn, (28, 28, 1), 512, 40 * MIB),
            "vgg_small": steps(models.vgg_small, (32, 32, 3), 128, 100 * MIB),
            "resnet18": steps(models.resnet18, (64, 64, 3), 64, 100 * MIB),
            "one": steps(models.resnet18, (224, 224, 3), 2, 12 * MIB),
            "inference": steps(models.simple_cnn, (28, 28, 1), 1024, 40 * MIB, training=False),
            "meanings": meanings(),
            "gone": gone(),
        }
    )
)

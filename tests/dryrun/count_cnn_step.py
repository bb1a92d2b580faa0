"""Counts what one training step of convolutional networks would ask of a GPU; prints JSON. Run by test_dryrun.py."""

import json

import cupy_dryrun
import cupy

import xpnet
from xpnet.training import train_step

xpnet.set_backend("cupy")


def counts(make, batch):
    model = make()
    optimizer = xpnet.optimizers.Adam(model, 1e-3)
    x, t = cupy.empty((batch, *SHAPES[make]), "float32"), cupy.empty((batch,), "int64")

    def step():
        train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)

    for _ in range(3):
        step()
    with cupy_dryrun.trace() as trace:
        step()
    names = ("launches", "gemms", "memsets", "h2d", "d2h", "d2d", "syncs", "total")
    return {name: getattr(trace, name) for name in names} | {"events": trace.events}


SHAPES = {
    xpnet.models.simple_cnn: (28, 28, 1),
    xpnet.models.deep_cnn: (28, 28, 1),
    xpnet.models.vgg_small: (32, 32, 3),
}
print(json.dumps({make.__name__: [counts(make, batch) for batch in (16, 64)] for make in SHAPES}))

"""Counts what one training step of an MLP would ask of a GPU; prints JSON. Run by test_dryrun.py."""

import json

import cupy_dryrun
import cupy

import xpnet
from xpnet.training import train_step

xpnet.set_backend("cupy")
x, t = cupy.empty((128, 784), "float32"), cupy.empty((128,), "int64")


def counts(action):
    for _ in range(3):
        action()
    with cupy_dryrun.trace() as trace:
        action()
    names = ("launches", "gemms", "memsets", "h2d", "d2h", "d2d", "syncs", "total")
    return {name: getattr(trace, name) for name in names} | {"events": trace.events}


def stepping(model, **options):
    """One step as `fit` runs it, and the same in parts: only backward and update."""
    optimizer = xpnet.optimizers.Adam(model, 1e-3, **options)
    loss = xpnet.losses.softmax_cross_entropy
    penalty = xpnet.penalties.L2(1e-4) if options else None

    def step():
        train_step(model, x, t, loss=loss, optimizer=optimizer, penalty=penalty)

    def update():
        pullback(dy)
        optimizer.step()

    y, pullback = model.forward(x)
    dy = loss(y, t)[1]()
    return step, update


step, adam = stepping(xpnet.models.mlp([784, 1024, 1024, 10]))
regularized, _ = stepping(
    xpnet.models.mlp([784, 1024, 10], batch_norm=True, dropout=0.5), clip_norm=1.0, weight_decay=0.1
)
print(json.dumps({"step": counts(step), "adam": counts(adam), "regularized": counts(regularized)}))

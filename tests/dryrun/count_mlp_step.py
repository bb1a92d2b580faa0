"""Counts what one training step of an MLP would ask of a GPU; prints JSON. Run by test_dryrun.py."""

import json

from counting import counts
import cupy

import xpnet
from xpnet.training import train_step

xpnet.set_backend("cupy")


def stepping(model, batch=128, **options):
    """One step as `fit` runs it, and the same in parts: only backward and update."""
    x, t = cupy.empty((batch, 784), "float32"), cupy.empty((batch,), "int64")
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
larger, _ = stepping(xpnet.models.mlp([784, 1024, 1024, 10]), batch=512)
regularized, _ = stepping(
    xpnet.models.mlp([784, 1024, 10], batch_norm=True, dropout=0.5), clip_norm=1.0, weight_decay=0.1
)
print(
    json.dumps(
        {"step": counts(step), "larger": counts(larger), "adam": counts(adam), "regularized": counts(regularized)}
    )
)

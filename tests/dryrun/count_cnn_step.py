"""Counts what one training step of convolutional networks would ask of a GPU; prints JSON. Run by test_dryrun.py."""

import json

from counting import counts
import cupy

import xpnet
from xpnet.optimizers import Adam, Momentum
from xpnet.training import train_step

xpnet.set_backend("cupy")


def of(make, rule, shape, batch):
    model = make()
    optimizer = rule(model, 1e-3)
    x, t = cupy.empty((batch, *shape), "float32"), cupy.empty((batch,), "int64")
    return counts(
        lambda: train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer),
    )


NETWORKS = (
    (xpnet.models.simple_cnn, Adam, (28, 28, 1)),
    (xpnet.models.deep_cnn, Adam, (28, 28, 1)),
    (xpnet.models.vgg_small, Momentum, (32, 32, 3)),
)
print(json.dumps({network[0].__name__: [of(*network, batch) for batch in (16, 64)] for network in NETWORKS}))

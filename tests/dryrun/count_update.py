"""Counts what clipping, penalty and update alone would ask of a GPU, for few and for many parameters; prints JSON.

Run by test_dryrun.py.
"""

import functools
import json

from counting import counts

import xpnet
from xpnet import optimizers, penalties

xpnet.set_backend("cupy")

RULES = {
    "SGD": lambda model: optimizers.SGD(model, 0.1, clip_norm=1.0),
    "Momentum": lambda model: optimizers.Momentum(model, 0.1, clip_norm=1.0, weight_decay=1e-4),
    "AdaGrad": lambda model: optimizers.AdaGrad(model, 0.1, clip_norm=1.0),
    "RMSProp": lambda model: optimizers.RMSprop(model, 1e-3, clip_norm=1.0),
    "Adam": lambda model: optimizers.Adam(model, 1e-3, clip_norm=1.0, weight_decay=1e-4),
    "AdamW": lambda model: optimizers.AdamW(model, 1e-3, clip_norm=1.0),
}
PENALTIES = {"L1": penalties.L1(1e-4), "L2": penalties.L2(1e-4)}


def update(model, optimizer, penalty):
    """What comes after the backward pass in a step of `fit`: all gradients have come."""
    for parameter in model.parameters().values():
        parameter.stale = False
    value, pullback = penalty(optimizer.store.weights())
    gradients = optimizer.store.weight_gradients()
    gradients += pullback()
    optimizer.step(value)


def of(model):
    """Counts by rule and penalty."""
    found = {}
    for rule, make in RULES.items():
        optimizer = make(model)
        for name, penalty in PENALTIES.items():
            found[f"{rule}, {name}"] = counts(functools.partial(update, model, optimizer, penalty))
    return found


few, many = xpnet.layers.Linear(3, 2), xpnet.models.resnet50()
print(json.dumps({"parameters": [len(m.parameters()) for m in (few, many)], "few": of(few), "many": of(many)}))

"""Optimizers: one rule a file, each one element-wise operation over all parameters of a model at once."""

from xpnet.optimizers._adagrad import AdaGrad
from xpnet.optimizers._adam import Adam, AdamW
from xpnet.optimizers._momentum import Momentum
from xpnet.optimizers._optimizer import NonFiniteError, Optimizer, check_optimizer, seed_masks
from xpnet.optimizers._rmsprop import RMSprop
from xpnet.optimizers._sgd import SGD

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Momentum",
    "NonFiniteError",
    "Optimizer",
    "RMSprop",
    "check_optimizer",
    "seed_masks",
]

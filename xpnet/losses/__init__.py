"""Losses: each returns its value, a 0-d array, and the pullback that starts the backward pass.

loss, pullback = softmax_cross_entropy(logits, labels)
dlogits = pullback()
"""

from xpnet.losses._auxiliary import with_auxiliary
from xpnet.losses._cross_entropy import softmax_cross_entropy
from xpnet.losses._regression import binary_cross_entropy, huber, mean_squared_error, squared_error

__all__ = [
    "binary_cross_entropy",
    "huber",
    "mean_squared_error",
    "softmax_cross_entropy",
    "squared_error",
    "with_auxiliary",
]

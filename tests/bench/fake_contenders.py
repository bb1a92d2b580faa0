"""Contenders that compute next to nothing, and some that fail, for the workers of the bench."""

import os
import time

import numpy as np

from bench.passes import Passes


def build(case, *, logit=1.0, slope=0.5, scale=1.0, only=("forward", "backward", "step"), fails=None):
    """A network whose loss falls by `slope` a step; `fails` is "build", "forward", or "timing"."""
    if fails == "build":
        raise RuntimeError("no such network")
    calls = {"forward": 0, "backward": 0, "step": 0}

    def forward():
        calls["forward"] += 1
        if fails == "forward":
            time.sleep(60)
        if fails == "timing" and calls["forward"] > 1:
            os._exit(3)
        return np.asarray([[logit, 0.0], [0.0, logit]])

    def loss(name):
        calls[name] += 1
        return np.asarray(scale * (10.0 - slope * (calls["step"] - (name == "step"))))

    run = {"forward": forward, "backward": lambda: loss("backward"), "step": lambda: loss("step")}
    return Passes({name: run[name] for name in only})

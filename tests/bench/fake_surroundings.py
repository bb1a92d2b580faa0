"""A contender whose losses tell what its process was given: threads by variable, and processors."""

import os

import numpy as np

from bench.passes import Passes


def build(case):
    threads = int(os.environ["OMP_NUM_THREADS"])
    given = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else threads
    return Passes({"backward": lambda: np.asarray(threads), "step": lambda: np.asarray(given)})

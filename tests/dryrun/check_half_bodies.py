"""Compares the @elementwise bodies, as cupy.fuse writes them for float16, with the plain ones; prints JSON.

Run by test_dryrun_precision.py. What has the shape of the result is float16, what goes along with it float32, as in
mixed precision. Also the loss scale's body, in each of its cases.
"""

import json

import fuse_on_cpu
import cupy
import numpy as np
from check_fused_bodies import ARGUMENTS, bodies, difference, is_float, scalar

from xpnet.backend import Backend, open_backend
from xpnet.optimizers import _loss_scale

cupy.fuse = fuse_on_cpu.fuse
backends = {"plain": Backend("numpy", np), "fused": open_backend("cupy")}
found = {}
for module, name, body in bodies():
    if body.guarded or name == "_rule":
        continue
    arguments = ARGUMENTS[name]()
    shape = np.shape(arguments[0])
    if is_float(arguments[0]) and shape:
        arguments = [a.astype(np.float16) if is_float(a) and a.shape == shape else a for a in arguments]
        found[f"{module}.{name}"] = difference(body, arguments, None, **backends)

cases = {}
for scale in (1.0, 2.0, 2.0**24):
    for count in (3, 1999):
        for healthy in (True, False):
            for squares, loss in ((2.0, 3.0), (np.inf, 3.0), (2.0, np.nan)):
                arguments = (
                    *(scalar(scale), scalar(1.0 / scale), scalar(count, np.int32), scalar(5, np.int32)),
                    *(scalar(True, bool), scalar(healthy, bool), scalar(squares), scalar(loss)),
                )
                cases[f"{scale}, {count}, {healthy}, {squares}, {loss}"] = difference(
                    _loss_scale._adapt, arguments, None, **backends
                )
print(json.dumps({"bodies": found, "cases": cases}))

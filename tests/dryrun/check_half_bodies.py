"""Compares the @elementwise bodies, as cupy.fuse writes them for float16, with the plain ones; prints JSON.

Run by test_dryrun_precision.py. What has the shape of the result is float16, what goes along with it float32, as in
mixed precision. Also the loss scale's body, in each of its cases.
"""

import json

from check_fused_bodies import ARGUMENTS, bodies, difference, is_float, scalar
import numpy as np

from xpnet.optimizers import _loss_scale

found = {}
for module, name, body in bodies():
    if body.guarded or name == "_rule":
        continue
    arguments = ARGUMENTS[name]()
    shape = np.shape(arguments[0])
    if is_float(arguments[0]) and shape:
        arguments = [a.astype(np.float16) if is_float(a) and a.shape == shape else a for a in arguments]
        found[f"{module}.{name}"] = difference(body, arguments, None)

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
                    _loss_scale._adapt, arguments, None
                )
print(json.dumps({"bodies": found, "cases": cases}))

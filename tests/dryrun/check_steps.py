"""Compares training steps by CuPy's kernels, run on the CPU, with NumPy's; prints JSON. Run by test_dryrun.py.

Two steps in float64, so that losses, gradients, parameters and running statistics have to agree. For each network: the
largest difference, relative to the largest element of its array (or to 1e-3, for gradients that are nothing but
rounding).
"""

import json
import types

import kernels_on_cpu
import numpy as np

import xpnet
from xpnet.backend import Backend, _registry
from xpnet.backend._cupy_kernels_columns import ColumnKernels


class OnTheCPU(ColumnKernels, Backend):
    _cupy = types.SimpleNamespace(ElementwiseKernel=kernels_on_cpu.ElementwiseKernel, empty=np.empty)
    has_devices = False

    def readable(self, x):
        return False


def arrays(make, shape):
    """All that two training steps compute."""
    xpnet.seed(0)
    model, random, found = make(), np.random.default_rng(1), []
    optimizer = xpnet.optimizers.Momentum(model, 0.01, clip_norm=1.0)
    for _ in range(2):
        x, t = random.standard_normal((4, *shape)), random.integers(0, 10, 4)
        y, pullback = model.forward(x)
        loss, dloss = xpnet.losses.softmax_cross_entropy(y, t)
        dx = pullback(dloss(), input_gradient=True)
        found += [np.copy(a) for a in (loss, dx, *(p.grad for p in model.parameters().values()))]
        optimizer.step(loss)
    return found + list(model.state().values())


def difference(got, expected):
    return float(np.max(np.abs(got - expected)) / max(np.max(np.abs(expected)), 1e-3))


NETWORKS = (
    (xpnet.models.simple_cnn, (28, 28, 1)),
    (xpnet.models.vgg_small, (32, 32, 3)),
    (xpnet.models.resnet18, (64, 64, 3)),
)
xpnet.set_backend("numpy", dtype="float64")
plain = [arrays(*network) for network in NETWORKS]
on_the_cpu = OnTheCPU("numpy", np, dtype="float64")
_registry._by_type |= dict.fromkeys((np.ndarray, np.float64), on_the_cpu)
kernels = [arrays(*network) for network in NETWORKS]
assert len(on_the_cpu._kernels) == 17, on_the_cpu._kernels.keys()  # all but those of average pooling
print(
    json.dumps(
        {
            make.__name__: [len(got), max(map(difference, got, expected))]
            for (make, _), got, expected in zip(NETWORKS, kernels, plain)
        }
    )
)

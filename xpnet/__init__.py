"""xpnet: neural networks written once against the Array API, on NumPy, CuPy and other array libraries.

import xpnet

(x, t), test = xpnet.data.digits()
model = xpnet.models.mlp([64, 100, 10])
history = xpnet.fit(model, xpnet.data.batches(x, t, 32), loss=xpnet.losses.softmax_cross_entropy,
                    optimizer=xpnet.optimizers.Adam(model), epochs=10, validation=test)
"""

from xpnet import (
    data,
    diagnostics,
    distributed,
    functional,
    initializers,
    interchange,
    layers,
    losses,
    models,
    optimizers,
    penalties,
    plots,
    schedules,
    training,
)
from xpnet.backend import (
    BackendUnavailableError,
    Captured,
    CaptureWarning,
    available_backends,
    capture,
    get_backend,
    register_backend,
    seed,
    set_backend,
    use_backend,
    use_seed,
)
from xpnet.functional import get_convolution, set_convolution, use_convolution
from xpnet.interchange import load_weights, save_weights
from xpnet.optimizers import NonFiniteError
from xpnet.training import History, evaluate, fit, predict

__version__ = "0.1.0"

__all__ = [
    "BackendUnavailableError",
    "CaptureWarning",
    "Captured",
    "History",
    "NonFiniteError",
    "__version__",
    "available_backends",
    "capture",
    "data",
    "diagnostics",
    "distributed",
    "evaluate",
    "fit",
    "functional",
    "get_backend",
    "get_convolution",
    "initializers",
    "interchange",
    "layers",
    "load_weights",
    "losses",
    "models",
    "optimizers",
    "penalties",
    "plots",
    "predict",
    "register_backend",
    "save_weights",
    "schedules",
    "seed",
    "set_backend",
    "set_convolution",
    "training",
    "use_backend",
    "use_convolution",
    "use_seed",
]

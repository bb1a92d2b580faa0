from typing import Any

from xpnet._typing import Array
from xpnet.backend import HostArray, backend_of, use_backend
from xpnet.layers import Layer, observe


def layer_outputs(model: Layer, x: Any, *, training: bool = False) -> dict[str, HostArray]:
    """The outputs of each layer that has no layers below it, for `plots.activations`.

    Parameters
    ----------
    model : the model; its buffers are left as they were.
    x : (n, ...) inputs, one batch.
    training : whether to run in training mode, with dropout and the batch's statistics.

    Returns
    -------
    Host arrays by layer path, in the order the layers run.

    Raises
    ------
    TypeError, ValueError : what the model raises.

    Examples
    --------
    >>> import numpy as np
    >>> import xpnet
    >>> outputs = layer_outputs(xpnet.models.mlp([2, 4, 1]), np.zeros((5, 2)))
    >>> {path: y.shape for path, y in outputs.items()}
    {'0': (5, 4), '1': (5, 4), '2': (5, 1)}
    """
    found: dict[str, HostArray] = {}

    def keep(path: str, x: Array, y: Array) -> None:
        found[path] = backend_of(y).to_host(y)

    with use_backend(model.backend) as backend:
        buffers = {path: backend.copy(buffer.data) for path, buffer in model.buffers().items()}
        try:
            with observe(model, on_forward=keep):
                model.forward(backend.asarray(x), training=training)
        finally:
            for path, buffer in model.buffers().items():
                buffer.data[...] = buffers[path]
    return found

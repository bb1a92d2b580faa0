from xpnet._typing import Array, Pullback
from xpnet.backend import backend_of


def loss_and_pullback(values: Array, gradient: Array) -> tuple[Array, Pullback]:
    """The sum of all elements' (weighted) losses, and the pullback that hands out the gradient kept beside them."""
    backend = backend_of(values)
    rows = values if values.ndim == 2 else backend.xp.reshape(values, (-1, values.shape[-1]))  # (n, ..., c) -> (m, c)
    loss = backend.total(rows)

    def pullback(dloss: Array | float | None = None) -> Array:
        return gradient if dloss is None else gradient * dloss

    return loss, pullback

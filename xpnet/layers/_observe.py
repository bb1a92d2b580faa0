from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from xpnet._typing import Array, Pullback
from xpnet.backend import watched as as_it_is
from xpnet.layers._layer import Layer

OnForward: TypeAlias = Callable[[str, Array, Array], None]
OnBackward: TypeAlias = Callable[[str, Layer, Array | None], None]


@contextmanager
def observe(
    model: Layer, *, on_forward: OnForward | None = None, on_backward: OnBackward | None = None
) -> Iterator[None]:
    """While the block runs, tells of every layer that has no layers below it, in the order they run.

    What is captured (see `xpnet.capture`) runs as it is inside, operation by operation.

    Parameters
    ----------
    model : the model to watch; it is left as it was.
    on_forward : called with `(path, x, y)` after such a layer's forward.
    on_backward : called with `(path, layer, dx)` after its pullback, which is asked for `dx` always.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.layers import Linear, ReLU, Sequential
    >>> model = Sequential(Linear(2, 4), ReLU())
    >>> with observe(model, on_forward=lambda path, x, y: print(path, y.shape)):
    ...     y = model(np.ones((3, 2), np.float32))
    0 (3, 4)
    1 (3, 4)
    """
    watched = {path: layer for path, layer in ({"": model} | model.layers()).items() if not _children(layer)}
    before = [(layer, vars(layer).get("forward")) for layer in watched.values()]
    for path, layer in watched.items():
        vars(layer)["forward"] = _watching(path, layer, on_forward, on_backward)
    try:
        with as_it_is():
            yield
    finally:
        for layer, forward in before:
            del vars(layer)["forward"]
            if forward is not None:  # that of a block around this one
                vars(layer)["forward"] = forward


def _children(layer: Layer) -> list[Layer]:
    return [member for member in layer.members().values() if isinstance(member, Layer)]


def _watching(path: str, layer: Layer, on_forward: OnForward | None, on_backward: OnBackward | None) -> Any:
    run = layer.forward

    def forward(x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        y, pull = run(x, training=training)
        if on_forward is not None:
            on_forward(path, x, y)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            dx = pull(dy, input_gradient=input_gradient or on_backward is not None)
            if on_backward is not None:
                on_backward(path, layer, dx)
            return dx if input_gradient else None

        return y, pullback

    return forward

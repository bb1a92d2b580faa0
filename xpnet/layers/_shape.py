import math
from typing import final

from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace
from xpnet.functional import check_gradient
from xpnet.layers._layer import Layer


@final
class Identity(Layer):
    """y = x: the shortcut of a residual block.

    Examples
    --------
    >>> Identity().output_shape((5, 3))
    (5, 3)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        array_namespace(x)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            check_gradient("Identity", dy, x.shape, x)
            return dy if input_gradient else None

        return x, pullback


@final
class Flatten(Layer):
    """Joins all axes but the first: (n, height, width, channels) -> (n, features).

    Examples
    --------
    >>> Flatten().output_shape((5, 8, 8, 3))
    (5, 192)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError("Flatten(): expected at least a batch axis, got a 0-d array")
        return (input_shape[0], math.prod(input_shape[1:]))

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        xp = array_namespace(x)
        y = xp.reshape(x, self.output_shape(x.shape))  # (n, ...) -> (n, features)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            check_gradient("Flatten", dy, y.shape, y)
            return xp.reshape(dy, x.shape) if input_gradient else None  # (n, features) -> (n, ...)

        return y, pullback

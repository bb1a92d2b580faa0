from collections.abc import Iterable
from typing import cast, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import depends_on
from xpnet.functional import shapes
from xpnet.layers._function import FunctionLayer, settings


@final
class Pad(FunctionLayer):
    """Puts elements of one value around the spatial axes of (n, *size, channels).

    Parameters
    ----------
    padding : how many on both sides of each axis; or one number, or one pair (before, after), for each spatial axis.
    value : what they are.

    Raises
    ------
    ValueError : numbers that are no counts; in running, an input that they do not fit.

    Examples
    --------
    >>> Pad([(0, 1), (2, 2)]).output_shape((8, 4, 4, 3))
    (8, 5, 8, 3)

    See Also
    --------
    xpnet.functional.pad : the function.
    """

    def __init__(self, padding: shapes.Pads, *, value: float = 0.0) -> None:
        if isinstance(padding, Iterable) and not isinstance(padding, str):
            padding = cast(shapes.Pads, tuple(padding))
        shapes.check_pads("Pad", padding)
        self.padding, self.value = padding, float(value)

    def _settings(self) -> str:
        return settings(self.padding, value=(self.value, 0.0))

    def output_shape(self, input_shape: Shape) -> Shape:
        output = shapes.pad_windows(repr(self), input_shape, self.padding).output
        return (input_shape[0], *output, input_shape[-1])

    def _run(self, x: Array) -> tuple[Array, Pullback]:
        depends_on(lambda: (self.padding, self.value))
        return F.pad(x, self.padding, value=self.value)

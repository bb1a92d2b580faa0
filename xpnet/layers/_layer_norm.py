from collections.abc import Sequence
from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace, depends_on, get_backend
from xpnet.functional import check_eps
from xpnet.initializers import zeros
from xpnet.layers._checks import check_count
from xpnet.layers._layer import Layer
from xpnet.layers._parameter import Parameter, new_parameter


@final
class LayerNorm(Layer):
    """Normalizes each example over its last axes, then scales and shifts each feature.

    Parameters
    ----------
    shape : lengths of the axes to normalize over, (*features,); a number is the last axis alone.
    eps : added to the variance, > 0.

    Raises
    ------
    ValueError : a length that is no positive integer, or eps out of its range.

    Examples
    --------
    >>> import numpy as np
    >>> LayerNorm(2)(np.asarray([[1.0, 3.0], [10.0, 30.0]], np.float32)).round(3)
    array([[-1.,  1.], [-1.,  1.]], dtype=float32)

    See Also
    --------
    xpnet.functional.layer_norm : the formula, its gradient and its source.
    """

    def __init__(self, shape: int | Sequence[int], *, eps: float = 1e-5) -> None:
        lengths = shape if isinstance(shape, Sequence) else (shape,)
        self.shape = tuple(check_count("LayerNorm", "each length of shape", length) for length in lengths)
        if not self.shape:
            raise ValueError(f"LayerNorm: shape must have at least one axis, got {shape!r}")
        self.eps = check_eps("LayerNorm", eps)
        self.weight = Parameter(get_backend().zeros(self.shape) + 1.0, decay=False, half=False)
        self.bias = new_parameter(self.shape, zeros, decay=False, half=False)

    def __repr__(self) -> str:
        return f"LayerNorm({self.shape[0] if len(self.shape) == 1 else self.shape})"

    def output_shape(self, input_shape: Shape) -> Shape:
        input_shape = tuple(input_shape)
        if input_shape[-len(self.shape) :] != self.shape:
            raise ValueError(f"{self!r}: expected the last axes to be {self.shape}, got shape {input_shape}")
        return input_shape

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        array_namespace(x)
        self.output_shape(x.shape)
        weight, bias = self.weight, self.bias
        depends_on(lambda: self.eps)
        y, pull = F.layer_norm(x, weight.data, bias.data, eps=self.eps)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            dx, dweight, dbias = pull(dy, input_gradient=input_gradient, out=(weight.place, bias.place))
            weight.accumulate(dweight)
            bias.accumulate(dbias)
            return dx

        return y, pullback

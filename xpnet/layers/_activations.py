from abc import abstractmethod
from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import depends_on
from xpnet.layers._layer import Layer


class _Activation(Layer):
    """A layer without parameters that keeps its input's shape."""

    def output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    @abstractmethod
    def function(self, x: Array) -> tuple[Array, Pullback]:
        """The value, and `dx = pullback(dy)`."""

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        y, pull = self.function(x)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            return pull(dy) if input_gradient else None

        return y, pullback


@final
class ReLU(_Activation):
    """y = max(x, 0). See `xpnet.functional.relu`."""

    function = staticmethod(F.relu)


@final
class Sigmoid(_Activation):
    """y = 1 / (1 + exp(-x)). See `xpnet.functional.sigmoid`."""

    function = staticmethod(F.sigmoid)


@final
class Tanh(_Activation):
    """y = tanh(x). See `xpnet.functional.tanh`."""

    function = staticmethod(F.tanh)


@final
class Softplus(_Activation):
    """y = log(1 + exp(x)). See `xpnet.functional.softplus`."""

    function = staticmethod(F.softplus)


@final
class SiLU(_Activation):
    """y = x · sigmoid(x). See `xpnet.functional.silu`."""

    function = staticmethod(F.silu)


@final
class GELU(_Activation):
    """y = x Φ(x), in its tanh form. See `xpnet.functional.gelu`."""

    function = staticmethod(F.gelu)


@final
class Softmax(_Activation):
    """y = exp(x) / Σ exp(x) over the last axis. See `xpnet.functional.softmax`.

    Not before `softmax_cross_entropy`, which takes logits.
    """

    function = staticmethod(F.softmax)


@final
class LogSoftmax(_Activation):
    """y = log of the softmax over the last axis. See `xpnet.functional.log_softmax`."""

    function = staticmethod(F.log_softmax)


@final
class LeakyReLU(_Activation):
    """y = max(x, 0) + slope · min(x, 0). See `xpnet.functional.leaky_relu`."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def __repr__(self) -> str:
        return f"LeakyReLU({self.slope})"

    def function(self, x: Array) -> tuple[Array, Pullback]:
        depends_on(lambda: self.slope)
        return F.leaky_relu(x, self.slope)

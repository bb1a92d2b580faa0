import math
from collections.abc import Callable
from typing import Any, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import array_namespace, depends_on, elementwise, get_backend
from xpnet.functional import check_eps
from xpnet.initializers import zeros
from xpnet.layers._checks import check_count
from xpnet.layers._layer import Layer
from xpnet.layers._parameter import Buffer, Parameter, new_parameter


@elementwise(updates=2)
def _track(
    xp: Any, running_mean: Array, running_variance: Array, mean: Array, variance: Array, momentum: float, unbias: float
) -> tuple[Array, Array]:
    """Moves the running statistics towards the batch's, where those are finite."""
    usable = xp.isfinite(mean) & xp.isfinite(variance)
    running_mean += xp.where(usable, momentum * (mean - running_mean), 0.0)
    running_variance += xp.where(usable, momentum * (unbias * variance - running_variance), 0.0)
    return running_mean, running_variance


@final
class BatchNorm(Layer):
    """Batch normalization of the last axis: by the batch's statistics in training, by running ones in inference.

        running ← running + momentum · (batch - running),    with the unbiased variance of the batch

    Parameters
    ----------
    features : length of the last axis.
    momentum : how far one batch moves the running statistics, 0 < momentum <= 1.
    eps : added to the variance, > 0.
    synchronized : whether, in training shared by several processes (`fit(communicator=...)`), the statistics are those
        of the whole batch; otherwise of each process's part. It may be set at any time.

    Raises
    ------
    ValueError : a value out of its range; in training, a batch of fewer than two rows.

    Examples
    --------
    >>> import numpy as np
    >>> layer = BatchNorm(2)
    >>> y, pullback = layer.forward(np.asarray([[0.0, 0.0], [2.0, 4.0]], np.float32))
    >>> layer.running_mean.data
    array([0.1, 0.2], dtype=float32)

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization", ICML 2015. Variant: PyTorch's `BatchNorm1d`, whose momentum is one
    minus the paper's.
    """

    def __init__(self, features: int, *, momentum: float = 0.1, eps: float = 1e-5, synchronized: bool = False) -> None:
        self.features = check_count("BatchNorm", "features", features)
        if not 0.0 < momentum <= 1.0:
            raise ValueError(f"BatchNorm: momentum must be above 0 and at most 1, got {momentum!r}")
        self.momentum, self.eps = float(momentum), check_eps("BatchNorm", eps)
        self.synchronized = bool(synchronized)
        self._part = F.Part()
        backend = get_backend()
        self.weight = Parameter(backend.zeros((self.features,)) + 1.0, decay=False, half=False)
        self.bias = new_parameter((self.features,), zeros, decay=False, half=False)
        self.running_mean = Buffer(backend.zeros((self.features,)))
        self.running_var = Buffer(backend.zeros((self.features,)) + 1.0)

    def __repr__(self) -> str:
        return f"BatchNorm({self.features}{', synchronized=True' if self.synchronized else ''})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_part": F.Part()}

    def bind_part(self, part: F.Part) -> None:
        self._part = part

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape or input_shape[-1] != self.features:
            raise ValueError(
                f"{self!r}: expected {self.features} features in the last axis, got shape {tuple(input_shape)}"
            )
        return tuple(input_shape)

    def with_relu(self) -> Layer:
        return _BatchNormReLU(self)

    def _shared(self) -> tuple[bool, int, int]:
        return self.synchronized, self._part.own, self._part.whole

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.run(x, F.batch_norm if training else F.batch_norm_inference, training)

    def run(self, x: Array, function: Callable[..., Any], training: bool) -> tuple[Array, Pullback]:
        """Value and pullback by one of the functions for batch normalization, of training or of inference."""
        array_namespace(x)
        self.output_shape(x.shape)
        weight, bias = self.weight, self.bias
        mean, variance = self.running_mean.data, self.running_var.data
        depends_on(lambda: (self.momentum, self.eps, self._shared()))
        if training:
            part = self._part if self.synchronized else F.Part()
            y, pull, statistics = function(x, weight.data, bias.data, eps=self.eps, part=part)
            n = part.rows(math.prod(x.shape[:-1]))
            _track(mean, variance, *statistics, self.momentum, n / (n - 1))
        else:
            y, pull = function(x, weight.data, bias.data, mean, variance, eps=self.eps)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            dx, dweight, dbias = pull(dy, input_gradient=input_gradient, out=(weight.place, bias.place))
            weight.accumulate(dweight)
            bias.accumulate(dbias)
            return dx

        return y, pullback


@final
class _BatchNormReLU(Layer):
    """A batch normalization and the ReLU after it, in one pass."""

    def __init__(self, norm: BatchNorm) -> None:
        self.norm = norm

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.norm.output_shape(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        return self.norm.run(x, F.batch_norm_relu if training else F.batch_norm_relu_inference, training)

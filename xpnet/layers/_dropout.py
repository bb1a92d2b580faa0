from typing import Any, final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import backend_of, depends_on, next_key, random_key
from xpnet.functional import check_rate
from xpnet.layers._layer import Layer


@final
class Dropout(Layer):
    """Sets elements, or whole channels, to zero at random while training; does nothing in inference.

    An optimizer gives it a key, from the seed and its path, and the model's step counter. Until then the key comes
    from `xpnet.seed` and the order of construction, and the step stays 0: the same mask each time.

    Parameters
    ----------
    rate : the probability of zero, 0 <= rate < 1.
    by_channel : whether all pixels of an example's channel share their fate, for (n, *size, channels).

    Raises
    ------
    ValueError : a rate outside [0, 1).

    Examples
    --------
    >>> import numpy as np
    >>> layer = Dropout(0.5)
    >>> layer(np.ones((1, 3)))
    array([[1., 1., 1.]])

    See Also
    --------
    xpnet.functional.dropout : the formula, and how masks are counted out.
    """

    def __init__(self, rate: float, *, by_channel: bool = False) -> None:
        self.rate = check_rate(rate)
        self.by_channel = bool(by_channel)
        self.key = next_key()
        self._step: Array | None = None
        self._part = F.Part()

    def __repr__(self) -> str:
        return f"Dropout({self.rate}{', by_channel=True' if self.by_channel else ''})"

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_step": None, "_part": F.Part()}

    def bind_masks(self, path: str, seed: int, step: Array) -> None:
        self.key, self._step = random_key(seed, path), step

    def bind_part(self, part: F.Part) -> None:
        self._part = part

    def output_shape(self, input_shape: Shape) -> Shape:
        return tuple(input_shape)

    def forward(self, x: Array, *, training: bool = True) -> tuple[Array, Pullback]:
        y, pull = x, _identity
        if training:
            depends_on(lambda: (self.rate, self.by_channel, self.key, id(self._step), self._part.first))
        if training and self.rate > 0.0:
            step, first = self._steps(x), self._part.first
            y, pull = F.dropout(x, self.rate, self.key, step, by_channel=self.by_channel, first=first)

        def pullback(dy: Array, *, input_gradient: bool = False) -> Array | None:
            return pull(dy) if input_gradient else None

        return y, pullback

    def _steps(self, x: Array) -> Array:
        if self._step is not None:
            return self._step
        backend = backend_of(x)
        return backend.xp.zeros((), dtype=backend.xp.int32, device=backend.device_of(x))


def _identity(dy: Array) -> Array:
    return dy

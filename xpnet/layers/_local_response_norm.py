from typing import final

from xpnet import functional as F
from xpnet._typing import Array, Pullback, Shape
from xpnet.backend import depends_on
from xpnet.functional import check_response
from xpnet.layers._function import FunctionLayer, settings


@final
class LocalResponseNorm(FunctionLayer):
    """Divides each channel by the strength of its neighbours at the same pixel, (..., channels).

        y = x / (k + alpha / size · Σ x²)^beta    with the sum over `size` channels around

    Parameters
    ----------
    size : number of channels that count, >= 1.
    alpha, beta, k : as in the formula; alpha >= 0 and k > 0.

    Raises
    ------
    ValueError : numbers out of their range.

    Examples
    --------
    >>> LocalResponseNorm(5).output_shape((8, 27, 27, 96))
    (8, 27, 27, 96)

    See Also
    --------
    xpnet.functional.local_response_norm : the formula, its gradient and its source.
    """

    def __init__(self, size: int, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        self.size = check_response("LocalResponseNorm", size, alpha, beta, k)
        self.alpha, self.beta, self.k = float(alpha), float(beta), float(k)

    def _settings(self) -> str:
        return settings(self.size, alpha=(self.alpha, 1e-4), beta=(self.beta, 0.75), k=(self.k, 1.0))

    def output_shape(self, input_shape: Shape) -> Shape:
        if not input_shape:
            raise ValueError(f"{self!r}: expected (..., channels), got a 0-d array")
        return tuple(input_shape)

    def _run(self, x: Array) -> tuple[Array, Pullback]:
        depends_on(lambda: (self.size, self.alpha, self.beta, self.k))
        return F.local_response_norm(x, self.size, alpha=self.alpha, beta=self.beta, k=self.k)

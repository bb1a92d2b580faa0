"""The three products of a convolution, by whoever computes them."""

from xpnet._typing import Array
from xpnet.backend import Backend, Convolution, Windows
from xpnet.functional import _direct


class Products:
    """A weight (*kernel, inputs // groups, outputs) and what it is multiplied with: by this room's own direct way."""

    __slots__ = ("backend", "groups", "weight", "windows")
    of_library = False

    def __init__(self, backend: Backend, weight: Array, windows: Windows, groups: int) -> None:
        self.backend, self.weight, self.windows, self.groups = backend, weight, windows, groups

    def correlate(self, x: Array, bias: Array | None = None) -> Array:
        """y[o] = Σ_t x[window o, element t] · weight[t] + bias: (n, *size, inputs) -> (n, *output, outputs)."""
        return _direct.correlate(self.backend, x, self.weight, self.windows, self.groups, bias)

    def adjoint(self, dy: Array) -> Array:
        """The adjoint of `correlate` in x: (n, *output, outputs) -> (n, *size, inputs)."""
        return _direct.adjoint(self.backend, dy, self.weight, self.windows, self.groups)

    def weight_gradient(self, x: Array, dy: Array, out: Array | None = None) -> Array:
        """dweight[t] = Σ_o x[window o, element t] · dy[o], of the weight's shape."""
        return _direct.weight_gradient(self.backend, x, dy, self.windows, self.weight.shape, self.groups, out)


class LibraryProducts(Products):
    """By a convolution that the array library brings; directly where that has no way."""

    __slots__ = ("convolution", "filters")
    of_library = True

    def __init__(
        self, backend: Backend, weight: Array, windows: Windows, groups: int, convolution: Convolution
    ) -> None:
        super().__init__(backend, weight, windows, groups)
        self.convolution, self.filters = convolution, convolution.filters(weight)

    def correlate(self, x: Array, bias: Array | None = None) -> Array:
        """As the direct one."""
        y = self.convolution.correlate(x, self.filters)
        if y is None:
            return super().correlate(x, bias)
        if bias is not None:
            _direct.add_bias(y, bias)
        return y

    def adjoint(self, dy: Array) -> Array:
        """As the direct one."""
        dx = self.convolution.adjoint(dy, self.filters)
        return super().adjoint(dy) if dx is None else dx

    def weight_gradient(self, x: Array, dy: Array, out: Array | None = None) -> Array:
        """As the direct one."""
        dweight = self.convolution.weight_gradient(x, dy, out)
        return super().weight_gradient(x, dy, out) if dweight is None else dweight

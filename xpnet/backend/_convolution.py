from typing import Protocol

from xpnet._typing import Array


class Convolution(Protocol):
    """A convolution that a library brings, for one shape; each of its three products is None where it has no way."""

    def filters(self, weight: Array) -> Array:
        """The weight (*kernel, inputs // groups, outputs) in the order that the library wants."""

    def correlate(self, x: Array, filters: Array) -> Array | None:
        """y[o] = Σ_t x[window o, element t] · weight[t]: (n, *size, inputs) -> (n, *output, outputs)."""

    def adjoint(self, dy: Array, filters: Array) -> Array | None:
        """The adjoint of `correlate` in x: (n, *output, outputs) -> (n, *size, inputs)."""

    def weight_gradient(self, x: Array, dy: Array, out: Array | None) -> Array | None:
        """dweight[t] = Σ_o x[window o, element t] · dy[o], of the weight's shape, written into `out` if given."""

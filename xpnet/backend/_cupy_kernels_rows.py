"""A CUDA kernel for short rows: what a softmax begins with, in one launch."""

from typing import Any

from xpnet._typing import Array
from xpnet.backend._cupy_kernels import number_types, typedefs
from xpnet.backend._cupy_kernels_winograd import WinogradKernels

_SHORT = 32
"""Columns up to which one thread goes over a whole row."""


class RowKernels(WinogradKernels):
    """The seams over rows of (n, c)."""

    def shifted_exponentials(self, x: Array) -> tuple[Array, Array, Array] | None:
        (rows, columns), like = x.shape, x
        if columns > _SHORT or rows == 0:
            return None
        results: tuple[Any, ...] = (self.empty(x.shape, like), self.empty(x.shape, like), self.empty((rows, 1), like))
        kernel = self._kernel(_row_kernel, "shifted_exponentials", **number_types(x))
        kernel(x, columns, *results, size=rows)
        return results


def _row_kernel(name: str, sums: str, index: str) -> tuple[tuple[str, str], str, str]:
    """Arguments, operation and preamble."""
    arguments = ("raw T x, int32 columns", "raw T shifted, raw T exponentials, raw T total")
    return arguments, _SHIFTED_EXPONENTIALS, typedefs(sums, index)


# Row i: x - max(x), exp of that, and its sum; NaN counts as largest, so that it spreads over its row
_SHIFTED_EXPONENTIALS = """
const I begin = static_cast<I>(i) * columns;
A largest = static_cast<A>(x[begin]);
for (int k = 1; k < columns; ++k) {
  const A value = static_cast<A>(x[begin + k]);
  if (value > largest || value != value) largest = value;
}
A sum = 0;
for (int k = 0; k < columns; ++k) {
  const A distance = static_cast<A>(x[begin + k]) - largest;
  const A exponential = exp(distance);
  shifted[begin + k] = static_cast<T>(distance);
  exponentials[begin + k] = static_cast<T>(exponential);
  sum += exponential;
}
total[i] = static_cast<T>(sum);
"""

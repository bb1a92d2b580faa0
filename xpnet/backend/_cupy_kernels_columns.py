"""CUDA kernels for batch normalization: sums over the rows of (n, c), reading each array once.

The rows are parted into pieces. First a thread goes over a piece of one channel, adjacent threads along the channels;
then a thread for each channel joins the pieces, in order. Sums are in float32 at least.
"""

from typing import Any

from xpnet._typing import Array
from xpnet.backend._cupy_kernels import number_types, typedefs
from xpnet.backend._cupy_kernels_rows import RowKernels

_THREADS = 2**16
"""Threads that keep a GPU's memory busy, as each asks for several rows at once."""
_PIECES, _ROWS = 512, 32
"""At most so many pieces, which are joined one after the other; of at least so many rows each."""


class ColumnKernels(RowKernels):
    """The seams over the columns of (n, c)."""

    def column_statistics(self, x: Array, weight: Array, eps: float) -> tuple[Array, Array, Array, Array]:
        partial, sizes = self._by_pieces("column_moments", x)
        mean, variance, inverse, scale = results = tuple(self.empty(weight.shape, weight) for _ in range(4))
        self._columns("join_moments", x)(partial, weight, *sizes, eps, *results, size=weight.size)
        return mean, variance, inverse, scale

    def column_products(
        self, a: Array, b: Array, center: Array, out: tuple[Array | None, Array | None] = (None, None)
    ) -> tuple[Array, Array]:
        partial, sizes = self._by_pieces("column_products", a, b, center)
        sums, products = (self.empty(center.shape, center) if place is None else place for place in out)
        self._columns("join_sums", a)(partial, *sizes, sums, products, size=center.size)
        return sums, products

    def _by_pieces(self, name: str, first: Array, *others: Array) -> tuple[Array, tuple[int, ...]]:
        """Two numbers for each piece and channel, (2, pieces, c); and the sizes that the kernels ask for."""
        rows, channels = first.shape
        most = min(_PIECES, max(1, _THREADS // max(1, channels)), max(1, -(-rows // _ROWS)))
        length = max(1, -(-rows // most))  # no rows are no pieces
        pieces = -(-rows // length)
        partial = self._cupy.empty((2, pieces, channels), dtype="float64" if first.dtype == "float64" else "float32")
        sizes = rows, channels, length, pieces
        self._columns(name, first)(first, *others, *sizes, partial, size=pieces * channels)
        return partial, sizes

    def _columns(self, name: str, x: Array) -> Any:
        return self._kernel(_column_kernel, name, **number_types(x))


def _column_kernel(name: str, sums: str, index: str) -> tuple[tuple[str, str], str, str]:
    """Arguments, operation and preamble; S, the type of what is kept of a piece, is that of sums; W is that of weights
    and statistics, float32 beside an x of float16."""
    inputs, outputs, operation = _OPERATIONS[name]
    integer = "int32" if index == "int" else "int64"
    sizes = ", ".join(f"{integer} {size}" for size in ("rows", "channels", "length", "pieces"))
    arguments = inputs.replace("SIZES", sizes), outputs
    return arguments, operation, typedefs(sums, index)


_PIECE = """
const I channel = i % channels, begin = static_cast<I>(i / channels) * length;
const I end = begin + length < rows ? begin + length : rows;
"""

# Mean of a piece, and the sum of squares of the distances from it: by groups of 8 rows, each by its own mean, joined to
# those before by the rule of T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing
# sample variances", 1979
_COLUMN_MOMENTS = f"""{_PIECE}
A mean = 0, squares = 0;
for (I start = begin; start < end; start += 8) {{
  const int count = end - start < 8 ? end - start : 8;
  A values[8], sum = 0, spread = 0;
  #pragma unroll
  for (int k = 0; k < 8; ++k) {{
    values[k] = k < count ? static_cast<A>(x[(start + k) * channels + channel]) : A(0);
    sum += values[k];
  }}
  const A own = sum / count;
  #pragma unroll
  for (int k = 0; k < 8; ++k) spread += k < count ? (values[k] - own) * (values[k] - own) : A(0);
  const A before = start - begin, step = own - mean, share = count / (before + count);
  mean += step * share;
  squares += spread + step * step * before * share;
}}
partial[i] = mean;
partial[static_cast<I>(pieces) * channels + i] = squares;
"""

# The pieces' moments joined by the same rule; then what a normalization needs of them
_JOIN_MOMENTS = """
A mean = 0, squares = 0;
for (int piece = 0; piece < pieces; ++piece) {
  const I before = static_cast<I>(piece) * length;
  const A count = before + length < rows ? length : rows - before;
  const A step = partial[piece * channels + i] - mean, share = count / (before + count);
  mean += step * share;
  squares += partial[(pieces + piece) * channels + i] + step * step * before * share;
}
const A variance = squares / rows, inverse = 1 / sqrt(variance + static_cast<A>(eps));
means[i] = static_cast<W>(mean);
variances[i] = static_cast<W>(variance);
inverses[i] = static_cast<W>(inverse);
scales[i] = static_cast<W>(static_cast<A>(weight[i]) * inverse);
"""

# Sums of a, and of a · (b - center), over a piece
_COLUMN_PRODUCTS = f"""{_PIECE}
const A middle = static_cast<A>(center[channel]);
A sum = 0, product = 0;
#pragma unroll 8
for (I row = begin; row < end; ++row) {{
  const A value = static_cast<A>(a[row * channels + channel]);
  sum += value;
  product += value * (static_cast<A>(b[row * channels + channel]) - middle);
}}
partial[i] = sum;
partial[static_cast<I>(pieces) * channels + i] = product;
"""

_JOIN_SUMS = """
A sum = 0, product = 0;
#pragma unroll 8
for (int piece = 0; piece < pieces; ++piece) {
  sum += partial[piece * channels + i];
  product += partial[(pieces + piece) * channels + i];
}
sums[i] = static_cast<W>(sum);
products[i] = static_cast<W>(product);
"""

_OPERATIONS = {
    "column_moments": ("raw T x, SIZES", "raw S partial", _COLUMN_MOMENTS),
    "join_moments": (
        "raw S partial, raw W weight, SIZES, float64 eps",
        "raw W means, raw W variances, raw W inverses, raw W scales",
        _JOIN_MOMENTS,
    ),
    "column_products": ("raw T a, raw T b, raw W center, SIZES", "raw S partial", _COLUMN_PRODUCTS),
    "join_sums": ("raw S partial, SIZES", "raw W sums, raw W products", _JOIN_SUMS),
}

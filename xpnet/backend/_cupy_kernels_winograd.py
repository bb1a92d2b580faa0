"""CUDA kernels for Winograd's transforms: each in one launch, without a product and without a copy.

A thread takes one tile of one channel, holds its 6 × 6 values in registers, and adjacent threads walk along the
channels. The adjoint of the input's transform goes by blocks of 4 × 4 pixels, so that nothing is written twice.
"""

from typing import Any

from xpnet._typing import Array
from xpnet.backend._cupy_kernels import WindowKernels, combined, number_types, parted, place, typedefs
from xpnet.backend._windows import Windows
from xpnet.backend._winograd_seams import INPUT, KERNEL, OUTPUT


class WinogradKernels(WindowKernels):
    """The seams of `WinogradSeams` by kernels."""

    def kernel_to_planes(self, weight: Array) -> Array:
        *_, i, o = weight.shape
        planes = self.empty((36, i, o), weight)
        self._transform("kernel_to_planes", planes, weight, count=i * o)
        return planes

    def planes_to_kernel(self, planes: Array, kernel: Array) -> None:
        self._transform("planes_to_kernel", kernel, planes, count=kernel.size // 9)

    def tiles_to_planes(self, x: Array, tiles: Windows) -> Array:
        count = x.shape[0] * tiles.pixels
        planes = self.empty((36, count, x.shape[-1]), x)
        self._transform("tiles_to_planes", planes, x, *_geometry(tiles, x), count=count * x.shape[-1])
        return planes

    def tiles_to_transposed_planes(self, x: Array, tiles: Windows) -> Array:
        count = x.shape[0] * tiles.pixels
        planes = self.empty((36, x.shape[-1], count), x)
        sizes = (*_geometry(tiles, x), x.shape[0])
        self._transform("tiles_to_transposed_planes", planes, x, *sizes, count=count * x.shape[-1])
        return planes

    def planes_to_tiles(self, planes: Array, tiles: Windows, dx: Array) -> None:
        first = [before // 4 for before in tiles.before]  # block of 4 × 4 pixels, on the tiles' raster
        last = [(size - 1 + before) // 4 for size, before in zip(tiles.size, tiles.before, strict=True)]
        blocks = [end - start + 1 for start, end in zip(first, last, strict=True)]
        threads = dx.shape[0] * blocks[0] * blocks[1] * dx.shape[-1]
        sizes = (*_geometry(tiles, dx), *first, *blocks)
        self._transform("planes_to_tiles", dx, planes, *sizes, count=planes.size // 36, threads=threads)

    def planes_to_results(self, planes: Array, tiles: Windows, y: Array, bias: Array | None = None) -> None:
        added = () if bias is None else (bias,)
        name = "planes_to_results" if bias is None else "planes_to_results_and_bias"
        self._transform(name, y, planes, *added, *_geometry(tiles, y), count=planes.size // 36)

    def results_to_planes(self, dy: Array, tiles: Windows) -> Array:
        count = dy.shape[0] * tiles.pixels
        planes = self.empty((36, count, dy.shape[-1]), dy)
        self._transform("results_to_planes", planes, dy, *_geometry(tiles, dy), count=count * dy.shape[-1])
        return planes

    def _transform(
        self, name: str, out: Array, source: Array, *others: Any, count: int, threads: int | None = None
    ) -> None:
        """Runs a kernel with a thread for each of the `count` values of a plane, or for as many as given."""
        threads = count if threads is None else threads
        if threads:
            kernel = self._kernel(_winograd_kernel, name, **number_types(out, source))
            kernel(source, *others, count, out, size=threads)


def _geometry(tiles: Windows, image: Array) -> tuple[int, ...]:
    """What `_SIZES` names."""
    return (*image.shape[1:], *tiles.before, *tiles.output)


_SIZES = ("height", "width", "channels", "before0", "before1", "rows", "columns")
_MORE_SIZES = {
    "planes_to_tiles": ("first0", "first1", "blocks0", "blocks1"),
    "tiles_to_transposed_planes": ("examples",),
}
_COUNT = {"int": "int32", "ptrdiff_t": "int64"}


def _winograd_kernel(name: str, sums: str, index: str) -> tuple[tuple[str, str], str, str]:
    """Arguments, operation and preamble of one of the transforms; `count` is the number of values in a plane."""
    operation, transform = _OPERATIONS[name]
    sizes = () if "kernel" in name else _SIZES + _MORE_SIZES.get(name, ())
    arrays = ["raw T source", "raw T bias"] if "bias" in name else ["raw T source"]
    arguments = [*arrays, *(f"int32 {size}" for size in sizes), f"{_COUNT[index]} count"]
    preamble = typedefs(sums, index) + _both_axes(transform)
    return (", ".join(arguments), "raw T out"), operation, preamble


def _both_axes(matrix: list[list[int]]) -> str:
    """A device function result = M values Mᵀ: along the columns first, then along the rows."""
    to, of = len(matrix), len(matrix[0])
    along_columns = [f"half[{r * of} + k] = {combined(matrix[r], f'values[# * {of} + k]')};" for r in range(to)]
    along_rows = [f"result[k * {to} + {r}] = {combined(matrix[r], f'half[k * {of} + #]')};" for r in range(to)]
    return f"""
__device__ inline void transform(const A* values, A* result) {{
  A half[{to * of}];
  #pragma unroll
  for (int k = 0; k < {of}; ++k) {{ {" ".join(along_columns)} }}
  #pragma unroll
  for (int k = 0; k < {to}; ++k) {{ {" ".join(along_rows)} }}
}}
"""


def _transposed(matrix: list[list[int]]) -> list[list[int]]:
    return [list(column) for column in zip(*matrix, strict=True)]


def _plane(number: str) -> str:
    return f"static_cast<I>({number}) * count"


_TILE = parted("i", ("example", ""), ("row", "rows"), ("column", "columns"), ("channel", "channels"))
_TILE_LAST = parted("i", ("channel", ""), ("example", "examples"), ("row", "rows"), ("column", "columns"))
_PIXEL = place("example", ("p", "height"), ("q", "width"), ("channel", "channels"))
_INSIDE = "p >= 0 && p < height && q >= 0 && q < width"


def _filled(array: str, side: int, value: str) -> str:
    """Code that fills side × side values; r and s are the places in the tile."""
    return f"""A {array}[{side * side}];
#pragma unroll
for (int r = 0; r < {side}; ++r) {{
  #pragma unroll
  for (int s = 0; s < {side}; ++s) {{ {value} }}
}}"""


# Planes are (36, tiles, channels): a plane's value i is that of the tile and channel that i is made of.

_READ_PLANES = _filled("planes", 6, f"planes[r * 6 + s] = static_cast<A>(source[{_plane('r * 6 + s')} + i]);")
_WRITE_PLANES = f"""
#pragma unroll
for (int k = 0; k < 36; ++k) out[{_plane("k")} + i] = static_cast<T>(planes[k]);
"""

# G w Gᵀ of the kernel i, whose nine values stand as far apart as those of a plane
_KERNEL_TO_PLANES = f"""
{_filled("taps", 3, f"taps[r * 3 + s] = static_cast<A>(source[{_plane('r * 3 + s')} + i]);")}
A planes[36];
transform(taps, planes);
#pragma unroll
for (int k = 0; k < 36; ++k) planes[k] /= A(576);
{_WRITE_PLANES}"""

# Gᵀ P G
_PLANES_TO_KERNEL = f"""
{_READ_PLANES}
A taps[9];
transform(planes, taps);
#pragma unroll
for (int k = 0; k < 9; ++k) out[{_plane("k")} + i] = static_cast<T>(taps[k] / A(576));
"""

# Bᵀ d B; the tile's value (r, s) is the pixel  p = 4 · row + r - before0,  q = 4 · column + s - before1
_TILES_TO_PLANES = f"""
{_TILE}
{
    _filled(
        "tile",
        6,
        f'''const I p = 4 * row + r - before0, q = 4 * column + s - before1;
    tile[r * 6 + s] = {_INSIDE} ? static_cast<A>(source[{_PIXEL}]) : A(0);''',
    )
}
A planes[36];
transform(tile, planes);
{_WRITE_PLANES}"""

# Aᵀ m A + bias; the tile's result (r, s) is the pixel  p = 4 · row + r,  q = 4 · column + s,  if that is in the image
_PLANES_TO_RESULTS = f"""
{_TILE}
const A added = #;
{_READ_PLANES}
A results[16];
transform(planes, results);
#pragma unroll
for (int r = 0; r < 4; ++r) {{
  #pragma unroll
  for (int s = 0; s < 4; ++s) {{
    const I p = 4 * row + r, q = 4 * column + s;
    if ({_INSIDE}) out[{_PIXEL}] = static_cast<T>(results[r * 4 + s] + added);
  }}
}}
"""

# A dy Aᵀ
_RESULTS_TO_PLANES = f"""
{_TILE}
{
    _filled(
        "results",
        4,
        f'''const I p = 4 * row + r, q = 4 * column + s;
    results[r * 4 + s] = {_INSIDE} ? static_cast<A>(source[{_PIXEL}]) : A(0);''',
    )
}
A planes[36];
transform(results, planes);
{_WRITE_PLANES}"""

# B P Bᵀ, added up over the tiles that a block of 4 × 4 pixels is in: the tile that begins there, whose values 0 to 3 it
# is on an axis, and the tile before that, whose values 4 and 5 are the block's first two.
_PLANES_TO_TILES = f"""
{parted("i", ("example", ""), ("block0", "blocks0"), ("block1", "blocks1"), ("channel", "channels"))}
const I top = first0 + block0, left = first1 + block1;
A sums[16] = {{}};
#pragma unroll
for (int up = 0; up < 2; ++up) {{
  #pragma unroll
  for (int aside = 0; aside < 2; ++aside) {{
    const I row = top - up, column = left - aside;
    if (row < 0 || row >= rows || column < 0 || column >= columns) continue;
    const I tile = {place("example", ("row", "rows"), ("column", "columns"), ("channel", "channels"))};
    A planes[36], values[36];
    #pragma unroll
    for (int k = 0; k < 36; ++k) planes[k] = static_cast<A>(source[{_plane("k")} + tile]);
    transform(planes, values);
    #pragma unroll
    for (int r = 4 * up; r < 4 + 2 * up; ++r) {{
      #pragma unroll
      for (int s = 4 * aside; s < 4 + 2 * aside; ++s)
        sums[(r - 4 * up) * 4 + s - 4 * aside] += values[r * 6 + s];
    }}
  }}
}}
#pragma unroll
for (int r = 0; r < 4; ++r) {{
  #pragma unroll
  for (int s = 0; s < 4; ++s) {{
    const I p = 4 * top + r - before0, q = 4 * left + s - before1;
    if ({_INSIDE}) out[{_PIXEL}] = static_cast<T>(sums[r * 4 + s]);
  }}
}}
"""

_OPERATIONS: dict[str, tuple[str, Any]] = {
    "kernel_to_planes": (_KERNEL_TO_PLANES, KERNEL),
    "planes_to_kernel": (_PLANES_TO_KERNEL, _transposed(KERNEL)),
    "tiles_to_planes": (_TILES_TO_PLANES, INPUT),
    "tiles_to_transposed_planes": (_TILES_TO_PLANES.replace(_TILE, _TILE_LAST), INPUT),
    "planes_to_tiles": (_PLANES_TO_TILES, _transposed(INPUT)),
    "planes_to_results": (_PLANES_TO_RESULTS.replace("#;", "0;"), OUTPUT),
    "planes_to_results_and_bias": (_PLANES_TO_RESULTS.replace("#;", "static_cast<A>(bias[channel]);"), OUTPUT),
    "results_to_planes": (_RESULTS_TO_PLANES, _transposed(OUTPUT)),
}

"""Convolution of images with few channels as one loop, compiled by Numba (needs `xpnet[fast]`).

Where windows are short, as in the first layer of a network, gathering them costs more than the products, and BLAS is
slow at such shapes. Here a tile of results, PIXELS in a row by a few vectors of channels, stays in registers while the
window is summed up; each weight that is read serves all pixels of the tile, each pixel all vectors. LLVM does not find
this by itself, so the tile is written for it in vector instructions.

K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 2008, for the scheme.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from xpnet.backend._loops import compiled

# The machine that Numba compiles for, which may be a lesser one than this. By it, and not by the sizes below, it tells
# apart what it keeps on disk: they must follow from it.
_MACHINE, _, _LISTED = cpu_target.target_context.codegen().magic_tuple()
_FEATURES = _LISTED.split(",")
_WIDE = "+avx512f" in _FEATURES

PIXELS = 6
VECTORS = 4 if _WIDE or _MACHINE.startswith(("aarch64", "arm64")) else 2
"""Pixels and vectors of a tile: as many as registers hold, which are 32 here and 16 there."""
VECTOR_BYTES = 64 if _WIDE else 32 if "+avx2" in _FEATURES else 16

_INDEX, _LANE = ir.IntType(64), ir.IntType(32)


def lanes(outputs: int, item_bytes: int) -> int:
    """Channels in a tile: one, two or four vectors, as few as hold all outputs.

    Where none does: four, or two if tiles of two overlap less; with two alone, one would not be enough work at once.
    """
    one, most = VECTOR_BYTES // item_bytes, VECTORS * VECTOR_BYTES // item_bytes
    if outputs > most and VECTORS == 4:
        return min(most, most // 2, key=lambda lane: -(-outputs // lane) * lane)
    return min(most, one if outputs <= one else 2 * one if outputs <= 2 * one else 4 * one)


def panels_of(weight: Any, bias: Any) -> Any:
    """The weights by blocks of outputs, and under them the bias: (blocks, elements of a window + 1, lanes).

    The last block ends with the last output, and so may overlap the one before; a lone one is filled up with zeros.
    """
    outputs = weight.shape[-1]
    rows, lane = weight.reshape(-1, outputs), lanes(outputs, weight.itemsize)
    panels = np.zeros((-(-outputs // lane), len(rows) + 1, lane), weight.dtype)
    width = min(lane, outputs)
    for block, panel in enumerate(panels):
        start = min(block * lane, outputs - width)
        panel[:-1, :width] = rows[:, start : start + width]
        if bias is not None:
            panel[-1, :width] = bias[start : start + width]
    return panels


def _tile(vectors: int) -> Any:
    """A tile of that many vectors: y[p] = bias + Σ_s Σ_k x[p, s, k] · panel[s, k], by addresses and distances in bytes.

    p < PIXELS counts pixels, s < segments the rows of a window, k < length the numbers in such a row.
    """

    @intrinsic  # type: ignore[untyped-decorator]
    def tile(
        context: Any,
        like: Any,
        y: Any,
        next_y: Any,
        x: Any,
        next_x: Any,
        segments: Any,
        next_segment: Any,
        length: Any,
        panel: Any,
        bias: Any,
    ) -> Any:
        signature = types.void(like, *[types.intp] * 9)

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _, y, next_y, x, next_x, segments, next_segment, length, panel, bias = arguments
            scalar = context.get_value_type(like.dtype)
            size = like.dtype.bitwidth // 8
            vector = ir.VectorType(scalar, VECTOR_BYTES // size)
            nothing = ir.Constant(vector, ir.Undefined)

            def at(base: Any, index: Any, distance: int) -> Any:
                return builder.add(base, builder.mul(index, _INDEX(distance)))

            def load(kind: Any, address: Any) -> Any:
                value = builder.load(builder.inttoptr(address, ir.PointerType(kind)))
                value.align = size
                return value

            def spread(number: Any) -> Any:
                one = builder.insert_element(nothing, number, _LANE(0))
                return builder.shuffle_vector(one, nothing, ir.Constant(ir.VectorType(_LANE, vector.count), None))

            sums = [[cgutils.alloca_once(builder, vector) for _ in range(vectors)] for _ in range(PIXELS)]
            for v in range(vectors):
                start = load(vector, builder.add(bias, _INDEX(v * VECTOR_BYTES)))
                for p in range(PIXELS):
                    builder.store(start, sums[p][v])
            with cgutils.for_range(builder, segments) as row:
                first = builder.add(x, builder.mul(row.index, next_segment))
                pixels = [builder.add(first, builder.mul(next_x, _INDEX(p))) for p in range(PIXELS)]
                weights = at(panel, builder.mul(row.index, length), vectors * VECTOR_BYTES)
                with cgutils.for_range(builder, length) as step:
                    here = at(weights, step.index, vectors * VECTOR_BYTES)
                    weight = [load(vector, builder.add(here, _INDEX(v * VECTOR_BYTES))) for v in range(vectors)]
                    for p in range(PIXELS):
                        number = spread(load(scalar, at(pixels[p], step.index, size)))
                        for v in range(vectors):
                            product = builder.fmul(number, weight[v], flags=("contract",))
                            builder.store(
                                builder.fadd(product, builder.load(sums[p][v]), flags=("contract",)), sums[p][v]
                            )
            for p in range(PIXELS):
                for v in range(vectors):
                    address = builder.add(builder.add(y, builder.mul(next_y, _INDEX(p))), _INDEX(v * VECTOR_BYTES))
                    builder.store(
                        builder.load(sums[p][v]), builder.inttoptr(address, ir.PointerType(vector))
                    ).align = size
            return context.get_dummy_value()

        return signature, generate

    return tile


_tile1, _tile2, _tile4 = _tile(1), _tile(2), _tile(4)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _compute(
    vectors: Any, like: Any, y: Any, next_y: Any, x: Any, next_x: Any, rows: Any, next_row: Any, k: Any, w: Any, b: Any
) -> None:
    if vectors == 4:
        _tile4(like, y, next_y, x, next_x, rows, next_row, k, w, b)
    elif vectors == 2:
        _tile2(like, y, next_y, x, next_x, rows, next_row, k, w, b)
    else:
        _tile1(like, y, next_y, x, next_x, rows, next_row, k, w, b)


@compiled
def correlate(y: Any, x: Any, panels: Any, height: Any, stride: Any, dilation: Any, start: int, stop: int) -> None:
    """y[o] = bias + Σ_t x[window o, element t] · weight[t], for the rows of pixels from `start` to `stop`.

    y (n, rows, columns, outputs); x (n, *padded size, c); `panels` as `panels_of` makes them; `height` is that of the
    kernel.
    """
    _, rows, columns, outputs = y.shape
    _, tall, wide, channels = x.shape
    blocks, elements, lane = panels.shape
    size = y.itemsize
    vectors = lane * size // VECTOR_BYTES
    length = (elements - 1) // height
    scratch = np.empty((PIXELS, lane), y.dtype)
    # A lone block writes beyond a pixel's channels, where the next pixel's come later; the last one has no next.
    spills = blocks == 1 and lane <= 2 * outputs
    next_x, next_row = stride[1] * channels * size, dilation[0] * wide * channels * size
    for line in range(start, stop):
        image, row = divmod(line, rows)
        source = x.ctypes.data + (image * tall + row * stride[0]) * wide * channels * size
        for begin in range(0, columns, PIXELS):
            left = max(0, min(begin, columns - PIXELS))  # the last tile of a row overlaps the one before
            pixels = min(PIXELS, columns)
            for block in range(blocks):
                panel = panels.ctypes.data + block * elements * lane * size
                offset = panel + (elements - 1) * lane * size
                first = min(block * lane, max(0, outputs - lane))
                last = line == stop - 1 and left + PIXELS >= columns
                if pixels == PIXELS and (lane <= outputs or (spills and not last)):
                    target = y.ctypes.data + ((line * columns + left) * outputs + first) * size
                    _compute(
                        vectors, y, target, outputs * size, source + left * next_x, next_x,
                        height, next_row, length, panel, offset,
                    )  # fmt: skip
                else:
                    for p in range(pixels):  # a tile of one pixel, PIXELS times over, of which a part is kept
                        _compute(
                            vectors, y, scratch.ctypes.data, lane * size, source + (left + p) * next_x, 0,
                            height, next_row, length, panel, offset,
                        )  # fmt: skip
                        for channel in range(min(lane, outputs)):
                            y[image, row, left + p, first + channel] = scratch[0, channel]

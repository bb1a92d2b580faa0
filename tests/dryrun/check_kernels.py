"""Compares every CUDA kernel of xpnet's own, run on the CPU, with the plain seam; prints JSON.

Run by test_dryrun.py. For each kernel and type: the largest relative difference over all geometries;
sums over rows are compared with those in float64, "exact".
"""

import itertools
import json
import types

import kernels_on_cpu
import numpy as np

from xpnet.backend import Backend, Windows, _cupy_kernels
from xpnet.backend._cupy_kernels_columns import ColumnKernels
from xpnet.functional import shifted_exp


class OnTheCPU(ColumnKernels, Backend):
    _cupy = types.SimpleNamespace(ElementwiseKernel=kernels_on_cpu.ElementwiseKernel, empty=np.empty)


kernels, plain = OnTheCPU("numpy", np), Backend("numpy", np)
random = np.random.default_rng(0)
found = {"plain": {}, "exact": {}}


def compare(name, dtype, got, expected, against="plain", own=None):
    assert got.shape == expected.shape, (name, got.shape, expected.shape)
    assert got.dtype == (own or dtype), (name, got.dtype)
    finite = np.isfinite(expected)
    assert np.array_equal(finite, np.isfinite(got)), name
    assert np.array_equal(got[~finite], expected[~finite].astype(dtype), equal_nan=True), name
    scale = np.max(np.abs(expected[finite]), initial=0.0) + 1e-30
    difference = np.max(np.abs(got[finite] - expected[finite].astype(np.float64)), initial=0.0) / scale
    worst, key = found[against], f"{name} {dtype}"
    worst[key] = max(worst.get(key, 0.0), float(difference))


def array(shape, dtype, equal=False):
    """Random numbers; few different ones, and NaN among them, where windows are to find equal ones."""
    values = random.integers(-2, 3, shape).astype(dtype) if equal else random.standard_normal(shape).astype(dtype)
    if equal:
        values[random.random(shape) < 0.05] = np.nan
    return values


def wide(values):
    """What the plain seam computes with: float32 in place of float16, which the kernels sum up in float32."""
    return values.astype(np.float32) if values.dtype == np.float16 else values


# One axis each: size, kernel, stride, dilation, before, output. With padding on either side, windows beyond the end as
# of `ceil_mode`, windows that overlap, leave gaps, begin inside the image, lie all in the padding, or are one element.
AXES = [
    (5, 3, 1, 1, 1, 5),
    (7, 2, 2, 1, 0, 3),
    (6, 3, 2, 1, 0, 3),
    (6, 3, 2, 2, 3, 4),
    (9, 2, 4, 3, -2, 2),
    (4, 1, 1, 1, 0, 4),
    (5, 1, 3, 1, 0, 2),
    (3, 2, 1, 1, 3, 7),
    (1, 3, 1, 1, 1, 1),
]


def windows():
    yield from (Windows(*((each,) for each in axis)) for axis in AXES)
    for pair in itertools.product(AXES[:6], AXES[3:]):
        yield Windows(*zip(*pair))
    for three in ((AXES[0], AXES[1], AXES[3]), (AXES[4], AXES[2], AXES[5]), (AXES[7], AXES[3], AXES[1])):
        yield Windows(*zip(*three))


def check_windows(geometry, n, channels, dtype):
    x, y = (n, *geometry.size, channels), (n, *geometry.output, channels)
    images, gradients = array(x, dtype), array(y, dtype)
    rows = array((n * geometry.pixels, geometry.taps * channels), dtype)
    compare("gather", dtype, kernels.gather(images, geometry), plain.gather(images, geometry))
    spread, expected = np.full(x, np.nan, dtype), np.full(x, np.nan, wide(rows).dtype)
    kernels.spread(rows, geometry, spread)
    plain.spread(wide(rows), geometry, expected)
    compare("spread", dtype, spread, expected)
    compare("window_sum", dtype, kernels.window_sum(images, geometry), plain.window_sum(wide(images), geometry))
    got = kernels.window_sum_gradient(gradients, geometry)
    compare("window_sum_gradient", dtype, got, plain.window_sum_gradient(wide(gradients), geometry))
    for values in (images, array(x, dtype, equal=True), np.swapaxes(array(x[:-2] + x[:-3:-1], dtype), -1, -2)):
        largest = plain.window_max(values, geometry)
        compare("window_max", dtype, kernels.window_max(values, geometry), largest)
        got = kernels.window_max_gradient(gradients, values, largest, geometry)
        expected = plain.window_max_gradient(wide(gradients), wide(values), wide(largest), geometry)
        compare("window_max_gradient", dtype, got, expected)


def check_winograd(size, before, output, n, inputs, outputs, dtype):
    counts = tuple(-(-length // 4) for length in output)
    tiles = Windows(size, (6, 6), (4, 4), (1, 1), before, counts)
    x, y = array((n, *size, inputs), dtype), array((n, *output, outputs), dtype)
    weight = array((3, 3, inputs, outputs), dtype)
    for each in (weight, np.swapaxes(weight, 2, 3)):
        compare("kernel_to_planes", dtype, kernels.kernel_to_planes(each), plain.kernel_to_planes(wide(each)))
    got = kernels.tiles_to_planes(x, tiles)
    compare("tiles_to_planes", dtype, got, plain.tiles_to_planes(wide(x), tiles))
    got = kernels.tiles_to_transposed_planes(x, tiles)
    compare("tiles_to_transposed_planes", dtype, got, plain.tiles_to_transposed_planes(wide(x), tiles))
    compare("results_to_planes", dtype, kernels.results_to_planes(y, tiles), plain.results_to_planes(wide(y), tiles))
    for name, shape, place, *geometry in (
        ("planes_to_kernel", (36, inputs, outputs), weight),
        ("planes_to_tiles", (36, n * tiles.pixels, inputs), x, tiles),
        ("planes_to_results", (36, n * tiles.pixels, outputs), y, tiles),
    ):
        planes = array(shape, dtype)
        got, expected = np.full_like(place, np.nan), np.full_like(wide(place), np.nan)
        getattr(kernels, name)(planes, *geometry, got)
        getattr(plain, name)(wide(planes), *geometry, expected)
        compare(name, dtype, got, expected)
    bias, got, expected = array(outputs, dtype), np.full_like(y, np.nan), np.full_like(wide(y), np.nan)
    kernels.planes_to_results(planes, tiles, got, bias)
    plain.planes_to_results(np.copy(wide(planes)), tiles, expected, wide(bias))
    compare("planes_to_results_and_bias", dtype, got, expected)


def check_rows(n, columns, dtype):
    logits = 5.0 * array((n, columns), dtype)
    with_nan = np.copy(logits)
    with_nan[-1, columns // 2] = np.nan
    for x in (logits, with_nan, np.asfortranarray(logits)):
        shifted, exponentials = shifted_exp(wide(x), plain.row_max(wide(x)))
        expected = shifted, exponentials, plain.row_sum(exponentials)
        for part, got, each in zip(("shifted", "exponentials", "total"), kernels.shifted_exponentials(x), expected):
            compare(part, dtype, got, each)


def check_columns(n, columns, dtype):
    own = "float32" if dtype == "float16" else dtype  # of weights and statistics, as in mixed precision
    x, weight = array((n, columns), dtype), array(columns, own)
    x[:, 0] += 100.0  # a mean far from zero
    names = "mean", "variance", "inverse", "scale"
    exact = plain.column_statistics(x.astype(np.float64), weight.astype(np.float64), 1e-5)
    for name, got, expected in zip(names, kernels.column_statistics(x, weight, 1e-5), exact):
        compare(name, dtype, got, expected, "exact", own)
    a, center = array((n, columns), dtype), exact[0].astype(own)
    expected = plain.column_products(*(each.astype(np.float64) for each in (a, x, center)))
    places = np.empty(columns, own), np.empty(columns, own)
    for out in ((None, None), places):
        got = kernels.column_products(a, x, center, out)
        compare("sums", dtype, got[0], expected[0], "exact", own)
        compare("products", dtype, got[1], expected[1], "exact", own)
    assert all(place is part for place, part in zip(places, got))


def check_no_rows(dtype):
    own = "float32" if dtype == "float16" else dtype
    none, center = np.empty((0, 3), dtype), np.ones(3, own)
    for name, got in zip(("sums", "products"), kernels.column_products(none, none, center)):
        compare(name, dtype, got, np.zeros(3), "exact", own)


IMAGES = [
    ((8, 8), (1, 1), (8, 8)),
    ((5, 7), (1, 1), (5, 7)),
    ((9, 6), (0, 0), (7, 4)),
    ((4, 13), (2, 1), (6, 13)),
    ((3, 3), (5, 4), (11, 9)),
    ((12, 11), (-2, -5), (8, 3)),
]
SIZES = [(2, 3), (1, 1)]
DTYPES = ("float32", "float64", "float16")
for dtype in DTYPES:
    for number, geometry in enumerate(windows()):
        if dtype == "float32" or len(geometry.size) == 2:
            check_windows(geometry, *SIZES[number % 2], dtype)
    for number, image in enumerate(IMAGES):
        check_winograd(*image, *[(2, 3, 2), (1, 1, 5)][number % 2], dtype)
    for n, columns in ((7, 10), (1, 1), (3, 32)):
        check_rows(n, columns, dtype)
    for n, columns in ((2, 1), (31, 3), (65, 3), (100, 5), (2000, 130), (40_000, 2)):
        check_columns(n, columns, dtype)
    check_no_rows(dtype)
_cupy_kernels._LARGE = 1  # from now on, indices have 64 bits
for geometry in list(windows())[8:12]:
    check_windows(geometry, 2, 3, "float32")
for image in IMAGES:
    check_winograd(*image, 2, 3, 2, "float32")
check_rows(3, 10, "float32")
check_columns(100, 5, "float32")
assert {index for _, *_, index in kernels._kernels} == {"int", "ptrdiff_t"}
print(json.dumps(found))

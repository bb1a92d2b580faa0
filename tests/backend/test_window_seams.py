"""Every body of the seams over windows, tiles and columns gives what the plain Array API body gives."""

import dataclasses

import numpy as np
import pytest

from xpnet.backend import Backend, Windows, to_host

PLAIN = Backend("numpy", np)

WINDOWS = {
    "one axis, padded": Windows((7,), (3,), (2,), (1,), (1,), (4,)),
    "two axes, dilated, beyond the end": Windows((6, 5), (3, 2), (2, 1), (2, 1), (2, 1), (4, 6)),
    "gaps, begins inside": Windows((9, 9), (2, 1), (4, 3), (1, 1), (-2, 0), (2, 3)),
    "three axes": Windows((4, 3, 5), (2, 3, 2), (1, 1, 2), (1, 1, 1), (1, 1, 0), (5, 3, 2)),
}
TILES = {
    "whole tiles": Windows((8, 8), (6, 6), (4, 4), (1, 1), (1, 1), (2, 2)),
    "parts of tiles": Windows((5, 7), (6, 6), (4, 4), (1, 1), (1, 1), (2, 2)),
    "wide padding": Windows((3, 9), (6, 6), (4, 4), (1, 1), (5, -2), (3, 1)),
}


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def few(*shape):
    """Many equal numbers, and NaN."""
    values = np.random.default_rng(1).integers(-2, 3, shape).astype(np.float32)
    values[np.random.default_rng(2).random(shape) < 0.05] = np.nan
    return values


def assert_same(backend, name, *arguments, place=None):
    """A seam's result, or what it wrote into the argument number `place`, is the plain one."""
    theirs = [backend.asarray(np.copy(a)) if isinstance(a, np.ndarray) else a for a in arguments]
    plain = [np.copy(a) if isinstance(a, np.ndarray) else a for a in arguments]
    found, expected = getattr(backend, name)(*theirs), getattr(PLAIN, name)(*plain)
    if place is not None:
        found, expected = theirs[place], plain[place]
    np.testing.assert_allclose(to_host(found), expected, rtol=1e-5, atol=2e-5, strict=True)


EACH = pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)


@EACH
def test_windows_are_gathered_and_spread_alike(backend, windows):
    x, y = (2, *windows.size, 3), (2, *windows.output, 3)
    assert_same(backend, "gather", numbers(*x), windows)
    rows = numbers(2 * windows.pixels, windows.taps * 3)
    assert_same(backend, "spread", rows, windows, np.full(x, np.nan, np.float32), place=2)
    assert_same(backend, "window_sum", numbers(*x), windows)
    assert_same(backend, "window_sum_gradient", numbers(*y), windows)


@EACH
@pytest.mark.parametrize("make", [numbers, few])
def test_largest_elements_are_found_alike(backend, windows, make):
    windows = dataclasses.replace(windows, dilation=(1,) * len(windows.size))  # pooling has none
    x = make(2, *windows.size, 3)
    assert_same(backend, "window_max", x, windows)
    y = PLAIN.window_max(x, windows)
    assert_same(backend, "window_max_gradient", numbers(*y.shape), x, y, windows)


@pytest.mark.parametrize("tiles", TILES.values(), ids=TILES)
def test_tiles_are_transformed_alike(backend, tiles):
    x, results = numbers(2, *tiles.size, 3), (2, 4 * tiles.output[0] - 1, 4 * tiles.output[1], 3)
    planes, empty = numbers(36, 2 * tiles.pixels, 3), np.full(results, np.nan, np.float32)
    assert_same(backend, "tiles_to_planes", x, tiles)
    assert_same(backend, "tiles_to_transposed_planes", x, tiles)
    assert_same(backend, "planes_to_tiles", planes, tiles, np.full_like(x, np.nan), place=2)
    assert_same(backend, "planes_to_results", planes, tiles, empty, place=2)
    assert_same(backend, "planes_to_results", planes, tiles, empty, numbers(3), place=2)
    assert_same(backend, "results_to_planes", numbers(*results), tiles)


def test_kernels_are_transformed_alike(backend):
    weight, planes = numbers(3, 3, 4, 5), numbers(36, 4, 5)
    assert_same(backend, "kernel_to_planes", weight)
    assert_same(backend, "planes_to_kernel", planes, np.full_like(weight, np.nan), place=1)


@pytest.mark.parametrize("shape", [(2, 1), (65, 3), (3000, 130), (40_000, 2)], ids=str)
def test_columns_are_summed_up_alike(backend, shape):
    x, weight = numbers(*shape) + 10.0, numbers(shape[1], seed=1)
    a, b = backend.asarray(x), backend.asarray(weight)
    for found, expected in zip(
        backend.column_statistics(a, b, 1e-3),
        PLAIN.column_statistics(x.astype(np.float64), weight.astype(np.float64), 1e-3),
        strict=True,
    ):
        np.testing.assert_allclose(to_host(found), expected, rtol=1e-3, atol=1e-5)
    center = x[0]
    exact = PLAIN.column_products(*(each.astype(np.float64) for each in (x, x, center)))
    places = backend.zeros(shape[1]), backend.zeros(shape[1])
    for out in ((None, None), places):
        for found, expected in zip(backend.column_products(a, a, backend.asarray(center), out), exact, strict=True):
            np.testing.assert_allclose(to_host(found), expected, rtol=1e-3, atol=0.1)

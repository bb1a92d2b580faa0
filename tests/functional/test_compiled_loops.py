"""Numba's loops give what NumPy's own operations give: values, gradients, NaN and infinity."""

import importlib.util
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import compiled_loops, random_key

STEP, KEY = np.zeros((), np.int32), random_key(1, "here")


def run(function, arrays, dy, enabled):
    compiled_loops(enabled)
    with np.errstate(all="ignore"):
        y, pullback = function(*arrays)
        gradients = pullback(dy)
    return y, *(gradients if isinstance(gradients, tuple) else (gradients,))


def with_specials(x):
    """NaN and infinities in three rows and columns; the others keep their numbers."""
    x[0, 0], x[1, 1], x[2, 2] = np.nan, np.inf, -np.inf
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_agree_with_plain_operations_also_on_nan_and_infinity(case, dtype):
    pytest.importorskip("numba")
    x, *others = (a.astype(dtype) for a in case.arrays((140, 130)))
    dy = np.random.default_rng(9).standard_normal(case.function(x, *others)[0].shape).astype(dtype)
    arrays = with_specials(x), *others
    plain, fast = (run(case.function, arrays, dy, enabled) for enabled in (False, True))
    for expected, found in zip(plain, fast, strict=True):
        eps = np.finfo(dtype).eps
        largest = np.max(np.abs(expected), where=np.isfinite(expected), initial=1.0)
        np.testing.assert_allclose(found, expected, rtol=20 * eps, atol=100 * eps * largest, strict=True)


@pytest.mark.parametrize("shape", [(140, 130), (1, 20_000), (20_000, 1), (20_000,), (20, 40, 30)], ids=str)
def test_dropout_masks_have_the_same_bits(shape):
    pytest.importorskip("numba")
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    plain, fast = (run(lambda x: F.dropout(x, 0.3, KEY, STEP), (x,), x, enabled) for enabled in (False, True))
    for expected, found in zip(plain, fast, strict=True):
        np.testing.assert_array_equal(found, expected, strict=True)


def few_channels():
    """Images of one to eight channels, with every shape of tile and of what is left over."""
    yield from [((2, 9, 9, 1), (5, 5, 1, 30)), ((2, 11, 6, 3), (3, 3, 3, 64)), ((1, 5, 4, 8), (3, 2, 8, 70))]
    yield from [((3, 13, 14, 3), (7, 7, 3, 8)), ((2, 3, 3, 2), (3, 3, 2, 16)), ((1, 40, 2), (9, 2, 33))]
    yield from [((2, 8, 9, 2), (3, 3, 2, outputs)) for outputs in (24, 65, 96, 130)]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"padding": 1}, {"stride": 2}, {"stride": 3, "padding": 2}], ids=str)
def test_convolutions_of_few_channels(dtype, options):
    pytest.importorskip("numba")
    random = np.random.default_rng(2)
    for shape, kernel in few_channels():
        x, weight = (random.standard_normal(s).astype(dtype) for s in (shape, kernel))
        bias = random.standard_normal(kernel[-1]).astype(dtype)
        for arrays in ((x, weight), (x, weight, bias)):
            compiled_loops(False)
            expected = F.conv(*arrays, **options)[0]
            compiled_loops(True)
            y = F.conv(*arrays, **options)[0]
            largest = np.abs(expected).max()
            np.testing.assert_allclose(y, expected, rtol=0, atol=20 * np.finfo(dtype).eps * largest, strict=True)


def test_a_convolution_of_few_channels_writes_its_results_and_nothing_else():
    pytest.importorskip("numba")
    from xpnet.backend import _tile_loops as tiles

    for outputs in (3, 8, 9, 17, 33):
        x, panels = np.ones((1, 8, 9, 1), np.float32), np.zeros((1, 10, tiles.lanes(outputs, 4)), np.float32)
        panels[0, :9, :outputs] = 1.0
        inside = 6 * 7 * outputs
        around = np.full(inside + 200, 7.0, np.float32)
        for start, stop in ((3, 6), (0, 3)):
            y = around[:inside].reshape(1, 6, 7, outputs)
            tiles.correlate(y, x, panels[:, :, : tiles.lanes(outputs, 4)], 3, (1, 1), (1, 1), start, stop)
        np.testing.assert_array_equal(around[:inside], 9.0)
        np.testing.assert_array_equal(around[inside:], 7.0)


@pytest.mark.parametrize(("vectors", "vector_bytes"), [(4, 64), (4, 16), (2, 32), (2, 16)])
def test_several_blocks_of_outputs_are_full(monkeypatch, vectors, vector_bytes):
    """A block that were not would be computed pixel by pixel, three times slower than by products."""
    pytest.importorskip("numba")
    from xpnet.backend import _tile_loops as tiles

    monkeypatch.setattr(tiles, "VECTORS", vectors)
    monkeypatch.setattr(tiles, "VECTOR_BYTES", vector_bytes)
    for outputs in range(8, 200):
        panels = tiles.panels_of(np.ones((2, 3, 1, outputs), np.float32), np.ones(outputs, np.float32))
        blocks, elements, lanes = panels.shape
        assert elements == 7
        assert (blocks - 1) * lanes < outputs <= blocks * lanes
        assert panels.all() if blocks > 1 else panels[..., :outputs].all() and not panels[..., outputs:].any()


@pytest.mark.parametrize("setting", [{"NUMBA_CPU_NAME": "generic"}, {"NUMBA_ENABLE_AVX": "0"}], ids=str)
def test_tiles_are_for_the_machine_that_numba_compiles_for(setting):
    """Else its cache on disk, which several machines may share, would hold loops for vectors of another size."""
    pytest.importorskip("numba")
    script = "from xpnet.backend import _tile_loops as tiles; print(tiles.VECTOR_BYTES)"
    out = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | setting, capture_output=True, text=True, timeout=60, check=True
    ).stdout
    assert out == "16\n"


@pytest.mark.parametrize(("vectors", "vector_bytes"), [(4, 64), (4, 16), (2, 32), (2, 16)])
def test_tiles_of_other_machines(tmp_path, vectors, vector_bytes):
    pytest.importorskip("numba")
    from xpnet.backend import _tile_loops

    copied = shutil.copy(_tile_loops.__file__, tmp_path)  # with a cache of its own
    spec = importlib.util.spec_from_file_location("tile_loops", copied)
    tiles = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiles)
    tiles.VECTORS, tiles.VECTOR_BYTES = vectors, vector_bytes
    x = np.arange(8 * 11 * 3, dtype=np.float32).reshape(1, 8, 11, 3) % 7
    for outputs in (8, 24, 33, 65, 96):
        weight = np.arange(27 * outputs, dtype=np.float32).reshape(3, 3, 3, outputs) % 5
        around = np.full(6 * 9 * outputs + 100, 7.0, np.float32)
        y = around[50:-50].reshape(1, 6, 9, outputs)
        tiles.correlate(y, x, tiles.panels_of(weight, None), 3, (1, 1), (1, 1), 0, 6)
        windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2)).transpose(0, 1, 2, 4, 5, 3)
        np.testing.assert_array_equal(y, np.tensordot(windows, weight, 3))
        np.testing.assert_array_equal(around[[*range(50), *range(-50, 0)]], 7.0)


def test_a_convolution_of_few_channels_hands_on_nan_and_infinity():
    pytest.importorskip("numba")
    x, weight = np.ones((1, 6, 6, 1), np.float32), np.ones((3, 3, 1, 8), np.float32)
    x[0, 0, 0], x[0, 5, 5] = np.nan, np.inf
    y = F.conv(x, weight)[0]
    assert np.isnan(y[0, 0, 0]).all()
    assert np.isposinf(y[0, 3, 3]).all()
    assert np.isfinite(y[0, 1:3, 1:3]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.longdouble, ">f4"])
def test_types_that_numba_does_not_know_are_computed_plainly(dtype):
    x = np.linspace(-1.0, 1.0, 20_000).astype(dtype)
    y, pullback = F.relu(x)
    np.testing.assert_array_equal(y, np.maximum(x, 0.0))
    np.testing.assert_array_equal(pullback(y), y)


def test_memory_maps_and_read_only_arrays_go_through_loops(tmp_path):
    x = np.memmap(tmp_path / "x", np.float32, "w+", shape=(200, 100))
    x[...] = np.linspace(-1.0, 1.0, 20_000).reshape(x.shape)
    x.flags.writeable = False
    np.testing.assert_array_equal(F.relu(x)[0], np.maximum(x, 0.0))


@pytest.mark.parametrize("order", ["transposed", "every other row", "backwards"])
def test_irregular_layouts_give_the_same(order):
    x = np.random.default_rng(0).standard_normal((300, 200)).astype(np.float32)
    x = {"transposed": x.T, "every other row": x[::2], "backwards": x[::-1]}[order]
    expected, found = F.tanh(np.ascontiguousarray(x)), F.tanh(x)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    np.testing.assert_allclose(found[1](x), expected[1](np.ascontiguousarray(x)), rtol=1e-5, atol=1e-6)

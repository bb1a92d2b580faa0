"""cuDNN's numbers on a GPU, against the direct way in float64; collected only where CuPy, cuDNN and a GPU are."""

import cupy
import numpy as np
import pytest

import xpnet
from tests.backend.test_cudnn import CASES, conv_arrays, normal
from xpnet import functional as F
from xpnet.backend import CuPy, use_backend

LARGE = {
    "ResNet's 3×3": (F.conv, conv_arrays((56, 56), (3, 3), 64, 64, n=8), {"padding": 1}),
    "ResNet's first": (F.conv, conv_arrays((64, 64), (7, 7), 3, 64, n=8), {"padding": 3, "stride": 2}),
    "ResNet's shortcut": (F.conv, conv_arrays((28, 28), (1, 1), 256, 512, n=8), {"stride": 2}),
    "ResNeXt's groups": (F.conv, conv_arrays((28, 28), (3, 3), 128, 128, groups=32, n=8), {"padding": 1, "groups": 32}),
    "MobileNet's depthwise": (
        F.conv,
        conv_arrays((28, 28), (3, 3), 96, 96, groups=96, n=8),
        {"padding": 1, "groups": 96},
    ),
    "same, even kernel": (F.conv, conv_arrays((28, 28), (4, 4), 32, 32, n=8), {"padding": "same", "stride": 2}),
    "a wide dilation": (F.conv, conv_arrays((40, 40), (3, 3), 32, 32, n=4), {"padding": 6, "dilation": 6}),
}
ALL = CASES | LARGE
EACH = pytest.mark.parametrize(("function", "arrays", "options"), ALL.values(), ids=ALL)
TOLERANCES = {"float32": 3e-5, "tf32": 1e-2, "float16": 2e-2}
"""Of the largest result. cuDNN may choose Winograd's algorithm in float32."""


@pytest.fixture(autouse=True)
def _on_the_gpu():
    with use_backend("cupy"), xpnet.use_convolution("cudnn"):
        yield


def run(function, arrays, options, dtype):
    """The value and the gradients as host arrays, of arrays that were rounded to float32 or float16 before."""
    on_device = [cupy.asarray(array).astype(dtype) for array in arrays]
    y, pullback = function(*on_device, **options)
    dy = cupy.asarray(normal(y.shape, 3)).astype(arrays[0].dtype).astype(dtype)
    return [cupy.asnumpy(a) for a in (y, *pullback(dy))]


@pytest.mark.parametrize("precision", TOLERANCES)
@EACH
def test_every_kind_gives_the_direct_numbers_of_float64(monkeypatch, function, arrays, options, precision):
    monkeypatch.setattr(CuPy, "products_in_tf32", precision == "tf32")
    dtype = "float16" if precision == "float16" else "float32"
    arrays = [array.astype(dtype) for array in arrays]
    found = run(function, arrays, options, dtype)
    with xpnet.use_convolution("direct"):
        expected = run(function, arrays, options, "float64")
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, str(a.dtype)) == (b.shape, dtype)
        np.testing.assert_allclose(a.astype("float64"), b, rtol=0.0, atol=TOLERANCES[precision] * np.abs(b).max())


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@EACH
def test_two_runs_give_the_same_bits(function, arrays, options, dtype):
    first, second = (run(function, arrays, options, dtype) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


@EACH
def test_it_can_be_captured_and_replayed_on_other_values(function, arrays, options):
    x, weight = (cupy.asarray(array) for array in arrays[:2])
    place = cupy.zeros_like(weight)

    def step():
        y, pullback = function(x, weight, **options)
        return y, pullback(y, out=(place, None))[0]

    pool, stream = cupy.cuda.MemoryPool(), cupy.cuda.Stream(non_blocking=True)
    cupy.cuda.Device().synchronize()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        step()
        stream.begin_capture()
        captured = (*step(), place)
        graph = stream.end_capture()
        x *= 0.5
        graph.launch(stream)
        stream.synchronize()
        replayed = [cupy.asnumpy(a) for a in captured]
        expected = [cupy.asnumpy(a) for a in (*step(), place)]
    for a, b in zip(replayed, expected, strict=True):
        assert np.abs(b).max() > 0.0
        np.testing.assert_array_equal(a, b)


def test_memory_stays_flat():
    arrays = [cupy.asarray(array) for array in conv_arrays((28, 28), (3, 3), 32, 32, n=16)]
    pool = cupy.get_default_memory_pool()

    def step():
        y, pullback = F.conv(*arrays, padding=1)
        pullback(y)

    step()
    before = pool.total_bytes()
    for _ in range(50):
        step()
    assert pool.total_bytes() == before

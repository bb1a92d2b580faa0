"""Types: what half and double precision become in a model, and values that are not finite."""

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from xpnet import layers as L

SMALL, LARGE = 2.0**-24, 65504.0
"""The least and the greatest of float16."""


def save(path, dtype=np.float32, **arrays):
    shapes = {"weight": (2, 3), "bias": (2,)}
    tensors = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()} | arrays
    safetensors.numpy.save_file({name: array.astype(dtype) for name, array in tensors.items()}, path)


def test_float16_is_widened_exactly(backend, path):
    layer = L.Linear(3, 2)
    save(path, np.float16, bias=np.asarray([SMALL, -LARGE]))
    xpnet.load_weights(layer, path)
    np.testing.assert_array_equal(backend.to_host(layer.bias.data), np.float32([SMALL, -LARGE]), strict=True)


def test_all_of_bfloat16_is_widened_exactly(path):
    """Each of its 65 536 values, and as PyTorch reads them."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    everything = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    save_file({"weight": everything.reshape(1, -1)}, path)
    layer = L.Linear(2**16, 1, bias=False)
    xpnet.load_weights(layer, path, allow_nonfinite=True)
    expected = everything.to(torch.float32).numpy()
    np.testing.assert_array_equal(layer.weight.data[:, 0], expected, strict=True)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(layer.weight.data[finite, 0].view(np.int32), expected[finite].view(np.int32))


def test_bfloat16_comes_into_a_model_of_float64(backend64, path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    theirs, layer = torch.nn.Linear(3, 2, dtype=torch.bfloat16), L.Linear(3, 2)
    save_file(theirs.state_dict(), path)
    xpnet.load_weights(layer, path)
    expected = theirs.weight.detach().double().numpy().T
    np.testing.assert_array_equal(backend64.to_host(layer.weight.data), expected, strict=True)


def test_float64_is_rounded_to_the_nearest(backend, path):
    layer, numbers = L.Linear(3, 2), np.asarray([1.0 + 2.0**-25, 0.1])
    save(path, np.float64, bias=numbers)
    xpnet.load_weights(layer, path)
    np.testing.assert_array_equal(backend.to_host(layer.bias.data), np.float32([1.0, 0.1]), strict=True)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_, np.complex64])
def test_other_types_are_refused(backend, path, values, assert_same, dtype):
    layer = L.Linear(3, 2)
    before = values(layer)
    tensors = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, dtype)}
    safetensors.numpy.save_file(tensors, path)
    name = {"int64": "I64", "uint8": "U8", "bool": "BOOL", "complex64": "C64"}[np.dtype(dtype).name]
    message = rf"expected floating-point values \(float64, float32, float16 or bfloat16\), but bias is {name}; nothing"
    with pytest.raises(ValueError, match=message):
        xpnet.load_weights(layer, path)
    assert_same(values(layer), before)


def test_eight_bits_are_refused(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    theirs = {"weight": torch.zeros(2, 3).to(torch.float8_e4m3fn), "bias": torch.zeros(2)}
    save_file(theirs, path)
    with pytest.raises(ValueError, match="but weight is F8_E4M3; nothing was changed"):
        xpnet.load_weights(L.Linear(3, 2), path)


def test_values_that_are_not_finite_are_counted_and_refused(backend, path, values, assert_same):
    layer = L.Linear(3, 2)
    before = values(layer)
    weight = np.asarray([[0.0, np.nan, np.inf], [-np.inf, np.nan, np.nan]])
    save(path, weight=weight, bias=np.asarray([np.nan, 0.0]))
    with pytest.raises(ValueError, match="only allow_nonfinite=True loads; nothing was changed") as caught:
        xpnet.load_weights(layer, path)
    assert str(caught.value).splitlines()[1:] == [
        "  weight: 3 NaN and 2 infinite of 6 values, in float32",
        "  bias: 1 NaN and 0 infinite of 2 values, in float32",
    ]
    assert_same(values(layer), before)
    xpnet.load_weights(layer, path, allow_nonfinite=True)
    np.testing.assert_array_equal(backend.to_host(layer.weight.data), weight.T.astype(np.float32), strict=True)


def test_what_becomes_infinite_in_float32_is_counted_too(path):
    layer = L.Linear(3, 2)
    save(path, np.float64, bias=np.asarray([1e300, 0.0]))
    with pytest.raises(ValueError, match="bias: 0 NaN and 1 infinite of 2 values, in float32"):
        xpnet.load_weights(layer, path)
    xpnet.load_weights(layer, path, allow_nonfinite=True)
    assert layer.bias.data[0] == np.inf


def test_running_statistics_are_looked_at_too(path):
    layer = L.BatchNorm(2)
    layer.running_var.data[...] = np.nan
    xpnet.save_weights(layer, path)
    with pytest.raises(ValueError, match="running_var: 2 NaN and 0 infinite of 2 values"):
        xpnet.load_weights(L.BatchNorm(2), path)


def test_the_count_of_batches_may_be_any_or_none(path):
    layer = L.BatchNorm(2)
    tensors = {name: np.ones(2, np.float32) for name in ("weight", "bias", "running_mean", "running_var")}
    for extra in ({}, {"num_batches_tracked": np.asarray(7)}, {"num_batches_tracked": np.zeros(3, np.uint8)}):
        safetensors.numpy.save_file(tensors | extra, path)
        assert repr(xpnet.load_weights(layer, path)) == "LoadReport: 4 arrays loaded"


def test_a_count_beside_nothing_is_unexpected(path):
    safetensors.numpy.save_file(
        {"weight": np.ones((1, 1), np.float32), "num_batches_tracked": np.zeros((), np.int64)}, path
    )
    with pytest.raises(ValueError, match=r"unexpected: num_batches_tracked \(\)"):
        xpnet.load_weights(L.Linear(1, 1, bias=False), path)

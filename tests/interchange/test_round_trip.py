"""A network of everything goes to PyTorch and back, bit for bit; a failure on the way changes nothing."""

import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from xpnet import layers as L
from xpnet import optimizers
from xpnet.interchange import load_torch

X = np.random.default_rng(0).standard_normal((3, 4, 5, 4))


def network():
    tied = L.Linear(6, 6)
    body = L.Sequential(
        conv1=L.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), bn1=L.BatchNorm(8), relu=L.ReLU(),
        conv2=L.Conv2d(8, 8, (1, 3), padding=(0, 1)), se_module=L.SqueezeExcite(8, reduction=4),
    )  # fmt: skip
    shortcut = L.Sequential(L.Conv2d(4, 8, 1, bias=False), L.BatchNorm(8))
    return L.Sequential(
        stem=L.Frozen(L.Sequential(L.Conv2d(4, 4, 1), L.BatchNorm(4))),
        layer1=L.Sequential(L.Residual(body, shortcut, body_name="", shortcut_name="downsample")),
        flatten=L.Flatten(),
        fc=L.Linear(4 * 5 * 8, 6, image=(4, 5, 8)),
        tied1=tied, relu=L.ReLU(), tied2=tied,
    )  # fmt: skip


def torch_network(torch):
    nn = torch.nn

    class SqueezeExcite(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Conv2d(8, 2, 1), nn.Conv2d(2, 8, 1)

        def forward(self, x):
            return x * self.fc2(self.fc1(x.mean((2, 3), keepdim=True)).relu()).sigmoid()

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(4, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d(8)
            self.conv2, self.se_module = nn.Conv2d(8, 8, (1, 3), padding=(0, 1)), SqueezeExcite()
            self.downsample = nn.Sequential(nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8))

        def forward(self, x):
            return self.se_module(self.conv2(self.bn1(self.conv1(x)).relu())) + self.downsample(x)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
            self.layer1, self.fc, self.tied1 = nn.Sequential(Block()), nn.Linear(160, 6), nn.Linear(6, 6)
            self.tied2 = self.tied1

        def forward(self, x):
            return self.tied2(self.tied1(self.fc(self.layer1(self.stem(x)).flatten(1))).relu())

    return Network().eval()


def changed(backend):
    """Statistics other than those of the start."""
    model = network()
    model.forward(backend.asarray(X + 1.0))
    return model


def check_both_ways(backend, path, values, assert_same):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    dtype = getattr(torch, backend.dtype)
    model, other, module = changed(backend), network(), torch_network(torch).to(dtype)
    xpnet.save_weights(model, path)
    module.load_state_dict(load_file(path), strict=True)
    assert all(tensor.dtype in (dtype, torch.int64) for tensor in module.state_dict().values())
    with torch.no_grad():
        expected = module(torch.tensor(X, dtype=dtype).movedim(-1, 1)).numpy()
    tolerance = {"float32": 1e-5, "float64": 1e-12}[backend.dtype]
    np.testing.assert_allclose(backend.to_host(model(backend.asarray(X))), expected, rtol=tolerance, atol=tolerance)

    path.unlink()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    save_file(state, path)
    xpnet.load_weights(other, path)
    assert_same(values(other), values(model))
    xpnet.save_weights(other, path)
    again = load_file(path)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)

    third = network()
    load_torch(third, module.state_dict())
    assert_same(values(third), values(model))


def test_to_pytorch_and_back_bit_for_bit(backend, path, values, assert_same):
    check_both_ways(backend, path, values, assert_same)


def test_to_pytorch_and_back_bit_for_bit_in_float64(backend64, path, values, assert_same):
    check_both_ways(backend64, path, values, assert_same)


def test_the_safetensors_library_reads_aligned_arrays(path):
    model = network()
    xpnet.save_weights(model, path)
    content = path.read_bytes()
    assert (8 + int.from_bytes(content[:8], "little")) % 8 == 0
    read = safetensors.numpy.load(content)
    assert read["fc.weight"].shape == (6, 160)
    assert read["layer1.0.bn1.num_batches_tracked"] == 0
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_model_without_arrays_is_saved_and_loaded(path):
    xpnet.save_weights(L.ReLU(), path)
    assert safetensors.numpy.load_file(path) == {}
    assert repr(xpnet.load_weights(L.ReLU(), path)) == "LoadReport: 0 arrays loaded"


# Failures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
@pytest.mark.parametrize("after", [0, 5, 20])
@pytest.mark.parametrize("step", ["isfinite", "empty"])
def test_a_failure_while_values_are_read_changes_nothing(
    backend, path, values, assert_same, monkeypatch, step, after, packed
):
    model = network()
    if packed:
        optimizers.SGD(model, 0.1)
    before = values(model)
    xpnet.save_weights(network(), path)
    calls, original = [], getattr(np, step)

    def fails(*arguments, **options):
        calls.append(step)
        if len(calls) > after:
            raise MemoryError("no memory left")
        return original(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(np, step, fails)
        with pytest.raises(MemoryError, match="no memory left"):
            xpnet.load_weights(model, path)
    assert len(calls) == after + 1
    assert_same(values(model), before)


@pytest.mark.parametrize("name", ["layer1.0.bn1.weight", "tied1.bias", "stem.0.weight"])
def test_a_failure_while_values_are_written_changes_nothing(path, values, assert_same, name):
    model = network()
    model.tensors()[name].data.flags.writeable = False
    before = values(model)
    xpnet.save_weights(changed(model.backend), path)
    with pytest.raises(ValueError, match="read-only"):
        xpnet.load_weights(model, path)
    assert_same(values(model), before)


def test_the_arrays_of_an_optimizer_are_written_in_place(path):
    model = network()
    optimizers.SGD(model, 0.1)
    data = model.parameters()["fc.weight"].data
    source = network()
    xpnet.save_weights(source, path)
    xpnet.load_weights(model, path)
    assert model.parameters()["fc.weight"].data is data
    np.testing.assert_array_equal(data, source.parameters()["fc.weight"].data)


# Memory -------------------------------------------------------------------------------------------------------------


def peak(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loading_needs_one_copy_and_saving_one_array(path, dtype):
    """In pieces of a tenth of the whole, of which reading needs three at most: raw, in float32, in our order."""
    one, model = 4 * 200 * 500, L.Sequential(*(L.Linear(200, 500, bias=False) for _ in range(10)))
    with xpnet.use_backend("numpy", dtype=dtype) as backend:
        source = model.to(backend)
    slack, wide = 100_000, {"float32": 1, "float64": 2}[dtype]
    assert peak(lambda: xpnet.save_weights(source, path)) < wide * one + slack
    assert peak(lambda: xpnet.load_weights(model, path)) < 10 * one + (1 + wide) * one + slack
    state = safetensors.numpy.load_file(path)
    assert peak(lambda: load_torch(model, state)) < 10 * one + (1 + wide) * one + slack

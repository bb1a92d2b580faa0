"""Weights go to a file and come back, PyTorch's among them; a bad file changes nothing, a full disk loses nothing."""

import os

import numpy as np
import pytest
import safetensors.numpy

import xpnet
from xpnet import layers as L
from xpnet import models, optimizers
from xpnet.backend import open_backend

X = np.random.default_rng(0).standard_normal((6, 4))


def network():
    model = models.mlp([4, 8, 8, 3], batch_norm=True, dropout=0.5)
    for step in range(3):
        model.forward(model.backend.asarray(X + step))
    return model


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_what_was_saved_is_loaded(backend, path, packed, values, assert_same):
    model, other = network(), network()
    if packed:
        optimizers.Adam(model, 0.1)
        optimizers.Adam(other, 0.1)
    xpnet.save_weights(model, path)
    xpnet.load_weights(other, str(path))
    assert_same(values(other), values(model))
    x = backend.asarray(X)
    np.testing.assert_array_equal(backend.to_host(other(x)), backend.to_host(model(x)))


def test_a_file_of_one_backend_loads_on_every_other(backend, path, values, assert_same):
    model = network()
    xpnet.save_weights(model, path)
    for name in xpnet.available_backends():
        with xpnet.use_backend(name):
            other = network()
            xpnet.load_weights(other, path)
            assert_same(values(other), values(model))


def test_float64_is_saved_as_such_and_loads_into_float32(backend64, path, values, assert_same):
    model = network()
    xpnet.save_weights(model, path)
    assert {a.dtype for name, a in safetensors.numpy.load_file(path).items() if "num_batches" not in name} == {
        np.dtype("float64")
    }
    with xpnet.use_backend(backend64.name):
        other = network()
    xpnet.load_weights(other, path)
    assert_same(values(other), {name: a.astype(np.float32) for name, a in values(model).items()})


def test_frozen_layers_are_saved_under_the_same_names(path, values, assert_same):
    model = L.Sequential(L.Frozen(L.Linear(4, 3)))
    xpnet.save_weights(model, path)
    other = L.Sequential(L.Linear(4, 3))
    xpnet.load_weights(other, path)
    assert_same(values(other), values(model))


def test_the_file_says_it_is_pytorchs(path):
    xpnet.save_weights(network(), path)
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}


def torch_network(torch):
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(8, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3),
    )  # fmt: skip


def test_pytorch_opens_ours_strictly_and_computes_the_same(backend, path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model, module = network(), torch_network(torch)
    xpnet.save_weights(model, path)
    module.load_state_dict(load_file(path), strict=True)
    with torch.no_grad():
        expected = module.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(backend.to_host(model(backend.asarray(X))), expected, rtol=1e-5, atol=1e-6)


def test_ours_opens_pytorchs_and_computes_the_same(backend, path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    model, module = network(), torch_network(torch)
    with torch.no_grad():
        module(torch.tensor(X, dtype=torch.float32))
        save_file(module.state_dict(), path)
        xpnet.load_weights(model, path)
        expected = module.eval()(torch.tensor(X, dtype=torch.float32)).numpy()
    np.testing.assert_allclose(backend.to_host(model(backend.asarray(X))), expected, rtol=1e-5, atol=1e-6)


def half_a_file(file, arrays):
    file.write(b"half of it")
    raise OSError("no space left on device")


def no_move(source, target):
    raise OSError("no space left on device")


def no_sync(number):
    raise OSError("no space left on device")


@pytest.mark.parametrize(
    ("step", "fails"),
    [("xpnet.files._safetensors.write_arrays", half_a_file), ("os.replace", no_move), ("os.fsync", no_sync)],
)
def test_a_save_that_fails_leaves_the_older_file_whole_and_no_other(path, monkeypatch, step, fails):
    model = network()
    xpnet.save_weights(model, path)
    before = path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(step, fails)
        with pytest.raises(OSError, match="no space left on device"):
            xpnet.save_weights(models.mlp([4, 3]), path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_save_into_no_folder_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^save_weights: there is no folder .*nowhere$"):
        xpnet.save_weights(network(), tmp_path / "nowhere" / "weights")


def test_a_save_over_a_folder_says_so(path):
    path.mkdir()
    with pytest.raises(IsADirectoryError, match=rf"^save_weights: {path} is a folder, expected the path of a file"):
        xpnet.save_weights(network(), path)
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("path", [b"weights.safetensors", None, 3])
@pytest.mark.parametrize("function", [xpnet.save_weights, xpnet.load_weights])
def test_what_is_no_path_is_named(function, path):
    name, got = function.__name__, type(path).__name__
    with pytest.raises(TypeError, match=rf"^{name}: path must be a str or a pathlib\.Path, got {got}$"):
        function(network(), path)


def test_a_state_dict_is_no_path():
    with pytest.raises(TypeError, match=r"^load_weights: .* got a mapping; load_torch takes state dicts"):
        xpnet.load_weights(network(), {"weight": np.ones((2, 3))})


def test_a_file_may_be_read_by_those_who_may_read_others(path):
    path.with_name("other").write_bytes(b"")
    xpnet.save_weights(network(), path)
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


def test_a_save_over_a_file_replaces_it(path, values, assert_same):
    xpnet.save_weights(network(), path)
    model = models.mlp([4, 3])
    xpnet.save_weights(model, path)
    other = models.mlp([4, 3])
    xpnet.load_weights(other, path)
    assert_same(values(other), values(model))
    assert os.listdir(path.parent) == [path.name]


def test_a_model_of_another_device_and_type_keeps_both(path):
    import array_api_strict

    device = array_api_strict.Device("device1")
    xpnet.save_weights(L.Linear(4, 3), path)
    model = L.Linear(4, 3).to(open_backend("array_api_strict", device=device, dtype="float64"))
    xpnet.load_weights(model, path)
    assert (model.weight.data.device, model.weight.data.dtype) == (device, array_api_strict.float64)

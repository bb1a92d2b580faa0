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


def values(model):
    return {path: np.array(model.backend.to_host(tensor.data)) for path, tensor in model.tensors().items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_what_was_saved_is_loaded(backend, path, packed):
    model, other = network(), network()
    if packed:
        optimizers.Adam(model, 0.1)
        optimizers.Adam(other, 0.1)
    xpnet.save_weights(model, path)
    xpnet.load_weights(other, str(path))
    assert_same(values(other), values(model))
    x = backend.asarray(X)
    np.testing.assert_array_equal(backend.to_host(other(x)), backend.to_host(model(x)))


def test_a_file_of_one_backend_loads_on_every_other(backend, path):
    model = network()
    xpnet.save_weights(model, path)
    for name in xpnet.available_backends():
        with xpnet.use_backend(name):
            other = network()
            xpnet.load_weights(other, path)
            assert_same(values(other), values(model))


def test_float64_is_saved_as_such_and_loads_into_float32(backend64, path):
    model = network()
    xpnet.save_weights(model, path)
    assert {a.dtype for name, a in safetensors.numpy.load_file(path).items() if "num_batches" not in name} == {
        np.dtype("float64")
    }
    with xpnet.use_backend(backend64.name):
        other = network()
    xpnet.load_weights(other, path)
    assert_same(values(other), {name: a.astype(np.float32) for name, a in values(model).items()})


def test_frozen_layers_are_saved_under_the_same_names(path):
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


def rewritten(path, change):
    """The file with its tensors changed."""
    tensors = safetensors.numpy.load_file(path)
    change(tensors)
    safetensors.numpy.save_file(tensors, path)


BAD_TENSORS = {
    "missing": (lambda t: t.pop("0.bias"), r"missing: 0\.bias \(8,\)"),
    "unexpected": (lambda t: t.update({"extra": t["0.bias"]}), r"unexpected: extra \(8,\)"),
    "mis-shaped": (
        lambda t: t.update({"8.weight": np.zeros((8, 3), np.float32)}),
        r"shape: 8\.weight is \(8, 3\) there, \(3, 8\) in the model",
    ),
    "integers": (
        lambda t: t.update({"0.bias": np.zeros(8, np.int64)}),
        r"expected floating-point values, but 0\.bias is int64",
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_TENSORS.values(), ids=BAD_TENSORS)
def test_tensors_that_do_not_fit_change_nothing(backend, path, change, message):
    model = network()
    before = values(model)
    xpnet.save_weights(network(), path)
    rewritten(path, change)
    with pytest.raises(ValueError, match=message) as caught:
        xpnet.load_weights(model, path)
    assert str(caught.value).startswith(f"load_weights: {path}")
    assert_same(values(model), before)


def test_all_that_does_not_fit_is_listed_at_once(path):
    xpnet.save_weights(models.mlp([4, 8, 3]), path)
    with pytest.raises(ValueError, match="nothing was changed") as caught:
        xpnet.load_weights(models.mlp([4, 9, 9, 3]), path)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: 4.weight (3, 9)",
        "  missing: 4.bias (3,)",
        "  shape: 0.weight is (8, 4) there, (9, 4) in the model",
        "  shape: 0.bias is (8,) there, (9,) in the model",
        "  shape: 2.weight is (3, 8) there, (9, 9) in the model",
        "  shape: 2.bias is (3,) there, (9,) in the model",
    ]


BAD_BYTES = {
    "cut off": lambda content: content[:-10],
    "cut off in its header": lambda content: content[:20],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(range(256)) * 4,
    "longer than its header says": lambda content: content + b"more",
    "a pickle": lambda content: b"\x80\x04\x95" + content,
}


@pytest.mark.parametrize("spoil", BAD_BYTES.values(), ids=BAD_BYTES)
def test_a_file_that_is_not_whole_changes_nothing(path, spoil):
    model = network()
    before = values(model)
    xpnet.save_weights(network(), path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(ValueError, match=r"^load_weights: .* is no safetensors file that can be read \("):
        xpnet.load_weights(model, path)
    assert_same(values(model), before)


def test_a_file_of_bfloat16_is_refused_or_loaded_but_never_misread(path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    layer, model = torch.nn.Linear(4, 3, dtype=torch.bfloat16), L.Linear(4, 3)
    save_file(layer.state_dict(), path)
    before = values(model)
    try:
        xpnet.load_weights(model, path)
    except ValueError:
        assert_same(values(model), before)
    else:
        np.testing.assert_array_equal(model.weight.data.T, layer.weight.detach().float().numpy())


def test_a_file_of_float16_is_loaded(path):
    model = L.Linear(4, 3)
    safetensors.numpy.save_file({"weight": np.ones((3, 4), np.float16), "bias": np.zeros(3, np.float16)}, path)
    xpnet.load_weights(model, path)
    assert (model.weight.data == 1.0).all()
    assert model.weight.data.dtype == np.float32


@pytest.mark.parametrize("kind", ["missing", "folder"])
def test_no_file_is_said(path, kind):
    if kind == "folder":
        path.mkdir()
    with pytest.raises(FileNotFoundError, match=f"load_weights: there is no file {path}"):
        xpnet.load_weights(network(), path)


def half_a_file(self, content):
    with self.open("wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError("no space left on device")


def no_move(source, target):
    raise OSError("no space left on device")


@pytest.mark.parametrize(("step", "fails"), [("pathlib.Path.write_bytes", half_a_file), ("os.replace", no_move)])
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


def test_a_file_may_be_read_by_those_who_may_read_others(path):
    path.with_name("other").write_bytes(b"")
    xpnet.save_weights(network(), path)
    assert path.stat().st_mode == path.with_name("other").stat().st_mode


def test_a_save_over_a_file_replaces_it(path):
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

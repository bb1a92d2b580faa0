"""State dicts: PyTorch's tensors of all kinds, arrays of other libraries, and what is neither."""

import re

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet.interchange import load_torch


def network():
    return L.Sequential(conv=L.Conv1d(2, 4, 3), bn=L.BatchNorm(4), fc=L.Linear(4, 3))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def module(torch):
    parts = {"conv": torch.nn.Conv1d(2, 4, 3), "bn": torch.nn.BatchNorm1d(4), "fc": torch.nn.Linear(4, 3)}
    module = torch.nn.Sequential()
    for name, part in parts.items():
        module.add_module(name, part)
    with torch.no_grad():
        module.bn(torch.randn(8, 4))
    return module


def assert_holds(model, state, dtype="float32"):
    """The model's values, in PyTorch's layout, are those of the state dict."""
    backend = model.backend
    for name, tensor in model.tensors().items():
        layout = tensor.layout if isinstance(tensor, L.Parameter) else L.TorchLayout()
        found = layout.to_torch(backend.to_host(tensor.data))
        np.testing.assert_array_equal(found, state[name].detach().double().numpy().astype(dtype), err_msg=name)


def test_a_modules_state_dict_is_loaded(backend, module):
    model = network()
    assert repr(load_torch(model, module.state_dict())) == "LoadReport: 8 arrays loaded"
    assert_holds(model, module.state_dict())


def test_a_state_dict_of_float64_into_float64(backend64, module):
    model = network()
    load_torch(model, module.double().state_dict())
    assert_holds(model, module.state_dict(), "float64")


@pytest.mark.parametrize("kind", ["half", "bfloat16", "double"])
def test_other_precisions_are_cast(backend, module, kind):
    model = network()
    state = getattr(module, kind)().state_dict()
    load_torch(model, state)
    assert_holds(model, state)


def test_parameters_that_want_gradients_and_strided_ones_are_loaded(backend, torch, module):
    model = network()
    state = dict(module.named_parameters()) | dict(module.named_buffers())
    assert state["fc.weight"].requires_grad
    state["conv.weight"] = torch.nn.Parameter(state["conv.weight"].detach().movedim(0, 2).contiguous().movedim(2, 0))
    load_torch(model, state)
    assert_holds(model, state)


def test_what_is_loaded_is_a_copy(torch, module):
    model = network()
    state = module.state_dict()
    load_torch(model, state)
    before = model.parameters()["fc.bias"].data.copy()
    state["fc.bias"].zero_()
    np.testing.assert_array_equal(model.parameters()["fc.bias"].data, before)
    assert before.any()


@pytest.mark.parametrize("prefix", ["module.", "module._orig_mod."])
def test_a_wrapped_modules_state_dict_is_loaded(module, prefix):
    model = network()
    load_torch(model, {prefix + name: values for name, values in module.state_dict().items()}, skip="fc")
    assert not model.parameters()["fc.bias"].data.any()
    load_torch(model, {prefix + name: values for name, values in module.state_dict().items()})
    assert_holds(model, module.state_dict())


def test_networks_that_pytorch_itself_has_wrapped_are_loaded(torch, module):
    for wrapped in (torch.nn.DataParallel(module), torch.compile(module, backend="eager")):
        model = network()
        load_torch(model, wrapped.state_dict())
        assert_holds(model, module.state_dict())


def test_arrays_of_every_library_are_loaded(backend):
    weight, bias = np.arange(6.0).reshape(2, 3), np.ones(2)
    for name in xpnet.available_backends():
        arrays = xpnet.backend.open_backend(name)
        layer = L.Linear(3, 2)
        load_torch(layer, {"weight": arrays.asarray(weight), "bias": arrays.asarray(bias)})
        np.testing.assert_array_equal(backend.to_host(layer.weight.data), weight.T)


def test_bfloat16_of_jax_is_loaded():
    jax = pytest.importorskip("jax")
    layer = L.Linear(1, 2)
    weight = jax.numpy.asarray([[0.1], [3.0]], dtype="bfloat16")
    load_torch(layer, {"weight": weight, "bias": jax.numpy.zeros(2)})
    np.testing.assert_array_equal(layer.weight.data, np.float32([[0.10009765625, 3.0]]))


def test_a_models_own_arrays_may_change_places():
    layer = L.Sequential(a=L.Linear(2, 2), b=L.Linear(2, 2))
    a, b = layer.parameters()["a.weight"].data, layer.parameters()["b.weight"].data
    before = a.copy(), b.copy()
    state = {name: parameter.data for name, parameter in layer.parameters().items()}
    load_torch(layer, state | {"a.weight": b.T, "b.weight": a.T})
    np.testing.assert_array_equal((a, b), before[::-1])


WRONG = {
    "missing": (lambda s, torch: s.pop("fc.bias") * 0, ValueError, r"missing: fc\.bias \(3,\)"),
    "unexpected": (lambda s, torch: s.update(a=s["fc.bias"]), ValueError, r"unexpected: a \(3,\)"),
    "mis-shaped": (
        lambda s, torch: s.update({"fc.weight": s["fc.weight"].T}),
        ValueError,
        r"shape: fc\.weight \(4, 3\) → \(3, 4\)",
    ),
    "integers": (
        lambda s, torch: s.update({"fc.bias": torch.zeros(3, dtype=torch.int32)}),
        ValueError,
        r"expected floating-point values .*, but fc\.bias is int32",
    ),
    "NaN": (
        lambda s, torch: s.update({"fc.bias": torch.full((3,), torch.nan)}),
        ValueError,
        r"fc\.bias: 3 NaN and 0 infinite of 3 values",
    ),
    "without values": (
        lambda s, torch: s.update({"fc.bias": torch.zeros(3, device="meta")}),
        ValueError,
        r"fc\.bias cannot be read \(.*meta.*\); nothing was changed",
    ),
    "masked": (
        lambda s, torch: s.update({"fc.bias": np.ma.masked_array(np.ones(3), [True, False, False])}),
        ValueError,
        r"fc\.bias cannot be read \(some of its values are masked\); nothing was changed",
    ),
    "sparse": (
        lambda s, torch: s.update({"fc.bias": torch.zeros(3).to_sparse()}),
        ValueError,
        r"fc\.bias cannot be read \(",
    ),
    "a list": (
        lambda s, torch: s.update({"fc.bias": [0.0, 0.0, 0.0]}),
        TypeError,
        r"expected arrays by name, but fc\.bias is a list",
    ),
    "a checkpoint": (
        lambda s, torch: s.update(epoch=3, optimizer={}),
        TypeError,
        r"expected arrays by name, but epoch is a int; if a state dict is inside, .* at 'optimizer'$",
    ),
    "a state dict inside": (
        lambda s, torch: [s.update(model=dict(s)), s.pop("fc.bias")],
        TypeError,
        r"but model is a dict; if a state dict is inside, pass it alone: mappings are at 'model'$",
    ),
    "a number for a name": (lambda s, torch: s.update({3: s["fc.bias"]}), TypeError, r"but 3 is a Tensor"),
}


@pytest.mark.parametrize(("change", "kind", "message"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_changes_nothing(torch, module, values, assert_same, change, kind, message):
    model, state = network(), dict(module.state_dict())
    before = values(model)
    change(state, torch)
    with pytest.raises(kind, match=message) as caught:
        load_torch(model, state)
    assert str(caught.value).startswith("load_torch: ")
    assert_same(values(model), before)


def test_a_module_is_no_state_dict(module):
    message = "load_torch: expected arrays by name, such as module.state_dict(), got Sequential"
    with pytest.raises(TypeError, match=re.escape(message)):
        load_torch(network(), module)


def test_what_fits_is_loaded_without_strict(module):
    model, state = network(), dict(module.state_dict())
    state["extra"] = state.pop("fc.bias")
    report = load_torch(model, state, strict=False)
    assert (report.left, report.ignored) == (("fc.bias",), ("extra",))


def test_the_model_is_a_layer(path, module):
    for function, arguments in (
        (load_torch, (module, {})),
        (xpnet.load_weights, (module, path)),
        (xpnet.save_weights, (path, module)),
    ):
        with pytest.raises(TypeError, match=f"^{function.__name__}: the model must be a layer, got "):
            function(*arguments)

"""ONNX files pass the checker, and onnxruntime computes with them what the model does."""

import inspect
import sys

import numpy as np
import pytest

import xpnet
from xpnet import layers as L
from xpnet import models
from xpnet.interchange import OnnxGraph, OnnxValue, register_onnx, save_weights, to_onnx

IMAGE, SEQUENCE, VOLUME, ROWS = (2, 9, 8, 4), (2, 11, 4), (2, 5, 6, 7, 4), (2, 6)


def case(layer, shape, name=None):
    return pytest.param(layer, shape, id=name or repr(layer()).partition("\n")[0])


def same(*options, **named):
    return [(lambda make=make: make(*options, **named)) for make in (L.Conv1d, L.Conv2d, L.Conv3d)]


def everywhere(shapes, *makes):
    return [case(make, shape, f"{make()!r}-{len(shape)}d") for make in makes for shape in shapes]


CASES = [
    *everywhere(
        [ROWS, SEQUENCE, IMAGE],
        *(L.ReLU, L.LeakyReLU, L.Sigmoid, L.Tanh, L.Softplus, L.SiLU, L.GELU, L.Softmax, L.LogSoftmax),
        *(L.Identity, L.Flatten, lambda: L.Dropout(0.5), lambda: L.LeakyReLU(0.2)),
    ),
    case(lambda: L.Linear(6, 3), ROWS),
    case(lambda: L.Linear(6, 3, bias=False), ROWS),
    case(lambda: L.Linear(4, 3), IMAGE, "Linear-of-pixels"),
    case(lambda: L.Linear(4, 3, bias=False), SEQUENCE, "Linear-of-a-sequence"),
    *[
        case(lambda make=make, options=options: make(4, 6, **options), shape)
        for make, shape in ((L.Conv1d, SEQUENCE), (L.Conv2d, IMAGE), (L.Conv3d, VOLUME))
        for options in (
            {"kernel_size": 3},
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": 2, "padding": "same"},
            {"kernel_size": 4, "padding": "same", "stride": 3},
            {"kernel_size": 1, "padding": "same", "stride": 2},
            {"kernel_size": 2, "padding": "valid", "stride": 2},
            {"kernel_size": 3, "padding": 2, "dilation": 2, "bias": False},
            {"kernel_size": 2, "groups": 2, "stride": 2},
        )
    ],
    case(lambda: L.Conv2d(4, 6, (3, 2), stride=(1, 2), padding=(0, 1), dilation=(2, 1)), IMAGE),
    *[
        case(lambda make=make, options=options: make(4, 6, **options), shape)
        for make, shape in ((L.ConvTranspose1d, SEQUENCE), (L.ConvTranspose2d, IMAGE), (L.ConvTranspose3d, VOLUME))
        for options in (
            {"kernel_size": 3},
            {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
            {"kernel_size": 2, "stride": 2, "groups": 2, "bias": False},
            {"kernel_size": 3, "dilation": 2, "padding": 2},
        )
    ],
    *[
        case(lambda make=make, options=options: make(**options), shape)
        for makes, shape in (
            ((L.MaxPool1d, L.AvgPool1d), SEQUENCE),
            ((L.MaxPool2d, L.AvgPool2d), IMAGE),
            ((L.MaxPool3d, L.AvgPool3d), VOLUME),
        )
        for make in makes
        for options in (
            {"kernel_size": 2},
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": 2, "ceil_mode": True},
            {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
            {
                "kernel_size": 2,
                "stride": 3,
                "padding": 1,
                "ceil_mode": True,
            },  # a window in the padding alone is left out
            {"kernel_size": 3, "stride": 3, "ceil_mode": True},
        )
    ],
    *[
        case(lambda make=make, options=options: make(count_include_pad=False, **options), shape)
        for make, shape in ((L.AvgPool1d, SEQUENCE), (L.AvgPool2d, IMAGE), (L.AvgPool3d, VOLUME))
        for options in (
            {"kernel_size": 3, "stride": 2, "padding": 1},
            {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        )
    ],
    case(lambda: L.MaxPool2d((3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True), IMAGE),
    case(lambda: L.AvgPool2d((3, 2), stride=(2, 3), padding=(1, 0), ceil_mode=True), IMAGE),
    *everywhere([SEQUENCE, IMAGE, VOLUME], L.GlobalAvgPool),
    *[case(lambda n=n: L.AdaptiveAvgPool1d(n), SEQUENCE) for n in (1, 4, 11, 22, 15)],
    *[case(lambda n=n: L.AdaptiveAvgPool2d(n), IMAGE) for n in (1, (3, 4), (9, 8), (9, 3), (2, 8), (13, 5))],
    *[case(lambda n=n: L.AdaptiveAvgPool3d(n), VOLUME) for n in (1, (5, 3, 7), (2, 4, 3), (5, 6, 4), (3, 6, 7))],
    *everywhere([ROWS], lambda: L.BatchNorm(6), lambda: L.LayerNorm(6), lambda: L.LocalResponseNorm(3)),
    *everywhere([SEQUENCE, IMAGE, VOLUME], lambda: L.BatchNorm(4, eps=1e-3), lambda: L.LayerNorm(4, eps=1e-3)),
    case(lambda: L.LayerNorm((8, 4)), IMAGE),
    *everywhere(
        [SEQUENCE, IMAGE, VOLUME],
        *(lambda size=size: L.LocalResponseNorm(size, alpha=0.5, k=2.0, beta=0.6) for size in (3, 4, 5, 6)),
    ),
    *everywhere([SEQUENCE, IMAGE], lambda: L.Pad(1), lambda: L.Pad(2, value=-1.5)),
    case(lambda: L.Pad([(0, 1), (2, 0)]), IMAGE),
    *everywhere([SEQUENCE, IMAGE, VOLUME], lambda: L.SqueezeExcite(4, reduction=2)),
]

COMPOSED = [
    case(L.Sequential, ROWS, "empty"),
    case(L.Sequential, IMAGE, "empty-image"),
    case(lambda: L.Residual(L.Linear(6, 6)), ROWS, "residual"),
    case(lambda: L.Residual(L.Conv2d(4, 3, 1), L.Linear(4, 3)), IMAGE, "residual-of-both-orders"),
    case(lambda: L.Residual(L.Sequential(L.Conv2d(4, 4, 1), L.Flatten()), L.Flatten()), IMAGE, "residual-flat"),
    case(
        lambda: L.Residual(L.Conv2d(4, 4, 1), body_name="", shortcut_name="downsample"),
        IMAGE,
        "residual-without-levels",
    ),
    case(
        lambda: L.Residual(L.Residual(L.ReLU(), body_name=""), body_name=""),
        IMAGE,
        "residual-of-a-residual-at-one-path",
    ),
    case(lambda: L.Concat(L.Linear(6, 2), L.Identity()), ROWS, "concat"),
    case(lambda: L.Concat(L.Conv2d(4, 2, 1), L.Identity(), L.Linear(4, 3)), IMAGE, "concat-of-both-orders"),
    case(lambda: L.Concat(L.Sequential(L.ReLU(), L.Flatten()), L.GlobalAvgPool()), IMAGE, "concat-flat"),
    case(
        lambda: L.Sequential(L.MaxPool2d(1), L.Concat(L.Flatten(), L.Flatten()), L.Linear(576, 3)),
        IMAGE,
        "concat-of-two-flat-images",
    ),
    case(lambda: L.Frozen(L.Sequential(L.Conv2d(4, 3, 2), L.BatchNorm(3))), IMAGE, "frozen"),
    case(lambda: L.Sequential(**{"": L.Conv2d(4, 3, 2), "relu": L.ReLU()}), IMAGE, "empty-name"),
    case(lambda: L.Sequential(L.MaxPool2d(2), L.Flatten(), L.Linear(64, 3)), IMAGE, "flatten-linear"),
    case(lambda: L.Sequential(L.Flatten(), L.Linear(288, 3, image=(9, 8, 4))), IMAGE, "flatten-linear-image"),
    case(
        lambda: L.Sequential(
            L.Conv2d(4, 3, 2), L.Flatten(), L.BatchNorm(168), L.ReLU(), L.LayerNorm(168), L.Dropout(0.5), L.Softmax()
        ),
        IMAGE,
        "flatten-and-features",
    ),
    case(lambda: L.Sequential(L.Conv2d(4, 3, 2), L.Flatten(), L.LocalResponseNorm(3)), IMAGE, "flatten-neighbours"),
    case(lambda: L.Sequential(L.Conv1d(4, 3, 2), L.Flatten(), L.Linear(30, 2)), SEQUENCE, "flatten-sequence"),
    case(lambda: L.Sequential(L.Conv3d(4, 3, 2), L.Flatten(), L.Linear(360, 2)), VOLUME, "flatten-volume"),
    case(lambda: L.Sequential(input=L.ReLU(), output=L.Linear(6, 2)), ROWS, "names-of-the-ends"),
]


def filled(model, seed=1):
    """The model with random parameters and buffers, so that no weight of 1 and no bias of 0 hides a mistake."""
    random = np.random.default_rng(seed)
    for path, tensor in model.tensors().items():
        values = random.standard_normal(tuple(tensor.data.shape))
        values = np.abs(values) + 0.5 if path.endswith("running_var") else values
        tensor.data[...] = model.backend.asarray(values)
    return model


def checked(path):
    """The file's graph, with shapes inferred, after the checker has seen it."""
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(path, full_check=True)
    return onnx.shape_inference.infer_shapes(onnx.load(path), check_type=True, strict_mode=True, data_prop=True).graph


def shape_of(info):
    return tuple(d.dim_param or d.dim_value for d in info.type.tensor_type.shape.dim)


def session(path):
    options = pytest.importorskip("onnxruntime").SessionOptions()
    options.log_severity_level, options.intra_op_num_threads, options.inter_op_num_threads = 3, 1, 1
    return pytest.importorskip("onnxruntime").InferenceSession(path, options, providers=["CPUExecutionProvider"])


def first(shape):
    return (shape[0], shape[-1], *shape[1:-1])


def assert_runs_alike(model, shape, path, channels_first=False, tolerance=1e-5):
    """At two batches, from one file, relative to the largest output; returns the largest difference."""
    backend, run, worst = model.backend, session(path), 0.0
    for n in (1, 3):
        x = np.random.default_rng(n).standard_normal((n, *shape[1:])).astype(backend.dtype)
        expected = np.asarray(backend.to_host(model(backend.asarray(x))))
        found = run.run(["output"], {"input": np.moveaxis(x, -1, 1) if channels_first else x})[0]
        found = np.moveaxis(found, 1, -1) if channels_first else found
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        assert n == 1 or np.abs(expected[1:] - expected[0]).max() > 0.01 * np.abs(expected).max()
        worst = max(worst, float(np.abs(found - expected).max() / np.abs(expected).max()))
    assert worst <= tolerance
    return worst


@pytest.fixture
def path(tmp_path):
    """Where to write; what was written is removed, for pytest keeps the folders of three runs."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    yield path
    path.unlink(missing_ok=True)


@pytest.mark.parametrize("channels_first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize(("make", "shape"), CASES + COMPOSED)
def test_onnxruntime_computes_the_same(make, shape, channels_first, path):
    model = filled(make())
    to_onnx(model, shape, path, channels_first=channels_first)
    graph = checked(path)
    output = ("batch", *model.output_shape(shape)[1:])
    assert shape_of(graph.input[0]) == ("batch", *(first(shape) if channels_first else shape)[1:])
    assert shape_of(graph.output[0]) == (first(output) if channels_first else output)
    assert_runs_alike(model, shape, path, channels_first)


def test_every_layer_class_is_among_the_cases():
    tested = {type(layer) for param in CASES + COMPOSED for model in [param.values[0]()] for layer in every(model)}
    classes = {value for value in vars(L).values() if inspect.isclass(value) and issubclass(value, L.Layer)}
    assert classes - {L.Layer} == tested


def every(model):
    return [model, *model.layers().values()]


# Whole models ---------------------------------------------------------------------------------------------------

LONG = pytest.mark.long


def images(name, size, *variant, marks=(), **options):
    """A row of the table below: the model of 10 classes for images of that size."""
    return pytest.param(name, options, (2, size, size, 3), id="-".join((name, *variant)), marks=marks)


MODELS = [
    pytest.param("mlp", {"sizes": [6, 8, 10], "activation": "gelu", "batch_norm": True}, (2, 6), id="mlp"),
    pytest.param("simple_cnn", {"input_shape": (12, 12, 1)}, (2, 12, 12, 1), id="simple_cnn"),
    pytest.param("deep_cnn", {}, (2, 28, 28, 1), id="deep_cnn"),
    pytest.param("cnn1d", {"input_shape": (32, 2), "classes": 10}, (2, 32, 2), id="cnn1d"),
    images("vgg_small", 16, input_shape=(16, 16, 3)),
    images("alexnet", 63, classes=10, hidden=16),
    images("alexnet", 67, "original", classes=10, hidden=16, original=True),
    images("zfnet", 71, classes=10, hidden=16),
    *(images(f"vgg{n}{bn}", 40, classes=10, hidden=16) for n in (11, 13, 16, 19) for bn in ("", "_bn")),
    *(images(f"resnet{n}", 40, classes=10) for n in (18, 34, 50)),
    *(images(f"resnet{n}", 40, classes=10, marks=LONG) for n in (101, 152)),
    images("resnext50_32x4d", 40, classes=10),
    images("se_resnet50", 40, classes=10),
    images("senet154", 40, classes=10, marks=LONG),
    images("googlenet", 40, classes=10),
]


def lively(model, seed=1):
    """The model with random numbers that keep the size of what passes through, so that the input is seen to the end.

    The weights of gates are small: fifty blocks whose gates are random switches, SENet-154 without training, make
    rounding errors in float32 as large as the outputs.
    """
    random = np.random.default_rng(seed)
    for path, tensor in model.tensors().items():
        values = random.standard_normal(tuple(tensor.data.shape), np.float32)
        if values.ndim > 1:
            values *= np.sqrt(2.0 / np.prod(values.shape[:-1])) * (0.01 if "se_module" in path else 1.0)
        else:
            values = 0.1 * values + (0.0 if path.endswith(("bias", "running_mean")) else 1.0)
        tensor.data[...] = model.backend.asarray(values)
    return model


@pytest.mark.parametrize(("name", "options", "shape"), MODELS)
def test_models_run_alike(name, options, shape, path):
    model = lively(getattr(models, name)(**options))
    to_onnx(model, shape, path)
    graph = checked(path)
    assert shape_of(graph.output[0]) == ("batch", 10)
    assert {weight.name for weight in graph.initializer} >= getattr(model, "main", model).tensors().keys()
    assert_runs_alike(model, shape, path)


def test_an_ensemble_runs_alike(path):
    shape = (2, 32, 32, 1)
    members = [models.simple_cnn(shape[1:]), models.vgg_small(shape[1:]), models.googlenet(10, in_channels=1)]
    model = lively(models.Ensemble(members, (1.0, 2.0, 0.5)))
    to_onnx(model, shape, path)
    checked(path)
    assert_runs_alike(model, shape, path)


def test_every_model_is_among_them():
    assert {row.values[0] for row in MODELS} == {
        name for name in models.__all__ if name not in ("Ensemble", "GoogLeNet", "Preprocess", "preprocess")
    }


def test_the_graph_reads_like_the_model(path):
    model = models.vgg_small((16, 16, 3))
    to_onnx(model, (1, 16, 16, 3), path)
    nodes = checked(path).node
    block = ["Conv", "BatchNormalization", "Relu"] * 2 + ["MaxPool"]
    assert [node.op_type for node in nodes] == ["Transpose", *block * 3, "Flatten", "Gemm", "Relu", "Gemm"]
    assert [node.name for node in nodes] == ["input/Transpose", *(str(i) for i in range(len(model)))]


def test_with_channels_first_nothing_is_transposed(path):
    to_onnx(models.vgg_small((16, 16, 3)), (1, 16, 16, 3), path, channels_first=True)
    assert "Transpose" not in {node.op_type for node in checked(path).node}


def operators(path):
    return [node.op_type for node in checked(path).node]


def test_what_does_nothing_in_inference_is_left_out(path):
    model = L.Sequential(L.Dropout(0.5), L.Conv2d(4, 3, 1), L.AdaptiveAvgPool2d((9, 8)), L.Identity(), L.Flatten())
    to_onnx(L.Sequential(model, L.Dropout(0.5), L.Flatten(), L.Linear(216, 2)), IMAGE, path)
    assert operators(path) == ["Transpose", "Conv", "Flatten", "Gemm"]


def test_branches_share_one_transpose(path):
    to_onnx(L.Concat(L.Conv2d(4, 3, 1), L.Conv2d(4, 2, 1)), IMAGE, path)
    assert operators(path) == ["Transpose", "Conv", "Conv", "Concat", "Transpose"]


def test_sequences_of_features_are_not_transposed(path):
    to_onnx(L.Sequential(L.Linear(4, 3), L.LayerNorm(3), L.GELU(), L.Linear(3, 2, bias=False)), SEQUENCE, path)
    assert operators(path) == ["MatMul", "Add", "LayerNormalization", "Gelu", "MatMul"]


def test_weights_have_pytorchs_names_and_layouts(path, tmp_path):
    numpy_helper = pytest.importorskip("onnx.numpy_helper")
    import safetensors.numpy

    model = L.Sequential(vgg=models.vgg_small((16, 16, 3)), excite=L.Linear(10, 4))
    to_onnx(model, (1, 16, 16, 3), path)
    save_weights(model, tmp_path / "weights.safetensors")
    found = {weight.name: numpy_helper.to_array(weight) for weight in checked(path).initializer}
    expected = safetensors.numpy.load_file(tmp_path / "weights.safetensors")
    expected = {name: values for name, values in expected.items() if not name.endswith("num_batches_tracked")}
    assert found.keys() == expected.keys() == model.tensors().keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


def test_squeeze_and_excitation_has_the_weights_of_files(path):
    to_onnx(L.SqueezeExcite(4, reduction=2), IMAGE, path)
    shapes = {weight.name: tuple(weight.dims) for weight in checked(path).initializer}
    assert shapes == {"fc1.weight": (2, 4, 1, 1), "fc1.bias": (2,), "fc2.weight": (4, 2, 1, 1), "fc2.bias": (4,)}


def test_every_layers_value_has_the_shape_that_output_shape_tells(path):
    model = models.deep_cnn()
    to_onnx(model, (2, 28, 28, 1), path, channels_first=True)
    graph = checked(path)
    inferred = {info.name: shape_of(info) for info in graph.value_info}
    compared = 0
    for i in range(len(model)):
        if str(i) in inferred:
            assert inferred[str(i)] == ("batch", *first(model[: i + 1].output_shape((2, 28, 28, 1)))[1:])
            compared += 1
    assert compared == 18


def test_a_shared_layer_has_its_weights_once(path):
    layer = L.Linear(6, 6)
    model = filled(L.Sequential(layer, L.Tanh(), layer))
    to_onnx(model, ROWS, path)
    assert [weight.name for weight in checked(path).initializer] == ["0.weight", "0.bias"]
    assert_runs_alike(model, ROWS, path)


def test_a_shared_layer_on_two_orders_has_its_weights_in_both(path):
    layer = L.Linear(288, 288)
    model = filled(L.Sequential(L.ReLU(), L.MaxPool2d(1), L.Flatten(), layer, L.Tanh(), layer))
    to_onnx(model, IMAGE, path)
    assert [weight.name for weight in checked(path).initializer] == ["3.weight", "3.bias", "3.weight/arranged"]
    assert_runs_alike(model, IMAGE, path)


def test_the_version_is_pinned(path):
    onnx = pytest.importorskip("onnx")
    to_onnx(L.ReLU(), ROWS, path)
    model = onnx.load(path)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert (model.ir_version, model.producer_name) == (9, "xpnet")


def test_every_backend_writes_the_same_file(backend, path):
    pytest.importorskip("onnx")
    model = filled(models.simple_cnn((12, 12, 1)))
    to_onnx(model, (1, 12, 12, 1), path)
    with xpnet.use_backend("numpy"):
        to_onnx(filled(models.simple_cnn((12, 12, 1))), (1, 12, 12, 1), path.with_name("numpy.onnx"))
    assert path.read_bytes() == path.with_name("numpy.onnx").read_bytes()


def test_float64_stays_float64(path):
    with xpnet.use_backend("numpy", dtype="float64"):
        model = filled(models.mlp([6, 8, 3], "tanh", batch_norm=True))
        to_onnx(model, ROWS, path)
        checked(path)
        assert_runs_alike(model, ROWS, path, tolerance=1e-12)


def test_float64_images_agree_with_onnxs_own_reference(path):
    reference = pytest.importorskip("onnx.reference")
    with xpnet.use_backend("numpy", dtype="float64"):
        model = filled(L.Sequential(L.Conv2d(4, 3, 2), L.MaxPool2d(2), L.SiLU(), L.Flatten(), L.Linear(36, 2)))
        to_onnx(model, IMAGE, path)
        checked(path)
        x = np.random.default_rng(0).standard_normal(IMAGE)
        found = reference.ReferenceEvaluator(str(path)).run(None, {"input": x})[0]
        np.testing.assert_allclose(found, model(x), rtol=1e-12, atol=1e-12)


# Layers of others -----------------------------------------------------------------------------------------------


class Scale(L.Layer):
    def __init__(self, features):
        self.weight = L.Parameter(xpnet.get_backend().zeros((features,)) + 2.0)

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        return x * self.weight.data, None


class Shift(Scale):
    def forward(self, x, *, training=True):
        return x + self.weight.data, None


@register_onnx
def add_scale(layer: Scale, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Mul", graph.channels_last(x), graph.weight(layer.weight))


@register_onnx
def add_shift(layer: Shift, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Add", graph.channels_last(x), graph.weight(layer.weight))


@pytest.mark.parametrize("kind", [Scale, Shift])
def test_a_registered_layer_is_written(kind, path):
    model = filled(L.Sequential(L.Conv2d(4, 3, 2), kind(3), L.Flatten(), kind(168)))
    to_onnx(model, IMAGE, path)
    assert [node.name for node in checked(path).node] == [
        *("input/Transpose", "0", "0/Transpose", "1", "2", "3"),
    ]
    assert_runs_alike(model, IMAGE, path)


class Pair(L.Layer):
    def __init__(self):
        self.one, self.two = L.Conv2d(4, 3, 1), L.Linear(4, 3)

    def output_shape(self, input_shape):
        return self.one.output_shape(input_shape)

    def forward(self, x, *, training=True):
        return self.one(x) - self.two(x), None


@register_onnx
def add_pair(layer: Pair, x: OnnxValue, graph: OnnxGraph) -> OnnxValue:
    return graph.node("Sub", *graph.alike([graph.child("one", layer.one, x), graph.child("two", layer.two, x)]))


def test_a_registered_layer_adds_its_own_layers(path):
    model = filled(L.Sequential(L.ReLU(), Pair()))
    to_onnx(model, IMAGE, path)
    assert {weight.name for weight in checked(path).initializer} == model.tensors().keys()
    assert_runs_alike(model, IMAGE, path)


def test_a_function_for_no_class_is_not_registered():
    with pytest.raises(TypeError, match=r"^register_onnx: expected a function whose first parameter is annotated with"):
        register_onnx(lambda layer, x, graph: x)


class Unknown(L.Layer):
    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        return x, None


def test_an_unknown_layer_is_named_by_its_path(path):
    model = L.Sequential(features=L.Sequential(L.ReLU(), Unknown()))
    message = r"layer 'features.1': to_onnx knows no operators for Unknown; .*xpnet\.interchange\.register_onnx"
    with pytest.raises(TypeError, match=message):
        to_onnx(model, ROWS, path)
    with pytest.raises(TypeError, match=r"^to_onnx knows no operators for Unknown"):
        to_onnx(Unknown(), ROWS, path)
    assert not path.exists()


# Bad input ------------------------------------------------------------------------------------------------------


def test_onnx_missing_is_told_with_the_line_that_installs_it(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx needs onnx: pip install 'xpnet\[onnx\]'"):
        to_onnx(L.ReLU(), ROWS, path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 7), r"layer '0': Linear\(6, 3\): expected 6 features in the last axis, got 7"),
        ((6,), r"to_onnx: expected input_shape \(n, …, channels\) of a batch, with at least 2 axes, got \(6,\)"),
        (6, r"^to_onnx: input_shape must be the shape of a batch, such as \(8, 224, 224, 3\), got 6"),
        (np.ones((2, 6)), r"^to_onnx: input_shape must be the shape of a batch, .*, got a ndarray"),
        ((2, 0), r"to_onnx: each length of input_shape must be a positive integer, got 0"),
        ((None, 6), r"to_onnx: each length of input_shape must be a positive integer, got None"),
    ],
)
def test_a_wrong_shape_is_named(shape, message, path):
    with pytest.raises(ValueError, match=message):
        to_onnx(L.Sequential(L.Linear(6, 3)), shape, path)
    assert list(path.parent.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"to_onnx: there is no folder .*missing"):
        to_onnx(L.ReLU(), ROWS, tmp_path / "missing" / "model.onnx")


def test_a_folder_is_named(tmp_path):
    with pytest.raises(IsADirectoryError, match=rf"^to_onnx: {tmp_path} is a folder, expected the path of a file"):
        to_onnx(L.ReLU(), ROWS, tmp_path)


def test_what_is_no_path_or_no_model_is_named(path):
    with pytest.raises(TypeError, match=r"^to_onnx: path must be a str or a pathlib\.Path, got tuple"):
        to_onnx(L.ReLU(), ROWS, ROWS)
    with pytest.raises(TypeError, match=r"^to_onnx: the model must be a layer, got ABCMeta"):
        to_onnx(L.ReLU, ROWS, path)


def test_a_shape_may_be_an_array_of_integers(path):
    to_onnx(L.ReLU(), np.asarray(ROWS), path)
    checked(path)


def test_numbers_of_other_types_are_refused(path):
    model = L.Sequential(L.Linear(6, 3), L.Linear(3, 2))
    model[1].weight.move(model[1].weight.data.astype("float16"))
    message = r"to_onnx: expected all of the model in float32 or all of it in float64, but 1\.weight is float16"
    with pytest.raises(TypeError, match=message):
        to_onnx(model, ROWS, path)


def test_a_model_above_protobufs_limit_is_refused(path, monkeypatch):
    pytest.importorskip("onnx")
    huge = L.Linear(1, 1, bias=False)
    huge.weight.move(np.broadcast_to(np.zeros((), np.float32), (2**15, 2**14)))
    huge.inputs, huge.outputs = 2**15, 2**14
    with pytest.raises(ValueError, match=r"to_onnx: the model takes 2\.0 GiB, and an ONNX file can hold 2 GiB"):
        to_onnx(huge, (1, 2**15), path)
    assert list(path.parent.iterdir()) == []


def test_an_interrupted_call_leaves_the_older_file_whole(path, monkeypatch):
    pytest.importorskip("onnx")
    model = L.Linear(6, 3)
    to_onnx(model, ROWS, path)
    before = path.read_bytes()

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("xpnet.interchange._onnx_graph.Weight.values", interrupt)
    with pytest.raises(KeyboardInterrupt):
        to_onnx(model, ROWS, path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]

"""`summary`: what a model costs, counted from shapes alone."""

import gc
import tracemalloc
from typing import final

import numpy as np
import pytest
import threadpoolctl

import xpnet
from xpnet import layers as L
from xpnet import models
from xpnet.backend import _memory
from xpnet.diagnostics import multiplications, summary


def sizes(model):
    return sum(p.data.size for p in model.tensors().values() if isinstance(p, L.Parameter))


def vgg16():
    """Configuration D of the paper, in the order of its table 1."""
    layers, inputs = [], 3
    for channels, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            layers += [L.Conv2d(inputs, channels, 3, padding=1), L.ReLU()]
            inputs = channels
        layers.append(L.MaxPool2d(2))
    return L.Sequential(
        *layers,
        *(L.Flatten(), L.Linear(7 * 7 * 512, 4096), L.ReLU(), L.Dropout(0.5)),
        *(L.Linear(4096, 4096), L.ReLU(), L.Dropout(0.5), L.Linear(4096, 1000)),
    )


def test_vgg16_has_the_published_numbers_and_nothing_is_allocated():
    model = small_weights(vgg16)
    tracemalloc.start()
    found = summary(model, (1, 224, 224, 3))
    text = str(found)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert found.parameters == 138_357_544
    assert found.multiplications == 15_470_264_320
    assert "multiplications  15.5 G for a batch of shape (1, 224, 224, 3)" in text
    assert summary(model, (4, 224, 224, 3)).multiplications == 4 * found.multiplications


def small_weights(make):
    """The model with weights that all lie in one place: hundreds of millions of zeros need not be drawn."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("_linear", "_convolution"):
            patch.setattr(
                f"xpnet.layers.{module}.new_parameter", lambda shape, *_, **options: L.Parameter(zeros(shape))
            )
        return make()


def zeros(shape):
    return np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), shape, (0,) * len(shape))


# Multiply-adds in units of a thousand million, from the papers' tables or the tables of torchvision's weights.
PUBLISHED = {
    "by hand": 15.470,
    "alexnet": 0.714,
    "vgg11": 7.609,
    "vgg16": 15.470,
    "vgg19": 19.632,
    "googlenet": 1.498,
    "resnet18": 1.814,
    "resnet50": 4.089,
    "resnet152": 11.514,
    "resnext50_32x4d": 4.230,
    "se_resnet50": 3.87,
}


@pytest.mark.parametrize("name", ["by hand", *(name for name in PUBLISHED if hasattr(models, name))])
def test_the_models_have_the_published_multiplications(name):
    model = small_weights(getattr(models, name, vgg16))
    found = summary(model, (1, 224, 224, 3))
    assert found.multiplications / 1e9 == pytest.approx(PUBLISHED[name], abs=0.01)
    assert found.parameters == sizes(model)
    assert found.unknown == ()


@pytest.mark.parametrize(
    ("layer", "input_shape", "expected"),
    [
        (L.Linear(5, 7), (2, 3, 5), 2 * 3 * 5 * 7),
        (L.Conv1d(4, 6, 3, stride=2), (2, 9, 4), 2 * 4 * 3 * 4 * 6),
        (L.Conv2d(4, 6, (3, 2), groups=2, padding=1), (2, 5, 5, 4), 2 * 5 * 6 * 3 * 2 * 2 * 6),
        (L.Conv3d(4, 6, 2, bias=False), (2, 3, 3, 3, 4), 2 * 8 * 8 * 4 * 6),
        (L.ConvTranspose1d(4, 6, 2, stride=2), (2, 5, 4), 2 * 5 * 2 * 4 * 6),
        (L.ConvTranspose2d(4, 6, 3, groups=2), (2, 5, 5, 4), 2 * 25 * 9 * 4 * 3),
        (L.ConvTranspose3d(4, 6, 1), (2, 2, 2, 2, 4), 2 * 8 * 4 * 6),
        (L.BatchNorm(4), (2, 5, 4), 0),
    ],
)
def test_multiplications_of_a_layer(layer, input_shape, expected):
    assert multiplications(layer, input_shape, layer.output_shape(input_shape)) == expected
    [row] = summary(layer, input_shape).rows
    assert (row.path, row.multiplications, row.parameters) == ("", expected, sizes(layer))


def test_every_layer_without_layers_is_known():
    shapes = {"1d": (2, 8, 4), "2d": (2, 8, 8, 4), "3d": (2, 8, 8, 8, 4)}
    arguments = {"Conv": (4, 4, 1), "Linear": (4, 4), "Pool": (2,), "Norm": (4,), "Dropout": (0.5,), "Pad": (1,)}
    checked = 0
    for name in L.__all__:
        kind = getattr(L, name)
        if not (isinstance(kind, type) and issubclass(kind, L.Layer)) or name in ("Layer", "Frozen", "SqueezeExcite"):
            continue
        given = next((a for part, a in arguments.items() if part in name and name != "GlobalAvgPool"), ())
        if name in ("Residual", "Concat"):
            given = (L.Identity(),)
        found = summary(kind(*given), shapes.get(name[-2:], (2, 8, 8, 4)))
        assert found.unknown == ()
        checked += 1
    assert checked >= 35


@final
class Scale(L.Layer):
    def __init__(self, features):
        self.weight = L.Parameter(np.ones(features, np.float32))

    def output_shape(self, input_shape):
        return tuple(input_shape)

    def forward(self, x, *, training=True):
        raise AssertionError("nothing runs")


@final
class WithHead(L.Layer):
    """Inference takes the main path alone, as networks with auxiliary classifiers do."""

    def __init__(self):
        self.main, self.head = L.Sequential(L.Linear(3, 4), L.ReLU()), L.Sequential(L.Linear(3, 9), L.Linear(9, 4))

    def output_shape(self, input_shape):
        return self.main.output_shape(input_shape)

    def forward(self, x, *, training=True):
        raise AssertionError("nothing runs")


def test_an_unknown_layer_is_marked_and_the_total_says_so():
    model = L.Sequential(L.Linear(3, 4), L.Sequential(Scale(4), L.ReLU()))
    found = summary(model, (5, 3))
    assert [row.multiplications for row in found.rows] == [60, None, 0]
    assert (found.multiplications, found.unknown, found.parameters) == (60, ("1.0",), 20)
    assert found.rows[1].kind == "Scale()"
    lines = str(found).splitlines()
    assert lines[3].split() == ["1.0", "Scale()", "(5,", "4)", "4", "?", "160", "B", "160", "B"]
    assert "multiplications  60 for a batch of shape (5, 3), and those of 1.0, which are not known" in lines
    assert summary(model, (5, 3), depth=1).rows[1].multiplications is None


def test_a_layer_of_ones_own_may_be_registered():
    registered = multiplications.register(Scale, lambda layer, input_shape, output_shape: 11)
    try:
        assert summary(Scale(4), (5, 4)).multiplications == 11
    finally:
        multiplications.register(Scale, lambda layer, input_shape, output_shape: None)
    assert registered(None, (), ()) == 11


@final
class Scaled(L.Layer):
    """A layer inside, and a parameter of its own."""

    def __init__(self):
        self.inner, self.scale = L.Linear(3, 3), L.Parameter(np.ones(3, np.float32))

    def output_shape(self, input_shape):
        return self.inner.output_shape(input_shape)

    def forward(self, x, *, training=True):
        raise AssertionError("nothing runs")


@pytest.mark.parametrize("depth", [1, None])
def test_a_layer_with_parameters_beside_those_inside_it(depth):
    found = summary(L.Sequential(Scaled()), (5, 3), depth=depth)
    assert (found.parameters, found.multiplications, found.unknown) == (15, 45, ("0",))
    rows = [(row.path, row.kind, row.parameters, row.multiplications) for row in found.rows]
    apart = [("0.inner", "Linear(3, 3)", 12, 45), ("0", "Scaled", 3, None)]
    assert rows == ([("0", "Scaled (1 layer)", 15, None)] if depth else apart)


def test_heads_of_a_layer_inside_have_rows_of_their_own_paths():
    model = L.Sequential(net=models.googlenet(2), last=L.Linear(2, 2))
    found = summary(model, (1, 32, 32, 3))
    assert [(row.path, row.kind) for row in found.rows[-3:]] == [
        ("last", "Linear(2, 2)"),
        ("net.aux1", "Sequential"),
        ("net.aux2", "Sequential"),
    ]
    assert sum(row.parameters for row in found.rows) == found.parameters
    folded = summary(model, (1, 32, 32, 3), depth=1)
    assert [row.path for row in folded.rows] == ["net", "last"]
    assert sum(row.parameters for row in folded.rows) == found.parameters


def test_heads_beside_the_path_have_a_row_and_count():
    found = summary(WithHead(), (5, 3))
    assert [row.path for row in found.rows] == ["main.0", "main.1", "head"]
    head = found.rows[-1]
    assert (head.kind, head.parameters, head.output_shape, head.note) == ("Sequential", 76, (), "not on this path")
    assert found.parameters == 16 + 76
    assert str(found).splitlines()[4].split() == ["head", "Sequential", "76", "not", "on", "this", "path"]


def test_shared_layers_count_their_parameters_once_and_their_work_each_time():
    shared, relu = L.Linear(3, 3), L.ReLU()
    found = summary(L.Sequential(shared, relu, shared, relu), (5, 3))
    assert [(row.path, row.parameters, row.multiplications) for row in found.rows] == [
        ("0", 12, 45),
        ("1", 0, 0),
        ("2", 0, 45),
        ("3", 0, 0),
    ]
    assert (found.parameters, found.multiplications) == (12, 90)
    assert [row.note for row in found.rows] == ["", "", "shared with 0", ""]


def test_frozen_parameters_are_shown_as_not_trained():
    found = summary(L.Sequential(L.Frozen(L.Sequential(L.Linear(3, 4), L.ReLU())), L.Linear(4, 2)), (5, 3))
    assert [(row.path, row.parameters, row.frozen, row.note) for row in found.rows] == [
        ("0.0", 16, 16, "frozen"),
        ("0.1", 0, 0, "frozen"),
        ("1", 10, 0, ""),
    ]
    assert (found.parameters, found.trained, found.frozen) == (26, 10, 16)
    assert found.gradient_bytes == 40
    assert "parameters       26 (10 trained, 16 frozen)" in str(found)


def test_containers_have_a_row_where_they_make_an_array():
    model = L.Sequential(
        L.Residual(L.Linear(4, 4)), L.Concat(a=L.Linear(4, 1), b=L.Identity()), L.Flatten(), L.Dropout(0.5)
    )
    found = summary(model, (5, 4))
    assert [(row.path, row.kind, row.output_shape) for row in found.rows] == [
        ("0.body", "Linear(4, 4)", (5, 4)),
        ("0.shortcut", "Identity()", (5, 4)),
        ("0", "Residual", (5, 4)),
        ("1.a", "Linear(4, 1)", (5, 1)),
        ("1.b", "Identity()", (5, 4)),
        ("1", "Concat", (5, 5)),
        ("2", "Flatten()", (5, 5)),
        ("3", "Dropout(0.5)", (5, 5)),
    ]
    assert found.rows[-1].backward_bytes == 5 * 5 * 4  # the mask


def test_squeeze_and_excitation():
    layer = L.SqueezeExcite(32)
    found = summary(L.Sequential(se=layer), (2, 4, 4, 32))
    assert [row.path for row in found.rows] == ["se.pool", "se.fc1", "se.relu", "se.fc2", "se.sigmoid", "se"]
    assert found.rows[-1].kind == "SqueezeExcite"
    assert (found.parameters, found.multiplications) == (sizes(layer), 2 * 2 * 32 * 2)


@pytest.mark.parametrize("depth", [1, 2, 3, None])
def test_folding_keeps_the_totals(depth):
    block = [L.Sequential(L.Residual(L.Sequential(L.Linear(4, 4), L.ReLU())), L.Tanh()) for _ in range(3)]
    model = L.Sequential(stem=L.Linear(3, 4), stage=L.Sequential(*block))
    folded, flat = summary(model, (5, 3), depth=depth), summary(model, (5, 3))
    assert [row.path for row in folded.rows][:3] == {
        1: ["stem", "stage"],
        2: ["stem", "stage.0", "stage.1"],
        3: ["stem", "stage.0.0", "stage.0.1"],
        None: ["stem", "stage.0.0.body.0", "stage.0.0.body.1"],
    }[depth]
    for name in ("parameters", "multiplications", "forward_bytes", "backward_bytes", "passing_bytes"):
        assert getattr(folded, name) == getattr(flat, name)
    for name in ("parameters", "multiplications", "backward_bytes"):
        assert sum(getattr(row, name) for row in folded.rows) == sum(getattr(row, name) for row in flat.rows)
    if depth == 1:
        assert folded.rows[1].kind == "Sequential (12 layers)"


def test_the_columns_are_aligned():
    lines = str(summary(models.vgg_small(), (64, 32, 32, 3))).splitlines()
    heading, rule, rows = lines[0], lines[1], lines[2:-5]
    assert set(rule) == {"-"}
    assert len(rule) == max(len(line) for line in (heading, *rows))
    assert len(rows) == 25
    ends = {name: heading.index(name) + len(name) for name in ("parameters", "multiplications", "forward", "backward")}
    for row in rows:
        assert row[heading.index("output") - 2 :].startswith("  (64, ")
        for end in ends.values():
            assert row[end - 1 : end + 1].strip() == row[end - 1 : end].strip()  # every column ends in a space
        assert row[: ends["forward"]].endswith("iB")
    assert rows[3].split() == [
        *("3", "Conv2d(64,", "64,", "3,", "padding=1)", "(64,", "32,", "32,", "64)"),
        *("36,928", "2.4", "G", "32.0", "MiB"),
    ]


def test_memory_of_a_chain_is_what_the_formula_says():
    model = L.Sequential(L.Linear(6, 10), L.ReLU(), L.Linear(10, 2))
    found = summary(model, (5, 6))
    parameters = 60 + 10 + 20 + 2
    assert found.forward_bytes == 4 * (parameters + 5 * 6 + 5 * 10 + 5 * 10)  # the input; ReLU's input and output
    assert found.kept_bytes == 4 * 5 * (6 + 10 + 2)  # the input, ReLU's output, the output
    assert found.passing_bytes == 4 * 5 * (2 + 10 + 10)  # that of the output stays with the caller
    assert found.backward_bytes == 4 * 2 * parameters + found.kept_bytes + found.passing_bytes


def test_arrays_of_a_block_that_runs_through_forward_wait_for_its_end():
    body = [L.Linear(4, 4, bias=False), L.Tanh(), L.Linear(4, 4, bias=False)]
    array = 4 * 5 * 4
    chain, block = summary(L.Sequential(*body), (5, 4)), summary(L.Residual(L.Sequential(*body)), (5, 4))
    assert chain.activation_bytes == array * 3  # the input; Tanh's input and output
    assert block.activation_bytes == array * 4  # the input, what Tanh keeps, the body's value and the sum


def test_memory_counts_the_bytes_of_the_models_type():
    with xpnet.use_backend("numpy", dtype="float64"):
        wide = summary(models.mlp([3, 4, 2]), (5, 3))
    assert wide.backward_bytes == 2 * summary(models.mlp([3, 4, 2]), (5, 3)).backward_bytes


@pytest.mark.parametrize("model", [models.vgg_small, lambda: residual((8, 8))])
def test_memory_is_near_the_measured_peaks(model, monkeypatch):
    """Live arrays alone: memory that the backend keeps for the next array is no array. On one thread, as each works
    on pieces of its own."""
    monkeypatch.setattr(_memory, "SMALLEST", 2**60)
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        compare_with_measured_peaks(model())


def compare_with_measured_peaks(model):
    x = np.ones((16, 32, 32, 3), np.float32)
    model.forward(x)[1](np.ones((16, 10), np.float32))  # compiled loops and gradients are there
    found = summary(model, x.shape)
    weights = found.parameter_bytes + found.gradient_bytes + x.nbytes
    gc.collect()
    tracemalloc.start()
    y = model(x)
    inference = tracemalloc.get_traced_memory()[1] + weights - found.gradient_bytes
    del y
    tracemalloc.reset_peak()
    y, pullback = model.forward(x)
    kept = tracemalloc.get_traced_memory()[0] + x.nbytes
    pullback(y)
    step = tracemalloc.get_traced_memory()[1] + weights
    tracemalloc.stop()
    assert found.kept_bytes == pytest.approx(kept, rel=0.03)
    assert found.forward_bytes == pytest.approx(inference, rel=0.3)
    assert found.backward_bytes == pytest.approx(step, rel=0.3)


def residual(widths):
    layers, inputs = [], 3
    for width in widths:
        body = L.Sequential(L.Conv2d(inputs, width, 3, padding=1), L.BatchNorm(width), L.ReLU())
        joined = L.Concat(L.Residual(body, L.Conv2d(inputs, width, 1)), L.MaxPool2d(3, stride=1, padding=1))
        layers += [joined, L.ReLU()]
        inputs += width
    return L.Sequential(*layers, L.GlobalAvgPool(), L.Linear(inputs, 10))


def test_a_wrong_shape_is_the_models_own_error():
    model = L.Sequential(features=L.Sequential(L.Linear(3, 4)))
    with pytest.raises(ValueError, match=r"^layer 'features.0': Linear\(3, 4\): expected 3 features .*, got 2"):
        summary(model, (5, 2))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((None, 3), "each length of input_shape must be a positive integer, got None"),
        ((-1, 3), "each length of input_shape must be a positive integer, got -1"),
        ((5.0, 3), r"each length of input_shape must be a positive integer, got 5\.0"),
        (3, r"input_shape must be the shape of a batch, such as \(8, 224, 224, 3\), got 3"),
        (np.ones((5, 3)), "input_shape must be the shape of a batch, .*, got a ndarray"),
    ],
)
def test_what_is_no_shape(shape, message):
    with pytest.raises(ValueError, match=f"^summary: {message}$"):
        summary(L.Linear(3, 4), shape)


def test_a_shape_of_numpys_integers_gives_pythons():
    found = summary(L.Linear(3, 4), np.asarray([5, 3]))
    assert type(found.multiplications) is int
    assert str(found.input_shape) == "(5, 3)"


def test_what_is_no_model():
    with pytest.raises(TypeError, match=r"^summary: the model must be a layer, got function$"):
        summary(lambda: L.Linear(3, 4), (5, 3))


@pytest.mark.parametrize("depth", [0, -1, 1.5, True])
def test_a_wrong_depth(depth):
    with pytest.raises(ValueError, match=rf"^summary: depth must be a positive integer or None, got {depth}$"):
        summary(L.Linear(3, 4), (5, 3), depth=depth)


def test_a_model_on_any_backend(backend):
    found = summary(L.Sequential(L.Linear(3, 4), L.BatchNorm(4)), (5, 3))
    assert (found.parameters, found.parameter_bytes) == (24, 32 * 4)

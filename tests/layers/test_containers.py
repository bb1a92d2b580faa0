"""Names, paths and shapes; and an error's message begins with the path to the layer where it arose."""

from typing import final

import numpy as np
import pytest

from xpnet import layers as L


def test_paths_are_in_order_of_construction_and_shared_layers_appear_once():
    shared = L.Linear(3, 3)
    model = L.Sequential(shared, L.Sequential(norm=L.BatchNorm(3), again=shared), head=L.Linear(3, 2, bias=False))
    assert list(model.parameters()) == ["0.weight", "0.bias", "1.norm.weight", "1.norm.bias", "head.weight"]
    assert list(model.buffers()) == ["1.norm.running_mean", "1.norm.running_var"]
    assert list(model.tensors()) == [
        "0.weight",
        "0.bias",
        "1.norm.weight",
        "1.norm.bias",
        "1.norm.running_mean",
        "1.norm.running_var",
        "head.weight",
    ]
    assert list(model.layers()) == ["0", "1", "1.norm", "head"]


def test_children_are_found_by_name_and_by_position():
    first, last = L.ReLU(), L.Tanh()
    model = L.Sequential(first, last=last)
    assert len(model) == 2
    assert (model[0], model["0"], model[-1], model["last"]) == (first, first, last, last)
    assert list(model) == [first, last]


def test_an_empty_name_adds_no_level():
    model = L.Residual(L.Sequential(conv1=L.Linear(3, 3)), L.Linear(3, 3), body_name="", shortcut_name="downsample")
    assert list(model.parameters()) == ["conv1.weight", "conv1.bias", "downsample.weight", "downsample.bias"]
    assert list(L.Frozen(L.Linear(3, 3)).state()) == ["weight", "bias"]


def test_a_model_prints_as_what_it_is():
    model = L.Sequential(L.Linear(3, 2, bias=False), block=L.Residual(L.Sequential(L.ReLU(), L.Dropout(0.5))))
    assert repr(model) == (
        "Sequential(\n"
        "  0: Linear(3, 2, bias=False)\n"
        "  block: Residual(\n"
        "    body: Sequential(\n"
        "      0: ReLU()\n"
        "      1: Dropout(0.5)\n"
        "    )\n"
        "    shortcut: Identity()\n"
        "  )\n"
        ")"
    )
    assert repr(L.Sequential()) == "Sequential()"
    assert repr(L.Frozen(L.LeakyReLU(0.2))) == "Frozen(LeakyReLU(0.2))"


def test_output_shape_is_the_shape_of_the_output(case, backend):
    model = case.make()
    for shape in (case.shape, (2, *case.shape[1:]) if len(case.shape) > 1 else case.shape):
        assert model.output_shape(shape) == tuple(model(backend.zeros(shape)).shape)


def test_the_batch_may_be_empty_in_inference(case, backend):
    shape, output = ((0, *(s[1:] or s)) for s in (case.shape, case.output))
    assert case.make()(backend.zeros(shape)).shape == output


LINEAR = r"Linear\(100, 10\): expected 100 features in the last axis, got 3 \(shape \(5, 3\)\)"
WRONG = {
    "alone": (lambda: L.Linear(100, 10), LINEAR),
    "third of a sequence": (lambda: L.Sequential(L.ReLU(), L.ReLU(), L.Linear(100, 10)), f"layer '2': {LINEAR}"),
    "nested": (
        lambda: L.Sequential(block=L.Residual(L.Sequential(L.Tanh(), fc=L.Linear(100, 10)))),
        f"layer 'block.body.fc': {LINEAR}",
    ),
    "without a level": (
        lambda: L.Sequential(L.Residual(L.Sequential(L.Linear(100, 10)), body_name="")),
        f"layer '0.0': {LINEAR}",
    ),
    "without any level": (lambda: L.Residual(L.Linear(100, 10), body_name=""), LINEAR),
    "frozen": (lambda: L.Sequential(L.Frozen(L.Linear(100, 10))), f"layer '0': {LINEAR}"),
    "a branch": (lambda: L.Concat(L.ReLU(), deep=L.Sequential(L.Linear(100, 10))), f"layer 'deep.0': {LINEAR}"),
    "normalization": (
        lambda: L.Sequential(norm=L.BatchNorm(8)),
        r"layer 'norm': BatchNorm\(8\): expected 8 features in the last axis, got shape \(5, 3\)",
    ),
    "sizes that do not meet": (
        lambda: L.Sequential(L.Linear(3, 4), L.Linear(5, 2)),
        r"layer '1': Linear\(5, 2\): expected 5 features in the last axis, got 4 \(shape \(5, 4\)\)",
    ),
    "a sum of two shapes": (
        lambda: L.Sequential(add=L.Residual(L.Linear(3, 4))),
        r"layer 'add': Residual: body gives shape \(5, 4\), shortcut \(5, 3\); expected the same",
    ),
    "no joint": (
        lambda: L.Sequential(L.Concat(L.ReLU(), Rows())),
        r"layer '0': Concat: branches must agree in all but the last axis, got shapes \[\(5, 3\), \(3, 5\)\]",
    ),
}


class Rows(L.Layer):
    """A layer as a user may write one: it transposes."""

    def forward(self, x, *, training=True):
        return x.T, lambda dy, *, input_gradient=False: dy.T if input_gradient else None

    def output_shape(self, input_shape):
        return tuple(reversed(input_shape))


@pytest.mark.parametrize(("make", "message"), WRONG.values(), ids=WRONG)
def test_a_shape_that_does_not_fit_is_named_with_its_path_in_the_same_words_everywhere(backend, make, message):
    model, x = make(), backend.zeros((5, 3))
    said = []
    for call in (lambda: model.output_shape((5, 3)), lambda: model(x), lambda: model.forward(x)):
        with pytest.raises(ValueError, match=f"^{message}$") as caught:
            call()
        said.append(str(caught.value))
    assert len(set(said)) == 1


@pytest.mark.parametrize(
    "make", [lambda: L.Linear(3, 2), lambda: L.BatchNorm(3), L.Flatten], ids=["Linear", "BN", "Flatten"]
)
def test_an_array_without_axes_is_refused_in_the_same_words(make):
    said = []
    for call in (lambda layer: layer.output_shape(()), lambda layer: layer(np.zeros((), np.float32))):
        with pytest.raises(ValueError, match=r"0-d array|got shape \(\)") as caught:
            call(make())
        said.append(str(caught.value))
    assert len(set(said)) == 1


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones((2, 3), int), r"layer 'fc': linear: x must be floating-point, got int64; convert the values first"),
        (np.ones((2, 3), np.float64), r"layer 'fc': linear: x is float64 but weight is float32; nothing is converted"),
        (np.ones((2, 3), object), "layer 'fc': linear: x must be floating-point, got object"),
        ([[1.0, 2.0, 3.0]], "layer 'fc': expected an array of numpy, .*, got list; make one with"),
        (None, "layer 'fc': expected an array of numpy, .*, got NoneType; make one with"),
    ],
    ids=["integers", "float64", "objects", "list", "None"],
)
def test_inputs_of_a_wrong_kind_are_named_with_the_path(x, message):
    model = L.Sequential(fc=L.Linear(3, 2))
    for call in (model, model.forward):
        with pytest.raises(TypeError, match=message):
            call(x)


@pytest.mark.parametrize(
    "make", [lambda: L.BatchNorm(3), L.Flatten, L.Identity, L.ReLU], ids=["BN", "Flatten", "Id", "ReLU"]
)
def test_lists_are_refused_by_every_layer(make):
    with pytest.raises(TypeError, match=r"expected an array of numpy, .*, got list; make one with"):
        make()([[1.0, 2.0, 3.0]])


def test_inputs_of_another_library_name_the_line_that_mends_it(backend):
    model = L.Sequential(L.Linear(3, 2)).to("array_api_strict" if backend.name != "array_api_strict" else "numpy")
    other = model.backend.name
    with pytest.raises(TypeError, match=rf"arrays of {backend.name} and {other} meet .* model\.to\('{backend.name}'\)"):
        model(backend.asarray(np.ones((2, 3))))


@pytest.mark.parametrize("size", [0, -3, 2.0, "2", True, None])
def test_sizes_are_positive_integers(size):
    for make in (lambda: L.Linear(size, 2), lambda: L.Linear(2, size), lambda: L.BatchNorm(size)):
        with pytest.raises(ValueError, match=rf"must be a positive integer, got {size!r}"):
            make()


def test_sizes_may_be_numpys_integers():
    assert repr(L.Linear(np.int64(2), np.uint8(3))) == "Linear(2, 3)"
    assert L.BatchNorm(np.int32(4)).output_shape((2, 4)) == (2, 4)


CHILDREN = {
    "no layer": (lambda: L.Sequential(L.ReLU(), "relu"), TypeError, "Sequential: child '1' must be a layer, got str"),
    "a class": (lambda: L.Concat(L.ReLU), TypeError, r"must be a layer, got the class ReLU; write ReLU\(\)"),
    "frozen function": (lambda: L.Frozen(len), TypeError, "Frozen: child '' must be a layer"),
    "a dot": (
        lambda: L.Sequential(**{"a.b": L.ReLU()}),
        ValueError,
        r"Sequential: the name 'a\.b' has a dot, which separates the levels of a path",
    ),
    "a number twice": (
        lambda: L.Sequential(L.ReLU(), **{"0": L.Tanh()}),
        ValueError,
        "Sequential: the names 0 to 0 are those of the children without names",
    ),
    "one name twice": (
        lambda: L.Residual(L.ReLU(), body_name="x", shortcut_name="x"),
        ValueError,
        "Residual: body and shortcut need different names, got 'x' twice",
    ),
    "no branch": (lambda: L.Concat(), ValueError, "Concat: expected at least one branch, got none"),
}


@pytest.mark.parametrize(("make", "error", "message"), CHILDREN.values(), ids=CHILDREN)
def test_children_that_do_not_fit_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize(
    ("initializer", "message"),
    [
        (lambda generator, shape: np.zeros(3), r"initializer: expected values of shape \(3, 2\), got \(3,\)"),
        (lambda generator, shape: np.full(shape, np.nan), "initializer: drew a value that is not finite"),
    ],
    ids=["shape", "NaN"],
)
def test_an_initializer_of_the_users_is_checked(initializer, message):
    with pytest.raises(ValueError, match=message):
        L.Linear(3, 2, weight=initializer)


def test_a_layer_of_the_users_is_a_layer_like_others(backend):
    class Scaled(L.Layer):
        def __init__(self):
            self.inner = L.Linear(3, 3)
            self.scale = L.Parameter(backend.asarray(np.full(3, 2.0)), decay=False)

        def forward(self, x, *, training=True):
            z, pull = self.inner.forward(x, training=training)

            def pullback(dy, *, input_gradient=False):
                self.scale.accumulate(backend.xp.sum(dy * z, axis=0))
                return pull(dy * self.scale.data, input_gradient=input_gradient)

            return z * self.scale.data, pullback

        def output_shape(self, input_shape):
            return self.inner.output_shape(input_shape)

    model = L.Sequential(Scaled(), L.ReLU())
    assert list(model.parameters()) == ["0.inner.weight", "0.inner.bias", "0.scale"]
    y, pullback = model.forward(backend.asarray(np.ones((4, 3))))
    pullback(y)
    assert all(parameter.grad is not None for parameter in model.parameters().values())


@pytest.mark.parametrize(
    "make",
    [
        lambda: L.Sequential(body=L.Linear(3, 3), fc=L.Linear(3, 2)),
        lambda: L.Residual(L.Linear(3, 3)),
        lambda: L.Concat(fc=L.Linear(3, 3)),
        lambda: L.Frozen(L.Linear(3, 3)),
    ],
)
def test_a_child_that_is_set_would_do_nothing_and_is_refused(make):
    model = make()
    before = repr(model)
    message = (
        rf"^{type(model).__name__}: the layers .* are fixed; .*Sequential\(\*\*{{\*\*model.members\(\), 'fc': layer}}"
    )
    with pytest.raises(AttributeError, match=message):
        model.fc = L.Linear(3, 4)
    assert repr(model) == before


def test_another_last_layer_makes_a_new_model_of_the_same_layers():
    model = L.Sequential(body=L.Linear(3, 3), fc=L.Linear(3, 2))
    other = L.Sequential(**{**model.members(), "fc": L.Linear(3, 4)})
    assert other["body"] is model["body"]
    assert list(other.parameters()) == list(model.parameters())
    assert other.output_shape((5, 3)) == (5, 4)


def test_a_slice_is_a_model_of_the_same_layers(backend):
    model = L.Sequential(L.Linear(3, 4), L.ReLU(), L.Linear(4, 2))
    body = model[:-1]
    assert list(body.parameters()) == ["0.weight", "0.bias"]
    assert body["0"] is model["0"]


@final
class Hidden(L.Layer):
    def __init__(self):
        self.blocks = [L.Linear(2, 2)]

    def output_shape(self, input_shape):
        return input_shape

    def forward(self, x, *, training=True):
        return x, lambda dy, *, input_gradient=False: dy


def test_layers_in_a_list_would_not_be_trained_and_are_refused(backend):
    with pytest.raises(TypeError, match=r"^Hidden.blocks: layers and parameters in a list would not be trained; put"):
        Hidden().parameters()

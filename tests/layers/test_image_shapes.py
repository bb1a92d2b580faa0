"""`output_shape` of images gives the shape that running gives, or the error that running raises, with its path."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet import functional as F
from xpnet import layers as L

PROPERTY = settings(derandomize=True, deadline=None, max_examples=60)


def outcome(call):
    """What a call gives, or the words of its refusal."""
    try:
        return tuple(call())
    except ValueError as error:
        return str(error)


def each(axes, low, high):
    return st.integers(low, high) | st.tuples(*[st.integers(low, high)] * axes)


def located(path, message):
    """A message as a container gives it on, which may have a path already."""
    inner = re.match("layer '(.*?)': (.*)", message)
    return f"layer '{path}.{inner[1]}': {inner[2]}" if inner else f"layer '{path}': {message}"


def assert_foretold(layer, shape):
    """`output_shape` and running agree, alone and inside of a container."""
    x = np.ones(shape, np.float32)
    foretold = outcome(lambda: layer.output_shape(shape))
    model = L.Sequential(L.Identity(), block=L.Sequential(layer))
    assert outcome(lambda: layer(x).shape) == outcome(lambda: layer.forward(x)[0].shape) == foretold
    within = located("block.0", foretold) if isinstance(foretold, str) else foretold
    assert outcome(lambda: model(x).shape) == outcome(lambda: model.output_shape(shape)) == within
    return foretold


def shapes(axes):
    """Mostly fitting inputs, of 2 to 3 channels, some of them with an axis too many or without elements."""
    usual = st.tuples(st.integers(0, 2), *[st.integers(1, 8)] * axes, st.integers(2, 3))
    return usual | usual | usual | st.lists(st.integers(0, 4), min_size=0, max_size=axes + 3).map(tuple)


@PROPERTY
@given(data=st.data(), axes=st.integers(1, 3))
def test_of_convolutions(data, axes):
    options = {
        "stride": data.draw(each(axes, 1, 3)),
        "padding": data.draw(st.sampled_from(["same", "valid"]) | each(axes, 0, 3)),
        "dilation": data.draw(each(axes, 1, 2)),
    }
    kernel = data.draw(each(axes, 1, 4))
    layer = (L.Conv1d, L.Conv2d, L.Conv3d)[axes - 1](3, 4, kernel, **options)
    shape = data.draw(shapes(axes))
    foretold = assert_foretold(layer, shape)
    function = outcome(lambda: F.conv(np.ones(shape, np.float32), layer.weight.data, **options)[0].shape)
    assert isinstance(function, str) == isinstance(foretold, str)
    if isinstance(foretold, str):
        assert foretold.startswith(f"{layer!r}: ")
        assert function == foretold.replace(repr(layer), "conv")


@PROPERTY
@given(data=st.data(), axes=st.integers(1, 3))
def test_of_transposed_convolutions(data, axes):
    options = {name: data.draw(each(axes, 1, 3)) for name in ("stride", "dilation")}
    padding, kernel = data.draw(each(axes, 0, 4)), data.draw(each(axes, 1, 4))
    layer = (L.ConvTranspose1d, L.ConvTranspose2d, L.ConvTranspose3d)[axes - 1](
        3, 4, kernel, padding=padding, **options
    )
    foretold = assert_foretold(layer, data.draw(shapes(axes)))
    assert not isinstance(foretold, str) or foretold.startswith(f"{layer!r}: ")


@PROPERTY
@given(data=st.data(), axes=st.integers(1, 3), kind=st.sampled_from(["MaxPool", "AvgPool"]))
def test_of_pooling(data, axes, kind):
    kernel, options = data.draw(st.integers(1, 5)), {"ceil_mode": data.draw(st.booleans())}
    options |= {"stride": data.draw(each(axes, 1, 4)), "padding": data.draw(each(axes, 0, kernel // 2))}
    layer = getattr(L, f"{kind}{axes}d")(kernel, **options)
    foretold = assert_foretold(layer, data.draw(shapes(axes)))
    assert not isinstance(foretold, str) or foretold.startswith(f"{layer!r}: ")


@PROPERTY
@given(data=st.data(), axes=st.integers(1, 3))
def test_of_layers_that_fit_any_size(data, axes):
    pairs = st.tuples(*[st.tuples(st.integers(0, 2), st.integers(0, 2))] * axes)
    layers = [
        getattr(L, f"AdaptiveAvgPool{axes}d")(data.draw(each(axes, 1, 4))),
        L.GlobalAvgPool(),
        L.Pad(data.draw(each(axes, 0, 2) | pairs)),
        L.SqueezeExcite(3, reduction=3),
        L.LayerNorm(data.draw(st.sampled_from([3, (4, 3)]))),
        L.LocalResponseNorm(2),
    ]
    shape = data.draw(shapes(axes))
    for layer in layers:
        foretold = assert_foretold(layer, shape)
        assert not isinstance(foretold, str) or foretold.startswith((f"{layer!r}: ", "layer 'pool': GlobalAvgPool(): "))


def test_the_courses_example_and_others_by_hand():
    assert L.Conv2d(1, 1, 2, padding=1).output_shape((1, 6, 6, 1)) == (1, 7, 7, 1)
    assert L.Conv2d(3, 64, 7, stride=2, padding=3).output_shape((1, 224, 224, 3)) == (1, 112, 112, 64)
    assert L.MaxPool2d(3, stride=2, padding=1).output_shape((1, 112, 112, 64)) == (1, 56, 56, 64)
    assert L.Conv1d(1, 4, 4, stride=3, padding="same").output_shape((2, 10, 1)) == (2, 4, 4)
    assert L.ConvTranspose2d(3, 1, 4, stride=2, padding=1).output_shape((2, 7, 5, 3)) == (2, 14, 10, 1)


ADVICE = (
    "; the axes look like (n, channels, …), and xpnet wants the channels last: x.transpose(0, 2, 3, 1) or "
    "xp.permute_dims(x, (0, 2, 3, 1))"
)
WRONG = {
    "channels": (
        lambda: L.Conv2d(4, 10, 3),
        (5, 8, 9, 3),
        r"Conv2d(4, 10, 3): expected 4 channels in the last axis, got 3 (shape (5, 8, 9, 3))",
    ),
    "channels first": (
        lambda: L.Conv2d(3, 16, 3, padding=1),
        (5, 3, 8, 9),
        f"Conv2d(3, 16, 3, padding=1): expected 3 channels in the last axis, got 9 (shape (5, 3, 8, 9)){ADVICE}",
    ),
    "a kernel beyond the padded input": (
        lambda: L.Conv2d(3, 16, 5, padding=(0, 1)),
        (5, 4, 9, 3),
        "Conv2d(3, 16, 5, padding=(0, 1)): the kernel covers 5×5 elements and does not fit into the input of 4×9, "
        "4×11 with padding (shape (5, 4, 9, 3))",
    ),
    "sequences for images": (
        lambda: L.Conv2d(3, 16, 3),
        (5, 9, 3),
        "Conv2d(3, 16, 3): expected 4 axes, (n, height, width, channels), got 3 (shape (5, 9, 3))",
    ),
    "one image": (
        lambda: L.Conv2d(3, 16, 3),
        (9, 9, 3),
        "Conv2d(3, 16, 3): expected 4 axes, (n, height, width, channels), got 3 (shape (9, 9, 3))",
    ),
    "images for sequences": (
        lambda: L.MaxPool1d(2),
        (5, 9, 9, 3),
        "MaxPool1d(2): expected 3 axes, (n, length, channels), got 4 (shape (5, 9, 9, 3))",
    ),
    "a window beyond the input": (
        lambda: L.AvgPool2d(4, stride=2, padding=1),
        (5, 1, 9, 3),
        "AvgPool2d(4, stride=2, padding=1): the kernel covers 4×4 elements and does not fit into the input of 1×9, "
        "3×11 with padding (shape (5, 1, 9, 3))",
    ),
    "transposed channels first": (
        lambda: L.ConvTranspose2d(3, 4, 2, stride=2),
        (5, 3, 8, 9),
        f"ConvTranspose2d(3, 4, 2, stride=2): expected 3 channels in the last axis, got 9 (shape (5, 3, 8, 9)){ADVICE}",
    ),
    "squeezed channels": (
        lambda: L.SqueezeExcite(8, reduction=2),
        (5, 8, 9, 3),
        f"SqueezeExcite(8, reduction=2): expected 8 channels in the last axis, got 3 (shape (5, 8, 9, 3)){ADVICE}",
    ),
    "normalized axes": (
        lambda: L.LayerNorm((4, 3)),
        (5, 8, 9, 3),
        "LayerNorm((4, 3)): expected the last axes to be (4, 3), got shape (5, 8, 9, 3)",
    ),
    "padded axes": (
        lambda: L.Pad(((1, 2), (3, 4))),
        (5, 9, 3),
        "Pad(((1, 2), (3, 4))): expected a pair (before, after) for each of the 1 spatial axes, got ((1, 2), (3, 4))",
    ),
}


@pytest.mark.parametrize(("make", "shape", "message"), WRONG.values(), ids=WRONG)
def test_an_image_that_does_not_fit_is_told_by_layer_path_and_shapes(backend, make, shape, message):
    model, x = L.Sequential(L.ReLU(), conv=L.Residual(make(), body_name="")), backend.zeros(shape)
    for call in (lambda: model.output_shape(shape), lambda: model(x), lambda: model.forward(x)):
        with pytest.raises(ValueError, match=f"^layer 'conv': {re.escape(message)}$"):
            call()


def test_the_advice_for_channels_first_is_good():
    x = np.ones((5, 3, 8, 9), np.float32)
    with pytest.raises(ValueError, match="channels last") as caught:
        L.Conv2d(3, 4, 3)(x)
    advised = re.findall(r"(x\.transpose\(.*?\)|xp\.permute_dims\(x, \(.*?\)\))", str(caught.value))
    assert len(advised) == 2
    for advice in advised:
        assert L.Conv2d(3, 4, 3)(eval(advice, {"x": x, "xp": np})).shape == (5, 6, 7, 4)


REFUSED = {
    "no inputs": (lambda: L.Conv2d(0, 4, 3), "Conv2d: inputs must be a positive integer, got 0"),
    "half an output": (lambda: L.Conv1d(3, 4.5, 3), "Conv1d: outputs must be a positive integer, got 4.5"),
    "a kernel of 0": (lambda: L.Conv2d(3, 4, 0), "Conv2d: kernel_size must be an integer of at least 1, .*; got 0"),
    "a kernel of three axes": (
        lambda: L.Conv2d(3, 4, (1, 2, 3)),
        r"Conv2d: kernel_size .* or 2 of them.*; got \(1, 2, 3\)",
    ),
    "a stride of 0": (lambda: L.Conv3d(3, 4, 3, stride=0), "Conv3d: stride .* at least 1, or 3 of them.*; got 0"),
    "a dilation of 1.0": (lambda: L.Conv2d(3, 4, 3, dilation=1.0), "Conv2d: dilation .* at least 1.*; got 1.0"),
    "negative padding": (lambda: L.Conv2d(3, 4, 3, padding=-1), "Conv2d: padding .* at least 0.*; got -1"),
    "an unknown padding": (
        lambda: L.Conv2d(3, 4, 3, padding="full"),
        "Conv2d: padding must be numbers, 'same' or 'valid', got 'full'",
    ),
    "groups of inputs": (
        lambda: L.Conv2d(3, 4, 3, groups=2),
        "Conv2d: groups must divide the channels, got 2 groups of 3 inputs",
    ),
    "groups of outputs": (
        lambda: L.Conv2d(4, 3, 3, groups=2),
        "Conv2d: groups must divide the channels, got 2 groups of 3 outputs",
    ),
    "no groups": (lambda: L.Conv2d(4, 3, 3, groups=0), "Conv2d: groups must be an integer of at least 1.*; got 0"),
    "groups for each axis": (lambda: L.Conv2d(4, 4, 3, groups=(2,)), r"Conv2d: groups .*; got \(2,\)"),
    "text": (lambda: L.Conv2d(3, 4, "3"), "Conv2d: kernel_size .*; got '3'"),
    "transposed, same": (
        lambda: L.ConvTranspose2d(3, 4, 3, padding="same"),
        "ConvTranspose2d: padding must be .*; got 'same'",
    ),
    "transposed, groups": (
        lambda: L.ConvTranspose2d(3, 4, 3, groups=2),
        "ConvTranspose2d: groups must divide the channels, got 2 groups of 3 inputs",
    ),
    "transposed, output_padding": (
        lambda: L.ConvTranspose2d(3, 4, 3, output_padding=1),
        r"ConvTranspose2d: output_padding must be smaller than stride or dilation, got output_padding \(1, 1\)",
    ),
    "pooling by 0": (lambda: L.MaxPool2d(0), "MaxPool2d: kernel_size .* at least 1.*; got 0"),
    "pooling with too much padding": (
        lambda: L.MaxPool2d(3, padding=2),
        r"MaxPool2d: padding must be at most half of the kernel, .* got padding \(2, 2\) and kernel_size \(3, 3\)",
    ),
    "averaging with too much padding": (lambda: L.AvgPool1d(1, padding=1), "AvgPool1d: padding must be at most half"),
    "pooling with a stride of 0": (lambda: L.AvgPool2d(2, stride=(1, 0)), r"AvgPool2d: stride .*; got \(1, 0\)"),
    "pooling to nothing": (lambda: L.AdaptiveAvgPool2d(0), "AdaptiveAvgPool2d: output_size .* at least 1.*; got 0"),
    "an empty length": (
        lambda: L.LayerNorm((3, 0)),
        "LayerNorm: each length of shape must be a positive integer, got 0",
    ),
    "no length": (lambda: L.LayerNorm(()), r"LayerNorm: shape must have at least one axis, got \(\)"),
    "eps": (lambda: L.LayerNorm(3, eps=0.0), "LayerNorm: expected eps > 0, got 0.0"),
    "no neighbours": (lambda: L.LocalResponseNorm(0), "LocalResponseNorm: size must be a positive integer, got 0"),
    "k": (lambda: L.LocalResponseNorm(5, k=0.0), "LocalResponseNorm: expected alpha >= 0, .* k > 0, got"),
    "negative padding of images": (lambda: L.Pad(-1), "Pad: padding .* at least 0.*; got -1"),
    "text as padding": (lambda: L.Pad("same"), "Pad: padding .*got 'same'"),
    "a reduction that does not divide": (
        lambda: L.SqueezeExcite(10, reduction=4),
        "SqueezeExcite: reduction must divide the 10 channels, got 4",
    ),
    "no channels": (lambda: L.SqueezeExcite(0), "SqueezeExcite: channels must be a positive integer, got 0"),
    "no reduction": (
        lambda: L.SqueezeExcite(4, reduction=0),
        "SqueezeExcite: reduction must be a positive integer, got 0",
    ),
    "a rate of 1": (lambda: L.Dropout(1.0, by_channel=True), "dropout: expected 0 <= rate < 1, got 1.0"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_settings_that_make_no_layer_are_refused_at_once(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_sizes_may_be_numpys_integers_and_lists():
    layer = L.Conv2d(np.int64(3), np.uint8(4), [3, np.int32(2)], stride=np.int64(2), padding=[1, 0], groups=np.int64(1))
    assert layer(np.ones((2, 8, 9, 3), np.float32)).shape == layer.output_shape((2, 8, 9, 3)) == (2, 4, 4, 4)
    assert L.MaxPool2d(np.int64(2), stride=[2, 1])(np.ones((2, 8, 9, 3), np.float32)).shape == (2, 4, 8, 3)
    assert L.LayerNorm(np.int64(3)).output_shape((2, 8, 9, 3)) == (2, 8, 9, 3)
    assert L.SqueezeExcite(np.int64(4), reduction=np.int64(2)).output_shape((2, 8, 9, 4)) == (2, 8, 9, 4)

"""Preprocessing of pictures for the ImageNet networks: PyTorch's numbers, all kinds of input, and clear refusals."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from PIL import Image

import xpnet
from xpnet import models

NAMES = [
    *("alexnet", "zfnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"),
    *("googlenet", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "se_resnet50", "senet154"),
]
MEAN, STD = np.asarray([0.485, 0.456, 0.406]), np.asarray([0.229, 0.224, 0.225])
RAW = models.Preprocess(256, 224, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
"""Resizing and cropping alone."""


def pixels(*shape, seed=1):
    return np.random.default_rng(seed).random(shape)


def bytes_of(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def resized_by_pytorch(x, size, crop):
    """The shorter side to `size`, as torchvision rounds the other; then its middle crop, in float64."""
    torch = pytest.importorskip("torch")
    height, width = x.shape[1:3]
    new = [int(size * n / min(height, width)) for n in (height, width)]
    channels_first = torch.tensor(np.moveaxis(x, -1, 1))
    y = torch.nn.functional.interpolate(channels_first, new, mode="bilinear", antialias=True, align_corners=False)
    top, left = (round((n - crop) / 2.0) for n in new)
    return np.moveaxis(y[:, :, top : top + crop, left : left + crop].numpy(), 1, -1)


SIZES = [
    *((256, 256), (224, 224), (375, 500), (500, 375), (257, 261), (640, 427), (600, 301)),  # photographs
    *((1024, 300), (97, 113), (40, 31), (8, 8), (1, 1), (1, 5), (3, 300)),  # enlarged, and out of proportion
]


@pytest.mark.parametrize("shape", SIZES, ids=lambda shape: "x".join(map(str, shape)))
def test_resizing_is_pytorchs(shape):
    x = pixels(2, *shape, 3)
    expected = resized_by_pytorch(x, 256, 224)
    found = RAW(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=2e-6)
    with xpnet.use_backend("numpy", dtype="float64"):
        np.testing.assert_allclose(RAW(x), expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(("size", "crop"), [(232, 224), (224, 224), (50, 33), (33, 32), (7, 1)])
def test_resizing_to_other_sizes_is_pytorchs(size, crop):
    x = pixels(1, 61, 90, 3)
    found = replace(RAW, size=size, crop=crop)(x)
    np.testing.assert_allclose(found, resized_by_pytorch(x, size, crop), rtol=0.0, atol=2e-6)


def test_a_large_photograph():
    x = pixels(1, 1500, 2251, 3)
    np.testing.assert_allclose(RAW(x), resized_by_pytorch(x, 256, 224), rtol=0.0, atol=1e-5)


def test_what_needs_no_resizing_is_only_cropped(backend):
    x = bytes_of(256, 300, 3)
    np.testing.assert_array_equal(
        backend.to_host(RAW(x)), (x[np.newaxis, 16:240, 38:262] / np.float32(255)).astype(np.float32)
    )


def test_numbers_are_the_same_on_every_backend(backend):
    x = pixels(2, 90, 70, 3).astype(np.float32)
    y = models.preprocess("resnet50")(x)
    assert y.shape == (2, 224, 224, 3)
    assert type(y) is type(backend.zeros(1))
    assert y.dtype == backend.zeros(1).dtype
    expected = (resized_by_pytorch(x.astype(np.float64), 256, 224) - MEAN) / STD
    np.testing.assert_allclose(backend.to_host(y), expected, rtol=0.0, atol=1e-5)


def test_the_backends_type_is_kept(backend64):
    x = bytes_of(30, 40, 3)
    y = models.preprocess("vgg16")(x)
    assert y.dtype == backend64.zeros(1).dtype
    expected = (resized_by_pytorch(x[np.newaxis] / 255, 256, 224) - MEAN) / STD
    np.testing.assert_allclose(backend64.to_host(y), expected, rtol=0.0, atol=1e-12)


def test_arrays_of_the_backend_itself(backend):
    """Its own uint8 and its own floats give what NumPy's give."""
    host = bytes_of(20, 30, 3)
    expected = backend.to_host(RAW(host))
    for x in (backend.xp.asarray(host), backend.asarray(host / 255)):
        np.testing.assert_allclose(backend.to_host(RAW(x)), expected, rtol=0.0, atol=1e-6)


def test_arguments_are_not_changed(backend):
    host = pixels(2, 20, 30, 3)
    x = backend.asarray(host)
    models.preprocess("alexnet")(x)
    np.testing.assert_array_equal(backend.to_host(x), backend.to_host(backend.asarray(host)))


def test_pillow_images_on_every_backend(backend):
    x = bytes_of(30, 45, 3)
    found = models.preprocess("vgg11")(Image.fromarray(x))
    assert found.shape == (1, 224, 224, 3)
    np.testing.assert_array_equal(backend.to_host(found), backend.to_host(models.preprocess("vgg11")(x)))


def palette_with_transparency(mode):
    image = Image.fromarray(bytes_of(30, 40, 3)).convert("P")
    image.info["transparency"] = bytes(range(256)) if mode == "bytes" else 3
    return image


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_other_modes_become_red_green_blue(mode):
    grey = mode in ("1", "L", "LA")
    base = Image.fromarray(bytes_of(30, 40) if grey else bytes_of(30, 40, 3))
    image = base.convert(mode)
    np.testing.assert_array_equal(RAW(image), RAW(np.asarray(image.convert("RGB"))))
    if grey:
        np.testing.assert_array_equal(RAW(image)[..., 0], RAW(image)[..., 2])


@pytest.mark.parametrize("mode", ["bytes", "one index"])
def test_palettes_with_transparency_keep_their_colours(mode):
    image = palette_with_transparency(mode)
    colours = np.asarray(image.getpalette(), np.uint8).reshape(-1, 3)[np.asarray(image)]
    np.testing.assert_array_equal(RAW(image), RAW(colours))


def test_pillow_resizes_alike_but_for_its_rounding():
    image = Image.fromarray(bytes_of(300, 450, 3))
    expected = np.asarray(image.resize((384, 256), Image.Resampling.BILINEAR))[16:240, 80:304] / 255
    np.testing.assert_allclose(RAW(image)[0], expected, rtol=0.0, atol=1.1 / 255)


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_each_model(name):
    prepare = models.preprocess(name)
    half = name == "googlenet"
    assert (prepare.size, prepare.crop) == (256, 224)
    assert prepare.mean == ((0.5, 0.5, 0.5) if half else (0.485, 0.456, 0.406))
    assert prepare.std == ((0.5, 0.5, 0.5) if half else (0.229, 0.224, 0.225))


def test_googlenet_gets_what_torchvisions_transform_input_makes():
    """torchvision standardises as for the others, and its network changes that with these numbers."""
    x = bytes_of(50, 60, 3)
    standardised = models.preprocess("resnet18")(x)
    transformed = standardised * (STD / 0.5) + (MEAN - 0.5) / 0.5
    np.testing.assert_allclose(models.preprocess("googlenet")(x), transformed, rtol=0.0, atol=1e-6)


def test_no_pictures_give_no_pictures():
    assert RAW(np.zeros((0, 20, 30, 3))).shape == (0, 224, 224, 3)


def test_settings_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        models.preprocess("resnet50").size = 232


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros((5, 6)), ValueError, r"shape \(height, width, 3\) or \(n, height, width, 3\), got \(5, 6\)"),
        (np.zeros((3, 5, 6)), ValueError, r"got \(3, 5, 6\)"),
        (np.zeros((5, 6, 1)), ValueError, r"got \(5, 6, 1\)"),
        (np.zeros((1, 1, 5, 6, 3)), ValueError, r"got \(1, 1, 5, 6, 3\)"),
        (np.zeros((0, 6, 3)), ValueError, r"at least one pixel, got shape \(0, 6, 3\)"),
        (np.zeros((2, 5, 0, 3)), ValueError, r"at least one pixel, got shape \(2, 5, 0, 3\)"),
        (np.zeros((5, 6, 3), np.int64), TypeError, "expected uint8 from 0 to 255 or floats from 0 to 1, got int64"),
        (np.zeros((5, 6, 3), np.uint16), TypeError, "got uint16"),
        (np.zeros((5, 6, 3), bool), TypeError, "got bool"),
        (np.full((5, 6, 3), 255.0), ValueError, "floats must be from 0 to 1, got values from 255 to 255; divide"),
        (np.full((5, 6, 3), -0.5), ValueError, "got values from -0.5 to -0.5"),
        (np.full((5, 6, 3), np.nan), ValueError, "got values from nan to nan"),
        ([[[0.0, 0.0, 0.0]]], TypeError, "expected a Pillow image or an array, got list"),
        ("cat.jpg", TypeError, "expected a Pillow image or an array, got str"),
        (np.float32(1.0), ValueError, r"got \(\)"),
        (Image.new("I;16", (5, 6)), ValueError, "the image has mode 'I;16', whose brightest value is not known"),
        (Image.new("F", (5, 6)), ValueError, "the image has mode 'F'"),
    ],
)
def test_what_is_no_picture_is_refused(images, error, message):
    with pytest.raises(error, match=f"^preprocess: .*{message}"):
        models.preprocess("resnet50")(images)


def test_values_outside_are_refused_on_every_backend(backend):
    x = backend.asarray(np.linspace(0.0, 1.5, 5 * 6 * 3).reshape(5, 6, 3))
    with pytest.raises(ValueError, match=r"got values from 0 to 1\.5"):
        RAW(x)


@pytest.mark.parametrize("name", ["resnet51", "ResNet50", "", None])
def test_unknown_names_are_refused_with_those_that_are_known(name):
    with pytest.raises(ValueError, match=f"^preprocess: unknown model {name!r}; expected one of ") as caught:
        models.preprocess(name)
    assert all(repr(known) in str(caught.value) for known in NAMES)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size must be a positive integer, got 0"),
        ({"crop": 2.0}, "crop must be a positive integer, got 2.0"),
        ({"size": 200}, "crop must be at most size, got crop 224 and size 200"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^Preprocess: {message}"):
        replace(RAW, **settings)

"""How parameters are arranged in files: an order of axes, and a Flatten in between that PyTorch counts differently."""

import numpy as np
import pytest

import xpnet
from xpnet import layers as L

X = np.random.default_rng(0).standard_normal((3, 4, 5, 2))


def test_a_product_behind_flatten_is_pytorchs():
    torch = pytest.importorskip("torch")
    with xpnet.use_backend("numpy", dtype="float64"):
        model = L.Sequential(L.Flatten(), L.Linear(40, 3, image=(4, 5, 2)))
    parameters = model.parameters()
    weight, bias = (torch.tensor(p.layout.to_torch(p.data)) for p in parameters.values())
    expected = torch.nn.functional.linear(torch.tensor(X).movedim(-1, 1).flatten(1), weight, bias)
    np.testing.assert_allclose(model(X), expected.numpy(), rtol=1e-12)


LAYOUTS = {
    "same": ((2, 3), L.TorchLayout(), (2, 3)),
    "transposed": ((2, 3), L.TorchLayout((1, 0)), (3, 2)),
    "images": ((2, 3, 4, 5), L.TorchLayout((3, 2, 0, 1)), (5, 4, 2, 3)),
    "behind Flatten": ((24, 5), L.TorchLayout((3, 2, 0, 1), unfold=(2, 3, 4, 5), fold=(1, 3)), (5, 24)),
    "1x1 convolution": ((4, 5), L.TorchLayout((3, 2, 0, 1), unfold=(1, 1, 4, 5)), (5, 4, 1, 1)),
    "scalar": ((), L.TorchLayout(), ()),
}


@pytest.mark.parametrize(("ours", "layout", "theirs"), LAYOUTS.values(), ids=LAYOUTS)
def test_there_and_back(ours, layout, theirs):
    values = np.arange(float(np.prod(ours))).reshape(ours)
    there = layout.to_torch(values)
    assert there.shape == layout.shape(ours) == theirs
    np.testing.assert_array_equal(layout.from_torch(there, ours), values)


@pytest.mark.parametrize("image", [(40,), (4, 5, 3), ()])
def test_an_image_of_another_size_is_named(image):
    with pytest.raises(ValueError, match=r"Linear: image must be the .* that Flatten made 40 inputs of, got"):
        L.Linear(40, 3, image=image)

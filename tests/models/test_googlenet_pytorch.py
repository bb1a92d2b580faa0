"""GoogLeNet's three heads against a network of PyTorch's in torchvision's names; frozen, and in files."""

import numpy as np
import pytest

import xpnet
from xpnet import losses, models
from xpnet.layers import Frozen, Parameter, TorchLayout


def torch_layout(tensor):
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


@pytest.fixture(scope="module")
def small():
    """In float64, with three classes, no dropout and everything else away from where it starts."""
    with xpnet.use_backend("numpy", dtype="float64"):
        xpnet.seed(5)
        model = models.googlenet(3, 2, dropout=0.0, aux_dropout=0.0)
    for parameter in model.parameters().values():
        if parameter.data.ndim > 1:
            parameter.data[...] *= 5.0
    return model


@pytest.fixture
def batch():
    return np.random.default_rng(3).standard_normal((4, 33, 40, 2))


def gradients(model):
    return {
        name: np.zeros_like(p.data) if p.stale or p.grad is None else p.grad.copy()
        for name, p in model.parameters().items()
    }


def torch_googlenet(torch, channels, classes):
    """The same network of PyTorch's modules, named as torchvision's; in training it gives (main, aux2, aux1)."""
    nn = torch.nn

    def named(**children):
        module = nn.Sequential()
        for name, child in children.items():
            module.add_module(name, child)
        return module

    def conv(inputs, outputs, size, stride=1):
        filters = nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False)
        return named(conv=filters, bn=nn.BatchNorm2d(outputs, eps=1e-3), relu=nn.ReLU())

    class Inception(nn.Module):
        def __init__(self, inputs, b1, b2, b3, b4):
            super().__init__()
            self.branch1 = conv(inputs, b1, 1)
            self.branch2 = nn.Sequential(conv(inputs, b2[0], 1), conv(*b2, 3))
            self.branch3 = nn.Sequential(conv(inputs, b3[0], 1), conv(*b3, 3))
            self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), conv(inputs, b4, 1))

        def forward(self, x):
            return torch.cat([branch(x) for branch in self.children()], 1)

    def head(inputs):
        fc1, fc2 = nn.Linear(2048, 1024), nn.Linear(1024, classes)
        pool = nn.AdaptiveAvgPool2d(4)
        return named(pool=pool, conv=conv(inputs, 128, 1), flat=nn.Flatten(), fc1=fc1, relu=nn.ReLU(), fc2=fc2)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.conv3 = conv(channels, 64, 7, 2), conv(64, 64, 1), conv(64, 192, 3)
            self.inception3a = Inception(192, 64, (96, 128), (16, 32), 32)
            self.inception3b = Inception(256, 128, (128, 192), (32, 96), 64)
            self.inception4a = Inception(480, 192, (96, 208), (16, 48), 64)
            self.inception4b = Inception(512, 160, (112, 224), (24, 64), 64)
            self.inception4c = Inception(512, 128, (128, 256), (24, 64), 64)
            self.inception4d = Inception(512, 112, (144, 288), (32, 64), 64)
            self.inception4e = Inception(528, 256, (160, 320), (32, 128), 128)
            self.inception5a = Inception(832, 256, (160, 320), (32, 128), 128)
            self.inception5b = Inception(832, 384, (192, 384), (48, 128), 128)
            self.aux1, self.aux2, self.fc = head(512), head(528), nn.Linear(1024, classes)

        def forward(self, x):
            def pool(x, size=3):
                return nn.functional.max_pool2d(x, size, 2, ceil_mode=True)

            x = pool(self.conv3(self.conv2(pool(self.conv1(x)))))
            low = self.inception4a(pool(self.inception3b(self.inception3a(x))))
            high = self.inception4d(self.inception4c(self.inception4b(low)))
            x = self.inception5b(self.inception5a(pool(self.inception4e(high), 2)))
            main = self.fc(x.mean((2, 3)))
            return (main, self.aux2(high), self.aux1(low)) if self.training else main

    return Network().double()


def test_losses_and_gradients_of_all_heads_are_pytorchs(small, batch):
    torch = pytest.importorskip("torch")
    theirs = torch_googlenet(torch, 2, 3)
    tensors = small.tensors()
    state = {path: torch.tensor(torch_layout(t).to_torch(t.data)) for path, t in tensors.items()}
    keys = theirs.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in keys.missing_keys)

    images, t = torch.tensor(batch, requires_grad=True), np.asarray([0, 2, 1, 1])
    np.testing.assert_allclose(small(batch), theirs.eval()(images.movedim(-1, 1)).detach().numpy(), atol=1e-9)
    main, aux2, aux1 = (
        torch.nn.functional.cross_entropy(y, torch.tensor(t)) for y in theirs.train()(images.movedim(-1, 1))
    )
    expected = main + 0.3 * (aux1 + aux2)
    expected.backward()

    small.clear_gradients()
    y, pullback = small.forward(batch)
    loss, dloss = losses.with_auxiliary(losses.softmax_cross_entropy, 0.3)(y, t)
    dx = pullback(dloss(), input_gradient=True)
    assert float(loss) == pytest.approx(expected.item(), rel=1e-10)
    pairs = {path: (tensors[path].layout.to_torch(tensors[path].grad), p.grad) for path, p in theirs.named_parameters()}
    assert pairs.keys() == small.parameters().keys()
    for path, (ours, gradient) in ({"x": (dx, images.grad)} | pairs).items():
        scale = gradient.norm().item()
        np.testing.assert_allclose(ours, gradient.numpy(), rtol=0.0, atol=1e-8 * scale, err_msg=path)


def test_every_backend_computes_the_same(small, batch, backend64):
    copy = small.to(backend64)
    outputs, pullback = copy.forward(backend64.asarray(batch))
    small.clear_gradients()
    expected, expected_pullback = small.forward(batch)
    pullback(outputs)
    expected_pullback(expected)
    for found, values in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(backend64.to_host(found), values, rtol=0.0, atol=1e-9)
    for path, parameter in copy.parameters().items():
        gradient = small.parameters()[path].grad
        found = backend64.to_host(parameter.grad)
        np.testing.assert_allclose(found, gradient, rtol=0.0, atol=1e-8 * np.linalg.norm(gradient), err_msg=path)


def test_it_can_be_frozen_and_saved(small, batch, tmp_path):
    frozen = Frozen(small)
    np.testing.assert_array_equal(frozen.forward(batch)[0], small(batch))
    xpnet.save_weights(small, tmp_path / "weights.safetensors")
    other = models.googlenet(3, 2, aux_dropout=0.0)
    xpnet.load_weights(other, tmp_path / "weights.safetensors")
    np.testing.assert_allclose(other(batch.astype(np.float32)), small(batch), rtol=1e-3, atol=1e-4)


# Errors -------------------------------------------------------------------------------------------------------------


def test_errors_tell_the_layers_path(small):
    with pytest.raises(ValueError, match=r"^layer 'maxpool4': MaxPool2d\(2, ceil_mode=True\): the kernel covers 2×2"):
        small.output_shape((2, 30, 30, 2))
    with pytest.raises(ValueError, match=r"^layer 'maxpool4': "):
        small.forward(np.zeros((2, 30, 30, 2)))
    with pytest.raises(ValueError, match=r"^layer 'conv1\.conv': Conv2d\(2, 64, 7, .*, got 3"):
        small(np.zeros((2, 40, 40, 3)))
    single = models.googlenet(3, 2)
    with pytest.raises(ValueError, match=r"^layer 'inception5a\.branch1\.bn': "):  # one pixel of one example
        single.forward(np.zeros((1, 32, 32, 2), np.float32))
    single.aux1.members()["conv"]["conv"].inputs = 7
    with pytest.raises(ValueError, match=r"^layer 'aux1\.conv\.conv': "):
        single.forward(np.zeros((2, 32, 32, 2), np.float32))

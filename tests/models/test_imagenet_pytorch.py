"""The ImageNet networks beside PyTorch's, built here from torchvision's and Cadene's names and the papers' tables."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import xpnet
from xpnet import models
from xpnet.layers import Linear, Parameter, TorchLayout
from xpnet.models import _senet

torch = pytest.importorskip("torch")
nn = torch.nn
load_file, save_file = (getattr(pytest.importorskip("safetensors.torch"), name) for name in ("load_file", "save_file"))


class Block(nn.Module):
    """relu(body(x) + shortcut(x)), the body's modules under their own names."""

    def __init__(self, body, downsample):
        super().__init__()
        for name, module in body.items():
            self.add_module(name, module)
        self.body, self.downsample = list(body), downsample

    def forward(self, x):
        y = x
        for name in self.body:
            y = getattr(self, name)(y)
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class SqueezeExcite(nn.Module):
    """As in Cadene's file: two 1×1 convolutions on the mean."""

    def __init__(self, channels):
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, channels // 16, 1), nn.Conv2d(channels // 16, channels, 1)

    def forward(self, x):
        mean = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.fc2(torch.relu(self.fc1(mean))))


def named(**modules):
    found = nn.Sequential()
    for name, module in modules.items():
        found.add_module(name, module)
    return found


def plain(inputs, outputs, size, stride=1, padding=0, groups=1):
    return nn.Conv2d(inputs, outputs, size, stride=stride, padding=padding, groups=groups, bias=False)


def shortcut(inputs, outputs, stride, size=1, padding=0):
    if stride == 1 and inputs == outputs:
        return None
    return nn.Sequential(plain(inputs, outputs, size, stride, padding), nn.BatchNorm2d(outputs))


def body(*convolutions):
    """conv1, bn1, relu, conv2, bn2, …, without a ReLU behind the last."""
    found = {}
    for i, convolution in enumerate(convolutions, 1):
        found[f"conv{i}"], found[f"bn{i}"] = convolution, nn.BatchNorm2d(convolution.out_channels)
        found[f"relu{i}"] = nn.ReLU()
    found.popitem()
    return found


def basic(inputs, planes, stride):
    pair = body(plain(inputs, planes, 3, stride, 1), plain(planes, planes, 3, 1, 1))
    return Block(pair, shortcut(inputs, planes, stride))


def bottleneck(inputs, planes, stride):
    three = body(plain(inputs, planes, 1), plain(planes, planes, 3, stride, 1), plain(planes, planes * 4, 1))
    return Block(three, shortcut(inputs, planes * 4, stride))


def resnext(inputs, planes, stride):
    width = {64: 128, 128: 256, 256: 512, 512: 1024}[planes]
    three = body(plain(inputs, width, 1), plain(width, width, 3, stride, 1, 32), plain(width, planes * 4, 1))
    return Block(three, shortcut(inputs, planes * 4, stride))


def se_bottleneck(inputs, planes, stride):
    three = body(plain(inputs, planes, 1, stride), plain(planes, planes, 3, 1, 1), plain(planes, planes * 4, 1))
    return Block(three | {"se_module": SqueezeExcite(planes * 4)}, shortcut(inputs, planes * 4, stride))


def se_wide(inputs, planes, stride):
    wide, outputs = planes * 2, planes * 4
    three = body(plain(inputs, wide, 1), plain(wide, outputs, 3, stride, 1, 64), plain(outputs, outputs, 1))
    large = {"size": 3, "padding": 1} if planes > 64 else {}
    return Block(three | {"se_module": SqueezeExcite(outputs)}, shortcut(inputs, outputs, stride, **large))


def torch_stages(block, inputs, expansion, counts):
    found = {}
    for name, planes, stride, count in zip((1, 2, 3, 4), (64, 128, 256, 512), (1, 2, 2, 2), counts, strict=True):
        blocks = [block(inputs, planes, stride)]
        blocks += [block(planes * expansion, planes, 1) for _ in range(count - 1)]
        found[f"layer{name}"], inputs = nn.Sequential(*blocks), planes * expansion
    return found


def mean():
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def torch_resnet(block, expansion, counts, classes=1000):
    return named(
        **{"conv1": plain(3, 64, 7, 2, 3), "bn1": nn.BatchNorm2d(64), "relu": nn.ReLU()},
        **{"maxpool": nn.MaxPool2d(3, 2, 1)},
        **torch_stages(block, 64, expansion, counts),
        **{"avgpool": mean(), "fc": nn.Linear(512 * expansion, classes)},
    )


def torch_senet(stem, block, inputs, counts, classes=1000):
    return named(
        layer0=named(**stem, relu=nn.ReLU(), pool=nn.MaxPool2d(3, 2, ceil_mode=True)),
        **torch_stages(block, inputs, 4, counts),
        **{"avg_pool": mean(), "last_linear": nn.Linear(2048, classes)},
    )


def torch_se_resnet50():
    return torch_senet(body(plain(3, 64, 7, 2, 3)), se_bottleneck, 64, (3, 4, 6, 3))


def torch_senet154(classes=1000, counts=(3, 8, 36, 3)):
    stem = body(plain(3, 64, 3, 2, 1), plain(64, 64, 3, 1, 1), plain(64, 128, 3, 1, 1))
    return torch_senet(stem, se_wide, 128, counts, classes)


def torch_convolutional(features, size, classifier):
    return named(features=features, avgpool=nn.AdaptiveAvgPool2d(size), flatten=nn.Flatten(), classifier=classifier)


def hidden_layers(inputs, hidden, classes):
    """With the places of dropout, which is off."""
    return nn.Sequential(
        *(nn.Linear(inputs, hidden), nn.ReLU(), nn.Identity()),
        *(nn.Linear(hidden, hidden), nn.ReLU(), nn.Identity(), nn.Linear(hidden, classes)),
    )


def torch_vgg(plan, norm=False, hidden=4096, classes=1000):
    features, inputs = [], 3
    for entry in plan.split():
        if entry == "M":
            features.append(nn.MaxPool2d(2, 2))
            continue
        features.append(nn.Conv2d(inputs, int(entry), 3, padding=1))
        inputs = int(entry)
        features += [nn.BatchNorm2d(inputs), nn.ReLU()] if norm else [nn.ReLU()]
    return torch_convolutional(nn.Sequential(*features), 7, hidden_layers(512 * 7 * 7, hidden, classes))


VGG11 = "64 M 128 M 256 256 M 512 512 M 512 512 M"
VGG13 = "64 64 M 128 128 M 256 256 M 512 512 M 512 512 M"
VGG16 = "64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
VGG19 = "64 64 M 128 128 M 256 256 256 256 M 512 512 512 512 M 512 512 512 512 M"


def torch_alexnet(hidden=4096, classes=1000):
    features = [nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for inputs, outputs in pairwise((192, 384, 256, 256)):
        features += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    features.append(nn.MaxPool2d(3, 2))
    classifier = nn.Sequential(
        *(nn.Identity(), nn.Linear(256 * 6 * 6, hidden), nn.ReLU()),
        *(nn.Identity(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, classes)),
    )
    return torch_convolutional(nn.Sequential(*features), 6, classifier)


def paper_norm():
    """b = a / (2 + 1e-4 Σ a²)^0.75; PyTorch divides alpha by the size of 5."""
    return nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)


def torch_two_towers(hidden=4096, classes=1000):
    features = [nn.Conv2d(3, 96, 11, 4, 2), nn.ReLU(), paper_norm(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), paper_norm(), nn.MaxPool2d(3, 2)]
    features += [nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()]
    features += [nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()]
    features += [nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    return torch_convolutional(nn.Sequential(*features), 6, hidden_layers(256 * 6 * 6, hidden, classes))


def torch_zfnet(hidden=4096, classes=1000):
    def pool():
        return nn.MaxPool2d(3, 2, ceil_mode=True)

    features = [nn.Conv2d(3, 96, 7, 2, 1), nn.ReLU(), pool(), paper_norm()]
    features += [nn.Conv2d(96, 256, 5, 2), nn.ReLU(), pool(), paper_norm()]
    for inputs, outputs in pairwise((256, 384, 384, 256)):
        features += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    features.append(nn.MaxPool2d(3, 2))
    return torch_convolutional(nn.Sequential(*features), 6, hidden_layers(256 * 6 * 6, hidden, classes))


@dataclass(frozen=True)
class Network:
    """PyTorch's form of the constructor `name`, and its number of parameters as published."""

    torch: Callable[..., Any]
    parameters: int
    name: str = ""
    options: dict[str, Any] = field(default_factory=dict)


# torchvision's counts stand in its table of models, Cadene's are those of timm's table. The two towers' number is that
# of Caffe's reference network; ZFNet's is 7·7·3·96 + 5·5·96·256 + 3·3·(256·384 + 384·384 + 384·256) + 6·6·256·4096 +
# 4096·4096 + 4096·1000 weights and 96 + 256 + 384 + 384 + 256 + 4096 + 4096 + 1000 biases.
NETWORKS = {
    "alexnet": Network(torch_alexnet, 61_100_840),
    "alexnet original": Network(torch_two_towers, 60_965_224, "alexnet", {"original": True}),
    "zfnet": Network(torch_zfnet, 62_357_608),
    "vgg11": Network(lambda: torch_vgg(VGG11), 132_863_336),
    "vgg13": Network(lambda: torch_vgg(VGG13), 133_047_848),
    "vgg16": Network(lambda: torch_vgg(VGG16), 138_357_544),
    "vgg19": Network(lambda: torch_vgg(VGG19), 143_667_240),
    "vgg11_bn": Network(lambda: torch_vgg(VGG11, norm=True), 132_868_840),
    "vgg13_bn": Network(lambda: torch_vgg(VGG13, norm=True), 133_053_736),
    "vgg16_bn": Network(lambda: torch_vgg(VGG16, norm=True), 138_365_992),
    "vgg19_bn": Network(lambda: torch_vgg(VGG19, norm=True), 143_678_248),
    "resnet18": Network(lambda: torch_resnet(basic, 1, (2, 2, 2, 2)), 11_689_512),
    "resnet34": Network(lambda: torch_resnet(basic, 1, (3, 4, 6, 3)), 21_797_672),
    "resnet50": Network(lambda: torch_resnet(bottleneck, 4, (3, 4, 6, 3)), 25_557_032),
    "resnet101": Network(lambda: torch_resnet(bottleneck, 4, (3, 4, 23, 3)), 44_549_160),
    "resnet152": Network(lambda: torch_resnet(bottleneck, 4, (3, 8, 36, 3)), 60_192_808),
    "resnext50_32x4d": Network(lambda: torch_resnet(resnext, 4, (3, 4, 6, 3)), 25_028_904),
    "se_resnet50": Network(torch_se_resnet50, 28_088_024),
    "senet154": Network(torch_senet154, 115_088_984),
}


def layout(tensor):
    return tensor.layout if isinstance(tensor, Parameter) else TorchLayout()


@pytest.mark.parametrize("name", NETWORKS)
def test_names_shapes_and_numbers_of_parameters(name, undrawn):
    network = NETWORKS[name]
    with undrawn():
        model = getattr(models, network.name or name)(**network.options)
    with torch.device("meta"):
        module = network.torch()
    theirs = {path: tuple(values.shape) for path, values in module.state_dict().items() if "_tracked" not in path}
    ours = {path: layout(tensor).shape(tuple(tensor.data.shape)) for path, tensor in model.tensors().items()}
    assert list(ours.items()) == list(theirs.items())
    assert sum(parameter.data.size for parameter in model.parameters().values()) == network.parameters
    assert sum(parameter.numel() for parameter in module.parameters()) == network.parameters


def small_senet154(classes):
    """One or two blocks in each stage."""
    stem = _senet._three_convolutions(3)
    return _senet._senet(stem, _senet._senet154_block, (2, 1, 1, 1), last_linear=Linear(2048, classes))


# Name: ours and theirs for five classes, without dropout and with few hidden features; height and width.
SMALL = {
    "alexnet": (lambda: models.alexnet(5, dropout=0.0, hidden=8), lambda: torch_alexnet(8, 5), (63, 100)),
    "alexnet original": (
        lambda: models.alexnet(5, dropout=0.0, hidden=8, original=True),
        lambda: torch_two_towers(8, 5),
        (101, 67),
    ),
    "zfnet": (lambda: models.zfnet(5, dropout=0.0, hidden=8), lambda: torch_zfnet(8, 5), (66, 95)),
    "vgg13_bn": (lambda: models.vgg13_bn(5, dropout=0.0, hidden=8), lambda: torch_vgg(VGG13, True, 8, 5), (64, 48)),
    "resnext50_32x4d": (
        lambda: models.resnext50_32x4d(5),
        lambda: torch_resnet(resnext, 4, (3, 4, 6, 3), 5),
        (40, 75),
    ),
    "senet154": (lambda: small_senet154(5), lambda: torch_senet154(5, (2, 1, 1, 1)), (40, 76)),
}


def fill(model):
    """He's weights for the signal's sake, and biases and statistics that are neither 0 nor 1."""
    random = np.random.default_rng(5)
    for path, tensor in model.tensors().items():
        draw = random.standard_normal(tensor.data.shape)
        if draw.ndim > 1:
            draw *= np.sqrt(2.0 / np.prod(draw.shape[:-1]))
        elif path.endswith("weight"):
            draw = 1.0 + 0.1 * draw
        tensor.data[...] = np.abs(draw) + 0.5 if path.endswith("running_var") else draw


FILES = {name: (make, make_torch) for name, (make, make_torch, _) in SMALL.items()} | {
    "resnet18": (lambda: models.resnet18(5), lambda: torch_resnet(basic, 1, (2, 2, 2, 2), 5)),
    "resnet50": (lambda: models.resnet50(5), lambda: torch_resnet(bottleneck, 4, (3, 4, 6, 3), 5)),
}


@pytest.mark.parametrize("name", FILES)
def test_files_load_strictly_in_pytorch_and_back_bit_for_bit(name, undrawn, tmp_path):
    make, make_torch = FILES[name]
    with undrawn():
        model, again = make(), make()
    fill(model)
    xpnet.save_weights(model, tmp_path / "ours.safetensors")
    module = make_torch()
    module.load_state_dict(load_file(tmp_path / "ours.safetensors"), strict=True)
    save_file(module.state_dict(), tmp_path / "theirs.safetensors")
    report = xpnet.load_weights(again, tmp_path / "theirs.safetensors")
    assert not report.left
    assert not report.ignored
    for path, values in again.state().items():
        np.testing.assert_array_equal(values, model.tensors()[path].data, err_msg=path)


@pytest.mark.parametrize("name", SMALL)
def test_values_gradients_and_statistics(name, undrawn):
    make, make_torch, size = SMALL[name]
    with xpnet.use_backend("numpy", dtype="float64"), undrawn():
        model = make()
    fill(model)
    module = make_torch().double()
    tensors = model.tensors()
    state = {path: torch.tensor(layout(tensor).to_torch(tensor.data)) for path, tensor in tensors.items()}
    keys = module.load_state_dict(state, strict=False)
    assert not keys.unexpected_keys
    assert all(key.endswith("num_batches_tracked") for key in keys.missing_keys)

    host, dy = (np.random.default_rng(seed).standard_normal(shape) for seed, shape in ((1, (2, *size, 3)), (2, (2, 5))))
    x = torch.tensor(host, requires_grad=True)
    with torch.no_grad():
        expected = module.eval()(x.movedim(-1, 1)).numpy()
    np.testing.assert_allclose(model(host), expected, rtol=0.0, atol=1e-9 * np.abs(expected).max())
    expected = module.train()(x.movedim(-1, 1))
    expected.backward(torch.tensor(dy))
    y, pullback = model.forward(host)
    dx = pullback(dy, input_gradient=True)
    pairs = {"y": (y, expected.detach().numpy()), "dx": (dx, x.grad.numpy())}
    gradients = {path: parameter.grad.numpy() for path, parameter in module.named_parameters()}
    for path, parameter in model.parameters().items():
        pairs[path] = parameter.layout.to_torch(parameter.grad), gradients.pop(path)
    assert not gradients
    statistics = module.state_dict()
    pairs |= {path: (buffer.data, statistics[path].numpy()) for path, buffer in model.buffers().items()}
    largest = max(np.abs(theirs).max() for _, theirs in pairs.values())
    for path, (ours, theirs) in pairs.items():  # a bias before batch norm has no gradient but rounding
        atol = 1e-9 * max(np.abs(theirs).max(), 1e-3 * largest)
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=atol, err_msg=path)

"""Models: assemblies of layers, one family a file."""

from xpnet.models._alexnet import alexnet
from xpnet.models._cnn import cnn1d, deep_cnn, simple_cnn, vgg_small
from xpnet.models._ensemble import Ensemble
from xpnet.models._googlenet import GoogLeNet, googlenet
from xpnet.models._mlp import mlp
from xpnet.models._preprocess import Preprocess, preprocess
from xpnet.models._resnet import resnet18, resnet34, resnet50, resnet101, resnet152, resnext50_32x4d
from xpnet.models._senet import se_resnet50, senet154
from xpnet.models._vgg import vgg11, vgg11_bn, vgg13, vgg13_bn, vgg16, vgg16_bn, vgg19, vgg19_bn
from xpnet.models._zfnet import zfnet

__all__ = [
    "Ensemble",
    "GoogLeNet",
    "Preprocess",
    "alexnet",
    "cnn1d",
    "deep_cnn",
    "googlenet",
    "mlp",
    "preprocess",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "se_resnet50",
    "senet154",
    "simple_cnn",
    "vgg11",
    "vgg11_bn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg19",
    "vgg19_bn",
    "vgg_small",
    "zfnet",
]

"""Models: assemblies of layers, one family a file."""

from xpnet.models._cnn import cnn1d, deep_cnn, simple_cnn, vgg_small
from xpnet.models._ensemble import Ensemble
from xpnet.models._googlenet import GoogLeNet, googlenet
from xpnet.models._mlp import mlp

__all__ = ["Ensemble", "GoogLeNet", "cnn1d", "deep_cnn", "googlenet", "mlp", "simple_cnn", "vgg_small"]

"""Models: assemblies of layers, one family a file."""

from xpnet.models._cnn import cnn1d, deep_cnn, simple_cnn, vgg_small
from xpnet.models._mlp import mlp

__all__ = ["cnn1d", "deep_cnn", "mlp", "simple_cnn", "vgg_small"]

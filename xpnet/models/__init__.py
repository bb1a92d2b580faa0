"""Models: assemblies of layers, one family a file."""

from xpnet.models._mlp import mlp

__all__ = ["mlp"]

"""What a contender is, and what each needs to be there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import xpnet
from bench.networks import Conv, Network
from xpnet.backend import why_unavailable


@dataclass(frozen=True, eq=False)
class Contender:
    """One way to run a network.

    Parameters
    ----------
    name, title : for the command line and for tables.
    module : import path of a module with `build(case, **options)`, which returns `Passes`.
    options : for `build`.
    missing : says what is missing here and how to get it; None where nothing is.
    suits : whether it can run a network at all.
    ours : whether it is xpnet.
    device : contenders are compared with those on the same device,
    precision : and with those whose products have the same: "float32", or "tf32" (ten bits instead of 23).
    compiles : whether its first passes take long and leave the device idle, so that others may have theirs meanwhile.
    """

    name: str
    title: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None
    suits: Callable[[Network], bool] = lambda network: True
    ours: bool = False
    device: str = "cpu"
    precision: str = "float32"
    compiles: bool = False


def package(name: str, line: str) -> Callable[[], str | None]:
    """Asks for a package that a line after `pip install` brings."""
    return lambda: None if find_spec(name) else f"not installed: pip install {line}"


def backend(name: str) -> Callable[[], str | None]:
    """Asks for a backend of xpnet."""
    return lambda: why_unavailable(name)


def capture() -> str | None:
    """Asks for CuPy with a GPU, and for xpnet's capture."""
    return why_unavailable("cupy") or (None if hasattr(xpnet, "capture") else "this version of xpnet has no capture")


def torch_on_gpu() -> str | None:
    """Asks for a PyTorch that finds the GPU."""
    missing = why_unavailable("cupy") or package("torch", "torch")()
    if missing:
        return missing
    import torch

    return None if torch.cuda.is_available() else "this PyTorch finds no CUDA device: see https://pytorch.org"


def jax_on_gpu() -> str | None:
    """Asks for JAX's plugin, without starting JAX: it would take most of the GPU's memory."""
    missing = why_unavailable("cupy") or package("jax", "'jax[cuda13]'")()
    if missing:
        return missing
    plugins = ("jax_cuda13_plugin", "jax_cuda12_plugin")
    return None if any(map(find_spec, plugins)) else "this JAX has no CUDA plugin: pip install 'jax[cuda13]'"


NO_TF32 = "this GPU has no TF32, which came with compute capability 8.0"


def with_tf32(missing: Callable[[], str | None]) -> Callable[[], str | None]:
    """Asks for what is asked for, and for a GPU that has TF32."""

    def ask() -> str | None:
        found = missing()
        if found:
            return found
        import cupy

        return None if int(cupy.cuda.Device().compute_capability) >= 80 else NO_TF32

    return ask


def any_network(network: Network) -> bool:
    """Suits all."""
    return True


def convolves(network: Network) -> bool:
    """Has convolutions, so that the order of axes matters."""
    return any(isinstance(layer, Conv) for layer in network.layers)


def on_vectors(network: Network) -> bool:
    """Takes no images."""
    return not network.on_images

"""Who is compared: xpnet on each backend, and what a user would pick instead."""

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
    device : contenders are compared with those on the same device.
    """

    name: str
    title: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    missing: Callable[[], str | None] = lambda: None
    suits: Callable[[Network], bool] = lambda network: True
    ours: bool = False
    device: str = "cpu"


def _package(name: str, line: str) -> Callable[[], str | None]:
    return lambda: None if find_spec(name) else f"not installed: pip install {line}"


def _backend(name: str) -> Callable[[], str | None]:
    return lambda: why_unavailable(name)


def _capture() -> str | None:
    return why_unavailable("cupy") or (None if hasattr(xpnet, "capture") else "this version of xpnet has no capture")


def _cuda() -> str | None:
    missing = why_unavailable("cupy") or _package("torch", "torch")()
    if missing:
        return missing
    import torch

    return None if torch.cuda.is_available() else "this PyTorch finds no CUDA device: see https://pytorch.org"


def _any(network: Network) -> bool:
    return True


def _convolves(network: Network) -> bool:
    return any(isinstance(layer, Conv) for layer in network.layers)


def _on_vectors(network: Network) -> bool:
    return not network.on_images


def _ours(name: str, title: str, missing: Callable[[], str | None], device: str = "cpu", **options: Any) -> Contender:
    return Contender(name, title, "bench.contenders._xpnet", options, missing, ours=True, device=device)


def _torch(name: str, title: str, suits: Callable[[Network], bool] = _any, **options: Any) -> Contender:
    on_gpu = options.get("device") == "cuda"
    missing, device = (_cuda, "gpu") if on_gpu else (_package("torch", "torch"), "cpu")
    return Contender(name, title, "bench.contenders._pytorch", options, missing, suits, device=device)


CONTENDERS = {
    contender.name: contender
    for contender in (
        _ours("xpnet", "xpnet", _package("numba", "'xpnet[fast]'"), backend="numpy"),
        _ours("xpnet-plain", "xpnet without Numba", lambda: None, backend="numpy", loops=False),
        _ours("xpnet-torch", "xpnet on PyTorch's tensors", _backend("torch"), backend="torch"),
        _ours("xpnet-cupy", "xpnet on CuPy", _backend("cupy"), device="gpu", backend="cupy"),
        _ours("xpnet-captured", "xpnet on CuPy, captured", _capture, device="gpu", backend="cupy", captured=True),
        _torch("pytorch", "PyTorch"),
        _torch("pytorch-channels-last", "PyTorch, channels last", _convolves, channels_last=True),
        _torch("pytorch-compiled", "PyTorch, compiled", compiler="inductor"),
        _torch("pytorch-cuda", "PyTorch on CUDA", channels_last=True, device="cuda"),
        Contender("jax", "JAX", "bench.contenders._jax", missing=_package("jax", "jax")),
        Contender(
            "scikit-learn",
            "scikit-learn",
            "bench.contenders._scikit_learn",
            missing=_package("sklearn", "scikit-learn"),
            suits=_on_vectors,
        ),
        Contender("book", "NumPy by the book", "bench.contenders._book"),
    )
}

"""The contenders that compute on the processor."""

from collections.abc import Callable
from typing import Any

from bench.contenders._contender import Contender, any_network, backend, convolves, on_vectors, package
from bench.networks import Network


def _ours(name: str, title: str, missing: Callable[[], str | None], **options: Any) -> Contender:
    return Contender(name, title, "bench.contenders._xpnet", options, missing, ours=True)


def _torch(name: str, title: str, suits: Callable[[Network], bool] = any_network, **options: Any) -> Contender:
    return Contender(name, title, "bench.contenders._pytorch", options, package("torch", "torch"), suits)


ON_CPU = (
    _ours("xpnet", "xpnet", package("numba", "'xpnet[fast]'"), backend="numpy"),
    _ours("xpnet-plain", "xpnet without Numba", lambda: None, backend="numpy", loops=False),
    _ours("xpnet-torch", "xpnet on PyTorch's tensors", backend("torch"), backend="torch"),
    _torch("pytorch", "PyTorch"),
    _torch("pytorch-channels-last", "PyTorch, channels last", convolves, channels_last=True),
    _torch("pytorch-compiled", "PyTorch, compiled", compiler="inductor"),
    Contender("jax", "JAX", "bench.contenders._jax", missing=package("jax", "jax")),
    Contender(
        "scikit-learn",
        "scikit-learn",
        "bench.contenders._scikit_learn",
        missing=package("sklearn", "scikit-learn"),
        suits=on_vectors,
    ),
    Contender("book", "NumPy by the book", "bench.contenders._book"),
)

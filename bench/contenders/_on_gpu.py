"""The contenders on the GPU, each with products in float32 and in TF32.

PyTorch's default is float32 for products of matrices and TF32 for convolutions, JAX's is TF32 for both: here everyone
is told the same, so that like is compared with like. PyTorch chooses its convolutions by trying them, by
`cudnn.benchmark`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from bench.contenders._contender import (
    Contender,
    any_network,
    backend,
    capture,
    convolves,
    jax_on_gpu,
    torch_on_gpu,
    with_tf32,
)
from bench.networks import Network

COMPILED_UP_TO = 12
"""Layers of the deepest network that PyTorch is asked to compile: compiling the deeper ones takes minutes."""


def _compilable(network: Network) -> bool:
    return network.depth <= COMPILED_UP_TO


def _both(
    name: str,
    title: str,
    module: str,
    missing: Callable[[], str | None],
    suits: Callable[[Network], bool] = any_network,
    *,
    ours: bool = False,
    compiles: bool = False,
    **options: Any,
) -> Iterator[Contender]:
    """The contender in either precision."""
    for precision, suffix, called in (("float32", "", ""), ("tf32", "-tf32", ", TF32")):
        yield Contender(
            name + suffix,
            title + called,
            f"bench.contenders.{module}",
            options | {"precision": precision},
            with_tf32(missing) if precision == "tf32" else missing,
            suits,
            ours,
            device="gpu",
            precision=precision,
            compiles=compiles,
        )


def _ours(name: str, title: str, missing: Callable[[], str | None], **options: Any) -> Iterator[Contender]:
    return _both(name, title, "_xpnet", missing, ours=True, backend="cupy", **options)


def _torch(
    name: str, title: str, suits: Callable[[Network], bool] = any_network, compiler: str | None = None, **options: Any
) -> Iterator[Contender]:
    chosen = options | {"device": "cuda", "compiler": compiler}
    return _both(name, title, "_pytorch", torch_on_gpu, suits, compiles=compiler is not None, **chosen)


ON_GPU = (
    *_ours("xpnet-captured", "xpnet, captured", capture, captured=True),
    *_ours("xpnet-cupy", "xpnet, step by step", backend("cupy")),
    *_torch("pytorch-cuda", "PyTorch", optimizer="foreach"),
    *_torch("pytorch-cuda-last", "PyTorch, channels last", convolves, optimizer="foreach", channels_last=True),
    *_torch("pytorch-cuda-fused", "PyTorch, channels last, fused Adam", channels_last=True),
    *_torch(
        "pytorch-cuda-compiled", "PyTorch, compiled, fused Adam", _compilable, channels_last=True, compiler="inductor"
    ),
    *_torch("pytorch-cuda-graph", "PyTorch, CUDA graph, fused Adam", graph=True),
    *_torch(
        "pytorch-cuda-graph-last",
        "PyTorch, CUDA graph, channels last, fused Adam",
        convolves,
        graph=True,
        channels_last=True,
    ),
    *_both("jax-gpu", "JAX", "_jax", jax_on_gpu, compiles=True, device="gpu"),
)

EAGER = ("pytorch-cuda", "pytorch-cuda-last", "pytorch-cuda-fused")
"""PyTorch as it is mostly run: one operation after the other."""
GRAPHED = ("pytorch-cuda-graph", "pytorch-cuda-graph-last")
"""A whole step of PyTorch as one launch."""

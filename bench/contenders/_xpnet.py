"""xpnet, on any of its backends."""

from collections.abc import Sequence
from typing import Any

import xpnet
from bench.case import LEARNING_RATE, Case, arrays_of
from bench.networks import BatchNorm, Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, ReLU, Residual
from bench.passes import Clock, Passes, Run, resident_memory, wall_clock
from xpnet import layers as L
from xpnet.backend import compiled_loops, to_host
from xpnet.losses import softmax_cross_entropy
from xpnet.training import train_step


def build(case: Case, *, backend: str, loops: bool = True, captured: bool = False) -> Passes:
    """The network in xpnet's layers; with `captured` only the step, as one launch."""
    if backend == "numpy":
        compiled_loops(loops)
    elif backend == "torch":
        import torch

        torch.set_num_threads(case.threads)
    chosen = xpnet.set_backend(backend)
    x, t = (chosen.asarray(array) for array in case.data())
    model = sequential(case.network.layers)
    for tensor, values in zip(model.tensors().values(), arrays_of(case.weights()), strict=True):
        tensor.data[...] = chosen.asarray(values)
    optimizer = xpnet.optimizers.Adam(model, LEARNING_RATE)
    parameters = list(model.parameters().values())

    def backward() -> Any:
        y, pullback = model.forward(x)
        loss, dloss = softmax_cross_entropy(y, t)
        pullback(dloss())
        for parameter in parameters:
            parameter.stale = True  # the next gradient overwrites this one, as it does after an optimizer's step
        return loss

    def step(x: Any, t: Any) -> Any:
        return train_step(model, x, t, loss=softmax_cross_entropy, optimizer=optimizer)[0]

    run: dict[str, Run] = {"forward": lambda: model(x), "backward": backward, "step": lambda: step(x, t)}
    if captured:
        replay = vars(xpnet)["capture"](step)
        run = {"step": lambda: replay(x, t)}
    if backend == "cupy":
        return Passes(run, to_host, _events(), lambda: chosen.memory()["reserved"])
    return Passes(run, to_host, wall_clock, resident_memory)


def sequential(layers: Sequence[Layer]) -> L.Sequential:
    """The same layers as xpnet has them."""
    return L.Sequential(*map(_layer, layers))


def _layer(layer: Layer) -> L.Layer:
    match layer:
        case Linear():
            return L.Linear(layer.inputs, layer.outputs)
        case Conv():
            options: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias}
            return L.Conv2d(layer.inputs, layer.outputs, layer.kernel_size, **options)
        case BatchNorm():
            return L.BatchNorm(layer.features)
        case MaxPool():
            return L.MaxPool2d(layer.kernel_size, stride=layer.stride, padding=layer.padding)
        case ReLU():
            return L.ReLU()
        case Flatten():
            return L.Flatten()
        case GlobalAvgPool():
            return L.GlobalAvgPool()
        case Residual():
            return L.Residual(sequential(layer.body), sequential(layer.shortcut) if layer.shortcut else None)


def _events() -> Clock:
    """Seconds on the GPU, between two events."""
    import cupy

    def clock(run: Run, calls: int) -> float:
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        for _ in range(calls):
            run()
        stop.record()
        stop.synchronize()
        return float(cupy.cuda.get_elapsed_time(start, stop)) * 1e-3

    return clock

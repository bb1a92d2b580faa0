"""xpnet, on any of its backends."""

from collections.abc import Sequence
from typing import Any

import xpnet
from bench.case import LEARNING_RATE, Case, arrays_of
from bench.networks import BatchNorm, Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, ReLU, Residual
from bench.passes import Clock, Passes, Run, event_clock, resident_memory, wall_clock
from xpnet import layers as L
from xpnet.backend import compiled_loops, to_host
from xpnet.losses import softmax_cross_entropy
from xpnet.training import train_step


def build(
    case: Case, *, backend: str, loops: bool = True, captured: bool = False, precision: str = "float32"
) -> Passes:
    """The network in xpnet's layers; with `captured` only inference and the step, each as one launch."""
    if backend == "numpy":
        compiled_loops(loops)
    elif backend == "torch":
        import torch

        torch.set_num_threads(case.threads)
    products: dict[str, Any] = {} if precision == "float32" else {"matmul": precision}
    chosen = xpnet.set_backend(backend, **products)
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
    clock = _events() if backend == "cupy" else wall_clock
    if captured:
        capture = vars(xpnet)["capture"]
        infer, train = capture(lambda x: model(x)), capture(step)
        for _ in range(3):
            infer(x)  # the third call is recorded; so is the third step, when outputs are compared
        run = {"forward": lambda: infer(x), "step": lambda: train(x, t)}
        clock = _only_replays(clock, {"forward": infer, "step": train}, run)
    if backend == "cupy":
        return Passes(run, to_host, clock, lambda: chosen.memory()["reserved"])
    return Passes(run, to_host, clock, resident_memory)


def _only_replays(clock: Clock, captured: dict[str, Any], run: dict[str, Run]) -> Clock:
    """The clock, which refuses to time a step that runs eagerly under the name of a captured one."""
    recorded = {body: captured[name] for name, body in run.items()}

    def checked(body: Run, calls: int) -> float:
        before = recorded[body].replays
        seconds = clock(body, calls)
        replayed = recorded[body].replays - before
        if replayed < calls:
            raise RuntimeError(f"xpnet.capture replayed only {replayed} of {calls} calls; the others ran eagerly")
        return seconds

    return checked


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
    import cupy

    cuda = cupy.cuda
    return event_clock(cuda.Event, cuda.runtime.deviceSynchronize, cuda.get_elapsed_time)

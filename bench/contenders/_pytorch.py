"""PyTorch: eager in both memory formats, compiled, and on CUDA also as one graph."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from bench.case import LEARNING_RATE, Case, Floats, channels_first
from bench.contenders._pytorch_graph import cuda_graph, recorded
from bench.networks import BatchNorm, Conv, Flatten, GlobalAvgPool, Layer, Linear, MaxPool, ReLU, Residual
from bench.passes import Passes, Run, event_clock, resident_memory, wall_clock

Drawn = Iterator[dict[str, Floats]]


def build(
    case: Case,
    *,
    channels_last: bool = False,
    compiler: str | None = None,
    device: str = "cpu",
    precision: str = "float32",
    optimizer: str = "fused",
    graph: bool = False,
) -> Passes:
    """The network in PyTorch's modules, with its Adam.

    `optimizer` is "fused" or "foreach", `compiler` names a backend of `torch.compile`, and with `graph` inference and
    a whole step are recorded as one CUDA graph each, into whose own arrays each batch is copied.
    """
    torch.set_num_threads(case.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    torch.backends.cudnn.benchmark = device == "cuda"
    images, labels = (torch.from_numpy(array).to(device) for array in case.data())
    model = _sequential(case.network.layers, iter(case.weights())).to(device)
    if case.network.on_images:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        model = model.to(memory_format=layout)
        images = images.permute(0, 3, 1, 2).contiguous(memory_format=layout)
    network = torch.compile(model, backend=compiler) if compiler else model
    loss_function = nn.CrossEntropyLoss()
    adam = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, capturable=graph, **{optimizer: True})

    def infer(images: Any) -> Any:
        if model.training:
            model.eval()
        with torch.inference_mode():
            return network(images)

    def train(images: Any, labels: Any) -> Any:
        if not model.training:
            model.train()
        adam.zero_grad()
        loss = loss_function(network(images), labels)
        loss.backward()
        return loss.detach()

    def step(images: Any, labels: Any) -> Any:
        loss = train(images, labels)
        adam.step()
        return loss

    run: dict[str, Run] = {
        "forward": lambda: infer(images),
        "backward": lambda: train(images, labels),
        "step": lambda: step(images, labels),
    }
    if graph:
        replays = {
            "forward": recorded(infer, (images,), model, adam, cuda_graph),
            "step": recorded(step, (images, labels), model, adam, cuda_graph),
        }
        run = {"forward": lambda: replays["forward"](images), "step": lambda: replays["step"](images, labels)}
    if device == "cuda":
        return Passes(run, _to_host, _events(), torch.cuda.max_memory_reserved)
    return Passes(run, _to_host, wall_clock, resident_memory)


def _to_host(x: Any) -> Any:
    return x.cpu().numpy()


def _events() -> Any:
    cuda = torch.cuda
    return event_clock(
        lambda: cuda.Event(enable_timing=True), cuda.synchronize, lambda start, stop: start.elapsed_time(stop)
    )


class _Residual(nn.Module):  # type: ignore[misc]
    """body(x) + shortcut(x)."""

    def __init__(self, body: Any, shortcut: Any) -> None:
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x: Any) -> Any:
        return self.body(x) + self.shortcut(x)


def _sequential(layers: Sequence[Layer], weights: Drawn) -> Any:
    return nn.Sequential(*(_module(layer, weights) for layer in layers))


def _module(layer: Layer, weights: Drawn) -> Any:
    match layer:
        case Linear():
            arrays = next(weights)
            linear = nn.Linear(layer.inputs, layer.outputs)
            return _filled(linear, arrays | {"weight": channels_first(layer, arrays["weight"]).T})
        case Conv():
            arrays = next(weights)
            options: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias}
            conv = nn.Conv2d(layer.inputs, layer.outputs, layer.kernel_size, **options)
            return _filled(conv, arrays | {"weight": arrays["weight"].transpose(3, 2, 0, 1)})  # (h, w, i, o)
        case BatchNorm():
            return _filled(nn.BatchNorm2d(layer.features), next(weights))
        case MaxPool():
            return nn.MaxPool2d(layer.kernel_size, layer.stride, layer.padding)
        case ReLU():
            return nn.ReLU()
        case Flatten():
            return nn.Flatten()
        case GlobalAvgPool():
            return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        case Residual():
            body = _sequential(layer.body, weights)
            return _Residual(body, _sequential(layer.shortcut, weights))


def _filled(module: Any, arrays: dict[str, Floats]) -> Any:
    with torch.no_grad():
        for name, values in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(values.copy()))
    return module

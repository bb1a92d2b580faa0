"""A whole step of PyTorch as one CUDA graph, by the recipe of its documentation ("CUDA Graphs", whole network)."""

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

import torch

from bench.passes import Run

Recorder: TypeAlias = Callable[[Run], tuple[Any, Run]]
"""Runs a body a few times, records it, and returns its result's arrays and what replays it."""

WARM_UPS = 3


def recorded(
    body: Callable[..., Any], arguments: tuple[Any, ...], model: Any, optimizer: Any, record: Recorder
) -> Callable[..., Any]:
    """A function like `body` that copies its arguments into arrays of its own and replays; its first call records.

    What the runs before the recording did to model and optimizer is undone, in place.
    """
    own = tuple(argument.clone() for argument in arguments)
    result: Any = None
    replay: Run | None = None

    def start() -> tuple[Any, Run]:
        weights = copy.deepcopy(model.state_dict())
        found = record(lambda: body(*own))
        with torch.no_grad():
            for name, values in model.state_dict().items():
                values.copy_(weights[name])
            for state in optimizer.state.values():
                for values in state.values():
                    values.zero_()
        return found

    def run(*batch: Any) -> Any:
        nonlocal result, replay
        if replay is None:
            result, replay = start()
        for array, values in zip(own, batch, strict=True):
            array.copy_(values)
        replay()
        return result

    return run


def cuda_graph(body: Run) -> tuple[Any, Run]:
    """Records on the GPU, after warm-up on another stream, as PyTorch asks for."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UPS):
            body()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = body()
    return result, graph.replay

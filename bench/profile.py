"""`python -m bench.profile NETWORK`: where xpnet's time goes in inference and in a training step, by kind of layer.

Each layer is timed where it stands, between the others, with cold weights as they are. Pairs that run as one pass
(batch normalization and ReLU) run apart while they are watched, which costs a little.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import threadpoolctl

import xpnet
from bench import machine
from bench.case import LEARNING_RATE, Case, arrays_of
from bench.contenders._xpnet import sequential
from bench.networks import NETWORKS
from bench.table import duration
from xpnet.layers import Layer
from xpnet.losses import softmax_cross_entropy
from xpnet.training import train_step


@dataclass(frozen=True)
class Row:
    """Layers of one kind on inputs of one size: seconds of all of them together, and their products' rate."""

    kind: str
    count: int
    forward: float
    backward: float
    operations: int
    """Floating-point operations of the forward pass; convolutions by their definition. 0 without products."""


@dataclass(frozen=True)
class Profile:
    """One pass: its seconds, and rows of which the longest comes first; the rest lies between the layers."""

    name: str
    seconds: float
    rows: tuple[Row, ...]

    @property
    def rest(self) -> float:
        """Seconds outside the layers: sums of branches, the loss, the optimizer, Python between them."""
        return self.seconds - sum(row.forward + row.backward for row in self.rows)

    def __str__(self) -> str:
        heading = f"{self.name}: {duration(self.seconds)}"
        lines = [f"{heading:<62}{'count':>6}{'forward':>10}{'backward':>10}{'part':>7}{'GFLOP/s':>9}"]
        for row in self.rows:
            part = (row.forward + row.backward) / self.seconds
            rate = f"{row.operations / row.forward / 1e9:.0f}" if row.operations else ""
            times = f"{duration(row.forward):>10}{duration(row.backward) if row.backward else '':>10}"
            lines.append(f"  {row.kind:<60}{row.count:>6}{times}{part:>7.1%}{rate:>9}".rstrip())
        rest = f"{duration(max(0.0, self.rest)):>10}{'':>10}{self.rest / self.seconds:>7.1%}"
        lines.append(f"  {'between the layers':<66}{rest}")
        return "\n".join(lines)


def profile(network: str, threads: int, calls: int) -> list[Profile]:
    """Inference and a training step of one of the bench's networks."""
    case = Case(NETWORKS[network], NETWORKS[network].batch, threads)
    backend = xpnet.set_backend("numpy")
    x, t = (backend.asarray(array) for array in case.data())
    model = sequential(case.network.layers)
    for tensor, values in zip(model.tensors().values(), arrays_of(case.weights()), strict=True):
        tensor.data[...] = values
    optimizer = xpnet.optimizers.Adam(model, LEARNING_RATE)
    passes: dict[str, Callable[[], Any]] = {
        "inference": lambda: model(x),
        "training step": lambda: train_step(model, x, t, loss=softmax_cross_entropy, optimizer=optimizer),
    }
    with threadpoolctl.threadpool_limits(threads, user_api="blas"):
        return [_profile(f"{network}, {name}", model, run, calls) for name, run in passes.items()]


def _profile(name: str, model: Layer, run: Callable[[], Any], calls: int) -> Profile:
    run()
    seconds, found = [], defaultdict[str, list[_Times]](list)
    for _ in range(calls):
        with _timed(model) as times:
            begin = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - begin)
        for kind, each in times.items():
            found[kind].append(each)
    rows = [
        Row(
            kind,
            each[0].count,
            median(one.forward for one in each),
            median(one.backward for one in each),
            each[0].operations,
        )
        for kind, each in found.items()
    ]
    rows.sort(key=lambda row: -(row.forward + row.backward))
    return Profile(name, median(seconds), tuple(rows))


@dataclass
class _Times:
    count: int = 0
    forward: float = 0.0
    backward: float = 0.0
    operations: int = 0


@contextmanager
def _timed(model: Layer) -> Iterator[dict[str, _Times]]:
    """While the block runs, counts the seconds of each layer that has no layers below it."""
    times: dict[str, _Times] = defaultdict(_Times)
    leaves = [
        layer for layer in model.layers().values() if not any(isinstance(m, Layer) for m in layer.members().values())
    ]
    for layer in leaves:
        vars(layer)["forward"] = _timing(layer, times)
    try:
        yield times
    finally:
        for layer in leaves:
            del vars(layer)["forward"]


def _has_layers(layer: Layer) -> bool:
    return any(isinstance(member, Layer) for member in layer.members().values())


def _timing(layer: Layer, times: dict[str, _Times]) -> Any:
    run, weight = layer.forward, getattr(layer, "weight", None)

    def forward(x: Any, *, training: bool = True) -> Any:
        begin = time.perf_counter()
        y, pull = run(x, training=training)
        entry = times[_kind(layer, x.shape)]
        entry.forward += time.perf_counter() - begin
        entry.count += 1
        if weight is not None and weight.data.ndim > 1:
            entry.operations += 2 * weight.data.size * (y.size // y.shape[-1])

        def pullback(dy: Any, *, input_gradient: bool = False) -> Any:
            begin = time.perf_counter()
            dx = pull(dy, input_gradient=input_gradient)
            entry.backward += time.perf_counter() - begin
            return dx

        return y, pullback

    return forward


def _kind(layer: Layer, shape: tuple[int, ...]) -> str:
    weight = getattr(layer, "weight", None)
    name = repr(layer) if weight is not None and weight.data.ndim > 1 else type(layer).__name__
    size = "×".join(map(str, shape[1:-1]))
    return f"{name} on {size}" if size and weight is not None and weight.data.ndim > 1 else name


def main(arguments: Sequence[str] | None = None) -> list[Profile]:
    """Prints the profiles that the arguments ask for."""
    parser = argparse.ArgumentParser(prog="python -m bench.profile", description=__doc__)
    parser.add_argument("networks", nargs="+", choices=list(NETWORKS), metavar="NETWORK", help=", ".join(NETWORKS))
    parser.add_argument("--threads", type=int, default=machine.cores(), help="default: all cores")
    parser.add_argument(
        "--calls", type=int, default=15, help="of each pass, of which the medians are shown; default 15"
    )
    options = parser.parse_args(arguments)
    found = [each for name in options.networks for each in profile(name, options.threads, options.calls)]
    print("\n\n".join(map(str, found)))
    return found


if __name__ == "__main__":
    main()

"""How long a data-parallel step takes on many GPUs, by a model whose assumptions stand in one place.

A step is computed in the longer of two times: that of its operations, and that of its memory traffic. The gradient of S
bytes is then summed over p GPUs, with α the latency of a message and B the bandwidth of a GPU's link:

ring    2 (p - 1) α + 2 (p - 1) / p S / B         tree    2 ⌈log2 p⌉ α + 2 S / B

With overlap, the gradient goes in chunks, each as soon as the backward pass has made it, and in as many as is best.

References
----------
R. Thakur, R. Rabenseifner, W. Gropp, Optimization of collective communication operations in MPICH, 2005 (the ring).
P. Sanders, J. Speck, J. L. Träff, Two-tree algorithms for full bandwidth broadcast, reduction and scan, 2009 (trees).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.counts import operations, parameters, traffic
from bench.networks import Network, walk


@dataclass(frozen=True)
class Link:
    """What connects GPUs: seconds until a message arrives, and bytes a second that each of them sends."""

    latency: float
    bandwidth: float


@dataclass(frozen=True)
class Cluster:
    """What is assumed of the machines; nothing here was measured.

    Parameters
    ----------
    operations, bytes : floating-point operations, and bytes of its memory, that a GPU gets done a second in a step.
    inside, between : the links inside of a node and between nodes.
    node : GPUs in a node.
    chunks : how many pieces the gradient may be sent in, with overlap.
    backward : the part of a step's computing that is the backward pass.
    """

    operations: float = 40e12
    bytes: float = 1.5e12
    inside: Link = Link(5e-6, 200e9)
    between: Link = Link(10e-6, 20e9)
    node: int = 8
    chunks: int = 8
    backward: float = 2 / 3

    def sentences(self) -> list[str]:
        """The assumptions in words."""
        inside, between = (
            f"{link.latency * 1e6:g} µs and a GPU sends {link.bandwidth / 1e9:g} GB/s"
            for link in (self.inside, self.between)
        )
        return [
            f"A GPU gets {self.operations / 1e12:g} TFLOP/s and {self.bytes / 1e12:g} TB/s of its memory done in a "
            "step, whatever the size of its share (for small shares that is too good).",
            f"A node has {self.node} GPUs. Inside, a message takes {inside}; between nodes it is {between}. As soon as "
            "there are two nodes, all messages count as between nodes; no two share a link.",
            f"With overlap the gradient goes in up to {self.chunks} equal chunks, as many as is best, while the "
            f"backward pass, {self.backward:.0%} of the computing, makes them evenly; sending takes nothing away from "
            "computing.",
            "Data are there in time, all GPUs are equally fast, and nothing waits for the host.",
        ]


def gradient_bytes(network: Network) -> int:
    """Bytes of the gradient in float32, without those of normalization, which are few."""
    return 4 * sum(parameters(layer) for layer, _, _ in walk(network.layers, network.input_shape))


def computing(network: Network, batch: int, cluster: Cluster) -> float:
    """Seconds of forward, backward and update on one GPU."""
    by_operations = operations(network, batch, "step") / cluster.operations
    return max(by_operations, traffic(network, batch, "step") / cluster.bytes)


def all_reduce(size: float, gpus: int, way: str, cluster: Cluster) -> float:
    """Seconds of the sum of so many bytes over GPUs, by `"ring"` or `"tree"`."""
    if gpus == 1:
        return 0.0
    link = cluster.inside if gpus <= cluster.node else cluster.between
    if way == "ring":
        return 2 * (gpus - 1) * (link.latency + size / gpus / link.bandwidth)
    return 2 * math.ceil(math.log2(gpus)) * link.latency + 2 * size / link.bandwidth


def step(network: Network, batch: int, gpus: int, way: str, cluster: Cluster, *, overlap: bool) -> float:
    """Seconds of a step of which each GPU has `batch` examples."""
    busy, size = computing(network, batch, cluster), gradient_bytes(network)
    if not overlap:
        return busy + all_reduce(size, gpus, way, cluster)
    return min(
        _overlapped(busy, cluster.backward, chunks, all_reduce(size / chunks, gpus, way, cluster))
        for chunks in range(1, cluster.chunks + 1)
    )


def _overlapped(busy: float, backward: float, chunks: int, each: float) -> float:
    """The end of the last chunk, of which each needs so long, one after the other."""
    end = 0.0
    for i in range(chunks):
        made = busy * (1 - backward) + busy * backward * (i + 1) / chunks
        end = max(end, made) + each
    return end


def weak(network: Network, batch: int, gpus: int, way: str, cluster: Cluster, *, overlap: bool) -> float:
    """The part of p times one GPU's speed that is reached with `batch` examples on each of p GPUs."""
    return computing(network, batch, cluster) / step(network, batch, gpus, way, cluster, overlap=overlap)


def strong(network: Network, batch: int, gpus: int, way: str, cluster: Cluster, *, overlap: bool) -> float:
    """How many times as fast as one GPU p of them are with `batch` examples shared among them."""
    alone = computing(network, batch, cluster)
    return alone / step(network, -(-batch // gpus), gpus, way, cluster, overlap=overlap)


def fitted(sizes: Sequence[int], seconds: Sequence[float]) -> tuple[float, float]:
    """Latency, and seconds a byte, of latency + bytes · each, so that relative errors are least; none below 0."""
    times = np.asarray(seconds)
    rows = np.stack([1 / times, np.asarray(sizes) / times], axis=1)
    ones = np.ones(len(times))
    (latency, each), *_ = np.linalg.lstsq(rows, ones, rcond=None)
    if min(latency, each) < 0.0:  # the best of those that are not is one of the two alone
        alone = [float(column @ ones / (column @ column)) for column in rows.T]
        errors = [float(np.sum((column * value - ones) ** 2)) for column, value in zip(rows.T, alone, strict=True)]
        latency, each = (alone[0], 0.0) if errors[0] <= errors[1] else (0.0, alone[1])
    return float(latency), float(each)

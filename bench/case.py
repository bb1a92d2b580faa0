"""What all contenders of one comparison share: the network, the batch, the threads, the data and the weights."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bench.networks import BatchNorm, Conv, Layer, Linear, Network, Shape, walk

Floats: TypeAlias = NDArray[np.float32]
Weights: TypeAlias = list[dict[str, Floats]]

LEARNING_RATE = 1e-4


@dataclass(frozen=True)
class Case:
    """One network with one size of batch on one number of threads; all numbers follow from the seed."""

    network: Network
    batch: int
    threads: int
    seed: int = 0

    def data(self) -> tuple[Floats, NDArray[np.int64]]:
        """Inputs (channels last) and labels.

        Each input is there twice, with labels of its own. So the loss cannot fall to zero while the same batch is
        learned again and again, and no gradient fades into subnormal numbers, which some processors are slow with.
        """
        random = np.random.default_rng(self.seed)
        half = random.random(((self.batch + 1) // 2, *self.network.input_shape), dtype=np.float32)
        return np.repeat(half, 2, axis=0)[: self.batch], random.integers(0, self.network.classes, self.batch)

    def weights(self) -> Weights:
        """The arrays of each layer that has any, in the order of `walk`, in xpnet's names, order and layouts.

        Biases and running statistics are not the usual zeros and ones, so that a wrong one shows in the outputs.
        """
        random = np.random.default_rng(self.seed + 1)
        drawn = [_draw(layer, random) for layer, _, _ in walk(self.network.layers, self.network.input_shape)]
        return [arrays for arrays in drawn if arrays]


def _draw(layer: Layer, random: np.random.Generator) -> dict[str, Floats]:
    def normal(shape: Shape, scale: float, mean: float = 0.0) -> Floats:
        return (mean + scale * random.standard_normal(shape)).astype(np.float32)

    match layer:
        case Linear():
            weight = normal((layer.inputs, layer.outputs), np.sqrt(2 / layer.inputs))
            return {"weight": weight, "bias": normal((layer.outputs,), 0.1)}
        case Conv():
            kernel = (layer.kernel_size, layer.kernel_size, layer.inputs)
            arrays = {"weight": normal((*kernel, layer.outputs), np.sqrt(2 / np.prod(kernel)))}
            return arrays | ({"bias": normal((layer.outputs,), 0.1)} if layer.bias else {})
        case BatchNorm():
            shape = (layer.features,)
            variance = random.uniform(0.5, 1.5, shape).astype(np.float32)
            trained = {"weight": normal(shape, 0.1 * layer.scale, layer.scale), "bias": normal(shape, 0.1)}
            return trained | {"running_mean": normal(shape, 0.1), "running_var": variance}
        case _:
            return {}


def channels_first(layer: Linear, weight: Floats) -> Floats:
    """A linear layer's weight for inputs that were flattened in the order channels, height, width."""
    if layer.image is None:
        return weight
    rows = weight.reshape(*layer.image, layer.outputs).transpose(2, 0, 1, 3)  # (h, w, c, o) -> (c, h, w, o)
    return np.ascontiguousarray(rows).reshape(layer.inputs, layer.outputs)


def arrays_of(weights: Weights) -> list[Any]:
    """All arrays in a row."""
    return [array for arrays in weights for array in arrays.values()]

"""How much arithmetic and how much memory traffic a pass needs, counted from the network's description."""

import math

from bench.networks import Conv, Layer, Linear, Network, Shape, walk


def operations(network: Network, batch: int, name: str) -> int:
    """Floating-point operations: two for each multiply-add of a product or of a convolution by its definition.

    The backward pass has two products for each of the forward pass, but the first layer needs no gradient of its input.
    """
    forward = [_multiply_adds(layer, after) for layer, _, after in walk(network.layers, network.input_shape)]
    products = [count for count in forward if count]
    total = sum(products) if name == "forward" else 3 * sum(products) - products[0]
    return 2 * batch * total


def traffic(network: Network, batch: int, name: str) -> int:
    """Bytes in float32, if each layer reads and writes each of its arrays once.

    Forward, a layer reads its input and its weights and writes its output; backward it reads input, weights and dy, and
    writes dx and the weights' gradients. Adam reads four arrays of the size of the weights and writes three.
    """
    layers = list(walk(network.layers, network.input_shape))
    inputs = sum(math.prod(before) for _, before, _ in layers)
    outputs = sum(math.prod(after) for _, _, after in layers)
    weights = sum(parameters(layer) for layer, _, _ in layers)
    numbers = batch * (inputs + outputs) + weights
    if name != "forward":
        numbers += batch * (2 * inputs + outputs) + 2 * weights
    if name == "step":
        numbers += 7 * weights
    return 4 * numbers


def parameters(layer: Layer) -> int:
    """How many numbers of a layer are trained, less those of batch normalization, which are few."""
    match layer:
        case Linear():
            return (layer.inputs + 1) * layer.outputs
        case Conv():
            return (layer.kernel_size**2 * layer.inputs + layer.bias) * layer.outputs
        case _:
            return 0


def _multiply_adds(layer: Layer, after: Shape) -> int:
    match layer:
        case Linear():
            return layer.inputs * layer.outputs
        case Conv():
            return math.prod(after) * layer.kernel_size**2 * layer.inputs
        case _:
            return 0

"""The usual mistakes of a hand-written backward pass, each as what stands in for the right thing, and where."""

from collections.abc import Iterator

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_activations import ACTIVATIONS, MIXED, ROW_ACTIVATIONS, activate, derivative
from xpnet.diagnostics._inside_backward import Mistake, Pass


def mistakes(inside: Inside, here: Pass, other: Pass | None = None) -> Iterator[Mistake]:
    """All single mistakes, the usual ones first; `other` is another batch that old values may stem from."""
    layers = range(len(inside.layers))
    for each in (_masks, _activations, _arguments, _overwritten, _matrices, _biases):
        for k in reversed(layers):
            yield from each(inside, here, k)
    if other is not None:
        for k in layers:
            if other.input_of(k).shape == here.input_of(k).shape:
                yield Mistake(
                    "gradient_stale",
                    f"the gradient of {inside.layers[k].weight} uses {_input(k)} of another batch",
                    {("activation", k): other.input_of(k)},
                )


def _input(k: int) -> str:
    return f"layer {k}'s activation" if k else "the inputs"


def _masks(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    name = inside.layers[k].activation
    if name != "identity":
        yield Mistake(
            "gradient_mask",
            f"the gradient goes back through layer {k + 1} without the derivative of its {name}",
            {("derivative", k): np.ones_like(here.z[k])},
        )


def _activations(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    weight = inside.layers[k].weight
    others = [(_input(j), here.input_of(j)) for j in range(len(inside.layers) + 1) if j != k]
    others += [(f"layer {j + 1}'s pre-activation", z) for j, z in enumerate(here.z)]
    for label, values in others:
        yield Mistake(
            "gradient_activation",
            f"the gradient of {weight} uses {label}, where {_input(k)} multiplied {weight}",
            {("activation", k): values},
        )


def _arguments(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    """Derivatives at other places, of other functions, and where none belongs."""
    name, z, h = inside.layers[k].activation, here.z[k], here.h[k]
    derived = f"the derivative of layer {k + 1}'s {name} is taken"
    for text, values in _wrong_derivatives(inside, here, k):
        if values.shape in (z.shape, (len(z), 1)):  # of one column, it is stretched
            yield Mistake("gradient_argument", f"{derived} {text}", {("derivative", k): values})
    if name in ("relu", "hard_tanh") or name.startswith("leaky"):
        yield Mistake(
            "gradient_argument",
            f"{derived} at the gradient that comes back, in place of z{k + 1}",
            {("derivative", k): lambda dh: derivative(name, dh)},
        )
    for extra in {layer.activation for layer in inside.layers} - {"identity"} | {"sigmoid"}:
        for place, values in (("pre-activation", z), ("activation", h)):
            factor = derivative(extra, values)
            yield Mistake(
                "gradient_argument",
                f"the gradient of layer {k + 1}'s {place} is multiplied by a derivative of {extra} that does not "
                "belong there",
                {("delta", k): lambda delta, factor=factor: delta * factor},
            )
    if name == "sigmoid" or name.startswith("softmax"):
        factor = h * (1.0 - h)
        yield Mistake(
            "gradient_argument",
            f"the gradient is multiplied by the derivative of layer {k + 1}'s {name} once more, which the loss's "
            "derivative contains already",
            {("delta", k): lambda delta: delta * factor},
        )


def _wrong_derivatives(inside: Inside, here: Pass, k: int) -> Iterator[tuple[str, HostArray]]:
    name, z, h = inside.layers[k].activation, here.z[k], here.h[k]
    if name == "identity":
        return
    if name in ROW_ACTIVATIONS:
        yield "element by element, without the terms between outputs", derivative(name, z)
        return
    yield f"at its value h{k + 1}, in place of z{k + 1}", derivative(name, h)
    by_value = ACTIVATIONS[name].by_value
    if by_value is not None:
        yield f"with z{k + 1} in the formula that is meant for its value h{k + 1}", by_value(z)
    for formula, mixed in MIXED.get(name, {}).items():
        for at, value in ((z, z), (z, h), (h, h), (h, z)):
            yield f"by the formula {formula}, with z{k + 1} and its value h{k + 1} mixed up", mixed(at, value)
    bias = inside.bias(here.items, inside.layers[k])
    if bias is not None:
        yield "before the bias was added", derivative(name, z - bias)
    for j, each in enumerate(here.z):
        if j != k and each.shape in (z.shape, (len(z), 1)):
            yield f"at z{j + 1}, in place of z{k + 1}", derivative(name, each)
            yield f"at h{j + 1}, in place of z{k + 1}", derivative(name, here.h[j])
    if here.input_of(k).shape == z.shape:
        yield f"at the layer's input, in place of z{k + 1}", derivative(name, here.input_of(k))
    yield f"as its value h{k + 1}", h
    yield "as 1 - h", 1.0 - h
    yield "twice", derivative(name, z) ** 2
    for other, activation in ACTIVATIONS.items():
        if other not in (name, "identity", "square", "sin", "cos", "gaussian", "cube", "abs", "exp"):
            yield f"as that of {other}", activation.derivative(z)
            if activation.by_value is not None:
                yield f"as that of {other}", activation.by_value(h)


def _overwritten(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    """Activation h_k as something else, in the next weight's gradient and perhaps in the derivative, too."""
    if k == len(inside.layers) - 1:
        yield from _overwritten_inputs(inside, here)
        yield from _overwritten_outputs(inside, here)
        return
    layer, following = inside.layers[k], inside.layers[k + 1]
    by_value = ACTIVATIONS[layer.activation].by_value if layer.activation in ACTIVATIONS else None
    for text, values in _replaced(inside, here, k):
        if values.shape != here.h[k].shape:
            continue
        sentence = f"layer {k + 1}'s activation was overwritten by {text} before the backward pass used it"
        swaps = {("activation", k + 1): values}
        if by_value is not None:
            yield Mistake("activation_overwritten", sentence, {**swaps, ("derivative", k): by_value(values)})
        yield Mistake(
            "activation_overwritten", sentence, {**swaps, ("derivative", k): derivative(layer.activation, values)}
        )
        yield Mistake("activation_overwritten", f"{sentence} (in {following.weight}'s gradient)", swaps)
    bias = inside.bias(here.items, layer)
    if bias is not None:
        z = here.z[k] - bias
        yield Mistake(
            "gradient_term",
            f"the backward pass computes layer {k + 1} without its bias {layer.bias}",
            {("activation", k + 1): activate(layer.activation, z), ("derivative", k): derivative(layer.activation, z)},
        )


def _replaced(inside: Inside, here: Pass, k: int) -> Iterator[tuple[str, HostArray]]:
    name, z, h = inside.layers[k].activation, here.z[k], here.h[k]
    yield "its pre-activation", z
    yield f"{name} of itself", activate(name, h)
    slope = derivative(name, z)
    yield "its derivative", slope
    yield "the derivative at itself", derivative(name, h)
    yield "itself times its derivative", h * slope
    yield "its square", h * h
    for layer in inside.layers[k : k + 2]:
        bias = inside.bias(here.items, layer)
        if bias is not None and bias.size in (1, h.shape[1]):
            yield f"itself plus {layer.bias}", h + bias
            yield f"itself minus {layer.bias}", h - bias
    yield "a later layer's activation", here.h[k + 1]
    yield "a later layer's pre-activation", here.z[k + 1]
    yield from _rescaled(h)


def _overwritten_inputs(inside: Inside, here: Pass) -> Iterator[Mistake]:
    weight = inside.layers[0].weight
    for text, values in _rescaled(here.x):
        yield Mistake(
            "activation_overwritten",
            f"the inputs were overwritten by {text} before the gradient of {weight} used them",
            {("activation", 0): values},
        )


def _overwritten_outputs(inside: Inside, here: Pass) -> Iterator[Mistake]:
    """The last activation's derivative by its value, of what was put in the outputs' place."""
    last = len(inside.layers) - 1
    name, h = inside.layers[last].activation, here.h[last]
    by_value = ACTIVATIONS[name].by_value if name in ACTIVATIONS else None
    if by_value is None:
        return
    others = [("their gradient", here.dy), ("their pre-activations", here.z[last])]
    if here.t is not None and here.t.shape == h.shape:
        error = h - here.t
        others += [("their error y - t", error), ("their error t - y", -error), ("the targets", here.t)]
        others += [("their squared error", error**2), ("the size of their error", np.abs(error))]
    for text, values in others:
        yield Mistake(
            "activation_overwritten",
            f"the outputs were overwritten by {text} before the derivative of their {name} was taken",
            {("derivative", last): by_value(values)},
        )


def _rescaled(values: HostArray) -> Iterator[tuple[str, HostArray]]:
    spread = values.std(axis=0)
    centred = values - values.mean(axis=0)
    yield "themselves without their mean", centred
    yield "themselves, standardized", centred / np.where(spread > 0.0, spread, 1.0)
    yield "ones where they are positive", (values > 0.0).astype(np.float64)
    yield "their exponential", np.exp(np.minimum(values, 50.0))


def _matrices(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    layer = inside.layers[k]
    weight = inside.weight(here.items, layer)
    if k == 0:
        return
    if weight.shape[0] == weight.shape[1]:
        yield Mistake(
            "gradient_transposed",
            f"the gradient goes back through {layer.weight} transposed the wrong way",
            {("weights", k): weight.T},
        )
    for j, another in enumerate(inside.layers):
        values = inside.weight(here.items, another)
        if j != k and values.shape == weight.shape:
            yield Mistake(
                "gradient_wrong",
                f"the gradient goes back through {another.weight}, where {layer.weight} was used",
                {("weights", k): values},
            )


def _biases(inside: Inside, here: Pass, k: int) -> Iterator[Mistake]:
    bias = inside.layers[k].bias
    if bias is None:
        return
    for text, sum_of in (
        ("is summed over the units of each example, not over the examples", lambda delta: delta.sum(axis=1)),
        ("is averaged over the units of each example", lambda delta: delta.mean(axis=1)),
        ("is that of the first example alone", lambda delta: delta[0]),
        ("is that of the last example alone", lambda delta: delta[-1]),
        ("is summed over examples and units", lambda delta: np.full(delta.shape[1], delta.sum())),
        ("is averaged over examples and units", lambda delta: np.full(delta.shape[1], delta.mean())),
        ("is not summed over the examples", lambda delta: delta),
        ("is the largest over the examples", lambda delta: delta.max(axis=0)),
    ):
        yield Mistake("bias_gradient_axis", f"the gradient of {bias} {text}", {("dbias", k): sum_of})

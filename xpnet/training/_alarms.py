"""What a `Watch` makes of its looks: rules on numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from xpnet.training._look import Look

_LOOKS, _EXAMPLES = 5, 50
"""Fewer are not judged by."""
_LONG_LOOKS, _LONG_EXAMPLES = 20, 500
"""Fewer are not enough to say that nothing has been learned."""
_UNITS = 8
"""Of fewer units, or by fewer examples, it is not judged where they bend."""
_STUCK = 0.9
"""A network whose loss is above this share of the best constant outputs' has not learned."""
_EDGE = 0.02
"""A unit bends inside the data where more than this share of the examples lies on either side."""
_FADED, _FADED_ALL, _SAME = 2e-3, 1e-2, 1e-6
_TINY_UPDATE, _HUGE_UPDATE, _DEADLY_UPDATE = 1e-5, 0.1, 0.5
_SCALES = "Xavier's initial weights for tanh and sigmoid, He's for ReLU, or batch normalization"
_LOWER = "a learning rate 10 to 100 times lower"


@final
@dataclass(frozen=True)
class Alarm:
    """A cause by its code, with what was seen, in words and numbers."""

    cause: str
    sentence: str
    remedy: str
    layer: str | None = None
    evidence: dict[str, Any] = field(default_factory=dict)


def of_inputs(mean: float, deviation: float, largest: float) -> Iterator[Alarm]:
    """The scale of the first batch."""
    size = math.hypot(mean, deviation)
    if not (size > 20.0 or 0.0 < largest < 0.01 or (size > 3.0 and 0.0 < 30.0 * deviation < abs(mean))):
        return
    yield Alarm(
        "inputs_unscaled",
        f"the inputs of the first batch have mean {mean:.3g} and standard deviation {deviation:.3g}, where layers "
        "expect about 0 and 1",
        "subtract the training set's mean and divide by its standard deviation, as xpnet.data.Standardize does",
        evidence={"mean": mean, "deviation": deviation},
    )


def of_targets(y_shape: tuple[int, ...], t_shape: tuple[int, ...], labels: bool) -> Iterator[Alarm]:
    """Targets that meet all outputs instead of their own."""
    remedy = "t = t.reshape(-1)" if labels or len(y_shape) < len(t_shape) else f"t = t.reshape{y_shape}"
    yield Alarm(
        "labels_column" if labels else "targets_broadcast",
        f"targets of shape {t_shape} meet outputs of shape {y_shape}, and the loss stays the same when the targets "
        "change places: it is broadcast, and each example meets all targets",
        remedy,
        evidence={"outputs": y_shape, "targets": t_shape},
    )


def of_start(look: Look) -> Iterator[Alarm]:
    """Weights of zero, where ReLUs bend, and whether units are saturated, at the first step."""
    hidden = list(look.updates.items())[:-1]  # a last layer that starts at zero is a good habit
    if hidden and all(math.isnan(update) for _, update in hidden):
        yield Alarm(
            "weights_zero",
            f"the weights {', '.join(repr(path) for path, _ in hidden)} start at zero: the units of a layer compute "
            "the same, get the same gradient, and stay one unit",
            "draw weights at random: xpnet.initializers.he_normal for ReLU, xavier_normal for tanh and sigmoid",
            hidden[0][0].rpartition(".")[0],
        )
        return
    jumped = _update([look]) > _DEADLY_UPDATE  # and is no longer where it started
    shares = np.concatenate([np.zeros(0), *look.positive.values()])
    if min(shares.size, look.examples) >= _UNITS and look.varied and look.outputs_spread > _SAME and not jumped:
        inside = np.mean((shares > _EDGE) & (shares < 1.0 - _EDGE))
        if inside <= 0.1 and np.mean(shares <= _EDGE) <= 0.9:
            path = next(iter(look.positive))
            units = shares.size
            yield Alarm(
                "hinges_outside_data",
                f"{round(units * (1 - inside))} of {units} ReLU units bend at the edge of the batch or outside it: the "
                "network starts as a straight line",
                "centre the inputs, as xpnet.data.Standardize does, or spread the biases over the data",
                path,
                {"units": units, "bend_inside": float(inside)},
            )
    for path, share in look.flat.items():
        if share > 0.9:
            yield _saturated(path, share, look)
            return


def of_course(looks: Sequence[Look]) -> Alarm | None:
    """The first cause that explains why the loss is not below that of constant outputs; None where it is."""
    recent = _window(looks, _LOOKS, _EXAMPLES)
    if recent is None:
        return None
    loss, reference = _mean(recent, "loss"), _reference(recent, looks[0])
    if not loss > _STUCK * reference:
        return None
    for alarm in (
        _rising(recent, loss, max(reference, looks[0].loss)),
        _dead(recent, looks[0]),
        _flat(recent, looks[0]),
        _by_layer(recent),
        _constant(recent),
        _long_updates(recent, loss),
        _short_updates(recent, looks[0], loss),
    ):
        if alarm is not None:
            return alarm
    return _plateau(looks)


def _window(looks: Sequence[Look], least: int, examples: int) -> Sequence[Look] | None:
    """The shortest end of the looks with so many of them and so many examples; the first, before all, is none."""
    total = 0
    for n, look in enumerate(reversed(looks[1:]), 1):
        total += look.examples
        if n >= least and total >= examples:
            return looks[-n:]
    return None


def _mean(looks: Sequence[Look], name: str) -> float:
    return float(sum(getattr(k, name) * k.examples for k in looks) / sum(k.examples for k in looks))


def _reference(looks: Sequence[Look], first: Look) -> float:
    """The loss of constant outputs; where there is no such thing, that at the start."""
    baseline = _mean(looks, "baseline")
    return baseline if math.isfinite(baseline) else first.loss


def _dead(looks: Sequence[Look], first: Look) -> Alarm | None:
    """Units that no example reaches: from the start, or since steps that were far too long."""
    for path in looks[-1].relus:
        shares = looks[-1].positive[path]
        dead = float(np.mean(np.max([look.positive.get(path, shares) for look in looks], axis=0) == 0.0))
        if dead < 0.7:
            continue
        units, update = shares.size, _update([first])
        died = update > _DEADLY_UPDATE  # units that are dead from the start get no gradient
        what = f"{round(dead * units)} of the {units} units of layer {path!r} were zero for all examples of the last "
        what += f"{len(looks)} looks: they get no gradient"
        if died:
            what += f". The first step changed the weights by {update:.2g} of their size"
        return Alarm(
            "rate_high" if died else "dead_relus",
            what,
            _LOWER if died else "a lower learning rate, He's initial weights with zero biases, or LeakyReLU",
            path,
            {"dead": dead, "units": units, "first_update_to_weight": update},
        )
    return None


def _rising(looks: Sequence[Look], loss: float, start: float) -> Alarm | None:
    update, lowest, highest = _update(looks), min(k.loss for k in looks), max(k.loss for k in looks)
    if loss > 1.5 * start:
        what = f"the loss has risen to {loss:.3g}, from {start:.3g} at the start or of constant outputs"
    elif highest > 5.0 * lowest and update > 0.01 and min(k.examples for k in looks) >= 10:
        what = f"the loss swings between {lowest:.3g} and {highest:.3g}"
    else:
        return None
    return _too_fast(what, loss, update)


def _long_updates(looks: Sequence[Look], loss: float) -> Alarm | None:
    update = _update(looks)
    if not update > _HUGE_UPDATE:
        return None
    return _too_fast(f"the loss of {loss:.3g} is not below that of constant outputs", loss, update)


def _too_fast(what: str, loss: float, update: float) -> Alarm:
    return Alarm(
        "rate_high",
        f"{what}, and a step changes the weights by {update:.2g} of their size",
        _LOWER,
        evidence={"loss": loss, "update_to_weight": update},
    )


def _flat(looks: Sequence[Look], first: Look) -> Alarm | None:
    for path in looks[-1].flat:
        share = float(np.mean([look.flat.get(path, 0.0) for look in looks]))
        if share > 0.5:
            return _saturated(path, share, first)
    return None


def _saturated(path: str, share: float, first: Look) -> Alarm:
    """By the weights at the start, or by a first step that was far too long."""
    update = _update([first])
    jumped = update > _DEADLY_UPDATE
    return Alarm(
        "rate_high" if jumped else "weights_large",
        f"{100 * share:.0f} % of the values of layer {path!r} lie where its activation is flat: hardly any gradient "
        "passes" + (f". The first step changed the weights by {update:.2g} of their size" if jumped else ""),
        _LOWER if jumped else "smaller initial weights (xpnet.initializers.xavier_normal), or scaled inputs",
        path,
        {"share_saturated": share, "first_update_to_weight": update},
    )


def _by_layer(looks: Sequence[Look]) -> Alarm | None:
    """Gradients that fade, or grow, on their way back."""
    norms = {
        path: float(np.median([look.gradients.get(path, math.nan) for look in looks])) for path in looks[-1].gradients
    }
    paths = [path for path, norm in norms.items() if math.isfinite(norm)]
    largest, bias = (
        max((norms[path] for path in paths), default=math.nan),
        float(np.median([k.bias_gradient for k in looks])),
    )
    if largest < _FADED_ALL * bias:
        return Alarm(
            "weights_small",
            f"signals fade on their way: the gradients of all weights have norms of at most {largest:.2g}, where one "
            f"of a bias has {bias:.2g}",
            _SCALES,
            evidence={"gradient_norms": norms, "bias_gradient": bias},
        )
    if len(paths) < 2:
        return None
    small, large = min(paths, key=lambda p: norms[p]), max(paths, key=lambda p: norms[p])
    if not norms[small] < _FADED * norms[large]:
        return None
    vanishing = paths.index(small) < paths.index(large)
    seen = small if vanishing else large
    return Alarm(
        "weights_small" if vanishing else "weights_large",
        f"gradients {'vanish' if vanishing else 'explode'} on their way back: their norm is {norms[seen]:.2g} for "
        f"{seen!r} and {norms[large if vanishing else small]:.2g} for {(large if vanishing else small)!r}",
        _SCALES,
        seen.rpartition(".")[0],
        {"gradient_norms": norms},
    )


def _constant(looks: Sequence[Look]) -> Alarm | None:
    if not all(look.varied and look.outputs_spread < _SAME for look in looks):
        return None
    return Alarm(
        "output_constant",
        f"outputs were the same for all examples in the last {len(looks)} looks",
        "look for zero weights, dead units, or inputs that are not used",
        evidence={"spread": looks[-1].outputs_spread},
    )


def _short_updates(looks: Sequence[Look], first: Look, loss: float) -> Alarm | None:
    largest = max((u for k in looks for u in k.updates.values() if math.isfinite(u)), default=math.nan)
    if not (largest < _TINY_UPDATE and loss > _STUCK * first.loss):
        return None
    return Alarm(
        "rate_low",
        f"a step changes the weights by {largest:.2g} of their size at most, and the loss has only come from "
        f"{first.loss:.3g} to {loss:.3g}",
        "a learning rate 100 to 10 000 times higher",
        evidence={"update_to_weight": largest, "loss": loss},
    )


def _update(looks: Sequence[Look]) -> float:
    """The median step relative to the weight, of the layer where it is largest."""
    paths = looks[-1].updates
    found = [float(np.median([look.updates.get(path, math.nan) for look in looks])) for path in paths]
    return max((value for value in found if math.isfinite(value)), default=math.nan)


def _plateau(looks: Sequence[Look]) -> Alarm | None:
    window = _window(looks, _LONG_LOOKS, _LONG_EXAMPLES)
    if window is None or not all(look.varied or look.examples == 1 for look in window):
        return None
    loss, baseline = _mean(window, "loss"), _mean(window, "baseline")
    if not (math.isfinite(baseline) and loss > 0.99 * baseline):
        return None
    return Alarm(
        "no_fit",
        f"the loss of {loss:.3g} is that of outputs that are the same for all examples, {baseline:.3g}",
        "xpnet.diagnostics.diagnose looks closer; do inputs and targets belong together? does the learning rate fit?",
        evidence={"loss": loss, "baseline": baseline},
    )

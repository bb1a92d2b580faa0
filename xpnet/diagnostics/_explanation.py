"""Why gradients are wrong: the mistakes that give them, in findings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._evidence import evidence_of, weight_of
from xpnet.diagnostics._examination import Examination, Outcome
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._inside_backward import Mistake, Pass, backward
from xpnet.diagnostics._inside_trace import Traced, Tracer
from xpnet.diagnostics._known_losses import known_loss, target_rows
from xpnet.diagnostics._report import Finding
from xpnet.diagnostics._simple_mistakes import (
    Explained,
    Wrong,
    close,
    factor_name,
    joined,
    misshapen,
    shape_findings,
    simple_mistake,
)
from xpnet.diagnostics._trial_arrays import is_array, on_host


@dataclass(frozen=True)
class Context:
    """What is known of the network beside its loss: `forward(parameters, x)`, a batch, and another one."""

    forward: Callable[[Any, Any], Any] | None = None
    x: Any = None
    t: Any = None
    other: tuple[Any, Any] | None = None


def explain(examination: Examination, outcome: Outcome, context: Context) -> list[Finding]:
    """One finding for each mistake."""
    tolerance = 1e-2 if examination.coarse else 3e-4
    stale = _constant(examination, outcome)
    if stale is not None:
        return [stale]
    sizes = _sizes(examination, context)
    other_shapes = [wrong for wrong in outcome.wrong if misshapen(wrong, tolerance, sizes)]
    if other_shapes:
        return shape_findings(other_shapes)
    simple = {wrong.name: simple_mistake(wrong, tolerance, sizes) for wrong in outcome.wrong}
    _settle_zero_sums(simple, outcome)
    groups = _grouped(simple)
    whole = None not in simple.values()
    if whole and len(groups) == 1:
        return _simple_findings(groups, outcome, sizes, tolerance)
    traced = _traced(examination, outcome, context, set())
    if traced is not None and traced.stuck is None and traced.mistakes:
        return _traced_findings(traced, outcome, {wrong.name for wrong in outcome.wrong})
    explained = {name for name, each in simple.items() if each is not None}
    findings = _simple_findings(groups, outcome, sizes, tolerance)
    rest = {wrong.name for wrong in outcome.wrong} - explained
    if not rest:
        return findings
    again = _traced(examination, outcome, context, explained) if explained else traced
    if again is not None and again.mistakes:
        findings += _traced_findings(again, outcome, rest)
        if again.stuck is None:
            return findings
    if findings and again is not None:
        return findings
    wide = len(rest) > len(explained) and all(finding.cause == "gradient_zero" for finding in findings)
    return [*findings, *_unknown(outcome, rest, 0.96 if wide else 0.9)]


# One parameter at a time ------------------------------------------------------------------------------------------


def _constant(examination: Examination, outcome: Outcome) -> Finding | None:
    """Gradients that stay the same where the parameters, and the right gradients, move."""
    if not examination.program.recomputes or not any(wrong.given.any() for wrong in outcome.wrong):
        return None
    moved = {
        name: examination.program.trial.seen(
            name, values * (1.0 + 0.1 * examination.random.standard_normal(values.shape)) + 0.01
        )
        for name, values in examination.at.items()
    }
    given = examination.program.gradients(moved)
    if not all(np.array_equal(given[name], outcome.given[name]) for name in given):
        return None
    names = joined([wrong.name for wrong in outcome.wrong])
    sentence = f"the gradients of {names} stay the same whatever the parameters are: they are not computed anew"
    return Finding(
        "gradient_stale", sentence, evidence_of(outcome, {wrong.name for wrong in outcome.wrong}), weight=0.95
    )


def _settle_zero_sums(simple: dict[str, Explained | None], outcome: Outcome) -> None:
    """Behind a softmax, a bias gradient summed over all axes is zero: it is told by those of other layers."""
    summed = next((each for each in simple.values() if each and each.cause == "bias_gradient_axis"), None)
    for wrong in outcome.wrong if summed else ():
        explained = simple[wrong.name]
        zero_sum = abs(float(wrong.true.sum())) <= 1e-6 * float(np.abs(wrong.true).sum())
        if explained and explained.cause == "gradient_zero" and wrong.is_bias and wrong.complete and zero_sum:
            simple[wrong.name] = summed


def _grouped(simple: Mapping[str, Explained | None]) -> dict[tuple[str, str], list[str]]:
    """Names by what explains them; the same number but for rounding is one explanation."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, explained in simple.items():
        if explained is not None:
            text = explained.text if explained.cause != "bias_gradient_axis" else explained.text.partition(":")[0]
            groups.setdefault((explained.cause, text), []).append(name)
    return groups


def _simple_findings(
    groups: Mapping[tuple[str, str], Sequence[str]], outcome: Outcome, sizes: Mapping[str, int], tolerance: float
) -> list[Finding]:
    found = []
    for (cause, text), names in groups.items():
        factor = _common_factor(outcome, names) if cause == "gradient_scale" else None
        if factor is not None and _is_sum(outcome, names, factor, sizes, tolerance):
            cause, text = "loss_summed", f"{text}: they are sums over the batch, and the loss is a mean"
        verb = "are" if len(names) > 1 else "is"
        them = "them" if len(names) > 1 else "it"
        start = "all gradients" if len(names) == len(outcome.verdicts) > 1 else f"the gradient{'s' * (len(names) > 1)}"
        of = "" if start == "all gradients" else f" of {joined(names)}"
        text = text.replace("{them}", them).replace("{name}", names[0] if len(names) == 1 else "parameter")
        sentence = f"{start}{of} {verb} {text}"
        evidence = evidence_of(outcome, set(names)) | ({} if factor is None else {"factor": factor})
        found.append(Finding(cause, sentence, evidence, weight=weight_of(cause, outcome, names)))
    return found


def _common_factor(outcome: Outcome, names: Sequence[str]) -> float:
    wrong = next(wrong for wrong in outcome.wrong if wrong.name == names[0])
    shaped = wrong.shaped
    given = wrong.true if shaped is None else wrong.at_places(shaped)
    return float(given @ wrong.true / (wrong.true @ wrong.true))


def _is_sum(outcome: Outcome, names: Sequence[str], factor: float, sizes: Mapping[str, int], tolerance: float) -> bool:
    """Whether all gradients are too large by the number of examples."""
    depends = [name for name, verdict in outcome.verdicts.items() if verdict.kind != "flat"]
    if set(depends) != set(names) or factor < 2.5:
        return False
    if not sizes:
        return abs(factor - round(factor)) <= tolerance * factor
    named = factor_name(factor, sizes, tolerance)
    return named is not None and "examples" in named and not named.startswith(("one over", "two over"))


def _sizes(examination: Examination, context: Context) -> dict[str, int]:
    """Numbers of examples and outputs, as far as they are known."""
    if context.x is None:
        return {}
    if context.t is None or not hasattr(context.t, "shape"):
        return {"examples": int(context.x.shape[0])}
    n = int(context.x.shape[0]) if len(context.x.shape) else 1
    t = tuple(context.t.shape)
    if t and t[0] != n and len(context.x.shape) == 2 and int(context.x.shape[1]) == t[-1]:
        n = t[-1]
    outputs = int(np.prod(t)) // max(n, 1) if t else 1
    if context.forward is not None and outputs == 1:
        y = examination.program.outputs(context.forward, context.x)
        outputs = max(y.size // max(n, 1), 1) if y is not None else 1
    return {"examples": n, "outputs": outputs} if outputs > 1 else {"examples": n}


# Through the inside of the network --------------------------------------------------------------------------------


def _traced(examination: Examination, outcome: Outcome, context: Context, leave_out: set[str]) -> Traced | None:
    tracer = _tracer(examination, outcome, context, leave_out)
    return None if tracer is None else tracer.trace()


def _tracer(examination: Examination, outcome: Outcome, context: Context, leave_out: set[str]) -> Tracer | None:
    """None where the inside, or the loss, is not recognized, or does not give the right gradients."""
    if context.forward is None or context.x is None or context.t is None:
        return None
    inside = examination.inside(context.forward, context.x)
    if inside is None or not set(inside.names()) <= set(examination.at):
        return None
    start = _start(examination, inside, context.x, context.t)
    if start is None:
        return None
    here, penalties = start
    right = backward(inside, here)
    for wrong in outcome.wrong:
        if wrong.name not in right:
            return None
        true = wrong.at_places(right[wrong.name] + penalties[wrong.name])
        if not close(true, wrong.true, 3e-2 if examination.coarse else 1e-3):
            return None
    another = None if context.other is None else _start(examination, inside, *context.other)
    given = {}
    for name in right:
        if name in outcome.given and name not in leave_out:
            wrong_ = Wrong(name, outcome.given[name], right[name], np.arange(0), np.arange(0))
            given[name] = outcome.given[name] if wrong_.shaped is None else np.asarray(wrong_.shaped)
    n, outputs = here.h[-1].shape
    tolerance = 3e-3 if examination.coarse else 1e-6
    sizes = {"examples": n} | ({"outputs": outputs} if outputs > 1 else {})
    return Tracer(inside, here, another and another[0], given, penalties, tolerance, sizes)


def _start(examination: Examination, inside: Inside, x: Any, t: Any) -> tuple[Pass, dict[str, HostArray]] | None:
    z, h = inside.run(examination.at, x)
    targets = target_rows(on_host(t) if is_array(t) else t, h[-1].shape, inside.examples_last)
    if targets is None:
        return None
    known = examination.known
    if known is None:
        coarse = examination.differences.coarse
        known = examination.known = known_loss(
            examination.program.loss, inside, examination.at, x, targets, coarse=coarse
        )
    if known is None:
        return None
    start = Pass(examination.at, inside.inputs(x), z, h, known.dy(h[-1], targets), targets)
    return start, known.penalty_gradients({name: examination.at[name] for name in inside.names()})


def _traced_findings(traced: Traced, outcome: Outcome, names: set[str]) -> list[Finding]:
    """Each cause once, with all places."""
    causes: dict[str, list[Mistake]] = {}
    for mistake in traced.mistakes:
        causes.setdefault(mistake.cause, []).append(mistake)
    found = []
    for cause, group in causes.items():
        if cause == "gradient_scale" and _is_loss_summed(group, traced):
            cause = "loss_summed"
        sentence = "; ".join(mistake.sentence for mistake in group)
        found.append(
            Finding(cause, sentence, evidence_of(outcome, names), weight=weight_of(cause, outcome, sorted(names)))
        )
    return found


def _is_loss_summed(group: Sequence[Mistake], traced: Traced) -> bool:
    first = traced.mistakes[0]
    return (
        first in group
        and "number of examples" in first.sentence
        and "one over" not in first.sentence
        and any(key == ("delta", traced.last) for key in first.swaps)
    )


# What is said ------------------------------------------------------------------------------------------------------


def _unknown(outcome: Outcome, names: set[str], weight: float) -> list[Finding]:
    found = shape_findings([wrong for wrong in outcome.wrong if wrong.name in names and wrong.shaped is None])
    rest = [wrong for wrong in outcome.wrong if wrong.name in names and wrong.shaped is not None]
    if rest:
        evidence = evidence_of(outcome, {wrong.name for wrong in rest})
        worst = evidence.get("worst")
        text = (
            ""
            if worst is None
            else (
                f": {worst['parameter']}[{', '.join(map(str, worst['place']))}] has {worst['given']:.6g}, "
                f"differences of the loss give {worst['true']:.6g}"
            )
        )
        what = ("gradients", "are") if len(rest) > 1 else ("gradient", "is")
        sentence = f"the {what[0]} of {joined([wrong.name for wrong in rest])} {what[1]} wrong{text}"
        found.append(Finding("gradient_wrong", sentence, evidence, weight=weight))
    return found

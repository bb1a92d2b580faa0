"""The gradient check for any network: functions and arrays in, a report out."""

from collections.abc import Callable
from typing import Any

from xpnet.diagnostics._examination import Examination, Outcome
from xpnet.diagnostics._explanation import Context, explain
from xpnet.diagnostics._program import Program
from xpnet.diagnostics._report import Finding, Report
from xpnet.diagnostics._trial import CannotCheck
from xpnet.diagnostics._trial_arrays import items_of, kept


def check_gradients(
    loss: Callable[[Any], Any],
    parameters: Any,
    gradients: Any,
    *,
    forward: Callable[[Any, Any], Any] | None = None,
    x: Any = None,
    t: Any = None,
    other: tuple[Any, Any] | None = None,
) -> Report:
    """Compares gradients with differences of the loss, and says which usual mistake gives those that are wrong.

        (L(p + h v) - L(p - h v)) / 2h = g · v    for each parameter p, its gradient g, some directions v

    Functions are called with copies, in float64 where they allow it. The arrays, dicts and objects that are passed,
    and the random states of NumPy and Python, are afterwards bit for bit as before.

    Parameters
    ----------
    loss : `loss(parameters)`, one number.
    parameters : a dict of arrays (NumPy, CuPy, PyTorch), or an object with arrays as attributes.
    gradients : a dict of arrays by the parameters' names, or `gradients(parameters)` that returns one.
    forward, x, t : `forward(parameters, x)`, inputs and targets behind this loss: with them, mistakes inside the
        network are recognized.
    other : `(x, t)` of another batch, to recognize its gradient.

    Returns
    -------
    A `Report`. A parameter whose gradient is zero and that the loss does not depend on stands among the unchecked.
    Functions that raise, change their arguments, are random or give wrong shapes are findings.

    Raises
    ------
    TypeError : `loss` is no function, or `parameters` are neither a dict nor an object.
    ValueError : `parameters` hold no arrays.

    Examples
    --------
    >>> import numpy as np
    >>> x, t = np.asarray([[1.0, 2.0], [3.0, 5.0]]), np.asarray([[1.0], [2.0]])
    >>> p = {"w": np.asarray([[0.5], [-1.0]])}
    >>> report = check_gradients(
    ...     lambda p: 0.5 * ((x @ p["w"] - t) ** 2).sum(), p, lambda p: {"w": -x.T @ (x @ p["w"] - t)})
    >>> print(report)
    1. the gradient of w is -1 times the right one: the sign is wrong
        for example w[1, 0]: given 32.5, differences of the loss give -32.5
        remedy: turn the sign round
    """
    if not callable(loss):
        raise TypeError(f"check_gradients: loss must be a function of the parameters, got {type(loss).__name__}")
    items_of(parameters)
    context = Context(forward, x, t, other)
    with kept(parameters, gradients, x, t, other):
        try:
            examination = Examination(Program(loss, parameters, gradients))
            outcome = examination.compare()
            findings = list(examination.program.findings)
            if outcome.wrong:
                findings += explain(examination, outcome, context)
        except CannotCheck as stop:
            return Report([stop.finding])
    return _report(examination, outcome, findings)


_SLIGHT = 1e-3
"""Relative errors below this that no known mistake makes are no finding: they come from guards such as log(y + eps)."""


def _is_slight(finding: Finding) -> bool:
    errors = finding.evidence.get("relative errors", {})
    return finding.cause == "gradient_wrong" and bool(errors) and max(errors.values()) < _SLIGHT


def _report(examination: Examination, outcome: Outcome, findings: list[Finding]) -> Report:
    checked, unchecked = list(examination.program.checked), list(examination.program.unchecked)
    slight = [finding for finding in findings if _is_slight(finding)]
    findings = [finding for finding in findings if finding not in slight]
    for finding in slight:
        errors = finding.evidence["relative errors"]
        checked += [
            f"the gradient of {name}: {error:.1e} from differences of the loss, as by a small number in a logarithm"
            for name, error in errors.items()
        ]
    for name, verdict in outcome.verdicts.items():
        if verdict.kind == "right":
            checked.append(f"the gradient of {name}: {verdict.error:.1e} from differences of the loss")
        elif verdict.kind == "flat":
            unchecked.append(f"{name}: the loss does not depend on {name} here, and its gradient is zero")
        elif verdict.kind == "kink":
            unchecked.append(f"{name}: the loss bends here (as at the corner of a ReLU), so it has no gradient")
        elif verdict.kind == "unresolved":
            unchecked.append(f"{name}: its gradient is too small to show in differences of the loss")
    if not (findings or slight) and not any(verdict.kind == "right" for verdict in outcome.verdicts.values()):
        findings.append(
            Finding(
                "nothing_computed",
                "no gradient could be compared: " + "; ".join(unchecked),
                remedy="check at other parameters, at which the loss changes",
                weight=1.0,
            )
        )
    return Report(findings, checked=checked, unchecked=unchecked)

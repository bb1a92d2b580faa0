"""The numbers that show a wrong gradient, and how much it explains."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnet.diagnostics._examination import Outcome

_SHOWN = 50
"""Elements of each wrong gradient that are kept for a picture."""


def evidence_of(outcome: Outcome, names: set[str]) -> dict[str, Any]:
    """Relative errors by parameter; the worst element with both values, and some of each parameter's."""
    errors, worst, largest = {}, None, 0.0
    pairs: dict[str, dict[str, list[float]]] = {}
    for wrong in outcome.wrong:
        if wrong.name not in names:
            continue
        shaped = wrong.shaped
        if shaped is None or not wrong.places.size:
            errors[wrong.name] = 1.0
            continue
        off = np.abs(wrong.at_places(shaped) - wrong.true)
        size = max(float(np.linalg.norm(wrong.true)), float(np.linalg.norm(wrong.at_places(shaped))), 1e-300)
        errors[wrong.name] = float(np.linalg.norm(off)) / size
        some = slice(0, _SHOWN)
        pairs[wrong.name] = {"given": wrong.at_places(shaped)[some].tolist(), "true": wrong.true[some].tolist()}
        i = int(np.argmax(off))
        if off[i] / size > largest or worst is None:
            largest = float(off[i]) / size
            place = [int(j) for j in np.unravel_index(int(wrong.places[i]), wrong.parameter.shape)]
            given, true = float(wrong.at_places(shaped)[i]), float(wrong.true[i])
            worst = {"parameter": wrong.name, "place": place, "given": given, "true": true}
    return {"relative errors": errors} | ({} if worst is None else {"worst": worst, "gradients": pairs})


def weight_of(cause: str, outcome: Outcome, names: Sequence[str]) -> float:
    """The larger the error, the more it explains."""
    errors = evidence_of(outcome, set(names))["relative errors"].values()
    return float(0.6 + 0.35 * min(max(errors, default=1.0), 1.0))

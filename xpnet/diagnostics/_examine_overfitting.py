"""Overfitting: a network with more weights than examples, which knows those and no others."""

import dataclasses

from xpnet.diagnostics._examine_outputs import baseline
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Suspicion
from xpnet.diagnostics._trials import Course

_LEARNED = 0.9
_UNKNOWN = 0.4
"""Of the loss of outputs that are the same for all, what is left of validation's if nothing much is known."""
_APART = 20.0
"""So many times training's loss is validation's."""
_WEIGHTS = 3.0
"""So many weights for each number that is learned can know it by heart."""


def examine_overfitting(patient: Patient, course: Course) -> list[Suspicion]:
    """Whether, behind a run, training examples are learned and validation's are not."""
    if patient.validation is None or not course.trial.finite or course.learned < _LEARNED:
        return []
    x, t = patient.validation
    unseen = dataclasses.replace(patient, data=(x, t))
    y = unseen.forward(course.trial.parameters, x)
    loss, least = unseen.loss_of(y, t), baseline(unseen, y)
    train = course.trial.end
    learned = len(patient.data[0]) * max(1, y.size // max(1, len(y)))
    weights = sum(values.size for values in patient.parameters.values() if values.dtype.kind == "f")
    if not (loss > _APART * train and loss > _UNKNOWN * least and weights > _WEIGHTS * learned):
        return []
    return [
        Suspicion(
            "overfitting",
            f"after {course.trial.steps} steps the loss of {len(patient.data[0])} training examples is {train:.3g}, and "
            f" validation's {loss:.3g}, where outputs that are the same for all have {least:.3g}: {weights} "
            "weights know the examples by heart",
            0.5,
            {"training": train, "validation": loss, "constant": least, "weights": weights},
            certain=True,
        )
    ]

"""What a network can learn at all: training examples and no others, or not even a few of them."""

import dataclasses

from xpnet.diagnostics._examine_outputs import baseline
from xpnet.diagnostics._patient import Patient
from xpnet.diagnostics._suspicion import Suspicion
from xpnet.diagnostics._trials import Course, Trials

_LEARNED = 0.9
_UNKNOWN = 0.4
"""Of the loss of outputs that are the same for all, what is left of validation's if nothing much is known."""
_APART = 20.0
"""So many times training's loss is validation's."""
_WEIGHTS = 3.0
"""So many weights for each number that is learned can know it by heart."""
_BATCH = 8
_NOTHING, _HARDLY = 0.02, 0.7
"""A share of the loss that is nothing, and what is left of it where a batch is not learned."""


def examine_fit(patient: Patient, trials: Trials, course: Course) -> list[Suspicion]:
    """What is learned of all examples, of others, and of a few, where nothing else was found."""
    return [*_overfitting(patient, course), *_no_fit(patient, trials, course)]


def _no_fit(patient: Patient, trials: Trials, course: Course) -> list[Suspicion]:
    """Whether nothing is learned, not even of one small batch, at any rate."""
    if not course.trial.finite or course.learned > _NOTHING or course.moved > _NOTHING:
        return []
    few = dataclasses.replace(patient, data=(patient.data[0][:_BATCH], patient.data[1][:_BATCH]))
    least = baseline(few, few.forward(patient.parameters, few.data[0]))
    ends = list[float]()
    for scale in (1.0, 10.0, 100.0, 0.1):
        trial = trials.run(patient.parameters, scale=scale, examples=_BATCH)
        ends += [trial.end] if trial.finite else []
        if trials.over:
            break
    if not ends or not min(ends) > _HARDLY * least > 0.0:
        return []
    return [
        Suspicion(
            "no_fit",
            f"of {_BATCH} examples, too, hardly anything is learned, with steps of several lengths: their loss ends at "
            f"{min(ends):.3g}, and outputs that are the same for all have {least:.3g}",
            0.4,
            {"loss": min(ends), "constant": least},
            certain=True,
        )
    ]


def _overfitting(patient: Patient, course: Course) -> list[Suspicion]:
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
            f"after {course.trial.steps} steps the loss of {len(patient.data[0])} training examples is {train:.3g}, "
            f"and validation's {loss:.3g}, where outputs that are the same for all have {least:.3g}: {weights} "
            "weights know the examples by heart",
            0.5,
            {"training": train, "validation": loss, "constant": least, "weights": weights},
            certain=True,
        )
    ]

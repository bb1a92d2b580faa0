"""One gradient check: compares gradients with differences, where the loss has a slope that can be seen."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._differences import Differences, Verdict
from xpnet.diagnostics._inside import Inside, inside_of
from xpnet.diagnostics._known_losses import KnownLoss
from xpnet.diagnostics._program import Program, same_values, size_of
from xpnet.diagnostics._simple_mistakes import Wrong, close, fitted_shape
from xpnet.diagnostics._trial import Values

_ELEMENTS, _SECONDS = 400, 2.5


@dataclass
class Outcome:
    """What comparing found, by parameter: verdicts, gradients that were given, and those that are wrong."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    given: dict[str, HostArray] = field(default_factory=dict)
    wrong: list[Wrong] = field(default_factory=list)

    @property
    def shows_anything(self) -> bool:
        """Whether any gradient could be compared."""
        return any(verdict.kind in ("right", "wrong") for verdict in self.verdicts.values())


@final
class Examination:
    """The state of one gradient check.

    Attributes
    ----------
    at : where the gradients are compared: the user's parameters, or others where the loss bends or is flat there.
    known : the loss's formula, once it is recognized.
    """

    def __init__(self, program: Program) -> None:
        self.program, self.random = program, program.random
        self.known: KnownLoss | None = None
        self._inside: list[Inside | None] = []
        self.at: Values = program.trial.start
        self.differences = Differences(program.loss, self.at, program.trial.seen, self.random)

    def inside(self, forward: Callable[[Any, Any], Any], x: Any) -> Inside | None:
        """The network's layers, looked for once."""
        if not self._inside:
            self._inside.append(inside_of(self.program.trial.parameters, forward, x))
        return self._inside[0]

    def compare(self) -> Outcome:
        """All gradients against differences; beside the given point, where the loss bends there."""
        outcome = self._compare(self.program.start_gradients)
        kinds = {verdict.kind for verdict in outcome.verdicts.values()}
        other = None
        if "kink" in kinds and self.program.recomputes:
            other = self._beside(outcome)
        outcome = outcome if other is None else other
        if not outcome.shows_anything and self.program.recomputes:
            other = self._elsewhere()
            return outcome if other is None else other
        if not outcome.wrong and self.program.recomputes:
            return self._second_look(outcome)
        return outcome

    def _second_look(self, first: Outcome) -> Outcome:
        """At other parameters, too: some mistakes do not show where units are dead, or all are active."""
        here, differences = self.at, self.differences
        moved = self._moved(1.0, 1.0)
        loss = self.program.loss(moved)
        if not math.isfinite(loss) or abs(loss) > 1e3 * max(abs(differences.value), 1.0):
            return first
        gradients = self.program.gradients(moved)
        if not all(np.isfinite(values).all() for values in gradients.values()):
            return first
        self._move_to(moved)
        second = self._compare(gradients)
        if second.wrong:
            self.program.checked.append("at the given parameters nothing shows: the gradients are wrong at others")
            return second
        self.at, self.differences = here, differences
        for name, verdict in first.verdicts.items():
            if verdict.kind != "right" and second.verdicts[name].kind == "right":
                first.verdicts[name] = second.verdicts[name]
                self.program.checked.append(f"{name}: nothing shows at the given parameters; it was compared at others")
        return first

    def _beside(self, first: Outcome) -> Outcome | None:
        moved = self._moved(1.0, 0.02)
        gradients = self.program.gradients(moved)
        if all(same_values(gradients[name], first.given[name]) for name in gradients):
            return None
        self._move_to(moved)
        self.program.checked.append(
            "the loss bends at the given parameters, so gradients were compared a little beside them"
        )
        return self._compare(gradients)

    def _elsewhere(self) -> Outcome | None:
        """Where the loss is flat at the given parameters: at multiples of them, the first at which it is not."""
        for factor in (0.3, 0.1, 0.01, 3.0, 10.0):
            moved = self._moved(factor, 0.1)
            if not math.isfinite(self.program.loss(moved)):
                continue
            self._move_to(moved)
            outcome = self._compare(self.program.gradients(moved))
            if outcome.shows_anything:
                self.program.checked.append(
                    "the loss hardly changes at the given parameters, so gradients were compared at "
                    f"{factor:g} times these"
                )
                return outcome
        return None

    def _moved(self, factor: float, share: float) -> dict[str, HostArray]:
        """The given parameters times a number, and a random share of their size."""
        random = self.random.standard_normal
        return {
            name: self.program.trial.seen(name, factor * (values + share * size_of(values) * random(values.shape)))
            for name, values in self.program.trial.start.items()
        }

    def _move_to(self, values: Values) -> None:
        self.at = values
        self.differences = Differences(self.program.loss, values, self.program.trial.seen, self.random)

    def _compare(self, gradients: Mapping[str, HostArray]) -> Outcome:
        outcome = Outcome(given=dict(gradients))
        norms = [float(np.sqrt(np.mean(values**2))) for values in gradients.values() if values.size]
        single = self.program.single or self.differences.coarse
        tolerance = 1e-2 if self.differences.coarse else 3e-3 if single else 1e-5
        floor = (1e-5 if single else 1e-9) * max(norms, default=0.0)
        for name, values in gradients.items():
            shaped = fitted_shape(values, self.at[name].shape)
            if self.at[name].size == 0:
                outcome.verdicts[name] = Verdict("flat", 0.0)
            elif shaped is None:
                outcome.verdicts[name] = Verdict("wrong", 1.0)
            else:
                outcome.verdicts[name] = self.differences.verdict(name, shaped, tolerance, floor)
        names = [name for name, verdict in outcome.verdicts.items() if verdict.kind == "wrong"]
        for name in names:
            wrong = self._wrong(name, outcome.given[name], len(names))
            if self._only_bends(wrong, tolerance):
                outcome.verdicts[name] = Verdict("kink", outcome.verdicts[name].error)
            else:
                outcome.wrong.append(wrong)
        return outcome

    @staticmethod
    def _only_bends(wrong: Wrong, tolerance: float) -> bool:
        """Whether the gradient is right wherever the loss does not bend."""
        shaped = wrong.shaped
        if shaped is None or wrong.places.size == wrong.tried:
            return False
        return not wrong.places.size or close(wrong.at_places(shaped), wrong.true, 10.0 * tolerance)

    def _wrong(self, name: str, given: HostArray, number_of: int) -> Wrong:
        """The true gradient element by element: of all, or as many as there is time for."""
        values = self.at[name]
        start = time.perf_counter()
        self.program.loss(self.at)
        each = 4.0 * max(time.perf_counter() - start, 1e-6)
        most = int(min(max(_SECONDS / each / number_of, 20), _ELEMENTS))
        places = np.arange(values.size) if values.size <= most else np.sort(self._some(values.size, most))
        true = self.differences.elements(name, places.tolist())
        straight = np.isfinite(true)
        return Wrong(name, given, values, places[straight], true[straight], places.size)

    def _some(self, size: int, most: int) -> HostArray:
        chosen: HostArray = self.random.choice(size, most, replace=False)
        return chosen

    @property
    def coarse(self) -> bool:
        """Whether loss or gradients were computed in float32."""
        return self.program.single or self.differences.coarse

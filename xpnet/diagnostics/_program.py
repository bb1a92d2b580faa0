"""A user's loss and gradients: how they can be called, and what they do wrong apart from their values."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._report import Finding
from xpnet.diagnostics._trial import CannotCheck, Trial, Values, number
from xpnet.diagnostics._trial_arrays import duplicate, is_array, is_float, items_of, key_of, on_host, type_of, write


@final
class Program:
    """A loss and its gradients, made callable at other parameters.

    Attributes
    ----------
    findings : what the program does wrong apart from its gradients' values.
    checked, unchecked : lines for the report.
    start_gradients : the gradients at the user's parameters.
    single : whether they were computed in float32.
    """

    def __init__(self, loss: Callable[[Any], Any], parameters: Any, gradients: Any) -> None:
        self._loss, self._gradients = loss, gradients
        self.findings: list[Finding] = []
        self.checked: list[str] = []
        self.unchecked: list[str] = []
        self.random = np.random.default_rng(31415)
        names = [name for name, value in items_of(parameters).items() if _is_numeric(value)]
        if not names:
            raise ValueError("check_gradients: parameters hold no arrays of numbers")
        self.trial = Trial(parameters, names)
        self._prepare_loss()
        self.start_gradients, self.single = self._prepare_gradients()
        self.trial = self._for_names(tuple(self.start_gradients))

    def _for_names(self, names: Sequence[str]) -> Trial:
        whole, trial = self.trial, Trial(self.trial.parameters, names)
        trial.dtype, trial.in_place = whole.dtype, whole.in_place
        integers = [name for name in names if not is_float(whole.original[name])]
        for name in integers:
            self.unchecked.append(
                f"training of {name}: it holds integers ({type_of(whole.original[name])}), which steps round or "
                f"refuse; its gradient was checked on a copy in float64. Make it floating-point: {name}.astype(float)"
            )
        for name in sorted(set(whole.names) - set(names)):
            if is_float(whole.original[name]) and self._depends_on(whole, name):
                self.unchecked.append(f"{name}: no gradient was given for it, and the loss depends on it")
        return trial

    # The loss ---------------------------------------------------------------------------------------------------

    def loss(self, values: Values) -> float:
        """The loss at these values."""
        return number("loss(parameters)", self.trial.call("loss(parameters)", self._loss, values))

    def _prepare_loss(self) -> None:
        """Finds how the loss can be called, and whether it is a function of its parameters at all."""
        trial = self.trial
        try:
            value, changed = trial.changed("loss(parameters)", self._loss)
        except CannotCheck:
            trial.dtype = None
            value, changed = trial.changed("loss(parameters)", self._loss)
        first, second = number("loss(parameters)", value), self.loss(trial.start)
        self._report_changes("loss", changed)
        if not _about_equal(first, second):
            raise CannotCheck(
                Finding(
                    "function_random",
                    f"loss(parameters) gives {first:.9g}, then {second:.9g} for the same parameters",
                    {"values": [first, second]},
                    weight=1.0,
                )
            )
        if not math.isfinite(first):
            raise CannotCheck(
                Finding("nothing_computed", f"the loss is {first} here: there is nothing to compare", weight=1.0)
            )
        if not self._depends(trial, first):
            self._try_in_place(trial, first)

    def _depends(self, trial: Trial, value: float) -> bool:
        return any(self._loss_moved(trial, trial.names, size) != value for size in (1e-3, 0.1, 1.0, 10.0))

    def _depends_on(self, trial: Trial, name: str) -> bool:
        before, self.trial = self.trial, trial
        try:
            value = self.loss(trial.start)
            return any(self._loss_moved(trial, [name], size) != value for size in (1e-3, 1.0))
        except CannotCheck:
            return False
        finally:
            self.trial = before

    def _loss_moved(self, trial: Trial, names: Sequence[str], size: float) -> float:
        moved = dict(trial.start)
        for name in names:
            scale = max(float(np.sqrt(np.mean(moved[name] ** 2))) if moved[name].size else 0.0, 0.01)
            moved[name] = trial.seen(name, moved[name] + size * scale * self.random.standard_normal(moved[name].shape))
        return self.loss(moved)

    def _try_in_place(self, trial: Trial, value: float) -> None:
        """A function that reads arrays of its own: those in the dict are changed in place, and restored later."""
        trial.in_place = True
        try:
            for name in trial.names:
                write(duplicate(trial.original[name]), trial.original[name])
            if self._depends(trial, value):
                self.checked.append(
                    "the loss reads the arrays themselves, not those it is given: they were changed and restored"
                )
                return
        except (TypeError, ValueError, RuntimeError):
            pass  # arrays that cannot be written
        raise CannotCheck(
            Finding(
                "nothing_computed",
                f"the loss is {value:.6g} whatever the parameters are: it depends on none of {', '.join(trial.names)}",
                {"loss": value},
                weight=1.0,
            )
        )

    def _report_changes(self, what: str, changed: Sequence[str]) -> None:
        if changed:
            self.findings.append(
                Finding(
                    "function_mutates",
                    f"{what}(parameters) changes {', '.join(changed)}",
                    {"function": what, "changed": list(changed)},
                    weight=0.55,
                )
            )

    # The gradients ----------------------------------------------------------------------------------------------

    def _prepare_gradients(self) -> tuple[dict[str, HostArray], bool]:
        """The gradients at the user's parameters, and whether they were computed in float32."""
        if not callable(self._gradients):
            given, raw = read_gradients(self._gradients, self.trial)
            return self._finite(given), _single(given, raw)
        try:
            value, changed = self.trial.changed("gradients(parameters)", self._gradients)
        except CannotCheck:
            if self.trial.dtype is None:
                raise
            before, self.trial.dtype = self.trial.dtype, None
            value, changed = self.trial.changed("gradients(parameters)", self._gradients)
            self.trial.dtype = before
            self._native_gradients = True
        given, raw = read_gradients(value, self.trial)
        self._finite(given)
        self._report_changes("gradients", changed)
        again = self.gradients(self.trial.start)
        differs = [name for name in given if not same_values(given[name], again[name])]
        if differs:
            self._raise_random(differs, again)
        return given, _single(given, raw)

    _native_gradients = False

    def gradients(self, values: Values) -> dict[str, HostArray]:
        """The user's gradients at these values, on the host in float64."""
        if not callable(self._gradients):
            return self.start_gradients
        trial = self.trial
        before = trial.dtype
        trial.dtype = None if self._native_gradients else before
        try:
            value = trial.call("gradients(parameters)", self._gradients, values)
        finally:
            trial.dtype = before
        return read_gradients(value, trial)[0]

    def _raise_random(self, differs: Sequence[str], again: Values) -> None:
        third = self.gradients(self.trial.start)
        if all(same_values(again[name], third[name]) for name in again):
            sentence = f"the first call of gradients(parameters) gives another gradient of {differs[0]} than the second"
            raise CannotCheck(
                Finding("gradient_stale", f"{sentence}: something is kept from the call before", weight=1.0)
            )
        raise CannotCheck(
            Finding(
                "function_random",
                f"gradients(parameters) gives different gradients of {', '.join(differs)} for the same parameters",
                {"parameters": list(differs)},
                weight=1.0,
            )
        )

    def _finite(self, given: dict[str, HostArray]) -> dict[str, HostArray]:
        for name, values in given.items():
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad:
                sentence = f"the gradient of {name} is not finite in {bad} of {values.size} elements"
                raise CannotCheck(Finding("gradient_wrong", sentence, {"parameter": name, "elements": bad}, weight=1.0))
        return given

    # The network behind the loss --------------------------------------------------------------------------------

    @property
    def recomputes(self) -> bool:
        """Whether gradients come from a function, and so at other parameters, too."""
        return callable(self._gradients)

    def outputs(self, forward: Callable[[Any, Any], Any], x: Any) -> HostArray | None:
        """What the network gives; None where it raises."""
        try:
            y = self.trial.call("forward(parameters, x)", forward, self.trial.start, duplicate(x))
        except CannotCheck:
            return None
        y = y[0] if isinstance(y, tuple) and y else y
        return on_host(y) if is_array(y) else None


def read_gradients(value: Any, trial: Trial) -> tuple[dict[str, HostArray], list[Any]]:
    """Gradients by parameter in float64, from a dict in which they stand under the parameters' names; and as given.

    Raises
    ------
    CannotCheck : there are none.
    """
    if isinstance(value, (list, tuple)) and len(value) == len(trial.names):
        value = dict(zip(trial.names, value, strict=True))
    items = value if isinstance(value, Mapping) else {}
    found, raw = {}, []
    for name in trial.names:
        key = key_of(name, items)
        if key is not None and _is_numeric(items[key]):
            raw.append(items[key])
            found[name] = np.asarray(on_host(items[key]), dtype=np.float64)
    if found:
        return found, raw
    got = f"a dict of {', '.join(map(str, items)) or 'nothing'}" if isinstance(value, Mapping) else type(value).__name__
    raise CannotCheck(
        Finding(
            "wrong_shape",
            f"gradients should be a dict of arrays by the parameters' names ({', '.join(trial.names)}), and are {got}",
            weight=1.0,
        )
    )


def _is_numeric(value: Any) -> bool:
    return is_array(value) and any(kind in type_of(value) for kind in ("float", "int"))


def _single(given: Mapping[str, HostArray], raw: Sequence[Any]) -> bool:
    if any(is_array(value) and type_of(value) != "float64" for value in raw):
        return True
    return all(np.array_equal(values, values.astype(np.float32)) for values in given.values())


def _about_equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or abs(a - b) <= 1e-6 * max(abs(a), abs(b))


def same_values(a: HostArray, b: HostArray) -> bool:
    """Whether two arrays are the same but for rounding in float32."""
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=1e-5, atol=1e-6 * (np.abs(a).max() if a.size else 0.0)))


def size_of(values: HostArray) -> float:
    """The root mean square of a parameter's values, but not below 0.01."""
    return max(float(np.sqrt(np.mean(values**2))) if values.size else 0.0, 0.01)

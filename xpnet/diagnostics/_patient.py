"""A network as the doctor sees it: functions of a dict of host arrays, called so that nothing of the user's changes."""

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside
from xpnet.diagnostics._report import Report
from xpnet.diagnostics._trial_arrays import kept, key_of

Parameters = dict[str, HostArray]


@dataclass(frozen=True)
class Stage:
    """The values of one activation: `z` before it and `h` behind it, (n, units); `weight` is what made z, if known."""

    name: str
    kind: str
    z: HostArray
    h: HostArray
    weight: str | None = None
    bias: str | None = None

    @property
    def is_relu(self) -> bool:
        """Whether its units bend at one place, and are straight on either side: ReLUs, leaky ones among them."""
        return self.kind.startswith(("relu", "leaky_relu")) and self.z.ndim == 2


class PatientError(Exception):
    """A function of the network raised, or what it gives is of no use.

    Attributes
    ----------
    function : its role, such as `"forward"`.
    cause : of the finding that this is.
    """

    def __init__(self, function: str, error: Exception | str) -> None:
        told = isinstance(error, str)
        super().__init__(f"{function} {error if told else f'raises {type(error).__name__}: {error}'}")
        self.function, self.cause = function, "wrong_shape" if told else "function_raises"


@final
@dataclass
class Patient:
    """A network, its data, and what may be done with both.

    Parameters
    ----------
    parameters : the arrays at the start; they are never given away, only copies.
    call_forward, call_loss, call_gradients, call_step : the user's functions; None where there is none.
    data, validation : pairs (x, t).
    look_inside : finds the activations of a network for parameters and inputs; None where it cannot look inside.
    last_activation : its name, as far as that is known.
    inside : the layers of a hand-written network, where they could be found.
    others : what stands beside the arrays in the user's dict.
    reset : forgets what steps have left behind, such as moments.
    check : checks gradients on a batch, where the patient does that itself.
    """

    parameters: Parameters
    call_forward: Callable[[Parameters, Any], Any]
    call_loss: Callable[[Any, Any], Any]
    data: tuple[HostArray, HostArray]
    call_gradients: Callable[[Parameters, Any, Any], Mapping[str, Any]] | None = None
    call_step: Callable[[Parameters, Any, Any], Any] | None = None
    validation: tuple[HostArray, HostArray] | None = None
    look_inside: Callable[[Parameters, HostArray], list[Stage] | None] = lambda parameters, x: None
    last_activation: str | None = None
    inside: Inside | None = None
    others: Mapping[str, Any] = field(default_factory=dict)
    reset: Callable[[], None] = lambda: None
    check: Callable[[HostArray, HostArray], Report] | None = None
    random_calls: set[str] = field(default_factory=set)

    @property
    def weights(self) -> list[str]:
        """The names of the weights of all layers, from the input on; none where they are not known."""
        return [] if self.inside is None else [layer.weight for layer in self.inside.layers]

    def copies(self, parameters: Parameters | None = None) -> Parameters:
        """Copies of these parameters, or of those at the start."""
        return {name: np.array(values) for name, values in (parameters or self.parameters).items()}

    def _given(self, parameters: Parameters) -> dict[str, Any]:
        """What the user's functions get: copies, beside whatever else stood in the user's dict."""
        return {**self.others, **self.copies(parameters)}

    def forward(self, parameters: Parameters, x: HostArray) -> HostArray:
        """The outputs for inputs."""
        y = self._call("forward", self.call_forward, self._given(parameters), np.array(x))
        if isinstance(y, tuple):
            parts = ", ".join(_type(each) for each in y)
            raise PatientError(
                "forward",
                f"gives {len(y)} values ({parts}), and should give the outputs alone: pass a function that returns the "
                "outputs, such as lambda p, x: forward(p, x)[0]",
            )
        return _array("forward", y)

    def loss_of(self, y: HostArray, t: HostArray) -> float:
        """The loss of outputs."""
        value = _array("loss", self._call("loss", self.call_loss, np.array(y), np.array(t)))
        if value.size != 1 or value.dtype.kind not in "fiub":
            got = f"an array of shape {value.shape}" if value.ndim else f"a value of type {value.dtype}"
            raise PatientError("loss", f"should give one number, and gives {got}")
        return float(value.reshape(()))

    def loss(self, parameters: Parameters, x: HostArray, t: HostArray) -> float:
        """The loss of the outputs for inputs."""
        return self.loss_of(self.forward(parameters, x), t)

    def gradients(self, parameters: Parameters, x: HostArray, t: HostArray) -> Parameters:
        """The user's gradients; only where there is such a function."""
        assert self.call_gradients is not None
        found = self._call("gradients", self.call_gradients, self._given(parameters), np.array(x), np.array(t))
        if isinstance(found, (list, tuple)) and len(found) == len(self.parameters):
            found = dict(zip(self.parameters, found, strict=True))
        if not isinstance(found, Mapping):
            raise PatientError("gradients", f"should give a dict by the parameters' names, and gives {_type(found)}")
        keys = {name: key_of(name, found) for name in self.parameters}
        if not any(key is not None for key in keys.values()):
            names = f"({', '.join(map(str, found))}) are not the parameters' ({', '.join(self.parameters)})"
            raise PatientError("gradients", f"gives a dict whose names {names}: give each its parameter's name")
        found = {name: found[key] for name, key in keys.items() if key is not None}
        arrays = {name: _array("gradients", values) for name, values in found.items()}
        wrong = [name for name in arrays if arrays[name].dtype.kind not in "fiub"]
        if wrong:
            raise PatientError("gradients", f"should give arrays of numbers, and gives {_type(found[wrong[0]])}")
        return arrays

    def step(self, parameters: Parameters, x: HostArray, t: HostArray) -> Parameters:
        """The parameters after the user's own step, which changes them in place, puts new arrays into the dict, or
        returns a new dict.
        """
        assert self.call_step is not None
        changed = self._given(parameters)
        returned = self._call("step", self.call_step, changed, np.array(x), np.array(t))
        for new in returned if isinstance(returned, tuple) else (returned,):
            if isinstance(new, Mapping) and all(
                n in new and np.shape(new[n]) == v.shape for n, v in parameters.items()
            ):
                changed = dict(new)
        missing = [name for name in parameters if name not in changed]
        if missing:
            raise PatientError("step", f"takes {', '.join(missing)} out of the parameters")
        return {name: _array("step", changed[name]) for name in parameters}

    def batch_size(self, wanted: int) -> int:
        """The number of examples that the program takes at once: the wanted one, if it is not made for another."""
        x, t = self.data
        units = sorted({int(length) for values in self.parameters.values() for length in values.shape})
        for size in (wanted, *units, len(x)):
            if size <= len(x) and self._takes(x[:size], t[:size]):
                return size
        return wanted

    def _takes(self, x: HostArray, t: HostArray) -> bool:
        try:
            if self.call_gradients is not None:
                self.gradients(self.parameters, x, t)
            if self.call_step is not None:
                self.step(self.parameters, x, t)
        except PatientError:
            return False
        return True

    def _call(self, role: str, function: Callable[..., Any], *arguments: Any) -> Any:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return function(*arguments)
            except Exception as error:
                raise PatientError(role, error) from error


def _array(role: str, values: Any) -> HostArray:
    """A copy as an array.

    Raises
    ------
    PatientError : it is none.
    """
    try:
        return np.array(values)
    except Exception as error:
        raise PatientError(role, f"gives {_type(values)}, of which no array can be made: {error}") from error


def _type(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, global generators start from `seed`, so that a program that draws from them repeats itself."""
    with kept():
        np.random.seed(seed)  # noqa: NPY002 - the generator that learners' programs draw from
        random.seed(seed)
        yield

"""What a run is between two steps: all that the steps to come depend on, as a checkpoint holds it."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any, Protocol, final, runtime_checkable
from uuid import uuid4

import numpy as np

from xpnet._typing import Array
from xpnet.backend import HostArray, to_host
from xpnet.distributed import Communicator
from xpnet.files import described, writable
from xpnet.optimizers import Optimizer
from xpnet.training._callbacks import Callback, Run
from xpnet.training._checkpoint_folder import CheckpointError, Saved, copied
from xpnet.training._evaluate import Pairs, shared
from xpnet.training._ledger import Ledger
from xpnet.training._numbers import Numbers
from xpnet.training._restored import Restored, below, packed

Batch = tuple[Array, Array]


@runtime_checkable
class Resumable(Protocol):
    """Batches whose passes can be taken up again, as those of `xpnet.data.batches`."""

    def state(self) -> dict[str, Any]:
        """Plain values that the next pass depends on."""

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Goes on with the pass that was the next one then."""


@final
@dataclass
class Progress:
    """Where a run is.

    Attributes
    ----------
    run, batches, validation, ledger, listeners : of the run.
    name : of the run, the same each time that it is taken up.
    nominal : the number of examples that gradients count by, where ranks or passes share a step.
    settings : numbers and names that have to be the same where the run is taken up again.
    position : batches done of the epoch under way; None between two epochs.
    seconds : that the epoch under way took before the run was taken up.
    first_rate : the learning rate that the run began with, where it was a number.
    batches_before, validation_before : the states of the batches before the pass that is under way; None where none is.
    """

    run: Run
    batches: Iterable[Batch]
    validation: Pairs | None
    ledger: Ledger
    listeners: Sequence[Callback]
    settings: dict[str, Any]
    name: str = field(default_factory=lambda: uuid4().hex)
    nominal: int | None = None
    position: int | None = None
    seconds: float = 0.0
    first_rate: float | None = None
    batches_before: dict[str, Any] | None = None
    validation_before: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        rate = self.run.optimizer.learning_rate
        self.first_rate = None if callable(rate) else float(rate)

    def facts(self) -> dict[str, Any]:
        """What has to be the same on all ranks."""
        callbacks = [
            type(each).__name__ + (f", every {each.every}" if hasattr(each, "every") else "") for each in self.listeners
        ]
        own = {"batches": _state_of(self.batches), "validation": _state_of(self.validation)}
        return {
            "settings": self.settings,
            "learning rate": self.run.optimizer.current_rate,
            "callbacks": callbacks,
        } | own

    # Passes -----------------------------------------------------------------------------------------------------

    def between(self) -> None:
        """An epoch has ended."""
        self.position, self.seconds = None, 0.0
        self.batches_before = self.validation_before = None

    def rest_of_pass(self, ranks: Communicator) -> Iterator[tuple[Array, Array, int]]:
        """This rank's share of the batches of this epoch that have not been gone through, and their whole sizes."""
        done = self.position or 0
        self.batches_before = _state_of(self.batches)
        if self.position is None:
            self.position = 0
            self.ledger.begin()
        return shared(self.batches, ranks, done)

    def validating(self) -> None:
        """The pass of validation begins."""
        self.validation_before = _state_of(self.validation)

    # Saving -----------------------------------------------------------------------------------------------------

    def saved(self, seconds: float, before: Mapping[str, HostArray]) -> Saved:
        """All of it, copied to the host, into the arrays `before` of an earlier time where they fit.

        Raises
        ------
        TypeError : a callback's state is neither plain values nor arrays that a file can hold.
        """
        self.ledger.read()
        run, history = self.run, self.run.history
        arrays: dict[str, HostArray] = {}

        def keep(name: str, values: Any) -> None:
            found, old = to_host(values), before.get(name)
            if not writable(found.dtype):
                raise TypeError(f"Checkpoint: {name} is of {found.dtype}, which a safetensors file is not written with")
            fits = old is not None and old.shape == found.shape and old.dtype == found.dtype
            arrays[name] = old if old is not None and fits else np.empty_like(found, order="C")
            arrays[name][...] = found

        for path, tensor in run.model.tensors().items():
            keep(f"model.{path}", tensor.data)
        for name, values in run.optimizer.arrays().items():
            keep(f"optimizer.{name}", values)
        rows, numbers = packed(copied(history.epochs))
        keep("history.epochs", numbers)
        losses = history.steps["loss"]  # only its end changes, so it needs no copy
        arrays["history.loss"] = (losses if isinstance(losses, Numbers) else Numbers(losses)).view
        for path, norms in history.gradient_norms.items():
            keep(f"history.gradient_norms.{path}", np.asarray(list(norms.items()), np.float64).reshape(-1, 2))
        keep("epoch.sizes", np.asarray(self.ledger.sizes, np.int64))
        keep("epoch.rows", np.stack(self.ledger.columns, axis=1))
        callbacks = {}
        for key, listener in _by_key(self.listeners).items():
            state = listener.state()
            plain = {name: value for name, value in state.items() if not hasattr(value, "dtype")}
            callbacks[key] = copied(plain)
            for name in [name for name in state if name not in plain]:
                keep(f"callbacks.{key}.{name}", state[name])
        values = {
            "run": self.name,
            "step": run.step,
            "epoch": run.epoch,
            "position": self.position,
            "seconds": seconds,
            "epochs": rows,
            "stopped": history.stopped,
            "batches": self.batches_before or _state_of(self.batches),
            "validation": self.validation_before or _state_of(self.validation),
            "settings": self.settings,
            "nominal": self.nominal,
            "rates": _rates(run.optimizer) | {"first": self.first_rate},
            "callbacks": {key: plain for key, plain in callbacks.items() if plain or below(f"callbacks.{key}", arrays)},
            "model": type(run.model).__name__,
            "library": _versions(),
            "backend": run.model.backend.name,
        }
        return Saved(values, arrays)

    # Taking up again --------------------------------------------------------------------------------------------

    def load(self, saved: Saved) -> None:
        """Takes all of it over, but for what callbacks remember; nothing is changed if it does not fit.

        Raises
        ------
        CheckpointError : it belongs to another run.
        """
        run = self.run
        try:
            self._check(saved.values)
            self._check_rates(saved.values["rates"])
            restored = Restored(saved, len(self.ledger.names))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(_told(error)) from error
        model, optimizer = run.model, run.optimizer
        before = model.state(), optimizer.state(), _state_of(self.batches), _state_of(self.validation)
        try:
            model.load_state(below("model", saved.arrays))
            _load_into(self.batches, saved.values["batches"])
            if self.validation is not self.batches:  # which the pass that is taken up moves on
                _load_into(self.validation, saved.values["validation"])
            optimizer.load_state(below("optimizer", saved.arrays))  # the last: it may begin a loss scale
            self._take_rates(saved.values["rates"])
        except BaseException as error:
            model.load_state(before[0])
            optimizer.load_state(before[1])
            _load_into(self.batches, before[2])
            _load_into(self.validation, before[3])
            if isinstance(error, (ValueError, TypeError, KeyError)):
                raise CheckpointError(_told(error)) from error
            raise
        self.between()
        self.position, self.seconds, self.name = restored.position, restored.seconds, restored.name
        self.nominal = restored.nominal
        self.ledger.restore(restored.sizes, restored.columns)
        run.step, run.epoch = restored.step, restored.epoch
        restored.fill(run.history)

    def load_callbacks(self, saved: Saved) -> None:
        """Gives the callbacks, which have been started, what they remembered."""
        ours = _by_key(self.listeners)
        for key, plain in saved.values["callbacks"].items():
            ours[key].load_state({**plain, **below(f"callbacks.{key}", saved.arrays)})

    def _check(self, values: Mapping[str, Any]) -> None:
        theirs = values["settings"]
        wrong = [
            f"{name} is {ours!r} here, {theirs.get(name)!r} there"
            for name, ours in self.settings.items()
            if theirs.get(name) != ours
        ]
        if wrong:
            raise ValueError(f"it belongs to another run: {'; '.join(wrong)}")
        callbacks, nominal = values["callbacks"], values["nominal"]
        if not (isinstance(callbacks, dict) and all(isinstance(state, dict) for state in callbacks.values())):
            raise ValueError(f"expected what callbacks remember by name, got {described(callbacks)}")
        for name in ("batches", "validation"):
            if not (values[name] is None or isinstance(values[name], dict)):
                raise ValueError(f"expected the state of {name}, got {described(values[name])}")
        if not (nominal is None or (type(nominal) is int and nominal > 0)):
            raise ValueError(f"expected a nominal number of examples, got {described(nominal)}")
        missing = [key for key in callbacks if key not in _by_key(self.listeners)]
        if missing:
            raise ValueError(f"the run had the callbacks {', '.join(missing)}, which this call has not")

    def _check_rates(self, theirs: Mapping[str, Any]) -> None:
        rate, first, step = self.run.optimizer.learning_rate, self.first_rate, theirs["step"]
        if theirs["rule"].keys() != self.run.optimizer.settings().keys():
            raise ValueError(f"expected the numbers of the rule, got {described(theirs['rule'])}")
        if first != theirs["first"]:
            raise ValueError(f"learning_rate is {_rate_shown(first)} here, {_rate_shown(theirs['first'])} there")
        if callable(rate) and (here := float(rate(step))) != theirs["next"]:
            raise ValueError(f"the schedule gives {here!r} for step {step} here, {theirs['next']!r} there")

    def _take_rates(self, theirs: Mapping[str, Any]) -> None:
        """A schedule goes on by itself; a number is what it had become."""
        optimizer = self.run.optimizer
        if self.first_rate is not None:
            optimizer.learning_rate = theirs["next"]
        for name, value in theirs["rule"].items():  # what callbacks have changed
            if value != optimizer.settings()[name]:
                setattr(optimizer, name, value)
        optimizer.last_rate = theirs["last"]


@cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("xpnet", "numpy")} | {"python": platform.python_version()}


def _rates(optimizer: Optimizer) -> dict[str, Any]:
    rates = {"step": optimizer.steps, "next": optimizer.current_rate, "last": optimizer.last_rate}
    return rates | {"rule": optimizer.settings()}


def _rate_shown(rate: Any) -> str:
    return "a schedule" if rate is None else repr(rate)


def _state_of(batches: Any) -> dict[str, Any] | None:
    return batches.state() if isinstance(batches, Resumable) else None


def _load_into(batches: Any, state: dict[str, Any] | None) -> None:
    ours, theirs = isinstance(batches, Resumable), state is not None
    if ours != theirs:
        raise ValueError("batches or validation are of another kind than those of the run")
    if state is not None:
        batches.load_state(state)


def _by_key(listeners: Sequence[Callback]) -> dict[str, Callback]:
    """Callbacks by the names of their classes, with a number behind those that come again."""
    found: dict[str, Callback] = {}
    for listener in listeners:
        name = type(listener).__name__
        count = sum(key.partition("#")[0] == name for key in found)
        found[f"{name}#{count + 1}" if count else name] = listener
    return found


def _told(error: BaseException) -> str:
    return f"it has no {error}" if isinstance(error, KeyError) else str(error)

"""The search for a chain of layers that computes what a function does: at random parameters, by trying."""

import itertools
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from xpnet.backend import HostArray
from xpnet.diagnostics._inside import Inside, InsideLayer, rows_of
from xpnet.diagnostics._inside_activations import ACTIVATIONS, ROW_ACTIVATIONS, activate
from xpnet.diagnostics._trial import CannotCheck, Trial, Values
from xpnet.diagnostics._trial_arrays import is_array, is_float, items_of, kept, like, on_host

_COMMON = 12
"""Of so many activations, hidden layers may have different ones."""
_EXAMPLES, _PROBES, _CHAINS, _SECONDS = 7, 8, 3000, 3.0


class _Probe(NamedTuple):
    """Random parameters and inputs, with the outputs that `forward` gives for them."""

    values: Values
    x: HostArray
    y: HostArray
    exact: bool


def search(parameters: Any, forward: Callable[[Any, Any], Any], x: Any) -> Inside | None:
    """See `inside_of`."""
    names = [name for name, value in items_of(parameters).items() if _may_belong(value)]
    shape = tuple(x.shape)
    if not names or len(shape) < 2:
        return None
    with kept(parameters, x), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for examples_last in (False, True) if len(shape) == 2 else (False,):
            try:
                found = _search_one_way(Trial(parameters, names), forward, x, examples_last)
            except CannotCheck:
                continue
            if found is not None:
                return found
    return None


def _may_belong(value: Any) -> bool:
    return is_array(value) and is_float(value) and 0 < len(value.shape) <= 2 and min(value.shape) > 0


def _search_one_way(trial: Trial, forward: Callable[[Any, Any], Any], x: Any, examples_last: bool) -> Inside | None:
    shape = (x.shape[0], _EXAMPLES) if examples_last else (_EXAMPLES, *x.shape[1:])
    prober = _Prober(trial, forward, x, shape)
    first = prober.probe(0)
    used = prober.used(first)
    if not used:  # perhaps it reads the arrays themselves, which are restored in the end
        trial.in_place, trial.dtype = True, None
        first = prober.probe(0)
        used = prober.used(first)
    if not used:
        return None
    others = [prober.probe(seed) for seed in range(1, _PROBES)]
    shapes = {name: trial.start[name].shape for name in used}
    inputs = rows_of(first.x, examples_last).shape[1]
    chains = _sorted_chains(shapes, inputs)
    deadline = time.thread_time() + _SECONDS
    for inside in _candidates(chains, first, examples_last, deadline):
        if all(_reproduces(inside, probe) for probe in others):
            return inside
    return None


class _Prober:
    """Runs a user's `forward` at random parameters: in float64 if it can, else in the arrays' own types."""

    def __init__(self, trial: Trial, forward: Callable[[Any, Any], Any], x: Any, shape: tuple[int, ...]) -> None:
        self.trial, self.forward, self.x, self.shape = trial, forward, x, shape
        try:
            self.output(self.values(0), self.inputs(0))
        except CannotCheck:
            trial.dtype = None

    def values(self, seed: int) -> dict[str, HostArray]:
        random = np.random.default_rng(seed)
        return {
            name: self.trial.seen(name, random.standard_normal(start.shape) / np.sqrt(max(start.shape) / 2.0))
            for name, start in self.trial.start.items()
        }

    def inputs(self, seed: int) -> HostArray:
        return np.random.default_rng(1000 + seed).standard_normal(self.shape).astype(np.float32).astype(np.float64)

    def output(self, values: Values, x: HostArray) -> HostArray:
        dtype = "float64" if self.trial.dtype is not None or not is_float(self.x) else None
        y = self.trial.call("forward", self.forward, values, like(x, self.x, dtype))
        y = y[0] if isinstance(y, tuple) and y else y
        host = np.asarray(on_host(y) if is_array(y) else y, dtype=np.float64)
        return host

    def probe(self, seed: int) -> _Probe:
        values, x = self.values(seed), self.inputs(seed)
        y = self.output(values, x)
        exact = self.trial.dtype is not None and not np.array_equal(y, y.astype(np.float32))
        return _Probe(values, x, y, exact)

    def used(self, probe: _Probe) -> list[str]:
        """The parameters that the output depends on."""
        other = self.values(7)
        return [
            name
            for name in probe.values
            if not np.array_equal(self.output({**probe.values, name: other[name]}, probe.x), probe.y)
        ]


Chain = tuple[tuple[str, str | None, bool], ...]
"""Weight, bias and whether the weight is transposed, layer by layer."""


def _sorted_chains(shapes: dict[str, tuple[int, ...]], inputs: int) -> list[Chain]:
    names = list(shapes)
    found = list(itertools.islice(_chains(shapes, inputs, names), _CHAINS))

    def oddness(chain: Chain) -> tuple[int, int]:
        order = [names.index(name) for weight, bias, _ in chain for name in (weight, bias) if name is not None]
        return len({transposed for _, _, transposed in chain}), sum(a > b for a, b in itertools.pairwise(order))

    return sorted(found, key=oddness)


def _chains(shapes: dict[str, tuple[int, ...]], inputs: int, names: Sequence[str]) -> Iterator[Chain]:
    """All orders in which all arrays can be weights and biases of a chain of layers."""
    if not names:
        yield ()
        return
    for weight in names:
        shape = shapes[weight]
        for transposed in (False, True):
            if len(shape) != 2 or shape[transposed] != inputs:
                continue
            outputs, rest = shape[1 - transposed], [name for name in names if name != weight]
            biases = [name for name in rest if shapes[name] in ((outputs,), (1, outputs), (outputs, 1))]
            for bias in (*biases, None):
                for chain in _chains(shapes, outputs, [name for name in rest if name != bias]):
                    yield ((weight, bias, transposed), *chain)


def _candidates(chains: Sequence[Chain], probe: _Probe, examples_last: bool, deadline: float) -> Iterator[Inside]:
    """Chains with activations that give one probe's outputs: first the same activation in all hidden layers."""
    usual, common = list(ACTIVATIONS), list(ACTIVATIONS)[:_COMMON]
    for mixed in (False, True):
        for chain in chains:
            hidden = len(chain) - 1
            choices = (
                (combination for combination in itertools.product(common, repeat=hidden) if len(set(combination)) > 1)
                if mixed
                else ((name,) * hidden for name in usual[: len(usual) if hidden else 1])
            )
            for combination in choices:
                if time.thread_time() > deadline:
                    return
                yield from _with_last(chain, combination, probe, examples_last)


def _with_last(chain: Chain, hidden: tuple[str, ...], probe: _Probe, examples_last: bool) -> Iterator[Inside]:
    inside = _inside(chain, (*hidden, "identity"), examples_last)
    z = inside.run(probe.values, probe.x)[0][-1]
    for last in ("identity", *ACTIVATIONS, *ROW_ACTIVATIONS):
        if _same(activate(last, z), probe):
            yield _inside(chain, (*hidden, last), examples_last)


def _inside(chain: Chain, activations: Sequence[str], examples_last: bool) -> Inside:
    layers = (InsideLayer(*layer, activation) for layer, activation in zip(chain, activations, strict=True))
    return Inside(tuple(layers), examples_last)


def _reproduces(inside: Inside, probe: _Probe) -> bool:
    return _same(inside.run(probe.values, probe.x)[1][-1], probe)


def _same(h: HostArray, probe: _Probe) -> bool:
    """Whether (examples, units) are these outputs, which may be transposed or without a last axis of 1."""
    y = probe.y
    if y.size != h.size or not np.isfinite(h).all():
        return False
    tolerance = (1e-9 if probe.exact else 1e-4) * max(float(np.abs(h).max()), 1e-30)
    ways = [h] if y.shape == h.shape else []
    ways += [h.T] if y.shape == h.T.shape else []
    ways += [h.reshape(y.shape)] if h.shape[1] == 1 else []
    return any(float(np.abs(way - y).max()) <= tolerance for way in ways)

"""Learning-rate schedules: pure functions step -> rate, with steps counted from 0. Pass one as `learning_rate`."""

import math
from collections.abc import Callable
from typing import TypeAlias

Schedule: TypeAlias = Callable[[int], float]


def constant(rate: float) -> Schedule:
    """The same rate at every step.

    Examples
    --------
    >>> constant(0.1)(1000)
    0.1
    """
    _check("constant", rate=rate)
    return lambda step: rate


def step(rate: float, *, every: int, factor: float = 0.1) -> Schedule:
    """Multiplies the rate by `factor` after each `every` steps.

        rate · factor^⌊step / every⌋

    Examples
    --------
    >>> schedule = step(0.1, every=100, factor=0.5)
    >>> schedule(99), schedule(100)
    (0.1, 0.05)
    """
    _check("step", rate=rate, factor=factor, every=every)
    return lambda step: rate * factor ** (step // every)


def exponential(rate: float, *, factor: float) -> Schedule:
    """Multiplies the rate by `factor` at each step.

        rate · factor^step

    Examples
    --------
    >>> exponential(0.1, factor=0.5)(2)
    0.025
    """
    _check("exponential", rate=rate, factor=factor)
    return lambda step: rate * factor**step


def cosine(rate: float, *, steps: int, final: float = 0.0) -> Schedule:
    """Half a cosine from `rate` at step 0 to `final` at step `steps`, and `final` after it.

        final + ½ (rate - final) (1 + cos(π step / steps))

    Examples
    --------
    >>> schedule = cosine(0.2, steps=100)
    >>> schedule(0), round(schedule(50), 6), schedule(100), schedule(500)
    (0.2, 0.1, 0.0, 0.0)

    References
    ----------
    I. Loshchilov, F. Hutter, "SGDR: stochastic gradient descent with warm restarts", ICLR 2017, equation 5, one cycle.
    """
    _check("cosine", rate=rate, steps=steps)
    _check_not_negative("cosine", final=final)
    return lambda step: final + 0.5 * (rate - final) * (1.0 + math.cos(math.pi * min(step, steps) / steps))


def one_cycle(
    rate: float, *, steps: int, rise: float = 0.3, start_factor: float = 1 / 25, final_factor: float = 1e-4
) -> Schedule:
    """Up to `rate` and down again, both along half a cosine.

    It rises from rate · start_factor to rate during the first `rise` of the steps, then falls to
    rate · start_factor · final_factor at the last one.

    Parameters
    ----------
    rate : the largest rate.
    steps : length of the cycle, >= 2; the last of its steps has number steps - 1, and the rate stays there.
    rise : the part of the cycle that rises, between 0 and 1.

    Examples
    --------
    >>> schedule = one_cycle(1.0, steps=101, rise=0.5)
    >>> round(schedule(0), 3), round(schedule(50), 3), round(schedule(100), 6)
    (0.04, 1.0, 4e-06)

    References
    ----------
    L. Smith, N. Topin, "Super-convergence", 2018. Variant: PyTorch's `OneCycleLR` with cosine annealing in two phases.
    """
    _check("one_cycle", rate=rate, steps=steps, start_factor=start_factor, final_factor=final_factor)
    if not steps >= 2:
        raise ValueError(f"one_cycle: steps must be at least 2, got {steps!r}")
    if not 0.0 < rise < 1.0:
        raise ValueError(f"one_cycle: rise must be between 0 and 1, got {rise!r}")
    start, final = rate * start_factor, rate * start_factor * final_factor
    peak, last = max(rise * steps - 1.0, 0.0), steps - 1.0

    def schedule(step: int) -> float:
        if step < peak:
            return _cosine_between(start, rate, step / peak)
        return _cosine_between(rate, final, min((step - peak) / (last - peak), 1.0))

    return schedule


def warm_up(schedule: Schedule | float, *, steps: int) -> Schedule:
    """A linear rise during the first `steps` steps, then `schedule`, whose own steps count from the start.

        schedule(step) · min(1, (step + 1) / steps)

    Examples
    --------
    >>> schedule = warm_up(0.1, steps=10)
    >>> schedule(4), schedule(9), schedule(100)
    (0.05, 0.1, 0.1)

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD", 2017, section 2.2 ("gradual warmup").
    """
    _check("warm_up", steps=steps)
    after = schedule if callable(schedule) else constant(schedule)
    return lambda step: after(step) * min(1.0, (step + 1) / steps)


def _cosine_between(start: float, end: float, part: float) -> float:
    risen = 0.5 * (1.0 - math.cos(math.pi * part))
    return (1.0 - risen) * start + risen * end


def _check(schedule: str, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0.0):
            raise ValueError(f"{schedule}: {name} must be above 0, got {value!r}")


def _check_not_negative(schedule: str, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0.0):
            raise ValueError(f"{schedule}: {name} must not be negative, got {value!r}")

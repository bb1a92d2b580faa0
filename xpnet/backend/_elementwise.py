"""Chains of element-wise operations, written once and run as one loop or one kernel where that is possible."""

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

from xpnet._typing import Array
from xpnet.backend._registry import backend_of

Body: TypeAlias = Callable[..., Any]


def elementwise(*, updates: int = 0, guarded: bool = False) -> Callable[[Body], Body]:
    """Makes a chain of element-wise operations one loop or one kernel where the library allows it.

    The decorated `body(xp, first, …)` is written in plain Array API operations. It is called without `xp`, and
    returns only what is new.

    Rules for a body: its first array has the shape of the result, and the others broadcast to it; its first
    `updates` arguments are changed by augmented assignment (`m += …`) and returned first, new results follow; no
    reductions, no shapes, no branches; arithmetic between two scalars is done outside.

    Where the first array is float16, float16 is computed with in float32, in the same loop or kernel, and what is
    changed or new (and floating-point) is rounded to float16 at the end.

    Parameters
    ----------
    updates : how many leading arguments are changed in place.
    guarded : the call takes `guard=`, a 0-d boolean array; where it is false, nothing is changed. Only for bodies
        with no new results.

    Examples
    --------
    >>> import numpy as np
    >>> @elementwise(updates=1)
    ... def descend(xp, weight, gradient, rate):
    ...     weight -= rate * gradient
    ...     return weight
    >>> w = np.asarray([1.0, 2.0])
    >>> descend(w, np.asarray([10.0, 10.0]), 0.1)
    >>> w
    array([0., 1.])
    """

    def decorate(body: Body) -> Body:
        compiled: dict[type, Body] = {}

        @functools.wraps(body)
        def call(first: Array, *rest: Any, **guard: Array) -> Any:
            run = compiled.get(type(first))
            if run is None:
                run = compiled[type(first)] = backend_of(first).compile(body, updates, guarded)
            return run(first, *rest, **guard)

        vars(call).update(updates=updates, guarded=guarded)
        return call

    return decorate


def fresh(result: Any, updates: int) -> Any:
    """What a body returned beyond the arguments that it updated in place."""
    if not updates:
        return result
    rest = result[updates:] if isinstance(result, tuple) else ()
    return rest[0] if len(rest) == 1 else rest or None

"""How fast products and copies are on this GPU at best."""

from collections.abc import Sequence

import xpnet
from bench.case import Case
from bench.machine import best_times
from bench.networks import Network
from bench.passes import Passes, event_clock
from bench.workers import Worker, WorkerError

SIDE = 8192
"""Rows of the square matrices whose product is timed."""
COPIED = 2**30
"""Bytes that are copied: more than any cache holds."""


def gpu_rates(precisions: Sequence[str], *, turns: int, seconds: float) -> dict[str, dict[str, float]]:
    """The most floating-point operations and bytes a second that were seen, by the precision of products.

    A precision that fails is missing, and said.
    """
    found = {}
    for precision in precisions:
        try:
            found[precision] = _rates(precision, turns, seconds)
        except WorkerError as error:
            print(f"The GPU's rates in {precision} could not be measured: {error}")
    return found


def _rates(precision: str, turns: int, seconds: float) -> dict[str, float]:
    worker = Worker("bench.gpu.rates", {"precision": precision}, Case(Network("rates", (), (), 0), 0, 1), limit=120.0)
    best = best_times(worker, turns, seconds)
    return {"operations": 2 * SIDE**3 / best["product"], "bytes": 2 * COPIED / best["copy"]}


def build(case: Case, *, precision: str) -> Passes:
    """A product of matrices, and a copy, which reads and writes each byte once."""
    import cupy

    products = {} if precision == "float32" else {"matmul": precision}
    backend = xpnet.set_backend("cupy", **products)
    a, product = (cupy.full((SIDE, SIDE), value, cupy.float32) for value in (1.0, 0.0))
    source, target = (cupy.zeros(COPIED // 4, cupy.float32) for _ in range(2))
    clock = event_clock(cupy.cuda.Event, cupy.cuda.runtime.deviceSynchronize, cupy.cuda.get_elapsed_time)
    run = {"product": lambda: backend.matmul(a, a, product), "copy": lambda: cupy.copyto(target, source)}
    return Passes(run, clock=clock)

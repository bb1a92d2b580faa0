"""Times contenders in turns, after their outputs have been found to agree."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from bench.agreement import Outputs, check_outputs, outliers
from bench.case import Case
from bench.contenders import Contender
from bench.workers import Worker, WorkerError

Result = TypeVar("Result")

PAUSE = 0.05
"""Seconds between two turns, until the last one's threads have stopped waiting for work."""


@dataclass(frozen=True)
class Measurement:
    """What one contender took for one pass of one case."""

    contender: Contender
    case: Case
    name: str
    turns: tuple[float, ...]
    idle_memory: int
    peak_memory: int

    @property
    def seconds(self) -> float:
        """The middle turn."""
        return statistics.median(self.turns)

    @property
    def spread(self) -> float:
        """Half the range between the quartiles, as a part of the median."""
        if len(self.turns) < 2:
            return 0.0
        low, _, high = statistics.quantiles(self.turns, n=4, method="inclusive")
        return 0.5 * (high - low) / self.seconds


def compare(
    contenders: Sequence[Contender],
    case: Case,
    *,
    passes: Sequence[str],
    turns: int,
    seconds: float,
    say: Callable[[str], Any] = print,
    limit: float = 900.0,
    together: bool = False,
    strict: bool = True,
) -> list[Measurement]:
    """Times all contenders that suit the network.

    Parameters
    ----------
    contenders, case, passes : who, on what, and which passes.
    turns, seconds : how often each has its turn, and how long one is.
    say : takes a line for each contender that is left out, and why.
    limit : seconds after which a contender that does not answer is left out.
    together : whether they are built at the same time, and those that compile have their first passes beside the
        others'. Everyone is timed alone.
    strict : whether outputs that differ end the comparison; if not, those that differ from most are left out.

    Returns
    -------
    The measurements, pass by pass. Memory is that of all passes together.

    Raises
    ------
    Mismatch : outputs differ, and the comparison is strict. Nothing is timed then.
    """
    found: list[Measurement] = []
    with _Field(case.network.name, say) as field:
        field.fill([contender for contender in contenders if contender.suits(case.network)], case, limit, together)
        checked = field.check(together)
        for precision in dict.fromkeys(contender.precision for contender in checked):
            alike = {c.title: outputs for c, (outputs, _) in checked.items() if c.precision == precision}
            if strict:
                check_outputs(case.network.name, alike, precision)
            else:
                field.leave_out(outliers(alike, precision))
        for name in passes:
            timed: dict[Contender, list[float]] = {}
            for contender, worker in list(field.workers.items()):
                if name in worker.passes:
                    timed[contender] = []
                    field.ask(contender, Worker.warm, name, seconds)
                else:
                    say(f"{contender.title} has no {name} pass of its own.")
            for _ in range(turns):
                for contender, found_so_far in timed.items():
                    time.sleep(PAUSE)
                    taken = field.ask(contender, Worker.measure, name)
                    if taken is not None:
                        found_so_far.append(taken)
            found += [
                Measurement(
                    contender, case, name, tuple(times), field.workers[contender].idle_memory, checked[contender][1]
                )
                for contender, times in timed.items()
                if contender in field.workers
            ]
    return found


class _Field:
    """The contenders that are still there, each with its worker."""

    def __init__(self, network: str, say: Callable[[str], Any]) -> None:
        self._network, self._say = network, say
        self.workers: dict[Contender, Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self.workers.values():
            worker.close()

    def fill(self, contenders: Sequence[Contender], case: Case, limit: float, together: bool) -> None:
        """Starts their workers and waits until the networks are built."""
        for contender in contenders:
            self.workers[contender] = Worker(contender.module, contender.options, case, limit=limit, wait=False)
            if not together:
                self.ask(contender, Worker.ready)
        if together:
            for contender in contenders:
                self.ask(contender, Worker.ready)

    def check(self, together: bool) -> dict[Contender, tuple[Outputs, int]]:
        """Everyone's outputs, and the memory for them."""
        everyone = list(self.workers)
        slow = [contender for contender in everyone if together and contender.compiles]

        def one_by_one(contenders: Sequence[Contender]) -> dict[Contender, tuple[Outputs, int] | None]:
            return {contender: self.ask(contender, Worker.check) for contender in contenders}

        with ThreadPoolExecutor(len(slow) + 1) as pool:
            rest = [contender for contender in everyone if contender not in slow]
            parts = list(pool.map(one_by_one, [rest, *([contender] for contender in slow)]))
        answers = {contender: answer for part in parts for contender, answer in part.items()}
        return {c: answer for c in everyone if (answer := answers[c]) is not None}

    def leave_out(self, reasons: Mapping[str, str]) -> None:
        """Ends the workers of those titles."""
        for contender in [contender for contender in self.workers if contender.title in reasons]:
            self.workers.pop(contender).close()
            self._leave_out(contender, reasons[contender.title])

    def ask(self, contender: Contender, question: Callable[..., Result], *arguments: Any) -> Result | None:
        """What its worker answers; None if there is none, or no answer: then it is left out from now on."""
        if contender not in self.workers:
            return None
        try:
            return question(self.workers[contender], *arguments)
        except WorkerError as error:
            self.workers.pop(contender).close()
            self._leave_out(contender, error)
            return None

    def _leave_out(self, contender: Contender, reason: object) -> None:
        self._say(f"{contender.title} is left out of {self._network}: {reason}")

"""What a run has found, as plain records: in memory, in a JSON file, and as ratios."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from bench.comparison import Measurement
from bench.counts import operations, traffic


@dataclass(frozen=True)
class Record:
    """One contender's figures for one pass of one network."""

    network: str
    batch: int
    threads: int
    name: str
    contender: str
    title: str
    ours: bool
    device: str
    seconds: float
    spread: float
    operations: int
    traffic: int
    idle_memory: int
    peak_memory: int
    precision: str = "float32"

    @classmethod
    def of(cls, found: Measurement) -> Self:
        """The figures of a measurement."""
        case, contender = found.case, found.contender
        return cls(
            network=case.network.name,
            batch=case.batch,
            threads=case.threads,
            name=found.name,
            contender=contender.name,
            title=contender.title,
            ours=contender.ours,
            device=contender.device,
            seconds=found.seconds,
            spread=found.spread,
            operations=operations(case.network, case.batch, found.name),
            traffic=traffic(case.network, case.batch, found.name),
            idle_memory=found.idle_memory,
            peak_memory=found.peak_memory,
            precision=contender.precision,
        )


@dataclass(frozen=True)
class Results:
    """All of a run.

    Parameters
    ----------
    about : machine, date and settings.
    rates : the machine's operations and bytes a second, by number of threads; of a GPU by precision.
    records, scaling : the figures, and those for other batches and numbers of threads.
    """

    about: dict[str, Any]
    rates: dict[str, dict[str, float]]
    records: list[Record]
    scaling: list[Record]

    def save(self, path: Path) -> None:
        """Writes everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.name}.new")  # so that a run that is ended meanwhile leaves a whole file
        new.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        new.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads what `save` has written."""
        read = json.loads(path.read_text(encoding="utf-8"))
        for name in ("records", "scaling"):
            read[name] = [Record(**fields) for fields in read[name]]
        return cls(**read)


def groups(records: Iterable[Record]) -> list[list[Record]]:
    """Records that may be compared: of one network, batch, number of threads, pass, device and precision."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        key = (record.network, record.batch, record.threads, record.name, record.device, record.precision)
        found.setdefault(key, []).append(record)
    return list(found.values())


def ours(group: Sequence[Record]) -> Record | None:
    """xpnet's record: the first, where there are several ways to run it."""
    return next((record for record in group if record.ours), None)


def best_peer(group: Sequence[Record]) -> Record | None:
    """The fastest of the others."""
    return min((record for record in group if not record.ours), key=lambda record: record.seconds, default=None)

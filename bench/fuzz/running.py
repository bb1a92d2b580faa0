"""Damages files, has them read, and keeps what should not have happened."""

import faulthandler
import shutil
import sys
import tempfile
import time
import traceback
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench.fuzz.loaders import LOADERS, Files, Loader, total
from bench.fuzz.mutations import ANY, LONGEST, inflated, spliced

SECONDS = 2.0
"""Of processor time, which reading a file may take."""
ALLOWANCE = 256 * 2**10
"""Bytes that reading may take beside twice the honest size: buffers, and Python's own objects."""
_HANGS = 600.0  # seconds for a thousand files, after which the process says where it stands and ends, its folder left
_MOST_KEPT = 300
_INFLATED = 0.0003
_MEMORY = Path("/dev/shm")
"""Where files are not written to a disk, which would take most of the time."""
_PIECE = 1000


@dataclass(frozen=True)
class Answer:
    """What a loader made of a folder.

    Parameters
    ----------
    wrong : what should not have happened; "" where all is well.
    kind : where in the library it was refused, or "loaded".
    seconds : of processor time, while memory was watched.
    peak, allowed : bytes that were taken, and those that may be.
    """

    wrong: str
    kind: str
    seconds: float
    peak: int
    allowed: int


@dataclass
class Report:
    """What many files came to; `beyond` are the most bytes taken beside twice a file's honest size."""

    files: int = 0
    loaded: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    beyond: int = 0
    kinds: dict[str, Files] = field(default_factory=dict)
    findings: dict[str, Files] = field(default_factory=dict)

    def add(self, other: "Report") -> None:
        """Takes another one's files for its own."""
        self.files += other.files
        self.loaded += other.loaded
        self.seconds += other.seconds
        self.slowest = max(self.slowest, other.slowest)
        self.beyond = max(self.beyond, other.beyond)
        for mine, theirs in ((self.kinds, other.kinds), (self.findings, other.findings)):
            mine.update((name, case) for name, case in theirs.items() if total(case) < total(mine.get(name, case)) + 1)


class Reader:
    """Has a loader read folders, one after the other."""

    def __init__(self, loader: Loader, folder: Path) -> None:
        self.loader = loader
        self.folder = folder
        self.load, self.state = loader.begin()
        self.before = self.state()
        self.last: Files = {}

    def answer(self, files: Files) -> Answer:
        """Writes the files and reads them."""
        for name in self.last.keys() - files.keys():
            (self.folder / name).unlink()
        for name, content in files.items():
            if self.last.get(name) != content:
                (self.folder / name).write_bytes(content)
        self.last = dict(files)
        error, peak, seconds = self._read()
        wrong, kind = "", "loaded" if error is None else _place(error)
        if error is None:
            self.before = self.state()
        elif type(error) not in self.loader.errors or str(self.folder) not in str(error):
            wrong = f"{type(error).__name__} that is not documented, at {kind}"
        elif self.state() != self.before:
            wrong = f"something was changed before the error, at {kind}"
        allowed = 2 * self.loader.size(files)
        if peak > allowed + ALLOWANCE:  # Python itself may have enlarged a table meanwhile, but not twice
            peak = min(peak, self._read()[1])
        if not wrong and peak > allowed + ALLOWANCE:
            wrong = f"more memory than twice the honest size, {kind}"
        if not wrong and seconds > SECONDS and (seconds := self._seconds()) > SECONDS:
            wrong = f"more than {SECONDS} s, {kind}"
        return Answer(wrong, kind, seconds, peak, allowed)

    def _read(self) -> tuple[Exception | None, int, float]:
        """The error, the most bytes taken, and seconds of processor time."""
        found = None
        began = time.process_time()
        tracemalloc.start()
        try:
            self.load(self.folder)
        except Exception as error:
            found = error
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, peak, time.process_time() - began

    def _seconds(self) -> float:
        """Those of reading again, without watching the memory, which takes longer than what is watched."""
        began = time.process_time()
        with suppress(Exception):
            self.load(self.folder)
        return time.process_time() - began


def _place(error: Exception) -> str:
    """The last line of the library that an error passed through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/xpnet/" in f.filename and f.name != "shown"]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "nowhere in xpnet"


def fuzz(name: str, files: int, seed: int) -> Report:
    """Damages so many files for a loader and returns what came of it; the same seed damages the same.

    A folder whose answer is of a new kind is kept and damaged further, so that mutations reach what lies behind others.
    """
    loader, random, report = LOADERS[name], Random(f"{name} {seed}"), Report()
    folder = Path(tempfile.mkdtemp(prefix="xpnet-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None))
    faulthandler.dump_traceback_later(_HANGS, exit=True, file=sys.__stderr__ or 2)
    try:
        reader = Reader(loader, folder)
        kept = loader.honest()
        for honest in kept:
            answer = reader.answer(honest)
            if answer.wrong or answer.kind != "loaded":
                raise RuntimeError(f"{name}: an honest file was not loaded: {answer}")
        began = time.perf_counter()
        for _ in range(files):
            case = mutated(loader, kept, random)
            answer = reader.answer(case)
            report.files += 1
            report.loaded += answer.kind == "loaded"
            report.slowest = max(report.slowest, answer.seconds)
            report.beyond = max(report.beyond, answer.peak - answer.allowed)
            if answer.wrong and answer.wrong not in report.findings:
                report.findings[answer.wrong] = smaller(case, reader, answer.wrong)
            new = answer.kind not in report.kinds
            if new or total(case) < total(report.kinds[answer.kind]):
                report.kinds[answer.kind] = case
            if (new or random.random() < 0.01) and total(case) < 2 * LONGEST:
                kept = [*kept[: _MOST_KEPT - 1], case]
        report.seconds = time.perf_counter() - began
    finally:
        faulthandler.cancel_dump_traceback_later()
        shutil.rmtree(folder)
    return report


def mutated(loader: Loader, kept: list[Files], random: Random) -> Files:
    """A folder made of one that is kept, one of its files damaged once or several times."""
    case = dict(random.choice(kept))
    name = random.choice(list(case))
    content = case[name]
    own = loader.mutations.get(name, loader.mutations.get("", ()))
    for _ in range(random.choice((1, 1, 1, 2, 3, 5))):
        if random.random() < 0.05:
            content = spliced(content, random.choice(list(random.choice(kept).values())), random)
        else:
            content = random.choice(own if own and random.random() < 0.5 else ANY)(content, random)
        content = content[:LONGEST]
    if random.random() < _INFLATED:
        content = inflated(content, random)
    case |= {name: content}
    return loader.settled(case) if random.random() < 0.5 else case


def smaller(case: Files, reader: Reader, wrong: str) -> Files:
    """The same finding in as few bytes as are found by leaving pieces out, a thousand times at most."""
    tries = 1000
    for name in case:
        size = len(case[name]) // 2
        while size:
            for begin in range(len(case[name]) - size, -1, -size):
                less = case | {name: case[name][:begin] + case[name][begin + size :]}
                tries -= 1
                if tries < 0:
                    return case
                if reader.answer(less).wrong == wrong:
                    case = less
            size //= 2
    return case


def pieces(names: list[str], files: int, seed: int) -> Iterator[tuple[str, int, int]]:
    """What one process does at a time: a loader, a number of files, a seed."""
    parts = sum(LOADERS[name].part for name in names)
    for name in names:
        share = round(files * LOADERS[name].part / parts)
        for begin in range(0, share, _PIECE):
            yield name, min(_PIECE, share - begin), seed + begin // _PIECE

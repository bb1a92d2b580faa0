"""What the examples share: their two options, batches counted in steps, saved pictures, printed lines and tables."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

import xpnet
from xpnet.training import History, Run

matplotlib.use("Agg")  # pictures go to files, so no window system is needed


def new_parser(lesson: str | None) -> argparse.ArgumentParser:
    """The options that every example has; `lesson` is the script's docstring, which `--help` shows."""
    parser = argparse.ArgumentParser(description=lesson, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="numpy", help="the array library that computes (default: numpy)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="the folder for pictures (default: out)")
    return parser


def start(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the options, chooses the backend and makes the folder."""
    options = parser.parse_args(arguments)
    xpnet.set_backend(options.backend)
    options.out.mkdir(parents=True, exist_ok=True)
    return options


class Rounds:
    """Batches without end, cut into rounds of so many steps.

    `fit` takes a pass over its batches for an epoch. A small data set makes short epochs; where a lesson counts in
    steps, a round is the better measure.
    """

    def __init__(self, batches: xpnet.data.Batches, steps: int) -> None:
        self.steps = steps
        self._stream = _endless(batches)

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        for _ in range(self.steps):
            yield next(self._stream)


def _endless(batches: xpnet.data.Batches) -> Iterator[tuple[Any, Any]]:
    while True:
        yield from batches


def print_epoch(run: Run) -> None:
    """A line for every fifth epoch, where the output is no terminal and so has no progress bar."""
    if not sys.stderr.isatty() and (run.epoch % 5 == 0 or run.epoch in (1, run.epochs)):
        row = run.history.epochs[-1]
        training = f"training loss {row['loss']:.4f}, accuracy {row['accuracy']:.2%}"
        print(f"epoch {run.epoch:3}: {training}; held out {row['val_loss']:.4f}, {row['val_accuracy']:.2%}", flush=True)


def save(figure: Any, path: Path) -> None:
    """Writes a picture and says where it is."""
    from matplotlib import pyplot

    figure.savefig(path, dpi=130)
    pyplot.close(figure)
    print(f"wrote {path}")


def print_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows under the names of their columns: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    print()
    for row in (names, ["-" * width for width in widths], *rows):
        first, *numbers = zip(row, widths, strict=True)
        print("  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in numbers)]).rstrip())


def print_accuracies(what: str, history: History, test: Mapping[str, float]) -> None:
    """A table of the last epoch's accuracy and loss, in training and held out, and of the test's."""
    last = history.epochs[-1]
    kinds = {f"training, {what}": ("", last), "held out": ("val_", last), "test": ("", test)}
    rows = [[name, f"{row[f'{k}accuracy']:.2%}", f"{row[f'{k}loss']:.4f}"] for name, (k, row) in kinds.items()]
    print_table(["examples", "accuracy", "loss"], rows)

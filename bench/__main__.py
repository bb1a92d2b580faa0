"""`python -m bench`: xpnet beside what a user would pick instead, on MLPs and CNNs, as ratios measured in one run."""

import argparse
import datetime
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import machine
from bench.agreement import Mismatch
from bench.case import Case
from bench.comparison import compare
from bench.contenders import CONTENDERS, Contender
from bench.gpu.rates import gpu_rates
from bench.networks import NETWORKS
from bench.options import ALL_NETWORKS, Plan, parse, plans
from bench.picture import save_overview, save_scaling
from bench.results import Record, Results
from bench.table import table

SCALED_NETWORKS = ("784-1024-1024-10", "simple_cnn")
SCALED_CONTENDERS = ("xpnet", "pytorch", "pytorch-channels-last", "jax")
BATCHES = (1, 4, 16, 64, 256, 1024)

ALL_AT_ONCE = 40
"""Layers of the deepest network of which a GPU's memory holds all contenders; of deeper ones, those of a precision."""


def main(arguments: Sequence[str] | None = None) -> list[Results]:
    """Measures what the arguments ask for, device by device, prints tables, and writes JSON and pictures."""
    options = parse(arguments)
    options.started = time.monotonic()
    about = machine.describe()
    if about["load_before"] > 0.5:
        print(f"This machine is busy (load {about['load_before']}): times will be too long and spreads wide.")
    about |= {"date": datetime.date.today().isoformat()}
    try:
        found = [results for plan in plans(options) if (results := _run(plan, about, options))]
    except Mismatch as error:
        raise SystemExit(f"bench stops: {error}") from None
    if not found:
        raise SystemExit("bench: nothing could be measured")
    return found


def _run(plan: Plan, about: dict[str, Any], options: argparse.Namespace) -> Results | None:
    """All of one device; None where nobody can run or all have failed."""
    left_out: list[str] = []

    def say(line: str) -> None:
        print(line)
        left_out.append(line)

    contenders = _present([CONTENDERS[name] for name in plan.contenders], say)
    if not contenders:
        return None
    about = about | {"turns": plan.turns, "seconds": plan.seconds}
    if plan.device == "gpu":
        about |= {"device": "gpu", "left_out": left_out}
    name = machine.gpu_file_name(about) if plan.device == "gpu" else machine.file_name(about)
    path = options.out / f"{name}.json"
    results = Results(about, _rates(plan, options), [], [])
    for new in _measure(_cases(plan, options), contenders, plan, options, left_out):
        results.records.extend(new)
        results.save(path)  # what is there stays there, whatever happens to the next case
    if options.scaling and plan.device == "cpu":
        results.scaling.extend(_scaling(contenders, plan, options))
    if not results.records:
        return None
    results.save(path)
    _draw(results, path)
    print(f"\nThe figures are in {path}.")
    return results


def _draw(results: Results, path: Path) -> None:
    try:
        save_overview(results, path.with_suffix(".png"))
        if results.scaling:
            save_scaling(results, path.with_name(f"{path.stem}-scaling.png"))
    except ImportError as error:
        print(f"There is no picture: {error}")


def _rates(plan: Plan, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    if plan.device == "gpu":
        precisions = dict.fromkeys(CONTENDERS[name].precision for name in plan.contenders)
        return gpu_rates(list(precisions), turns=plan.turns, seconds=plan.seconds)
    threads = sorted(set(options.threads))
    return {str(n): machine.rates(n, turns=plan.turns, seconds=plan.seconds) for n in threads}


def _cases(plan: Plan, options: argparse.Namespace) -> list[Case]:
    networks = [ALL_NETWORKS[name] for name in plan.networks]
    threads = options.threads if plan.device == "cpu" else [max(options.threads)]
    return [Case(network, network.batch, n) for network in networks for n in threads]


def _present(contenders: Iterable[Contender], say: Callable[[str], Any] = print) -> list[Contender]:
    """Those that can run here; `say` takes a line for each thing that others would need."""
    present: list[Contender] = []
    absent: dict[str, list[str]] = {}
    for contender in contenders:
        missing = contender.missing()
        if missing is None:
            present.append(contender)
        else:
            absent.setdefault(missing, []).append(contender.title)
    for missing, titles in absent.items():
        say(f"Left out: {'; '.join(titles)}: {missing}")
    return present


def _measure(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    plan: Plan,
    options: argparse.Namespace,
    left_out: list[str] | None = None,
) -> Iterator[list[Record]]:
    """All cases one after the other, each with its table as soon as it is there.

    On a GPU, a contender that does not compute what the others do is left out; all that is goes into `left_out`.
    """
    on_gpu, notes = plan.device == "gpu", [] if left_out is None else left_out
    with tqdm(cases, disable=None, unit="case") as progress:

        def say(line: str) -> None:
            progress.write(line)
            head, _, tail = line.strip().partition("\n")
            notes.append(f"{head} … {tail.splitlines()[-1]}" if tail else head)

        for case in progress:
            where = "GPU" if on_gpu else f"threads {case.threads}"
            progress.set_description(f"{case.network.name}, batch {case.batch}, {where}")
            for some in _at_once(contenders, case) if on_gpu else [contenders]:
                if options.until is not None and time.monotonic() - options.started > options.until:
                    precisions = " and ".join(dict.fromkeys(contender.precision for contender in some))
                    say(f"{case.network.name} in {precisions} was not measured: {options.until:g} seconds were over")
                    continue
                found = compare(
                    some,
                    case,
                    passes=plan.passes,
                    turns=plan.turns,
                    seconds=plan.seconds,
                    say=say,
                    limit=options.limit,
                    together=on_gpu,
                    strict=not on_gpu,
                )
                new = [Record.of(measurement) for measurement in found]
                progress.write(f"\n{table(new)}")
                yield new


def _at_once(contenders: Sequence[Contender], case: Case) -> list[list[Contender]]:
    """Everyone, or of a large network everyone of a precision."""
    if case.network.depth <= ALL_AT_ONCE:
        return [list(contenders)]
    precisions = dict.fromkeys(contender.precision for contender in contenders)
    return [[contender for contender in contenders if contender.precision == each] for each in precisions]


def _scaling(contenders: Sequence[Contender], plan: Plan, options: argparse.Namespace) -> list[Record]:
    """Steps of one MLP and one CNN: all sizes of batch on all threads, and their own batch on fewer threads."""
    most = max(options.threads)
    fewer = [2**i for i in range(most.bit_length()) if 2**i < most]
    networks = [NETWORKS[name] for name in SCALED_NETWORKS if name in plan.networks]
    cases = [
        Case(network, batch, threads)
        for network in networks
        for batch, threads in [*((b, most) for b in BATCHES), *((network.batch, n) for n in [*fewer, most])]
    ]
    chosen = [contender for contender in contenders if contender.name in SCALED_CONTENDERS]
    steps = Plan(plan.device, plan.networks, ("step",), plan.contenders, plan.turns, plan.seconds)
    return [record for new in _measure(cases, chosen, steps, options) for record in new]


if __name__ == "__main__":
    main()

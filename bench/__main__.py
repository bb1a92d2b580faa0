"""`python -m bench`: xpnet beside what a user would pick instead, on MLPs and CNNs, as ratios measured in one run."""

import argparse
import datetime
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import machine
from bench.agreement import Mismatch
from bench.case import Case
from bench.comparison import compare
from bench.contenders import CONTENDERS, Contender
from bench.networks import NETWORKS
from bench.passes import PASSES
from bench.picture import save_overview, save_scaling
from bench.results import Record, Results
from bench.table import table

RESULTS = Path(__file__).parent / "results"

FULL: dict[str, Any] = {
    "networks": list(NETWORKS),
    "passes": list(PASSES),
    "contenders": list(CONTENDERS),
    "turns": 11,
    "seconds": 0.4,
}
QUICK: dict[str, Any] = FULL | {
    "networks": ["784-40-20-10", "simple_cnn", "vgg_small"],
    "passes": ["forward", "step"],
    "contenders": ["xpnet", "xpnet-plain", "pytorch", "pytorch-channels-last", "jax"],
    "turns": 3,
    "seconds": 0.1,
}

SCALED_NETWORKS = ("784-1024-1024-10", "simple_cnn")
SCALED_CONTENDERS = ("xpnet", "xpnet-cupy", "pytorch", "pytorch-channels-last", "pytorch-cuda", "jax")
BATCHES = (1, 4, 16, 64, 256, 1024)


def main(arguments: Sequence[str] | None = None) -> Results:
    """Measures what the arguments ask for, prints a table, and writes JSON and pictures."""
    options = _options(arguments)
    about = machine.describe()
    if about["load_before"] > 0.5:
        print(f"This machine is busy (load {about['load_before']}): times will be too long and spreads wide.")
    contenders = _present([CONTENDERS[name] for name in options.contenders])
    cases = [Case(NETWORKS[name], NETWORKS[name].batch, n) for name in options.networks for n in options.threads]
    rates = {
        str(n): machine.rates(n, turns=options.turns, seconds=options.seconds) for n in sorted(set(options.threads))
    }
    try:
        records = _measure(cases, contenders, options.passes, options)
        scaling = _scaling(contenders, options) if options.scaling else []
    except Mismatch as error:
        raise SystemExit(f"bench stops: {error}") from None
    if not records:
        raise SystemExit("bench: nothing could be measured")
    about |= {"date": datetime.date.today().isoformat(), "turns": options.turns, "seconds": options.seconds}
    results = Results(about, rates, records, scaling)
    path = options.out / f"{machine.file_name(about)}.json"
    results.save(path)
    save_overview(results, path.with_suffix(".png"))
    if scaling:
        save_scaling(results, path.with_name(f"{path.stem}-scaling.png"))
    print(f"\nThe figures are in {path}, with a picture beside them.")
    return results


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer networks, contenders and turns: under two minutes")
    parser.add_argument("--scaling", action="store_true", help="also batches 1 to 1024 and threads 1 to all")
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), metavar="NAME", help=", ".join(NETWORKS))
    parser.add_argument("--passes", nargs="+", choices=PASSES, metavar="NAME", help=", ".join(PASSES))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--threads", nargs="+", type=_positive, default=[machine.cores()], help="default: all cores")
    parser.add_argument("--turns", type=_positive, help=f"turns of each contender, default {FULL['turns']}")
    parser.add_argument("--seconds", type=float, help=f"length of a turn, default {FULL['seconds']}")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON file and the pictures; default bench/results, of a part out"
    )
    options = parser.parse_args(arguments)
    partial = options.quick or options.networks or options.passes or options.contenders
    options.out = options.out or (Path("out") if partial else RESULTS)
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number


def _present(contenders: Iterable[Contender]) -> list[Contender]:
    """Those that can run here; a line for each thing that others would need."""
    present: list[Contender] = []
    absent: dict[str, list[str]] = {}
    for contender in contenders:
        missing = contender.missing()
        if missing is None:
            present.append(contender)
        else:
            absent.setdefault(missing, []).append(contender.title)
    for missing, titles in absent.items():
        print(f"Left out: {'; '.join(titles)}: {missing}")
    return present


def _measure(
    cases: Sequence[Case],
    contenders: Sequence[Contender],
    passes: Sequence[str],
    options: argparse.Namespace,
) -> list[Record]:
    """All cases one after the other, each with its table as soon as it is there."""
    records: list[Record] = []
    with tqdm(cases, disable=None, unit="case") as progress:
        for case in progress:
            progress.set_description(f"{case.network.name}, batch {case.batch}, threads {case.threads}")
            found = compare(
                contenders, case, passes=passes, turns=options.turns, seconds=options.seconds, say=progress.write
            )
            new = [Record.of(measurement) for measurement in found]
            progress.write(f"\n{table(new)}")
            records += new
    return records


def _scaling(contenders: Sequence[Contender], options: argparse.Namespace) -> list[Record]:
    """Steps of one MLP and one CNN: all sizes of batch on all threads, and their own batch on fewer threads."""
    most = max(options.threads)
    fewer = [2**i for i in range(most.bit_length()) if 2**i < most]
    networks = [NETWORKS[name] for name in SCALED_NETWORKS if name in options.networks]
    cases = [
        Case(network, batch, threads)
        for network in networks
        for batch, threads in [*((b, most) for b in BATCHES), *((network.batch, n) for n in [*fewer, most])]
    ]
    chosen = [contender for contender in contenders if contender.name in SCALED_CONTENDERS]
    return _measure(cases, chosen, ["step"], options)


if __name__ == "__main__":
    main()

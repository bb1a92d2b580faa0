"""What the command line asks for, and what is measured where it does not say."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench import machine
from bench.contenders import CONTENDERS
from bench.networks import GPU_NETWORKS, NETWORKS
from bench.passes import PASSES

RESULTS = Path(__file__).parent / "results"
ALL_NETWORKS = NETWORKS | GPU_NETWORKS


@dataclass(frozen=True)
class Plan:
    """What is measured on one device: names of networks, passes and contenders, and how often and how long."""

    device: str
    networks: tuple[str, ...]
    passes: tuple[str, ...]
    contenders: tuple[str, ...]
    turns: int
    seconds: float


def _names(device: str) -> tuple[str, ...]:
    return tuple(name for name, contender in CONTENDERS.items() if contender.device == device)


FULL = {
    "cpu": Plan("cpu", tuple(NETWORKS), PASSES, _names("cpu"), turns=11, seconds=0.4),
    "gpu": Plan("gpu", tuple(GPU_NETWORKS), ("forward", "step"), _names("gpu"), turns=11, seconds=0.2),
}
QUICK = {
    "cpu": Plan(
        "cpu",
        ("784-40-20-10", "simple_cnn", "vgg_small"),
        ("forward", "step"),
        ("xpnet", "xpnet-plain", "pytorch", "pytorch-channels-last", "jax"),
        turns=3,
        seconds=0.1,
    ),
    "gpu": replace(FULL["gpu"], networks=("784-1024-1024-10", "simple_cnn"), turns=3, seconds=0.05),
}


def plans(options: argparse.Namespace) -> list[Plan]:
    """One for each device that is asked for and has contenders among those that are."""
    found = []
    for device, plan in (QUICK if options.quick else FULL).items():
        if options.device not in (device, "all"):
            continue
        chosen = options.contenders or plan.contenders
        plan = Plan(
            device,
            networks=tuple(options.networks or plan.networks),
            passes=tuple(options.passes or plan.passes),
            contenders=tuple(name for name in chosen if CONTENDERS[name].device == device),
            turns=options.turns or plan.turns,
            seconds=options.seconds or plan.seconds,
        )
        if plan.contenders:
            found.append(plan)
    return found


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description="xpnet beside what a user would pick instead, on MLPs and CNNs, as ratios measured in one run.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer networks, contenders and turns: under two minutes")
    parser.add_argument("--device", choices=("cpu", "gpu", "all"), default="all", help="default: all that is present")
    parser.add_argument(
        "--scaling", action="store_true", help="also batches 1 to 1024 and threads 1 to all, on the CPU"
    )
    parser.add_argument(
        "--networks", nargs="+", choices=list(ALL_NETWORKS), metavar="NAME", help=", ".join(ALL_NETWORKS)
    )
    parser.add_argument("--passes", nargs="+", choices=PASSES, metavar="NAME", help=", ".join(PASSES))
    parser.add_argument("--contenders", nargs="+", choices=list(CONTENDERS), metavar="NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--threads", nargs="+", type=_positive, default=[machine.cores()], help="default: all cores")
    parser.add_argument("--turns", type=_positive, help=f"turns of each contender, default {FULL['cpu'].turns}")
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"length of a turn, default {FULL['cpu'].seconds}, on a GPU {FULL['gpu'].seconds}",
    )
    parser.add_argument("--until", type=float, help="seconds after which no further case is begun")
    parser.add_argument("--limit", type=float, default=900.0, help="seconds for an answer of a contender, default 900")
    parser.add_argument(
        "--out", type=Path, help="folder for the JSON file and the pictures; default bench/results, of a part out"
    )
    options = parser.parse_args(arguments)
    partial = options.quick or options.networks or options.passes or options.contenders
    options.out = options.out or (Path("out") if partial else RESULTS)
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text}")
    return number

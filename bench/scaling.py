"""`python -m bench.scaling`: what ranks cost here, measured, and how training scales on many GPUs, predicted.

Measured are all-reduces of 2 and more ranks, with a latency and a bandwidth fitted to them, and training steps: ranks
with one thread each beside one process with as many threads, turn by turn. Predicted is what `bench.scaling_model`
makes of stated assumptions. Everything goes into `scaling.json`, `scaling.md` and `scaling.png`.
"""

import argparse
import dataclasses
import datetime
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import machine
from bench.networks import GPU_NETWORKS, NETWORKS
from bench.options import RESULTS
from bench.scaling_model import Cluster, fitted, gradient_bytes, strong, weak
from bench.scaling_ranks import EPOCH, Group
from bench.scaling_report import page, save_picture

STEPS = ("784-1024-1024-10", "vgg_small")
PREDICTED = {"784-1024-1024-10": (1024, 65_536), "resnet50-224": (64, 8_192)}
"""Networks with the examples on each GPU for weak, and in all for strong scaling."""
GPUS = tuple(2**i for i in range(11))
SIZES = tuple(4 * 8**i for i in range(9))
"""Bytes: 4 to 64 MiB."""
_CALLS, _BURSTS, _BYTES = 10, 40, 2**20
"""Calls in a burst of reductions, bursts in a turn, and the bytes beyond which there are fewer of both.

Bursts are short, so that on a machine with other processes some of them are not interrupted.
"""


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, predicts, and writes."""
    parser = argparse.ArgumentParser(prog="python -m bench.scaling", description=__doc__)
    parser.add_argument("--ranks", nargs="+", type=int, default=[2, 4], help="of all-reduces; default 2 4")
    parser.add_argument("--networks", nargs="*", choices=list(NETWORKS), default=list(STEPS), metavar="NAME")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a turn of steps, default 1")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="bytes of the largest all-reduce")
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(arguments)
    about = machine.describe() | {"date": datetime.date.today().isoformat(), "turns": options.turns}
    found: dict[str, Any] = {
        "about": about,
        "reductions": [
            reductions(n, [size for size in SIZES if size <= options.most], options.turns) for n in options.ranks
        ],
        "steps": [
            steps(network, n, options.turns, options.seconds)
            for network in options.networks
            for n in sorted({n for n in (2, machine.cores()) if 1 < n <= machine.cores()})
        ],
    }
    for each in found["steps"]:
        each["expected"] = expected(each, found["reductions"])
    found["predicted"] = predicted(Cluster())
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "scaling.json"
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = page(found)
    path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    save_picture(found, path.with_suffix(".png"))
    print(f"{text}\n\nWritten: {path} and beside it.")
    return found


def reductions(n: int, sizes: Sequence[int], turns: int) -> dict[str, Any]:
    """The shortest time of a sum over n ranks for each size, and what is fitted to them."""
    group = Group(n, 1)
    try:
        seconds = []
        for size in sizes:
            calls, bursts = max(1, min(_CALLS, _BYTES // size)), max(2, min(_BURSTS, 4 * _BYTES // size))
            seconds.append(min(group.ask("all_reduce", size, calls) for _ in range(bursts * turns)))
    finally:
        group.close()
    latency, by_byte = fitted(sizes, seconds)
    return {"ranks": n, "bytes": list(sizes), "seconds": seconds, "latency": latency, "seconds_a_byte": by_byte}


def steps(network: str, n: int, turns: int, seconds: float) -> dict[str, Any]:
    """Medians of the times of a step, and of their ratios turn by turn.

    Beside one process with n threads there are one rank under MPI with n threads, n ranks with one thread each, and one
    process with one thread and one rank's share of the batch: what a rank would need if the others cost nothing.
    """
    batch = NETWORKS[network].batch
    groups = {"process": Group(0, n), "rank": Group(1, n), "ranks": Group(n, 1), "share": Group(0, 1)}
    try:
        calls = {}
        for name, group in groups.items():
            group.ask("build", network, batch // n if name == "share" else batch)
            calls[name] = max(1, round(seconds / (EPOCH * group.ask("step", 1))))
        times = [{name: group.ask("step", calls[name]) for name, group in groups.items()} for _ in range(turns)]
    finally:
        for group in groups.values():
            group.close()
    medians = {name: statistics.median(turn[name] for turn in times) for name in groups}
    return {
        "network": network,
        "batch": batch,
        "ranks": n,
        "gradient": gradient_bytes(NETWORKS[network]),
        "seconds": medians,
        "cost_of_mpi": statistics.median(turn["rank"] / turn["process"] for turn in times) - 1.0,
        "of_threads": statistics.median(turn["process"] / turn["ranks"] for turn in times),
        "of_threads_quartiles": statistics.quantiles((turn["process"] / turn["ranks"] for turn in times), n=4)[::2],
    }


def expected(step: dict[str, Any], measured: Sequence[dict[str, Any]]) -> float | None:
    """What n ranks should need by a share's time and the fitted all-reduce; None where that was not measured."""
    for each in measured:
        if each["ranks"] == step["ranks"]:
            return float(step["seconds"]["share"] + each["latency"] + step["gradient"] * each["seconds_a_byte"])
    return None


def predicted(cluster: Cluster) -> dict[str, Any]:
    """Weak and strong scaling to all of `GPUS`, by both ways, with and without overlap."""
    found = []
    for name, (each, whole) in PREDICTED.items():
        network = (NETWORKS | GPU_NETWORKS)[name]
        for way in ("ring", "tree"):
            for overlap in (False, True):
                lines = {
                    "weak": [weak(network, each, p, way, cluster, overlap=overlap) for p in GPUS],
                    "strong": [strong(network, whole, p, way, cluster, overlap=overlap) for p in GPUS],
                }
                found.append({"network": name, "each": each, "whole": whole, "way": way, "overlap": overlap, **lines})
    return {
        "gpus": list(GPUS),
        "lines": found,
        "assumptions": dataclasses.asdict(cluster),
        "sentences": cluster.sentences(),
    }


if __name__ == "__main__":
    main()

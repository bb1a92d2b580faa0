"""`python -m bench.mlp`: a whole training step of an MLP with Adam, xpnet beside NumPy by hand and PyTorch."""

import argparse
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench._harness import compare, machine
from bench._mlp_contenders import CONTENDERS

CASES: dict[str, dict[str, Any]] = {
    "784-40-20-10, batch 100": {"sizes": [784, 40, 20, 10], "batch": 100},
    "784-512-512-10, batch 128": {"sizes": [784, 512, 512, 10], "batch": 128},
    "784-1024-1024-1024-10, batch 512": {"sizes": [784, 1024, 1024, 1024, 10], "batch": 512},
}


def main() -> None:
    """Prints a table for each case and number of threads, and writes all figures as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--turns", type=int, default=11, help="turns of each contender")
    parser.add_argument("--seconds", type=float, default=0.4, help="length of a turn")
    parser.add_argument("--out", type=Path, help="a JSON file to write")
    arguments = parser.parse_args()
    contenders = [name for name in CONTENDERS if not name.startswith("torch") or find_spec("torch")]
    if len(contenders) < len(CONTENDERS):
        print("PyTorch is not installed, so it is left out: pip install torch")
    results: list[dict[str, Any]] = []
    for name, case in CASES.items():
        for threads in arguments.threads:
            timings = compare(
                "bench._mlp_contenders",
                contenders,
                case,
                threads=threads,
                turns=arguments.turns,
                seconds=arguments.seconds,
            )
            print(f"\n{name}, {threads} thread{'s' if threads > 1 else ''}")
            print(f"{'':<22}{'median':>12}{'spread':>9}{'its time / xpnet':>19}")
            for contender, timing in timings.items():
                ratio = timing.median / timings["xpnet"].median
                print(f"{contender:<22}{timing.median * 1e6:>9.0f} µs{timing.spread:>8.0%}{ratio:>19.2f}", flush=True)
                results.append(
                    {
                        "case": name,
                        "threads": threads,
                        "contender": contender,
                        "seconds": timing.median,
                        "spread": timing.spread,
                        "ratio_to_xpnet": ratio,
                    }
                )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"machine": machine(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()

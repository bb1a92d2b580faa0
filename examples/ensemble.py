"""Three small networks that err at different digits: together they are right more often than each of them.

Each gives ten probabilities, and `models.Ensemble` takes their mean. Where one network is wrong, it is often unsure,
and two others that are right outvote it. That helps as far as they are wrong at different digits. The three here are of
one kind, and differ by nothing but the random numbers of their training: the weights they start from and the order of
the digits. They learn from 300 digits, since with all 1437 there is little left to be wrong about.

All are tried on the 1497 digits that they never saw. 1137 of them are the rest of the training digits, by which the
settings were chosen (with other seeds); 360 are the test digits, and are shown by themselves as well. One of those is
0.28 %, so look at the mean over the seeds and the spread, and not at a single line.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers, schedules
from xpnet.layers import BatchNorm, Conv2d, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential

NAMES = ("first", "second", "third", "ensemble")


def new_member() -> Sequential:
    """Images (n, 8, 8, 1) -> scores (n, 10), with 1946 weights."""
    return Sequential(
        *(Conv2d(1, 8, 3, padding=1), BatchNorm(8), ReLU(), MaxPool2d(2)),  # (n, 8, 8, 1) -> (n, 4, 4, 8)
        *(Conv2d(8, 16, 3, padding=1), BatchNorm(16), ReLU(), MaxPool2d(2)),  # (n, 4, 4, 8) -> (n, 2, 2, 16)
        *(Flatten(), Linear(64, 10)),
    )


def train(model: Layer, x: Any, t: Any, epochs: int, seed: int) -> None:
    """The same training for all, but for the order of the digits."""
    batches = data.batches(x, t, size=32, seed=seed)
    xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.Adam(model, schedules.one_cycle(5e-3, steps=epochs * len(batches))),
        epochs=epochs,
        progress=False,
        seed=seed,
    )


def draw(accuracies: NDArray[Any]) -> Any:
    """For each seed the three members and the ensemble of them; lines for the means."""
    figure, panel = pyplot.subplots(figsize=(7, 4.2), layout="constrained")
    seeds = range(len(accuracies))
    for name, values, color in (("members", accuracies[:, :3], "#555555"), ("ensemble", accuracies[:, 3:], "#D55E00")):
        panel.plot([], [], "o", color=color, label=name)
        panel.plot(seeds, values, "o", color=color)
        panel.axhline(float(values.mean()), color=color, linestyle=":", linewidth=1)
    panel.set(xticks=seeds, xlabel="seed", ylabel="accuracy on unseen digits")
    panel.grid(alpha=0.3, axis="y")
    panel.legend()
    return figure


def outcome(row: NDArray[Any]) -> str:
    """How the ensemble does beside the best of its members."""
    best = row[:3].max()
    return "beats all" if row[3] > best else "ties with the best" if row[3] == best else "below the best"


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Trains three networks for each seed and draws; returns mean and standard deviation of the accuracies."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--examples", type=int, default=300, help="digits to train with (default: 300)")
    options = start(parser, arguments)
    n = options.examples
    (x, t), (x_test, t_test) = data.digits(flat=False)
    unseen, labels = np.concatenate([x_test, x[n:]]), np.concatenate([t_test, t[n:]])

    right = np.zeros((options.seeds, len(NAMES), len(labels)))
    for seed in range(options.seeds):
        xpnet.seed(seed)
        members = [new_member() for _ in range(3)]
        for i, member in enumerate(members):
            train(member, x[:n], t[:n], options.epochs, seed=3 * seed + i)
        for i, model in enumerate((*members, models.Ensemble(members))):
            right[seed, i] = xpnet.predict(model, unseen).argmax(axis=1) == labels
    save(draw(right.mean(axis=2)), options.out / "ensemble.png")

    found: dict[str, dict[str, float]] = {}
    for name, some in {"unseen digits": right, "test digits": right[..., : len(t_test)]}.items():
        accuracies = some.mean(axis=2)  # (seeds, members and ensemble)
        found[name] = report(f"{some.shape[2]} {name}", accuracies)
    return found


def report(what: str, accuracies: NDArray[Any]) -> dict[str, float]:
    """Prints the accuracies for each seed, their means and deviations; returns the latter two."""
    mean, deviation = accuracies.mean(axis=0), accuracies.std(axis=0)
    rows = [[f"seed {seed}", *(f"{a:.1%}" for a in row), outcome(row)] for seed, row in enumerate(accuracies)]
    rows += [[name, *(f"{a:.1%}" for a in row), ""] for name, row in (("mean", mean), ("deviation", deviation))]
    print_table([what, *NAMES, "the ensemble"], rows)
    found = {f"{name}, mean": float(value) for name, value in zip(NAMES, mean, strict=True)}
    found |= {f"{name}, deviation": float(value) for name, value in zip(NAMES, deviation, strict=True)}
    return found | {"seeds that beat all": float((accuracies[:, 3] > accuracies[:, :3].max(axis=1)).sum())}


if __name__ == "__main__":
    main()

"""Four wave forms in noise, told apart by a network that slides along the sequence, and by one that does not.

A sequence is 128 samples of a sine, a square, a sawtooth or a triangle, with noise added. Frequency, phase and
amplitude are drawn at random, so no single sample says anything: what counts is the shape of a piece, wherever it lies.

* `cnn1d` has filters of seven samples that slide along: a jump or a peak, once learned, is known at every place. Its
  last layers take the mean over all places, for the class does not depend on them;
* `mlp` has separate weights for each sample, and has to learn each shape at each phase and frequency anew. It has
  over twice as many weights.

Both train on the same 2000 sequences with noise of any size from none to the height of the waves. The picture shows
their accuracy against the noise, and which forms the convolutional network takes for which: a triangle is a sine but
for one part in nine, so these two are the first to be lost.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers, schedules
from xpnet.layers import Flatten, Layer, Sequential
from xpnet.training import accuracy

FORMS = ("sine", "square", "sawtooth", "triangle")
LENGTH = 128
NOISES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5)
SHOWN = 0.4
"""The noise of the waves that are drawn, and at which mistakes are counted."""

Waves = tuple[NDArray[np.float32], NDArray[np.int64]]


def waves(n: int, noise: float | NDArray[np.floating[Any]], seed: int) -> Waves:
    """Sequences (n, 128, 1) and what they are (n,); `noise` is its standard deviation, one for all or (n, 1)."""
    random = np.random.default_rng(seed)
    cycles, phase = random.uniform(2, 8, (n, 1)), random.random((n, 1))
    turn = (phase + cycles * np.arange(LENGTH) / LENGTH) % 1  # (n, 128), from 0 to 1 in each period
    forms = np.stack(
        [
            np.sin(2 * np.pi * turn),
            np.where(turn < 0.5, 1.0, -1.0),
            2 * turn - 1,
            4 * np.abs((turn + 0.25) % 1 - 0.5) - 1,
        ]
    )
    t = random.integers(0, len(FORMS), n)
    x = random.uniform(0.5, 1.5, (n, 1)) * forms[t, np.arange(n)] + noise * random.standard_normal((n, LENGTH))
    return x[..., np.newaxis].astype(np.float32), t  # (n, 128) -> (n, 128, 1)


def train(model: Layer, train_data: Waves, held_out: Waves, epochs: int) -> None:
    """The same training for both networks."""
    batches = data.batches(*train_data, size=50)
    xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.AdamW(model, schedules.one_cycle(3e-3, steps=epochs * len(batches))),
        epochs=epochs,
        validation=held_out,
        metrics={"accuracy": accuracy},
    )


def draw(accuracies: dict[str, list[float]], confusion: NDArray[np.int64]) -> Any:
    """Waves as the networks see them, the accuracies, and what is taken for what."""
    figure, panels = pyplot.subplot_mosaic(
        [[FORMS[0], FORMS[1], "accuracy", "confusion"], [FORMS[2], FORMS[3], "accuracy", "confusion"]],
        figsize=(15, 4.6),
        width_ratios=[1, 1, 1.8, 1.6],
        layout="constrained",
    )
    x, t = waves(100, SHOWN, seed=3)
    for i, form in enumerate(FORMS):
        panels[form].plot(x[t == i][0], ".-", color="#0072B2", linewidth=0.8, markersize=3)
        panels[form].set(xticks=[], ylim=(-3, 3))
        panels[form].set_title(f"{form}, noise {SHOWN}", loc="left", fontsize=10)
    for (name, values), color in zip(accuracies.items(), ("#D55E00", "#555555"), strict=True):
        panels["accuracy"].plot(NOISES, values, "o-", color=color, label=name)
    panels["accuracy"].axhline(1 / len(FORMS), color="#555555", linestyle=":", linewidth=1)
    panels["accuracy"].annotate("guessing", (0, 1 / len(FORMS)), (0, 4), textcoords="offset points")
    panels["accuracy"].axvspan(0, 1, color="#e8eef4", zorder=0, label="noise in training")
    panels["accuracy"].set(xlabel="standard deviation of the noise", ylabel="accuracy", ylim=(0, 1.02))
    panels["accuracy"].legend(loc="lower left")
    panels["confusion"].imshow(confusion, cmap="Blues")
    panels["confusion"].set_title(f"What cnn1d says at noise {SHOWN}", loc="left", fontsize=10)
    panels["confusion"].set(xticks=range(4), yticks=range(4), xticklabels=FORMS, yticklabels=FORMS)
    panels["confusion"].set(xlabel="said", ylabel="true")
    for (true, said), count in np.ndenumerate(confusion):
        color = "white" if count > confusion.max() / 2 else "black"
        panels["confusion"].text(said, true, str(count), ha="center", va="center", color=color)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains both networks and draws; returns their accuracies at each noise."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--examples", type=int, default=2000, help="training sequences (default: 2000)")
    options = start(parser, arguments)

    n = options.examples
    noise = np.random.default_rng(0).random((n + 500, 1))
    x, t = waves(n + 500, noise, seed=1)
    tests = [waves(1000, noise, seed=2) for noise in NOISES]

    xpnet.seed(0)
    networks: dict[str, Sequential] = {
        "cnn1d": models.cnn1d((LENGTH, 1), len(FORMS)),
        "mlp": Sequential(Flatten(), models.mlp([LENGTH, 256, 64, len(FORMS)])),
    }
    accuracies: dict[str, list[float]] = {}
    for name, model in networks.items():
        train(model, (x[:n], t[:n]), (x[n:], t[n:]), options.epochs)
        accuracies[name] = [float((xpnet.predict(model, x).argmax(axis=1) == t).mean()) for x, t in tests]
        print(f"{name}: {sum(math.prod(p.data.shape) for p in model.parameters().values())} weights", flush=True)

    x, t = tests[NOISES.index(SHOWN)]
    pairs = len(FORMS) * t + xpnet.predict(networks["cnn1d"], x).argmax(axis=1)  # a number for each (true, said)
    confusion = np.bincount(pairs, minlength=len(FORMS) ** 2).reshape(len(FORMS), len(FORMS))
    save(draw(accuracies, confusion), options.out / "sequence_cnn1d.png")

    rows = [[f"{noise:.1f}", *(f"{accuracies[name][i]:.1%}" for name in networks)] for i, noise in enumerate(NOISES)]
    print_table(["noise", *networks], rows)
    return {
        f"{name}, noise {noise}": values[i] for name, values in accuracies.items() for i, noise in enumerate(NOISES)
    }


if __name__ == "__main__":
    main()

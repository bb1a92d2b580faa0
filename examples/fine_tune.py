"""What a network keeps when its task changes: frozen layers, a new head, and few examples.

A network that tells the digits 0 to 4 apart has learned strokes and bends on the way, and those make up 5 to 9 as well.
So its first layers, the backbone, are kept as they are (`Frozen`), and what comes after learns the new digits from a
handful of each. It is done three ways, on the same handful:

* the convolutions frozen: they know strokes, and the layers after them are new;
* all but the last layer frozen: only 325 weights are left to learn;
* from scratch: all is new.

The deeper the layer, the more it belongs to the old task: with all but the head frozen, what the network has kept of a
digit is what tells 0 to 4 apart, and 5 to 9 get lost in it. The convolutions' findings serve both. On pictures as small
as these they are learned from a handful as well, so freezing them wins no accuracy here, only time: no gradient passes
what is frozen, and a step takes little more than half as long. (Backbones of large networks, trained on a million
photographs, are another matter: no handful of pictures would make them.)

Each point is the mean of several draws of the examples, the bands reach from the worst to the best draw. All are tried
on the test digits from 5 to 9.

J. Yosinski, J. Clune, Y. Bengio, H. Lipson, "How transferable are features in deep neural networks?", NIPS 2014, is
this experiment on ImageNet.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, optimizers
from xpnet.layers import Conv2d, Flatten, Frozen, Layer, Linear, MaxPool2d, ReLU, Sequential

COUNTS = (1, 5, 20)
"""Examples of each of the new digits."""
WAYS = ("convolutions frozen", "all but the head frozen", "from scratch")

Digits = tuple[NDArray[np.float32], NDArray[np.int64]]


def new_convolutions() -> Layer:
    """Images (n, 8, 8, 1) -> what was found where (n, 512)."""
    return Sequential(
        *(Conv2d(1, 32, 3, padding=1), ReLU(), Conv2d(32, 32, 3, padding=1), ReLU()),
        *(MaxPool2d(2), Flatten()),  # (n, 8, 8, 32) -> (n, 4, 4, 32) -> (n, 512)
    )


def new_features() -> Layer:
    """What was found where (n, 512) -> features (n, 64)."""
    return Sequential(Linear(512, 64), ReLU())


def network(convolutions: Layer, features: Layer) -> Sequential:
    """With a new last layer for five classes."""
    return Sequential(convolutions=convolutions, features=features, head=Linear(64, 5))


def part(digits: Digits, first: int) -> Digits:
    """The five digits from `first` on, as classes 0 to 4."""
    x, t = digits
    chosen = (t >= first) & (t < first + 5)
    return x[chosen], t[chosen] - first


def few(digits: Digits, count: int, seed: int) -> Digits:
    """So many examples of each class, drawn at random."""
    x, t = digits
    order = np.random.default_rng(seed).permutation(len(t))
    chosen = np.concatenate([order[t[order] == k][:count] for k in range(5)])
    return x[chosen], t[chosen]


def train(model: Layer, digits: Digits, steps: int, seed: int) -> float:
    """Trains for so many steps; returns the seconds it took."""
    batches = data.batches(*digits, size=32, seed=seed)
    started = time.perf_counter()
    xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.Adam(model, 5e-3),
        epochs=-(-steps // len(batches)),
        progress=False,
        seed=seed,
    )
    return time.perf_counter() - started


def right(model: Layer, digits: Digits) -> float:
    """The accuracy on digits that were not trained with."""
    x, t = digits
    return float((xpnet.predict(model, x).argmax(axis=1) == t).mean())


def draw(accuracies: dict[str, NDArray[Any]]) -> Any:
    """Mean, worst and best accuracy of both ways for each number of examples."""
    figure, panel = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for (way, values), color in zip(accuracies.items(), ("#D55E00", "#0072B2", "#555555"), strict=True):
        panel.fill_between(COUNTS, values.min(axis=1), values.max(axis=1), color=color, alpha=0.15, linewidth=0)
        panel.plot(COUNTS, values.mean(axis=1), "o-", color=color, label=way)
    panel.axhline(0.2, color="#555555", linestyle=":", linewidth=1)
    panel.annotate("guessing", (COUNTS[-1], 0.2), (0, 4), textcoords="offset points", ha="right")
    panel.set(xlabel="examples of each digit from 5 to 9", ylabel="accuracy on unseen ones", ylim=(0, 1.02))
    panel.set(xscale="log", xticks=COUNTS, xticklabels=COUNTS)
    panel.minorticks_off()
    panel.legend(loc="lower right")
    panel.grid(alpha=0.3)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Trains on the old digits once, on few new ones many times; returns each way's mean accuracies and seconds."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=100, help="of each training with few examples (default: 100)")
    parser.add_argument("--draws", type=int, default=5, help="of the few examples (default: 5)")
    options = start(parser, arguments)
    training, test = data.digits(flat=False)

    xpnet.seed(0)
    convolutions, features = new_convolutions(), new_features()
    old = network(convolutions, features)
    train(old, part(training, 0), 3 * options.steps, seed=0)
    print(f"digits 0 to 4: test accuracy {right(old, part(test, 0)):.2%}\n", flush=True)

    new, unseen = part(training, 5), part(test, 5)
    accuracies = {way: np.zeros((len(COUNTS), options.draws)) for way in WAYS}
    seconds = dict.fromkeys(WAYS, 0.0)
    for i, count in enumerate(COUNTS):
        for seed in range(options.draws):
            examples = few(new, count, seed)
            xpnet.seed(seed)
            models = (
                network(Frozen(convolutions), new_features()),
                network(Frozen(convolutions), Frozen(features)),
                network(new_convolutions(), new_features()),
            )
            for way, model in zip(WAYS, models, strict=True):
                seconds[way] += train(model, examples, options.steps, seed)
                accuracies[way][i, seed] = right(model, unseen)
    save(draw(accuracies), options.out / "fine_tune.png")

    rows = [
        [way, *(f"{v.mean():.1%} ({v.min():.1%} to {v.max():.1%})" for v in accuracies[way]), f"{seconds[way]:.1f}"]
        for way in WAYS
    ]
    print_table(["digits 5 to 9", *(f"{count} of each" for count in COUNTS), "seconds of training"], rows)
    return {
        way: {"seconds": seconds[way]} | {str(n): float(v.mean()) for n, v in zip(COUNTS, accuracies[way], strict=True)}
        for way in WAYS
    }


if __name__ == "__main__":
    main()

"""Which pixels speak for what a network sees: the gradient of the winning score by the input.

A network's pullback carries a gradient back to its parameters, and on to its input if asked for. Started with 1 at the
winning class and 0 at the others, it says for each pixel how the winner's score changes with its ink:

    y, pullback = model.forward(x, training=False)        (inference mode, with a pullback)
    saliency = pullback(winner, input_gradient=True)      (the shape of x)

The picture `saliency.png` shows a digit of each class beside its saliency: blue where more ink would speak for the
winner, red where it would speak against.

* Red inside a gap is as telling as blue on a stroke: ink there would make it another digit.
* It is a gradient, so it tells of small changes only. But a small change of every pixel in its direction adds up. The
  table moves all test digits against their saliency's sign, each pixel by the same small step, and as a comparison by
  steps of the same size with signs drawn at random. What hardly troubles the network at random, and hardly shows to the
  eye, makes it blind when it is aimed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers, schedules
from xpnet.layers import Layer

STEPS = (0.0, 0.05, 0.1, 0.2, 0.3)
"""How far each pixel is moved, of a range from 0 (paper) to 1 (ink)."""

Images = NDArray[np.float32]


def saliency(model: Layer, images: Images) -> tuple[NDArray[np.int64], Images]:
    """The winning classes (n,), and the gradients of their scores by the pixels (n, 8, 8, 1)."""
    backend = model.backend
    y, pullback = model.forward(backend.asarray(images), training=False)
    winner = backend.to_host(y).argmax(axis=1)
    dy = backend.asarray(np.eye(y.shape[1])[winner])  # (n, classes): 1 at the winner
    return winner, backend.to_host(pullback(dy, input_gradient=True))


def new_model(epochs: int) -> Layer:
    """A small convolutional network, trained on the digits."""
    (x, t), _ = data.digits(flat=False)
    batches = data.batches(x, t, size=64)
    xpnet.seed(0)
    model = models.simple_cnn((8, 8, 1), channels=16, kernel_size=3, padding=1, hidden=64)
    xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.AdamW(model, schedules.one_cycle(5e-3, steps=epochs * len(batches))),
        epochs=epochs,
        progress=False,
    )
    return model


def draw(images: Images, winner: NDArray[np.int64], gradient: Images) -> Any:
    """Each digit beside its saliency: blue where ink speaks for the winner, red where against."""
    figure, panels = pyplot.subplots(len(images) // 2, 4, figsize=(6.4, 8.4), layout="constrained")
    for (left, right), image, k, slope in zip(panels.reshape(-1, 2), images, winner, gradient, strict=True):
        left.imshow(image[..., 0], cmap="gray_r", vmin=0, vmax=1)
        left.set_title(f"seen as {k}", fontsize=10)
        largest = float(np.abs(slope).max())
        right.imshow(slope[..., 0], cmap="RdBu", vmin=-largest, vmax=largest)
        right.set_title(f"what speaks for {k}", fontsize=10)
    for panel in panels.flat:
        panel.set(xticks=[], yticks=[])
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Trains, draws, moves the digits; returns the accuracies on moved ones, for each size of the step."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=15)
    options = start(parser, arguments)
    model = new_model(options.epochs)
    _, (x, t) = data.digits(flat=False)

    winner, gradient = saliency(model, x)
    first = [int(np.flatnonzero(t == k)[0]) for k in range(10)]  # a digit of each class
    save(draw(x[first], winner[first], gradient[first]), options.out / "saliency.png")

    at_random = np.random.default_rng(0).choice([-1.0, 1.0], x.shape).astype(np.float32)
    found: dict[str, dict[str, float]] = {}
    for step in STEPS:
        found[f"{step:g}"] = {
            name: float((xpnet.predict(model, np.clip(x + step * sign, 0, 1)).argmax(axis=1) == t).mean())
            for name, sign in (("at random", at_random), ("against the saliency", -np.sign(gradient)))
        }
    names = list(next(iter(found.values())))
    print_table(
        ["test digits, each pixel moved by", *names],
        [[step, *(f"{row[name]:.1%}" for name in names)] for step, row in found.items()],
    )
    return found


if __name__ == "__main__":
    main()

"""A small convolutional network reads handwritten digits, from the data to a weights file: what `make train` runs.

A fully connected layer has to learn a stroke anew at each place where it may lie. A convolution looks at 3x3 pixels at
a time, everywhere with the same nine weights, its filter, and so learns a stroke once:

* two layers of 32 filters each see 5x5 pixels, and max pooling then asks only whether a stroke was found nearby;
* what was found where goes to two fully connected layers, which hold seven eighths of all weights;
* every epoch sees each digit moved by a pixel or not at all, so no two epochs are alike (compare `digits_mlp.py`).

The picture `filters.png` shows the first layer's filters before and after: out of random numbers became edges and
strokes of several directions. (They start small, so that what is learned is not drowned by what was there.)

200 of the training digits are held out, to watch the training by. The 360 test digits are looked at once, at the end:
the settings were chosen by five-fold cross-validation on the training digits, and no epoch is picked out.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_accuracies, print_epoch, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, initializers, losses, optimizers, plots, schedules
from xpnet.layers import BatchNorm, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, ReLU, Sequential
from xpnet.training import accuracy


def new_model() -> Sequential:
    """Images (n, 8, 8, 1) -> scores (n, 10)."""
    return Sequential(
        Conv2d(1, 32, 3, padding=1, weight=initializers.normal(0.01)),
        BatchNorm(32),
        ReLU(),
        Conv2d(32, 32, 3, padding=1),
        BatchNorm(32),
        ReLU(),
        MaxPool2d(2),  # (n, 8, 8, 32) -> (n, 4, 4, 32)
        Flatten(),
        Dropout(0.2),
        Linear(4 * 4 * 32, 128),
        ReLU(),
        Dropout(0.2),
        Linear(128, 10),
    )


def filters(model: Layer) -> NDArray[Any]:
    """The first layer's filters, one picture each: (32, 3, 3)."""
    weight = model.backend.to_host(model.parameters()["0.weight"].data)  # (3, 3, 1, 32)
    return np.array(weight[:, :, 0].transpose(2, 0, 1))


def draw_filters(before: NDArray[Any], after: NDArray[Any]) -> Any:
    """Filters before and after the training, in the same places: blue where ink speaks for them, red against."""
    figure = pyplot.figure(figsize=(11, 3.3), layout="constrained")
    halves: Any = figure.subfigures(1, 2, wspace=0.06)
    for half, pictures, title in zip(halves, (before, after), ("At the start", "Learned"), strict=True):
        half.suptitle(title)
        largest = float(np.abs(pictures).max())
        for panel, picture in zip(half.subplots(4, 8).flat, pictures, strict=True):
            panel.imshow(picture, cmap="RdBu", vmin=-largest, vmax=largest)
            panel.set(xticks=[], yticks=[])
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains, draws, saves; returns the test accuracy and the seconds that the training took."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    options = start(parser, arguments)
    epochs, seed = options.epochs, options.seed

    (x, t), (x_test, t_test) = data.digits(flat=False)
    held_out = x[-200:], t[-200:]
    batches = data.batches(x[:-200], t[:-200], size=64, seed=seed, augment=[data.RandomCrop(padding=1)])

    xpnet.seed(seed)
    model = new_model()
    before = filters(model)
    started = time.perf_counter()
    history = xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.AdamW(model, schedules.one_cycle(6e-3, steps=epochs * len(batches))),
        epochs=epochs,
        validation=held_out,
        metrics={"accuracy": accuracy},
        callbacks=[print_epoch],
        seed=seed,
    )
    seconds = time.perf_counter() - started

    test = xpnet.evaluate(model, (x_test, t_test), loss=losses.softmax_cross_entropy, metrics={"accuracy": accuracy})
    save(plots.learning_curves(history)[0].figure, options.out / "learning_curve.png")
    save(draw_filters(before, filters(model)), options.out / "filters.png")
    save(plots.misclassified(x_test, t_test, xpnet.predict(model, x_test))[0].figure, options.out / "misclassified.png")
    xpnet.save_weights(model, options.out / "weights.safetensors")
    print(f"wrote {options.out / 'weights.safetensors'}")

    print_accuracies("moved, through dropout", history, test)
    print(f"\ntest accuracy {test['accuracy']:.2%} after {epochs} epochs in {seconds:.1f} s on {options.backend}")
    return {"test_accuracy": test["accuracy"], "seconds": seconds}


if __name__ == "__main__":
    main()

"""Photographs of ten kinds of things: `vgg_small` on CIFAR-10, with crops and flips.

A photograph of a ship still shows a ship when it is moved by a few pixels, or seen in a mirror. To the network it is
another input, though: so each epoch shows every training image at another place, and half of them mirrored. That makes
learning by heart slow, and what is learned from one photograph holds for many.

The data, 170 MB, are read from `--folder`; `--download` fetches them. By default only 5000 of the 50 000 training
images and 1000 of the test images are used, for 5 epochs: minutes on two CPU cores, and enough to see it learn. All of
them: `--limit 50000 --epochs 30`, best on a GPU with `--backend cupy`. A tenth of the training images are held out.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from _common import new_parser, print_accuracies, print_epoch, print_table, save, start

import xpnet
from xpnet import data, losses, models, optimizers, plots, schedules
from xpnet.training import accuracy

AUGMENT: list[data.Augmentation] = [data.RandomCrop(padding=4), data.RandomFlip()]


def has_cifar10(folder: Path) -> bool:
    """Whether CIFAR-10's files, or the archive of them, are in the folder."""
    names = ("test_batch.bin", "cifar-10-batches-bin/test_batch.bin", "cifar-10-binary.tar.gz")
    return any((folder.expanduser() / name).is_file() for name in names)


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains, draws, saves; returns the test accuracy and the seconds that the training took."""
    parser = new_parser(__doc__)
    parser.add_argument("--folder", type=Path, default=Path("cifar10"), help="where the files are (default: cifar10)")
    parser.add_argument("--download", action="store_true", help="download the files into that folder if need be")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--limit", type=int, default=5000, help="training images to use, 50000 for all (default: 5000)")
    parser.add_argument("--seed", type=int, default=0)
    options = start(parser, arguments)
    if not (options.download or has_cifar10(options.folder)):
        parser.error(
            f"CIFAR-10 is not in the folder {options.folder}: name the folder with --folder, or add --download, or put "
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz into it"
        )

    if options.limit < 10:
        parser.error(f"--limit is {options.limit}, expected at least 10")

    (x, t), (x_test, t_test) = data.cifar10(options.folder)
    x, t = x[: options.limit], t[: options.limit]
    x_test, t_test = x_test[: options.limit // 5], t_test[: options.limit // 5]
    held_out = len(x) // 10
    batches = data.batches(x[held_out:], t[held_out:], size=64, seed=options.seed, augment=AUGMENT)

    xpnet.seed(options.seed)
    model = models.vgg_small()
    started = time.perf_counter()
    history = xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.AdamW(model, schedules.one_cycle(2e-3, steps=options.epochs * len(batches))),
        epochs=options.epochs,
        validation=(x[:held_out], t[:held_out]),
        metrics={"accuracy": accuracy},
        callbacks=[print_epoch],
        seed=options.seed,
    )
    seconds = time.perf_counter() - started

    test = xpnet.evaluate(model, (x_test, t_test), loss=losses.softmax_cross_entropy, metrics={"accuracy": accuracy})
    scores = xpnet.predict(model, x_test)
    wrong = plots.misclassified(x_test, t_test, scores, names=data.CIFAR10_CLASSES)
    save(plots.learning_curves(history)[0].figure, options.out / "cifar10_learning_curve.png")
    save(wrong[0].figure, options.out / "cifar10_misclassified.png")
    xpnet.save_weights(model, options.out / "cifar10.safetensors")
    print(f"wrote {options.out / 'cifar10.safetensors'}")

    right = scores.argmax(axis=1) == t_test
    rows = [[name, f"{right[t_test == i].mean():.1%}"] for i, name in enumerate(data.CIFAR10_CLASSES) if i in t_test]
    print_table(["what the test images show", "accuracy"], rows)
    print_accuracies("cropped and flipped", history, test)
    print(
        f"\ntest accuracy {test['accuracy']:.2%} after {options.epochs} epochs in {seconds:.1f} s on {options.backend}"
    )
    return {"test_accuracy": test["accuracy"], "seconds": seconds}


if __name__ == "__main__":
    main()

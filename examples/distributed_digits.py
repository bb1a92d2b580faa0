"""The digits on as many processes as you like: the same script, and the same result.

    python examples/distributed_digits.py
    mpiexec -n 4 python examples/distributed_digits.py

The second line needs `pip install "xpnet[mpi]"`. It starts four processes, the ranks. Each has the whole network and
works on its part of every batch; their gradients are added up, and all take the same step. What the script does for it:

* `communicator()` tells each process who the others are, and `fit` and `evaluate` are handed it;
* batch normalization is told to use the statistics of the whole batch, not of each rank's part;
* only rank 0 prints and draws.

Order, dropout masks and the weight of each example do not depend on who works on it. So the numbers at the end are the
same for any number of ranks, but for the last of 16 digits, as sums are added up in another order. It is no faster: a
network so small computes for less time than its messages take. docs/scaling.md tells what scales.
"""

import math
import time
from collections.abc import Sequence

from _common import new_parser, print_accuracies, print_epoch, save

import xpnet
from xpnet import data, distributed, losses, models, optimizers, plots, schedules
from xpnet.layers import BatchNorm
from xpnet.training import Run, accuracy


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains on all ranks; returns the test accuracy, the last loss and the norm of all parameters."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    options = parser.parse_args(arguments)
    gpu = distributed.local_rank() if options.backend == "cupy" else None  # one for each rank
    xpnet.set_backend(options.backend, dtype="float64", device=gpu)
    ranks = distributed.communicator()

    (x, t), test = data.digits()
    batches = data.batches(x[:-200], t[:-200], size=64)
    xpnet.seed(0)
    model = models.mlp([64, 128, 10], batch_norm=True, dropout=0.2)
    for layer in model.layers().values():
        if isinstance(layer, BatchNorm):
            layer.synchronized = True
    rate = schedules.one_cycle(3e-3, steps=options.epochs * len(batches))
    optimizer = optimizers.AdamW(model, rate)

    def print_on_the_first(run: Run) -> None:
        if run.rank == 0:
            print_epoch(run)

    started = time.perf_counter()
    history = xpnet.fit(
        model,
        batches,
        loss=losses.softmax_cross_entropy,
        optimizer=optimizer,
        epochs=options.epochs,
        validation=(x[-200:], t[-200:]),
        metrics={"accuracy": accuracy},
        callbacks=[print_on_the_first],
        communicator=ranks,
    )
    seconds = time.perf_counter() - started
    found = xpnet.evaluate(
        model, test, loss=losses.softmax_cross_entropy, metrics={"accuracy": accuracy}, communicator=ranks
    )
    xp = optimizer.store.backend.xp
    norm = math.sqrt(float(xp.sum(optimizer.store.data**2)))

    if ranks.rank == 0:
        options.out.mkdir(parents=True, exist_ok=True)
        save(plots.learning_curves(history)[0].figure, options.out / "distributed_digits.png")
        print_accuracies("through dropout", history, found)
        print(f"\n{ranks.size} rank{'s' * (ranks.size > 1)}, {seconds:.1f} s on {options.backend}")
        print(f"last loss {history['loss'][-1]:.12f}, norm of all parameters {norm:.12f}")
    return {"test_accuracy": found["accuracy"], "loss": history["loss"][-1], "norm": norm}


if __name__ == "__main__":
    main()

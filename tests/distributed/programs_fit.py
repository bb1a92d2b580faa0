"""What ranks run in test_fit.py: `python programs_fit.py NAME ARGUMENTS`. Rank 0 prints what it returns, as JSON."""

import hashlib
import json
import sys

import numpy as np
from programs import digest

import xpnet
from xpnet import data, distributed, layers, losses, models, optimizers, penalties, schedules
from xpnet.training import accuracy, r2


def examples(n, images=False):
    random = np.random.default_rng(0)
    t = random.integers(0, 3, n)
    x = random.standard_normal((n, 6)) + np.eye(3)[t] @ random.standard_normal((3, 6))
    return (random.standard_normal((n, 8, 8, 1)) + t[:, None, None, None] if images else x), t


def mlp(**options):
    return models.mlp([6, 8, 3], **options)


def images(*between):
    """A network for images whose convolution has no bias, as batch norm would make its gradient a rounding error."""
    return layers.Sequential(
        layers.Conv2d(1, 4, 3, bias=False), *between, layers.ReLU(), layers.Flatten(), layers.Linear(144, 3)
    )


def normalized(synchronized=True):
    return layers.Sequential(
        layers.Linear(6, 8, bias=False),
        layers.BatchNorm(8, synchronized=synchronized),
        layers.ReLU(),
        layers.Dropout(0.2),
        layers.Linear(8, 3),
    )


def adam(model):
    return optimizers.Adam(model, 0.01)


def momentum(model):
    return optimizers.Momentum(model, 0.05)


RULES = {
    "sgd": lambda model: optimizers.SGD(model, 0.1),
    "momentum": momentum,
    "adagrad": lambda model: optimizers.AdaGrad(model, 0.05),
    "rmsprop": lambda model: optimizers.RMSprop(model, 0.005),
    "adamw": lambda model: optimizers.AdamW(model, 0.01),
}
CASES = {
    "plain": {},
    "even": {"n": 64},
    "dropout": {"model": lambda: mlp(dropout=0.3)},
    "dropout of channels": {"model": lambda: images(layers.Dropout(0.3, by_channel=True)), "images": True},
    "batch norm": {"model": normalized, "rule": momentum},
    "batch norm of images": {
        "model": lambda: images(layers.BatchNorm(4, synchronized=True)),
        "rule": momentum,
        "images": True,
    },
    "batch norm, accumulated": {"model": normalized, "rule": momentum, "accumulate": 2},
    "a last batch smaller than the ranks": {"n": 67},
    "a last batch of one, with dropout": {"n": 65, "model": lambda: mlp(dropout=0.3)},
    "accumulated": {"size": 8, "accumulate": 3, "model": lambda: mlp(dropout=0.3)},
    "accumulated, a last step of one example": {"n": 65, "size": 8, "accumulate": 4},
    "clipped": {"rule": lambda model: optimizers.SGD(model, 0.2, clip_norm=0.3)},
    "decayed": {"rule": lambda model: optimizers.Adam(model, 0.01, weight_decay=0.01)},
    "penalty": {"penalty": penalties.L2(0.01)},
    "schedule": {"rule": lambda model: optimizers.Momentum(model, schedules.cosine(0.1, steps=50))},
    "augmented": {
        "model": lambda: images(),
        "images": True,
        "augment": [data.RandomCrop(1), data.RandomFlip()],
    },
    "a list of pairs": {"kind": "list", "model": lambda: mlp(dropout=0.3)},
    "only slices": {"kind": "slices", "model": lambda: mlp(dropout=0.3)},
    "in order": {"kind": "in order"},
    **{rule: {"rule": RULES[rule]} for rule in RULES},
}


class OnlySlices:
    """Stands for a dataset in a file: a length, a shape and slicing, and nothing else."""

    def __init__(self, values):
        self.values, self.shape, self.read = values, values.shape, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.read += len(self.values[rows])
        return self.values[rows]


def batches_of(x, t, size, kind, augment=()):
    if kind == "list":
        return [(x[i : i + size], t[i : i + size]) for i in range(0, len(x), size)]
    if kind == "slices":
        x, t = OnlySlices(x), OnlySlices(t)
    return data.batches(x, t, size, seed=3, shuffle=kind != "in order", augment=augment)


def train(communicator, *, n=70, size=16, model=mlp, rule=adam, images=False, kind="arrays", augment=(), **options):
    """Fifty steps, or about so many where several batches make one: the run's model, optimizer, history."""
    xpnet.seed(5 if communicator is None else 5 + communicator.rank)  # rank 0's parameters are to be everybody's
    with xpnet.use_backend("numpy", dtype="float64"):
        network = model()
        optimizer = rule(network)
        x, t = examples(n, images)
        pairs = batches_of(x, t, size, kind, augment)
        history = xpnet.fit(
            network,
            pairs,
            loss=losses.softmax_cross_entropy,
            optimizer=optimizer,
            epochs=50 // len(pairs) * options.get("accumulate", 1),
            progress=False,
            communicator=communicator,
            **({"validation": (x[:21], t[:21]), "metrics": {"accuracy": accuracy}} | options),
        )
    return network, optimizer, history


def apart(ours, theirs):
    """The largest difference, relative to the largest value."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def rows(history):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in history.epochs]


def values(history):
    return [list(row.values()) for row in rows(history)]


def versions(ranks, value):
    """How many different values the ranks have."""
    return len({json.dumps(each) for each in ranks.all_gather_object(value)})


def digests(network, optimizer):
    arrays = network.state() | optimizer.state()
    together = "".join(digest(array) for array in arrays.values())
    return hashlib.sha256(together.encode()).hexdigest()


def equal(ranks):
    """For each case: how far all is from one process, and how many versions the ranks have of it."""
    return {name: compared(ranks, **options) for name, options in CASES.items()}


def compared(ranks, **options):
    network, optimizer, history = train(ranks, **options)
    alone, _, expected = train(None, **options)
    theirs = alone.state()
    return {
        "state": max(apart(values, theirs[path]) for path, values in network.state().items()),
        "losses": apart(history.steps["loss"], expected.steps["loss"]),
        "rows": apart(values(history), values(expected)),
        "steps": len(history.steps["loss"]),
        "versions": versions(ranks, [digests(network, optimizer), rows(history), list(history.steps["loss"])]),
    }


def fits(ranks):
    """One start for all that ends well."""
    return {program.__name__: program(ranks) for program in (equal,)}


def main():
    name, *arguments = sys.argv[1:]
    ranks = distributed.communicator("mpi")
    returned = globals()[name](ranks, *arguments)
    if ranks.rank == 0:
        print("RETURNED", json.dumps(returned), flush=True)


if __name__ == "__main__":
    main()

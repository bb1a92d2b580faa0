"""What ranks run in test_fit.py: `python programs_fit.py NAME ARGUMENTS`. Rank 0 prints what it returns, as JSON."""

import hashlib
import io
import json
import os
import signal
import sys
import tempfile
import time
import warnings
from pathlib import Path

import h5py
import numpy as np

import xpnet
from xpnet import data, distributed, layers, losses, models, optimizers, penalties, schedules
from xpnet.training import (
    BestWeights,
    Callback,
    Checkpoint,
    CheckpointError,
    EarlyStopping,
    LogCSV,
    Watch,
    accuracy,
    r2,
)


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
    "HDF5": {"kind": "HDF5"},
    "memory map": {"kind": "memory map"},
    "in order": {"kind": "in order"},
    **{rule: {"rule": RULES[rule]} for rule in RULES},
}


WITH_FOUR = (
    "plain",
    "dropout",
    "batch norm",
    "batch norm, accumulated",
    "a last batch smaller than the ranks",
    "a last batch of one, with dropout",
    "accumulated, a last step of one example",
    "only slices",
)


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


def mapped(values):
    with tempfile.TemporaryFile() as file:
        file.write(values.tobytes())
        file.flush()
        return np.memmap(file, values.dtype, "r", shape=values.shape)


def batches_of(x, t, size, kind, augment=()):
    if kind == "list":
        return [(x[i : i + size], t[i : i + size]) for i in range(0, len(x), size)]
    if kind == "slices":
        x, t = OnlySlices(x), OnlySlices(t)
    if kind == "HDF5":
        file = h5py.File("in memory", "w", driver="core", backing_store=False)
        x, t = file.create_dataset("x", data=x), file.create_dataset("t", data=t)
    if kind == "memory map":
        x, t = mapped(x), mapped(t)
    return data.batches(x, t, size, seed=3, shuffle=kind != "in order", augment=augment)


def train(communicator, *, n=70, size=16, scale=1.0, images=False, kind="arrays", augment=(), **options):
    """Fifty steps, or about so many where several batches make one: the run's model, optimizer, history."""
    model, rule = options.pop("model", mlp), options.pop("rule", adam)
    xpnet.seed(5 if communicator is None else 5 + communicator.rank)  # rank 0's parameters are to be everybody's
    with xpnet.use_backend("numpy", dtype="float64"):
        network = model()
        optimizer = rule(network)
        x, t = examples(n, images)
        pairs = batches_of(scale * x, t, size, kind, augment)
        history = xpnet.fit(
            network,
            pairs,
            loss=losses.softmax_cross_entropy,
            optimizer=optimizer,
            communicator=communicator,
            **{
                "validation": (x[:21], t[:21]),
                "metrics": {"accuracy": accuracy},
                "epochs": 50 // len(pairs) * options.get("accumulate", 1),
                "progress": False,
            }
            | options,
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


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def digests(network, optimizer):
    return digest(*network.state().values(), *optimizer.state().values())


def equal(ranks):
    """For each case: how far all is from one process, and how many versions the ranks have of it."""
    names = list(CASES if ranks.size == 2 else WITH_FOUR)
    runs = {name: train(ranks, **CASES[name]) for name in names}
    found = {name: {"versions": versions_of(ranks, *run)} for name, run in runs.items()}
    own = {name: differences(*runs[name], **CASES[name]) for name in names[ranks.rank :: ranks.size]}
    for name, distances in (item for each in ranks.all_gather_object(own) for item in each.items()):
        found[name] |= distances
    return found


def versions_of(ranks, network, optimizer, history):
    return versions(ranks, [digests(network, optimizer), rows(history), list(history.steps["loss"])])


def differences(network, optimizer, history, **options):
    """How far a run is from that of one process."""
    alone, _, expected = train(None, **options)
    theirs = alone.state()
    return {
        "state": max(apart(values, theirs[path]) for path, values in network.state().items()),
        "losses": apart(history.steps["loss"], expected.steps["loss"]),
        "rows": apart(values(history), values(expected)),
        "steps": len(history.steps["loss"]),
    }


def metrics(ranks):
    """A metric of validation that is no average over batches or ranks, of batches, a pair, and of one example."""
    x, _ = examples(70)
    t = x @ np.arange(6.0)[:, None] + 1.0

    def run(communicator, validation):
        xpnet.seed(1)
        with xpnet.use_backend("numpy", dtype="float64"):
            model = models.mlp([6, 8, 1])
            fit = {"loss": losses.squared_error, "optimizer": adam(model), "epochs": 3, "validation": validation}
            pairs = data.batches(x, t, 16)
            history = xpnet.fit(model, pairs, **fit, metrics={"r2": r2}, communicator=communicator)
            return values_of(history, "val_loss", "val_r2", "loss")

    kinds = {
        "pair": lambda: (x, t),
        "batches": lambda: data.batches(x, t, 9),
        "list": lambda: [(x[:5], t[:5]), (x[5:6], t[5:6]), (x[6:40], t[6:40])],
        "three": lambda: (x[:3], t[:3]),
    }
    return {name: apart(run(ranks, kind()), run(None, kind())) for name, kind in kinds.items()}


def values_of(history, *names):
    return [[row[name] for name in names] for row in history.epochs]


def decisions(ranks):
    """Who decides when a run ends, and for which weights: what all ranks have, and one process."""

    class Stop(Callback):
        def __init__(self, rank):
            self.rank = rank

        def on_step(self, run):
            if run.step == 7 and run.rank == self.rank:
                run.stop("enough")

    def run(communicator, *callbacks, **options):
        network, optimizer, history = train(communicator, callbacks=callbacks, rule=unsteady, **options)
        return [len(history.epochs), history.stopped, digests(network, optimizer)], network.state()

    def unsteady(model):
        return optimizers.SGD(model, 3.0)

    found = {}
    for name, callbacks in {
        "early stopping": lambda: [EarlyStopping(patience=2)],
        "best weights": lambda: [BestWeights("val_accuracy"), BestWeights()],
        "rank 0": lambda: [Stop(0)],
        "the last rank": lambda: [Stop(ranks.size - 1)],
    }.items():
        together, state = run(ranks, *callbacks())
        alone, theirs = run(None, *callbacks())
        distance = max(apart(state[path], theirs[path]) for path in state) if name != "the last rank" else 0.0
        found[name] = [versions(ranks, together), together[:2], alone[:2], distance]
    return found


class Counting:
    """A communicator that notes what is asked of another."""

    def __init__(self, inner):
        self.inner, self.log = inner, []

    def __getattr__(self, name):
        found = getattr(self.inner, name)
        if name not in ("all_reduce", "broadcast", "all_gather_object", "broadcast_object", "start_all_reduce"):
            return found

        def counted(value, *arguments, **options):
            self.log.append([name, int(np.size(value)) if isinstance(value, np.ndarray) else 0])
            return found(value, *arguments, **options)

        return counted


def collectives(ranks):
    """What a run of six epochs asks of the ranks beyond one of three, by the size of the flat gradient."""

    def asked(epochs, **options):
        counting = Counting(ranks)
        _, optimizer, _ = train(counting, n=64, epochs=epochs, validation=None, **options)
        size = optimizer.store.size
        return [[name, "gradient" if n == size else n] for name, n in counting.log]

    def more(**options):
        rest = asked(6, **options)
        for each in asked(3, **options):
            rest.remove(each)
        return {f"{name} {n}": rest.count([name, n]) for name, n in rest}

    own = {"model": lambda: normalized(synchronized=False)}
    return {
        "plain": more(),
        "metrics": more(metrics={}),
        "synchronized": more(model=normalized),
        "own": more(**own),
        "accumulated": more(accumulate=2),
        "list": more(kind="list"),
        "looked at each step": more(log_every=1),
    }


def writes(ranks):
    """By rank: which files it has written, what it has printed, and how often it has warned."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / str(ranks.rank)
        own.mkdir()
        printed, before = io.StringIO(), sys.stderr
        sys.stderr = printed
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                train(
                    ranks,
                    epochs=2,
                    callbacks=[
                        *(LogCSV(own / "log.csv"), Checkpoint(own / "run"), Watch(every=1)),
                        Checkpoint(own / "seldom", every=600.0),
                    ],
                    log_every=2,
                    model=lambda: layers.Sequential(layers.Linear(6, 6), layers.ReLU(), normalized()),
                    scale=1e4,  # of which Watch warns
                    progress=True,
                )
        finally:
            sys.stderr = before
        files = sorted(str(path.relative_to(own)) for path in own.rglob("*") if path.is_file())
        return ranks.all_gather_object([files, "epoch 2/2" in printed.getvalue(), len(caught)])


def half(ranks):
    """Mixed precision: how far from one process, whether alike on all, and the steps that were skipped for overflow."""

    def run(communicator, scale):
        xpnet.seed(2)
        model = models.mlp([6, 32, 3])
        optimizer = optimizers.SGD(model, 0.1)
        optimizer.loss_scale.scale[...] = scale
        optimizer.loss_scale.match_inverse()
        x, t = examples(64)
        fit = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "epochs": 10, "precision": "float16"}
        history = xpnet.fit(model, data.batches(x.astype(np.float32), t, 16), **fit, communicator=communicator)
        return model, optimizer, history

    model, optimizer, history = run(ranks, 2.0**15)
    _, theirs, expected = run(None, 2.0**15)
    overflown, rule, _ = run(ranks, 2.0**20)  # which is too much for float16
    refused = None
    try:
        train(ranks, precision="float16")
    except ValueError as error:
        refused = str(error)
    return {
        "apart": apart(optimizer.store.data, theirs.store.data),
        "losses": apart(history.steps["loss"], expected.steps["loss"]),
        "skipped": [int(each.loss_scale.skipped) for each in (optimizer, theirs, rule)],
        "versions": versions(ranks, [digests(model, optimizer), rows(history), digests(overflown, rule)]),
        "refused": ranks.all_gather_object(refused),
    }


def not_finite(ranks):
    """An infinity in the last rank's examples, or the first's: what all raise, and whether they can go on."""
    found = {}
    for name, where in {"inputs": 69, "first": 0}.items():
        x, t = examples(70)
        xpnet.seed(3)
        with xpnet.use_backend("numpy", dtype="float64"):
            model = models.mlp([6, 8, 3])
            optimizer = adam(model)
            pairs = [(x[i : i + 16], t[i : i + 16]) for i in range(0, 70, 16)]
            x[where, 2] = np.inf
            before = digest(optimizer.store.data)
            try:
                xpnet.fit(
                    *(model, pairs),
                    loss=losses.softmax_cross_entropy,
                    optimizer=optimizer,
                    epochs=1,
                    communicator=ranks,
                )
            except optimizers.NonFiniteError as error:
                told = [error.step, error.layer, error.direction, str(error)]
            after = digest(optimizer.store.data)
        found[name] = [ranks.all_gather_object(told)[-1], versions(ranks, [told, after]), before == after]
    found["goes on"] = differences(*train(ranks))["state"]
    return found


def own_norm(ranks):
    """Batch norm by each rank's own statistics, beside one process; parameters hardly move here."""
    options = {"model": lambda: normalized(synchronized=False), "rule": lambda model: optimizers.SGD(model, 1e-14)}
    network, optimizer, history = train(ranks, n=64, **options)
    alone, *_ = train(None, n=64, **options)
    ours, theirs = network.state(), alone.state()
    found = {name: apart(ours[f"1.{name}"], theirs[f"1.{name}"]) for name in ("running_mean", "running_var")}
    return found | {"versions": versions(ranks, [digests(network, optimizer), rows(history)])}


def evaluates(ranks):
    """Data of one example, of as many as ranks, and of more, evaluated together and alone."""
    xpnet.seed(4)
    x, t = examples(41)
    found = {}
    with xpnet.use_backend("numpy", dtype="float64"):
        model = normalized()
        for n in (1, 2, 4, 41):
            options = {"loss": losses.softmax_cross_entropy, "metrics": {"accuracy": accuracy}, "batch_size": 10}
            ours = xpnet.evaluate(model, (x[:n], t[:n]), **options, communicator=ranks)
            theirs = xpnet.evaluate(model, (x[:n], t[:n]), **options)
            distance = max(abs(ours[name] - theirs[name]) for name in theirs)
            found[n] = [versions(ranks, ours), distance]
        small = [(x[i : i + 7], t[i : i + 7].astype(np.uint8)) for i in range(0, 41, 7)]
        ours, theirs = (xpnet.evaluate(model, small, **options, communicator=each) for each in (ranks, None))
        found["small integers"] = [versions(ranks, ours), max(abs(ours[name] - theirs[name]) for name in theirs)]
    return found


def disagreements(ranks):
    """What all ranks raise, where the last one was started otherwise."""
    last = ranks.rank == ranks.size - 1

    class Other(Callback):
        pass

    cases = {
        "model": {"model": lambda: models.mlp([6, 9 if last else 8, 3])},
        "layers": {"model": lambda: models.mlp([6, 8, 3], activation="tanh" if last else "relu")},
        "rate of dropout": {"model": lambda: mlp(dropout=0.3 if last else 0.2)},
        "data": {"n": 71 if last else 70},
        "size": {"size": 15 if last else 16},
        "validation": {"validation": None if last else (np.zeros((3, 6)), np.zeros(3, int))},
        "seed": {"seed": int(last)},
        "epochs": {"epochs": 2 + last},
        "accumulate": {"accumulate": 1 + last},
        "rule": {"rule": RULES["sgd"] if last else RULES["momentum"]},
        "rate": {"rule": lambda model: optimizers.SGD(model, 0.2 if last else 0.1)},
        "schedule": {"rule": lambda model: optimizers.SGD(model, schedules.cosine(0.2 if last else 0.1, steps=9))},
        "clipping": {"rule": lambda model: optimizers.SGD(model, 0.1, clip_norm=1.0 if last else None)},
        "callbacks": {"callbacks": [Other()] if last else []},
        "kind of batches": {"kind": "list" if last else "arrays"},
        "number of batches": {"kind": "list", "n": 97 if last else 96},
        "size of batches": {"kind": "list", "n": 95 if last else 96},
        "more ranks than examples": {"n": ranks.size - 1},
        "batch norm without examples": {"model": normalized, "n": 16 + ranks.size - 1},
        "batch norm without examples, a list": {"model": normalized, "n": 16 + ranks.size - 1, "kind": "list"},
    }
    found = {name: raised(ranks, **options) for name, options in cases.items()}
    version = xpnet.__version__
    xpnet.__version__ = "0.0.9" if last else version
    found["version"] = raised(ranks)
    xpnet.__version__ = version
    return found


def raised(ranks, **options):
    try:
        train(ranks, **{"epochs": 2} | options)
    except ValueError as error:
        told = f"{type(error).__name__}: {error}"
    else:
        told = "nothing"
    everybody = ranks.all_gather_object(told)
    return everybody[0] if len(set(everybody)) == 1 else everybody


class Moment(Callback):
    """Does something to one rank after a step."""

    def __init__(self, step, rank, action):
        self.step, self.rank, self.action = step, rank, action

    def on_step(self, run):
        if (run.step, run.rank) == (self.step, self.rank):
            self.action()


def resumable(ranks, folder, signal_at="0", pause="0"):
    """A run with a state of every kind, taken up from its folder; the last rank gets SIGTERM after that step."""
    numbers = ranks.all_gather_object(os.getpid())
    if ranks.rank == 0:
        print("PROCESSES", json.dumps(numbers), flush=True)
    moment = Moment(int(signal_at), ranks.size - 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    network, optimizer, history = train(
        ranks,
        size=8,
        accumulate=2,
        epochs=12,
        log_every=3,
        model=normalized,
        rule=lambda model: optimizers.Adam(model, schedules.cosine(0.02, steps=50)),
        callbacks=[Checkpoint(folder, every=7), EarlyStopping(patience=12), BestWeights(), moment, Slow(float(pause))],
        resume=folder,
    )
    parameters = {path: values.tolist() for path, values in network.state().items()}
    found = {"digest": digests(network, optimizer), "losses": list(history.steps["loss"]), "rows": values(history)}
    return found | {"parameters": parameters, "versions": versions(ranks, found)}


class Slow(Callback):
    """Waits after each step."""

    def __init__(self, pause):
        self.pause = pause

    def on_step(self, run):
        time.sleep(self.pause)


def one_rank_fails(ranks, what):
    """An error of one rank's callback, or of its data."""

    class Broken:
        shape = (70, 6)

        def __len__(self):
            return 70

        def __getitem__(self, rows):
            if ranks.rank == 1 and rows.start > 30:
                raise OSError("the disk is gone")
            return np.zeros((70, 6))[rows]

    def fail():
        raise optimizers.NonFiniteError("of one rank alone", step=7)

    if what == "data":
        x, t = (Broken(), np.zeros(70, int))
        model = mlp()
        pairs = data.batches(x, t, 16, shuffle=False)
        xpnet.fit(
            *(model, pairs), loss=losses.softmax_cross_entropy, optimizer=adam(model), epochs=3, communicator=ranks
        )
    elif what == "end":
        train(ranks, callbacks=[Ends()])
    else:
        train(ranks, callbacks=[Moment(7, 1, fail)])


class Ends(Callback):
    def on_end(self, run):
        if run.rank == 1:
            raise KeyError("no such quantity")


def refuses_to_resume(ranks, folder):
    """What all ranks raise where a checkpoint is of a run with another seed."""
    train(ranks, epochs=1, callbacks=[Checkpoint(folder)])
    try:
        train(ranks, epochs=1, callbacks=[Checkpoint(folder)], resume=folder, seed=1)
    except CheckpointError as error:
        return ranks.all_gather_object(f"{type(error).__name__}: {error}")


def another_model(ranks):
    """What is not caught."""
    train(ranks, n=70 + ranks.rank)


def fits(ranks):
    """One start for all that ends well."""
    programs = [equal, decisions, writes, not_finite, own_norm, evaluates, disagreements]
    programs += [metrics, collectives, half] if ranks.size == 2 else []
    return {program.__name__: program(ranks) for program in programs}


def main():
    name, *arguments = sys.argv[1:]
    ranks = distributed.communicator("mpi")
    returned = globals()[name](ranks, *arguments)
    if ranks.rank == 0:
        print("RETURNED", json.dumps(returned), flush=True)


if __name__ == "__main__":
    main()

"""A run that is broken off and taken up is the run that never ended: for every pair of what a run can be made of."""

import math
import os
from itertools import combinations

import numpy as np
import pytest

import xpnet
from xpnet import data, layers, losses, optimizers, penalties, schedules, training
from xpnet.backend import available_backends, open_backend, use_backend
from xpnet.data import _windows
from xpnet.training import Callback, Checkpoint, CheckpointError

pytestmark = pytest.mark.filterwarnings("ignore::xpnet.training.WatchWarning")

EXAMPLES, SIZE, EPOCHS = 38, 7, 3
STEPS = math.ceil(EXAMPLES / SIZE)
BACKENDS = os.environ["XPNET_BACKENDS"].split(",") if "XPNET_BACKENDS" in os.environ else available_backends()

OPTIONS = {
    "optimizer": ["SGD", "Momentum", "RMSprop", "AdaGrad", "Adam", "AdamW"],
    "rate": ["number", "changed", "constant", "step", "exponential", "cosine", "one_cycle", "warm_up"],
    "penalty": ["none", "L1", "L2"],
    "dropout": ["none", "element", "channel"],
    "batch_norm": [False, True],
    "augment": ["none", "crop", "flip"],
    "data": ["array", "memmap", "slices", "pairs"],
    "validation": ["none", "tuple", "batches", "the same"],
    "callbacks": ["none", "EarlyStopping", "BestWeights", "LogCSV", "GradientNorms", "watch"],
    "step": ["plain", "weight_decay", "clip_norm"],
    "precision": ["float32", "float16"],
    "backend": BACKENDS,
    "metrics": [False, True],
    "log_every": [1, 4],
    "accumulate": [1, 3],
    "looking": ["at once", "waits"],
}


def possible(row):
    """Whether what is chosen so far goes together."""
    if row.get("precision") == "float16" and "backend" in row and open_backend(row["backend"]).half is None:
        return False
    return not (row.get("data") == "pairs" and ("the same" in row.values() or row.get("augment", "none") != "none"))


def pairs_of(row):
    return set(combinations(row.items(), 2))


def all_pairs(options):
    """Rows in which each possible pair of two options' values stands at least once, found by taking the best next."""
    wanted = {
        ((a, x), (b, y)) for a, b in combinations(options, 2) for x in options[a] for y in options[b]
        if possible({a: x, b: y})
    }  # fmt: skip
    rows = []
    while wanted:
        row = dict(min(wanted, key=repr))
        for name in sorted(options.keys() - row.keys(), key=lambda name: -len(options[name])):
            choices = [row | {name: value} for value in options[name]]
            ordered = [{key: each[key] for key in options if key in each} for each in choices if possible(each)]
            turn = len(rows) % len(ordered)  # among equals not always the first
            row = max(ordered[turn:] + ordered[:turn], key=lambda each: len(pairs_of(each) & wanted))
        rows.append(row)
        wanted -= pairs_of(row)
    return rows


ROWS = all_pairs(OPTIONS)


def shown(row):
    return "-".join(str(value) for value in row.values())


# A run of such options ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Images and labels in arrays, memory maps and HDF5 datasets."""
    h5py = pytest.importorskip("h5py")
    random, folder = np.random.default_rng(7), tmp_path_factory.mktemp("data")
    t = random.integers(0, 3, EXAMPLES)
    x = (random.normal(size=(3, 5, 5, 2))[t] + random.normal(size=(EXAMPLES, 5, 5, 2))).astype(np.float32)
    for name, values in (("x", x), ("t", t)):
        np.save(folder / f"{name}.npy", values)
    with h5py.File(folder / "data.h5", "w") as file:
        file["x"], file["t"] = x, t
    with h5py.File(folder / "data.h5", "r") as file:
        yield {
            "array": (x, t),
            "memmap": tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in "xt"),
            "slices": (file["x"], file["t"]),
        }


@pytest.fixture(autouse=True)
def small_windows(monkeypatch):
    """So that a pass over slices has three."""
    monkeypatch.setattr(_windows, "SLICES", 2)


def network(dropout="none", batch_norm=False):
    xpnet.seed(0)
    dropped = [] if dropout == "none" else [layers.Dropout(0.3, by_channel=dropout == "channel")]
    normalized = [layers.BatchNorm(4)] if batch_norm else []
    return layers.Sequential(
        layers.Conv2d(2, 4, 3), *normalized, layers.ReLU(), *dropped, layers.Flatten(), layers.Linear(36, 3)
    )


RATES = {
    "constant": lambda: schedules.constant(0.01),
    "step": lambda: schedules.step(0.02, every=5),
    "exponential": lambda: schedules.exponential(0.02, factor=0.9),
    "cosine": lambda: schedules.cosine(0.02, steps=15),
    "one_cycle": lambda: schedules.one_cycle(0.02, steps=EPOCHS * STEPS),
    "warm_up": lambda: schedules.warm_up(0.02, steps=9),
}
PENALTIES = {"none": None, "L1": penalties.L1(1e-3), "L2": penalties.L2(1e-2)}
AUGMENT = {"none": [], "crop": [data.RandomCrop(1)], "flip": [data.RandomFlip()]}
RULE = {"plain": {}, "weight_decay": {"weight_decay": 0.02}, "clip_norm": {"clip_norm": 0.5}}


class Lower(Callback):
    """Changes the learning rate, in the middle of epochs."""

    def on_step(self, run):
        if run.step % 4 == 0:
            run.optimizer.learning_rate = run.optimizer.learning_rate * 0.7


class StopAt(Callback):
    """Breaks a run off after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise KeyboardInterrupt


def callbacks_of(row, log):
    monitor = {"monitor": "loss" if row["validation"] == "none" else "val_loss"}
    chosen = {
        "EarlyStopping": lambda: training.EarlyStopping(**monitor, patience=1, min_delta=row.get("min_delta", 0.05)),
        "BestWeights": lambda: training.BestWeights(**monitor),
        "LogCSV": lambda: training.LogCSV(log),
        "GradientNorms": lambda: training.GradientNorms(2),
    }
    found = [chosen[row["callbacks"]]()] if row["callbacks"] in chosen else []
    return [*found, *([Lower()] if row["rate"] == "changed" else [])]


def train(row, files, log, *callbacks, resume=None):
    """All that a run comes to, as bytes and plain values."""
    model = network(row["dropout"], row["batch_norm"])
    rate = RATES[row["rate"]]() if row["rate"] in RATES else 0.01
    optimizer = getattr(optimizers, row["optimizer"])(model, rate, **RULE[row["step"]])
    x, t = files["array"]
    if row["data"] == "pairs":
        batches = [(x[i : i + SIZE], t[i : i + SIZE]) for i in range(0, EXAMPLES, SIZE)]
        batches = [tuple(map(model.backend.asarray, pair)) for pair in batches]
    else:
        batches = data.batches(*files[row["data"]], SIZE, seed=3, augment=AUGMENT[row["augment"]])
    validation = {"none": None, "tuple": (x, t), "batches": data.batches(x, t, 16, seed=5), "the same": batches}
    history = xpnet.fit(
        *(model, batches),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizer,
        epochs=EPOCHS,
        validation=validation[row["validation"]],
        accumulate=row["accumulate"],
        penalty=PENALTIES[row["penalty"]],
        metrics={"accuracy": training.accuracy} if row["metrics"] else None,
        callbacks=[*callbacks_of(row, log), *callbacks],
        log_every=row["log_every"],
        precision=row["precision"],
        watch=row["callbacks"] == "watch",
        seed=11,
        resume=resume,
    )
    return outcome(model, optimizer, history) | {"log": lines(log) if row["callbacks"] == "LogCSV" else None}


def outcome(model, optimizer, history):
    found = history.to_dict()
    for each in found["epochs"]:
        del each["seconds"]
    return found | {"model": bits(model.state()), "optimizer": bits(optimizer.state()), "rate": optimizer.current_rate}


def bits(state):
    return {name: xpnet.backend.to_host(values).tobytes() for name, values in state.items()}


def lines(log):
    """Without the last column, which is the time."""
    return [line.rpartition(",")[0] for line in log.read_text().splitlines()]


def check(row, files, folder, moments, monkeypatch):
    """Breaks the run off at each of these kinds of moments; what it comes to must be the same."""
    random, log, steps = np.random.default_rng(len(shown(row))), folder / "log.csv", -(-STEPS // row["accumulate"])
    chosen = {
        "in an epoch": lambda: int(random.integers(0, EPOCHS) * steps + random.integers(1, steps)),
        "at its last step": lambda: int(random.integers(1, EPOCHS) * steps),
        "between two": lambda: int(random.integers(1, EPOCHS) * steps),
    }
    with use_backend(row["backend"]) as backend:
        if row["looking"] == "waits":  # as on a GPU
            monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
        whole = train(row, files, log)
        for moment in moments:
            step, place = chosen[moment](), folder / moment
            every = "epoch" if moment == "between two" else step
            try:
                train(row, files, log, Checkpoint(place, every=every, keep=1), StopAt(step + 1))
            except KeyboardInterrupt:
                last = [path.stem for path in place.glob("*.json")]
                assert last[0].endswith(f"-step-{step}")
            again = train(row, files, log, resume=place)  # where it stopped early before that step: its end
            assert again.keys() == whole.keys()
            for name, values in whole.items():
                assert again[name] == values, (name, step)


MOMENTS = ["in an epoch", "at its last step", "between two"]
FEW = sorted(ROWS, key=lambda row: (row["backend"] != BACKENDS[0], ROWS.index(row)))[:15:2]


@pytest.mark.parametrize("number", range(len(FEW)))
def test_some_runs(number, files, tmp_path, monkeypatch):
    check(FEW[number], files, tmp_path, [MOMENTS[number % 3]], monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS, ids=shown)
def test_a_run_for_every_pair_of_options(row, files, tmp_path, monkeypatch):
    check(row, files, tmp_path, MOMENTS, monkeypatch)


def test_the_rows_have_every_pair():
    found = set().union(*map(pairs_of, ROWS))
    a, b = "optimizer", "rate"
    assert {((a, x), (b, y)) for x in OPTIONS[a] for y in OPTIONS[b]} <= found
    a, b = "dropout", "data"
    assert {((a, x), (b, y)) for x in OPTIONS[a] for y in OPTIONS[b]} <= found
    assert len(ROWS) < 2 * len(OPTIONS["optimizer"]) * len(OPTIONS["rate"])
    assert all(map(possible, ROWS))


# Callbacks that go through data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("moment", MOMENTS)
def test_callbacks_that_go_through_the_data(files, tmp_path, moment):
    """A pass more of training or validation data moves the order of the next on."""

    def go(*callbacks, resume=None):
        model = network()
        batches, validation = (data.batches(*files["array"], SIZE, seed=seed) for seed in range(2))
        optimizer, found = optimizers.Adam(model, 0.01), []

        def look(run):
            found.append(xpnet.evaluate(model, batches, loss=losses.softmax_cross_entropy))
            for _ in zip(validation, range(2), strict=False):
                pass

        history = xpnet.fit(
            *(model, batches),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizer,
            epochs=EPOCHS,
            validation=validation,
            callbacks=[look, *callbacks],
            resume=resume,
        )
        return outcome(model, optimizer, history)

    step = {"in an epoch": STEPS + 2, "at its last step": STEPS, "between two": 2 * STEPS}[moment]
    every = "epoch" if moment == "between two" else step
    with pytest.raises(KeyboardInterrupt):
        go(Checkpoint(tmp_path, every=every), StopAt(step + 1))
    assert go(resume=tmp_path) == go()


# Other backends -----------------------------------------------------------------------------------------------------


class Seen(Callback):
    """The order of the data and the masks of each step, on the host."""

    def __init__(self, model):
        self.order, self.masks = [], []
        (self.dropout,) = [layer for layer in model.layers().values() if isinstance(layer, layers.Dropout)]

    def on_step(self, run):
        backend = run.model.backend
        x, _ = run.batch
        self.order.append(backend.to_host(x).tobytes())

    def on_start(self, run):
        forward = self.dropout.forward

        def listening(x, **options):
            y, pullback = forward(x, **options)
            if options.get("training", True):
                backend = run.model.backend
                self.masks.append((backend.to_host(y) != 0.0)[backend.to_host(x) != 0.0].tobytes())
            return y, pullback

        self.dropout.forward = listening


@pytest.mark.parametrize("there", [name for name in BACKENDS if name != "numpy"])
@pytest.mark.parametrize("saved_there", [False, True])
def test_a_run_taken_up_on_another_backend(files, tmp_path, there, saved_there):
    """The order of the data, crops and masks are the same; values agree to rounding."""
    here, there = (there, "numpy") if saved_there else ("numpy", there)

    def go(name, *callbacks, resume=None):
        with use_backend(name):
            xpnet.seed(0)
            model = layers.Sequential(
                layers.Conv2d(2, 4, 3), layers.Tanh(), layers.Dropout(0.3), layers.Flatten(), layers.Linear(36, 3)
            )
            seen, optimizer = Seen(model), optimizers.Adam(model, 0.01)
            batches = data.batches(*files["array"], SIZE, augment=[data.RandomCrop(1), data.RandomFlip()])
            options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "epochs": EPOCHS, "resume": resume}
            history = xpnet.fit(model, batches, callbacks=[seen, *callbacks], capture="off", **options)
            state = model.state() | optimizer.state()
            return seen, history, {key: xpnet.backend.to_host(values) for key, values in state.items()}

    seen, history, state = go(here)
    step = STEPS + 3
    with pytest.raises(KeyboardInterrupt):
        go(here, Checkpoint(tmp_path, every=step), StopAt(step + 1))
    seen_again, history_again, state_again = go(there, resume=tmp_path)
    assert seen_again.order == seen.order[step:]
    assert seen_again.masks == seen.masks[step:]
    np.testing.assert_allclose(history_again.steps["loss"], history.steps["loss"], rtol=1e-5)
    for name, values in state.items():
        np.testing.assert_allclose(state_again[name], values, rtol=1e-5, atol=1e-5, err_msg=name)


# Other settings -----------------------------------------------------------------------------------------------------


def options_of(files):
    x, t = files["array"]
    return {
        "model": network,
        "batches": lambda: data.batches(x, t, SIZE),
        "optimizer": lambda model: optimizers.Adam(model, 0.01),
        "fit": {"metrics": {"accuracy": training.accuracy}, "callbacks": [training.EarlyStopping("loss", patience=9)]},
    }


def narrower():
    xpnet.seed(0)
    return layers.Sequential(layers.Conv2d(2, 4, 3), layers.ReLU(), layers.Flatten(), layers.Linear(36, 2))


def batches(**changed):
    def of(files):
        x, t = files["array"]
        given = {"size": SIZE, "count": EXAMPLES} | changed
        count = given.pop("count")
        return {"batches": lambda: data.batches(x[:count], t[:count], given.pop("size"), **given)}

    return of


def rule(make):
    return lambda files: {"optimizer": make}


def fitted(**changed):
    return lambda files: {"fit": changed}


OTHERS = {
    "batch size": (batches(size=8), "size 7 there, 8 here"),
    "order": (batches(seed=1), "seed 0 there, 1 here"),
    "no order": (batches(shuffle=False), "shuffle True there, False here"),
    "last batch": (batches(drop_last=True), "drop_last False there, True here"),
    "augmentation": (batches(augment=[data.RandomFlip()]), r"augment \[\] there, \['RandomFlip"),
    "data": (batches(count=30), "examples 38 there, 30 here"),
    "optimizer": (rule(lambda model: optimizers.AdamW(model, 0.01)), "optimizer is 'AdamW' here, 'Adam' there"),
    "betas": (rule(lambda model: optimizers.Adam(model, 0.01, beta2=0.99)), "beta2 is 0.99 here, 0.999 there"),
    "clip_norm": (rule(lambda model: optimizers.Adam(model, 0.01, clip_norm=1.0)), "clip_norm is 1.0 here, None there"),
    "weight decay": (
        rule(lambda model: optimizers.Adam(model, 0.01, weight_decay=0.1)),
        "weight_decay is 0.1 here, 0.0 there",
    ),
    "rate": (rule(lambda model: optimizers.Adam(model, 0.02)), "learning_rate is 0.02 here, 0.01 there"),
    "schedule": (
        rule(lambda model: optimizers.Adam(model, schedules.constant(0.01))),
        "learning_rate is a schedule here, 0.01 there",
    ),
    "masks": (fitted(seed=1), "seed is 1 here, 0 there"),
    "precision": (fitted(precision="float16"), "precision is 'float16' here, 'float32' there"),
    "metrics": (fitted(metrics={"hits": training.accuracy}), r"quantities is \['loss', 'hits'\] here"),
    "penalty": (fitted(penalty=penalties.L2(0.1)), r"'penalty'\] here"),
    "callbacks": (fitted(callbacks=[]), "the run had the callbacks EarlyStopping, which this call has not"),
    "outputs": (lambda files: {"model": narrower}, "names or shapes do not fit the model"),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_refused_and_nothing_is_changed(files, tmp_path, what):
    change, message = OTHERS[what]

    def go(parts, *callbacks, resume=None):
        model, pairs = parts["model"](), parts["batches"]()
        optimizer = parts["optimizer"](model)
        before = everything(model, optimizer, pairs)
        try:
            options = parts["fit"] | {"callbacks": [*parts["fit"]["callbacks"], *callbacks]}
            xpnet.fit(
                *(model, pairs),
                loss=losses.softmax_cross_entropy,
                optimizer=optimizer,
                epochs=2,
                resume=resume,
                **options,
            )
        finally:
            after = everything(model, optimizer, pairs)
            assert (before == after) == bool(resume)

    parts = options_of(files)
    go(parts, Checkpoint(tmp_path, every=8))
    other = change(files)
    other["fit"] = parts["fit"] | other.get("fit", {})
    with pytest.raises(CheckpointError, match=f"fit: resume: .*json: .*{message}") as caught:
        go(parts | other, resume=tmp_path)
    assert str(caught.value).endswith("nothing was changed")


def test_momentum_of_the_other_kind_is_refused(files, tmp_path):
    parts = options_of(files)

    def go(nesterov, *callbacks, resume=None):
        model = network()
        optimizer = optimizers.Momentum(model, 0.01, nesterov=nesterov)
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "resume": resume}
        xpnet.fit(model, parts["batches"](), epochs=1, callbacks=callbacks, **options)

    go(True, Checkpoint(tmp_path))
    go(True, resume=tmp_path)
    with pytest.raises(CheckpointError, match="nesterov is False here, True there"):
        go(False, resume=tmp_path)


def test_a_run_in_float64_does_not_go_on_in_float32(files, tmp_path):
    parts = options_of(files)

    def go(*callbacks, resume=None):
        model = network()
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizers.Adam(model, 0.01), "resume": resume}
        xpnet.fit(model, parts["batches"](), epochs=1, callbacks=callbacks, **options)

    with use_backend("numpy", dtype="float64"):
        go(Checkpoint(tmp_path))
        go(resume=tmp_path)
    with pytest.raises(CheckpointError, match="dtype is 'float32' here, 'float64' there"):
        go(resume=tmp_path)


def everything(model, optimizer, pairs):
    rates = optimizer.learning_rate, optimizer.last_rate, optimizer.steps
    return bits(model.state()), bits(optimizer.state()), rates, pairs.state()


def test_parameters_of_the_same_sizes_in_other_shapes(tmp_path):
    """Found after the optimizer's state was taken over: which is undone."""
    random = np.random.default_rng(0)
    t = random.normal(size=(20, 3)).astype(np.float32)

    def go(shape, *callbacks, resume=None, precision="float32"):
        x = random.normal(size=(20, shape[0])).astype(np.float32)
        model = layers.Sequential(layers.Linear(*shape, bias=False), layers.Linear(*reversed(shape), bias=False))
        optimizer = optimizers.Adam(model, 0.01)
        pairs = data.batches(x, t[:, [0] * shape[0]], 5)
        before = everything(model, optimizer, pairs)
        try:
            options = {"loss": losses.squared_error, "optimizer": optimizer, "epochs": 1, "precision": precision}
            xpnet.fit(model, pairs, callbacks=callbacks, resume=resume, **options)
        finally:
            assert (everything(model, optimizer, pairs) == before) == bool(resume)

    for precision in ("float32", "float16"):
        folder = tmp_path / precision
        go((2, 3), Checkpoint(folder), precision=precision)
        with pytest.raises(CheckpointError, match="names or shapes do not fit") as caught:
            go((3, 2), resume=folder, precision=precision)
        assert str(caught.value).endswith("nothing was changed")


# Runs that are over -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("callbacks", ["BestWeights", "EarlyStopping", "LogCSV"])
def test_a_run_that_is_over_comes_to_the_same_at_once(files, tmp_path, callbacks):
    row = {name: values[0] for name, values in OPTIONS.items()} | {"callbacks": callbacks, "min_delta": 100.0}
    with use_backend(row["backend"]):
        first = train(row, files, tmp_path / "log.csv", Checkpoint(tmp_path / "run"))
        again = train(row, files, tmp_path / "log.csv", StopAt(1), resume=tmp_path / "run")
    assert again == first
    assert (first["stopped"] is not None) == (callbacks == "EarlyStopping")

"""Checkpoints: when they are written, what they hold, who may write, and what happens if that fails."""

import json
import os
import re
import time
from datetime import timedelta

import numpy as np
import pytest

import xpnet
from xpnet import data, files, layers, losses, models, optimizers, training
from xpnet.training import Callback, Checkpoint, CheckpointError, CheckpointWarning, load_checkpoint


@pytest.fixture
def run(examples, network):
    """Trains a new network for three epochs of six steps; returns it with its history."""

    def train(*callbacks, model=None, rate=0.01, epochs=3, size=10, **options):
        model = model or network()
        optimizer = options.pop("optimizer", None) or optimizers.Adam(model, rate)
        history = xpnet.fit(
            model,
            data.batches(*examples, size),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizer,
            epochs=epochs,
            callbacks=callbacks,
            **options,
        )
        return model, history

    return train


def names(folder):
    return sorted(file.name for file in folder.iterdir() if file.name != ".lock")


def manifests(folder):
    return [json.loads(file.read_text())["content"] for file in sorted(folder.glob("*.json"))]


class StopAt(Callback):
    """Breaks a run off after a step."""

    def __init__(self, step):
        self.step = step

    def on_step(self, run):
        if run.step == self.step:
            raise KeyboardInterrupt


def broken_off(run, step, *callbacks, **options):
    with pytest.raises(KeyboardInterrupt):
        run(StopAt(step), *callbacks, **options)


# When ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "steps"),
    [("epoch", [6, 12, 18]), (4, [4, 8, 12, 16, 18]), (100, [18]), (3600.0, [18]), (timedelta(hours=1), [18])],
)
def test_one_comes_after_so_much_and_at_the_end(tmp_path, run, every, steps):
    run(Checkpoint(tmp_path, every=every, keep=100))
    assert [manifest["step"] for manifest in manifests(tmp_path)] == steps


def test_one_comes_after_so_many_seconds(tmp_path, run, monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    run(Checkpoint(tmp_path, every=1.0, keep=100))
    assert [manifest["step"] for manifest in manifests(tmp_path)] == [*range(1, 19), 18]


def test_the_newest_are_kept(tmp_path, run):
    checkpoint = Checkpoint(tmp_path, every=1, keep=2)
    run(checkpoint)
    assert names(tmp_path) == [
        *("000018-step-18.json", "000018-step-18.safetensors"),
        *("000019-step-18.json", "000019-step-18.safetensors"),
    ]
    assert checkpoint.last == tmp_path / "000019-step-18.json"


def test_a_run_that_stops_early_saves_its_end(tmp_path, run, examples):
    stop = training.EarlyStopping("loss", patience=1, min_delta=100.0)
    run(stop, Checkpoint(tmp_path, every=1000), epochs=9)
    (manifest,) = manifests(tmp_path)
    assert (manifest["step"], manifest["epoch"]) == (12, 2)
    assert manifest["stopped"] == "loss has not improved for 1 epochs"


def test_a_checkpoint_sees_what_later_callbacks_did(tmp_path, run):
    seen = []

    def halve(run):
        run.optimizer.learning_rate = run.optimizer.learning_rate / 2
        seen.append(run.optimizer.learning_rate)

    run(Checkpoint(tmp_path), halve)
    assert [manifest["rates"]["next"] for manifest in manifests(tmp_path)] == seen == [0.005, 0.0025, 0.00125]


# What ---------------------------------------------------------------------------------------------------------------


def test_any_safetensors_library_reads_the_tensors(backend, tmp_path, run):
    safetensors = pytest.importorskip("safetensors.numpy")
    model, history = run(Checkpoint(tmp_path))
    found = safetensors.load_file(tmp_path / "000003-step-18.safetensors")
    for path, values in model.state().items():
        np.testing.assert_array_equal(found[f"model.{path}"], backend.to_host(values))
    np.testing.assert_array_equal(found["history.loss"], history.steps["loss"])
    assert found["optimizer.step"] == 18


def test_nothing_is_a_pickle(tmp_path, run):
    run(Checkpoint(tmp_path), training.BestWeights("loss"))
    for file in tmp_path.iterdir():
        assert file.suffix in (".json", ".safetensors") or file.name == ".lock"
        assert not file.read_bytes().startswith(b"\x80")


def test_the_manifest_describes_the_run(tmp_path, run):
    run(Checkpoint(tmp_path))
    manifest = manifests(tmp_path)[-1]
    assert (manifest["format"], manifest["version"]) == ("xpnet checkpoint", 1)
    assert manifest["library"]["xpnet"] == xpnet.__version__
    assert manifest["settings"]["optimizer"] == "Adam"
    assert manifest["batches"] == {
        **{"epoch": 3, "examples": 60, "size": 10, "seed": 0},
        **{"shuffle": True, "drop_last": False, "augment": []},
    }


def test_training_is_the_same_with_checkpoints_as_without(backend, tmp_path, run, bits_of):
    with_them, without = run(Checkpoint(tmp_path, every=1)), run()
    assert bits_of(with_them[0]) == bits_of(without[0])
    assert with_them[1].steps == without[1].steps


# Resuming -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 5, 6, 7, 17])
def test_a_resumed_run_is_the_run_that_was_never_stopped(backend, tmp_path, run, bits_of, step):
    whole, history = run(training.BestWeights("loss"), training.GradientNorms(2))
    broken_off(run, step + 1, Checkpoint(tmp_path, every=1), training.BestWeights("loss"), training.GradientNorms(2))
    resumed, again = run(
        Checkpoint(tmp_path, every=1), training.BestWeights("loss"), training.GradientNorms(2), resume=tmp_path
    )
    assert bits_of(resumed) == bits_of(whole)
    assert again.steps == history.steps
    assert again.gradient_norms == history.gradient_norms
    for row in history.epochs + again.epochs:
        del row["seconds"]
    assert again.epochs == history.epochs


def test_a_run_resumed_on_another_backend(tmp_path, run):
    def dropping():
        xpnet.seed(0)
        return models.mlp([4, 8, 3], dropout=0.25)

    whole, _ = run(model=dropping())
    broken_off(run, 9, Checkpoint(tmp_path, every=4), model=dropping())
    with xpnet.use_backend("array_api_strict"):
        resumed, history = run(model=dropping(), resume=tmp_path)
        values = {path: resumed.backend.to_host(array) for path, array in resumed.state().items()}
    assert len(history.steps["loss"]) == 18
    for path, expected in whole.state().items():
        np.testing.assert_allclose(values[path], expected, rtol=1e-5, atol=1e-6)


def test_the_same_script_begins_a_run_and_takes_it_up(tmp_path, run, bits_of):
    folder = tmp_path / "new" / "folder"
    first, _ = run(Checkpoint(folder), resume=folder, epochs=2)
    longer, history = run(Checkpoint(folder), resume=folder, epochs=3)
    whole, _ = run()
    assert len(history.epochs) == 3
    assert bits_of(longer) == bits_of(whole) != bits_of(first)


def test_a_run_that_is_over_stays_over(tmp_path, run, bits_of):
    first, history = run(Checkpoint(tmp_path))
    again, same = run(Checkpoint(tmp_path), resume=tmp_path)
    assert bits_of(again) == bits_of(first)
    assert same.to_dict() == history.to_dict()
    assert len(names(tmp_path)) == 6


def test_a_rate_that_a_callback_has_lowered_stays_so(tmp_path, run, bits_of):
    def halve(run):
        run.optimizer.learning_rate = run.optimizer.learning_rate / 2

    whole, _ = run(halve)
    broken_off(run, 14, Checkpoint(tmp_path, every=1), halve)
    resumed, _ = run(halve, resume=tmp_path)
    assert bits_of(resumed) == bits_of(whole)


def test_a_number_of_the_rule_that_a_callback_has_changed_stays_so(tmp_path, run, network, bits_of):
    def decay(run):
        run.optimizer.weight_decay = 0.1 * run.epoch

    whole, _ = run(decay)
    broken_off(run, 14, Checkpoint(tmp_path, every=1), decay)
    resumed, _ = run(decay, resume=tmp_path)
    assert bits_of(resumed) == bits_of(whole)


def test_a_log_goes_on_where_it_was(tmp_path, run):
    folder, log = tmp_path / "run", tmp_path / "log.csv"
    broken_off(run, 15, Checkpoint(folder, every=1), training.LogCSV(log))
    before = log.read_text().splitlines()
    run(training.LogCSV(log), resume=folder)
    after = log.read_text().splitlines()
    assert len(before) == 3
    assert after[:3] == before
    assert len(after) == 4


def test_a_watched_run_does_not_warn_twice(tmp_path, examples):
    def train(epochs):
        xpnet.seed(0)
        model = models.mlp([4, 8, 3])
        pairs = data.batches(1000.0 * examples[0] + 5000.0, examples[1], 10)
        options = {"loss": losses.softmax_cross_entropy, "optimizer": optimizers.SGD(model, 1e-9), "watch": True}
        xpnet.fit(model, pairs, epochs=epochs, callbacks=[Checkpoint(tmp_path)], resume=tmp_path, **options)

    with pytest.warns(training.WatchWarning, match="inputs_unscaled"):
        train(1)
    train(2)


class Own(Callback):
    """A user's callback that remembers."""

    def __init__(self):
        self.total, self.array = 0, np.zeros(2)

    def on_step(self, run):
        self.total += run.step
        self.array += 1.0

    def state(self):
        return {"total": self.total, "array": self.array}

    def load_state(self, state):
        self.total, self.array = state["total"], state["array"]


def test_a_users_callback_goes_on(tmp_path, run):
    broken_off(run, 9, Checkpoint(tmp_path, every=1), Own(), Own())
    callbacks = Own(), Own()
    run(*callbacks, resume=tmp_path)
    assert [callback.total for callback in callbacks] == [sum(range(19))] * 2
    np.testing.assert_array_equal(callbacks[1].array, [18.0, 18.0])


class Strange(Callback):
    def state(self):
        return {"thing": object()}


def test_what_a_callback_remembers_has_to_be_plain(tmp_path, run):
    with pytest.raises(TypeError, match=r"Checkpoint: <object object .* is neither a plain value nor an array"):
        run(Checkpoint(tmp_path), Strange())


def test_batches_of_any_kind_are_gone_through_from_where_they_were(tmp_path, network, examples, bits_of):
    x, t = examples
    pairs = [(x[i : i + 20], t[i : i + 20]) for i in range(0, 60, 20)]

    def train(*callbacks, **options):
        model = network()
        xpnet.fit(
            *(model, pairs),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizers.SGD(model, 0.1),
            epochs=2,
            callbacks=callbacks,
            **options,
        )
        return model

    with pytest.raises(KeyboardInterrupt):
        train(Checkpoint(tmp_path, every=2), StopAt(5))
    assert bits_of(train(resume=tmp_path)) == bits_of(train())


# Another run --------------------------------------------------------------------------------------------------------


OTHERS = {
    "rate": ({"rate": 0.02}, "learning_rate is 0.02 here, 0.01 there"),
    "schedule": ({"rate": lambda step: 0.01}, "learning_rate is a schedule here, 0.01 there"),
    "seed": ({"seed": 1}, "seed is 1 here, 0 there"),
    "size": ({"size": 20}, "of other batches: size 10 there, 20 here"),
    "metrics": ({"metrics": {"accuracy": training.accuracy}}, r"quantities is \['loss', 'accuracy'\] here"),
    "validation": ({"validation": (np.zeros((2, 4)), np.zeros(2, int))}, "of another kind than those of the run"),
    "model": (
        {"model": layers.Linear(4, 3)},
        "load_state: the names or shapes do not fit the model",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_another_run_is_refused(tmp_path, run, what):
    options, message = OTHERS[what]
    run(Checkpoint(tmp_path), epochs=1)
    with pytest.raises(CheckpointError, match=f"fit: resume: .*000001-step-6.json: .*{message}") as caught:
        run(resume=tmp_path, **options)
    assert str(caught.value).endswith("nothing was changed")


def test_another_optimizer_is_refused(tmp_path, run, network, bits_of):
    run(Checkpoint(tmp_path), epochs=1)
    model = network()
    before = bits_of(model)
    with pytest.raises(CheckpointError, match="optimizer is 'SGD' here, 'Adam' there"):
        run(model=model, optimizer=optimizers.SGD(model, 0.01), resume=tmp_path)
    assert bits_of(model) == before


def test_another_schedule_is_refused(tmp_path, run):
    run(Checkpoint(tmp_path), epochs=1, rate=xpnet.schedules.cosine(0.1, steps=18))
    with pytest.raises(CheckpointError, match=r"the schedule gives 0\.079\d* for step 6 here, 0\.075\d* there"):
        run(resume=tmp_path, rate=xpnet.schedules.cosine(0.1, steps=20))


def test_a_callback_that_is_missing(tmp_path, run):
    run(Checkpoint(tmp_path), training.EarlyStopping("loss"), epochs=1)
    with pytest.raises(CheckpointError, match="the run had the callbacks EarlyStopping, which this call has not"):
        run(resume=tmp_path)


def test_a_folder_without_checkpoints(tmp_path, run):
    with pytest.raises(FileNotFoundError, match=r"fit: resume: there is no checkpoint in .*nowhere"):
        run(resume=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="fit: resume: there is no checkpoint in"):
        run(Checkpoint(tmp_path / "here"), resume=tmp_path / "nowhere")


def test_a_folder_of_an_earlier_run(tmp_path, run):
    run(Checkpoint(tmp_path))
    before = names(tmp_path)
    with pytest.raises(FileExistsError, match=r"has checkpoints of an earlier run, up to 000003-step-18; take another"):
        run(Checkpoint(tmp_path))
    assert names(tmp_path) == before


def test_a_resume_that_is_no_path(run):
    with pytest.raises(TypeError, match=r"fit: resume: path must be a str or a pathlib\.Path, got bool"):
        run(resume=True)


# Who may write, and where that fails --------------------------------------------------------------------------------


def test_one_writer_at_a_time(tmp_path, run):
    outer = Checkpoint(tmp_path)

    def inner(_):
        run(Checkpoint(tmp_path), resume=tmp_path)

    with pytest.raises(BlockingIOError, match=rf"Checkpoint: .* is in use by process {os.getpid()} on "):
        run(outer, inner)
    run(Checkpoint(tmp_path), resume=tmp_path)


def test_a_file_in_the_place_of_the_folder(tmp_path, run):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(FileExistsError, match=r"Checkpoint: cannot write into the folder .*file: File exists"):
        run(Checkpoint(file))
    assert file.read_text() == "mine"


def test_a_full_disk_is_a_warning_and_training_goes_on(tmp_path, run, bits_of, monkeypatch):
    def full(file, arrays):
        file.write(b"some of it")
        raise OSError(28, "No space left on device")

    calls = []
    write = files.write_arrays

    def at_times(file, arrays):
        calls.append(1)
        (full if len(calls) > 1 else write)(file, arrays)

    monkeypatch.setattr("xpnet.training._checkpoint_folder.write_arrays", at_times)
    checkpoint = Checkpoint(tmp_path)
    told = r"could not write into .*No space left on device.*the last one is .*000001-step-6\.json"
    with pytest.warns(CheckpointWarning, match=told):
        model, _ = run(checkpoint)
    assert len(calls) == 3
    assert names(tmp_path) == ["000001-step-6.json", "000001-step-6.safetensors"]
    assert bits_of(model) == bits_of(run()[0])


def test_a_loss_that_is_not_finite_names_the_last_checkpoint(backend, tmp_path, run):
    class Spoil(Callback):
        def on_step(self, run):
            if run.step == 8:
                next(iter(run.model.parameters().values())).data[...] = float("nan")

    with pytest.raises(xpnet.optimizers.NonFiniteError, match=r"The last checkpoint is .*-step-6\.json"):
        run(Checkpoint(tmp_path, every=6), Spoil())
    assert manifests(tmp_path)[-1]["step"] == 6


def test_any_other_error_has_a_note(tmp_path, run):
    class Break(Callback):
        def on_step(self, run):
            if run.step == 8:
                raise KeyError("mine")

    with pytest.raises(KeyError) as caught:
        run(Checkpoint(tmp_path), Break())
    assert re.fullmatch(r"The last checkpoint is .*000001-step-6\.json", *caught.value.__notes__)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"every": 0}, ValueError, "Checkpoint: every must be"),
        ({"every": -1.0}, ValueError, "Checkpoint: every must be above 0 seconds, got -1.0"),
        ({"every": timedelta(0)}, ValueError, "Checkpoint: every must be above 0 seconds"),
        ({"every": "hour"}, TypeError, "every must be 'epoch', a whole number of steps, or seconds as a float"),
        ({"every": True}, TypeError, "every must be 'epoch', a whole number of steps, or seconds as a float"),
        ({"keep": 0}, ValueError, "Checkpoint: keep must be"),
        ({"folder": 3}, TypeError, "Checkpoint: path must be a str or a pathlib.Path, got int"),
    ],
)
def test_settings_out_of_their_range(tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        Checkpoint(**{"folder": tmp_path} | options)


# Loading by hand ----------------------------------------------------------------------------------------------------


def test_a_model_and_its_optimizer_from_a_checkpoint(backend, tmp_path, run, network, bits_of):
    trained, _ = run(Checkpoint(tmp_path))
    model = network(seed=5)
    optimizer = optimizers.Adam(model, 0.3)
    assert load_checkpoint(tmp_path, model, optimizer) == tmp_path / "000003-step-18.json"
    assert bits_of(model) == bits_of(trained)
    assert optimizer.steps == 18
    assert bits_of(network(seed=5)) != bits_of(trained)


def test_a_checkpoint_of_another_model(tmp_path, run, network, bits_of):
    run(Checkpoint(tmp_path))
    model = network(seed=5)
    optimizer = optimizers.Momentum(model, 0.3)
    before = bits_of(model)
    with pytest.raises(CheckpointError, match=r"load_checkpoint: .*000003-step-18.json: Momentum.load_state"):
        load_checkpoint(tmp_path, model, optimizer)
    with pytest.raises(CheckpointError, match=r"(?s)load_checkpoint: .*missing: weight"):
        load_checkpoint(tmp_path, layers.Linear(2, 3))
    assert bits_of(model) == before


def test_an_optimizer_of_another_model_or_none(tmp_path, run, network, bits_of):
    run(Checkpoint(tmp_path))
    model = network(seed=5)
    before = bits_of(model)
    with pytest.raises(ValueError, match="load_checkpoint: the optimizer was built for another model"):
        load_checkpoint(tmp_path, model, optimizers.Adam(network(), 0.1))
    with pytest.raises(TypeError, match="load_checkpoint: optimizer must be one built for this model"):
        load_checkpoint(tmp_path, model, "adam")
    assert bits_of(model) == before


def test_a_file_that_may_not_be_read_is_not_taken_for_damaged(tmp_path, run, monkeypatch):
    def denied(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    run(Checkpoint(tmp_path))
    monkeypatch.setattr("xpnet.training._checkpoint_folder.open_file", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        run(resume=tmp_path)


def test_no_checkpoint_to_load(tmp_path, network):
    with pytest.raises(FileNotFoundError, match="there is no checkpoint in"):
        load_checkpoint(tmp_path, network())

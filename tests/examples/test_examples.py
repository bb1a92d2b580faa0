"""Every example runs on every backend, and at full length shows what it says it shows."""

import contextvars
import gzip
import importlib
import json
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import xpnet
from xpnet import models
from xpnet.backend import Backend
from xpnet.layers import GlobalAvgPool, Layer, Linear, MaxPool2d, Sequential

EXAMPLES = Path(__file__).parents[2] / "examples"

PICTURE = ["--model", "resnet18", "--weights", "colours.safetensors", "--image", "sea.png", "--classes", "names.txt"]
QUICK = {
    "classify_image": PICTURE,
    "fine_tune": ["--steps", "2", "--draws", "1"],
    "saliency": ["--epochs", "1"],
    "ensemble": ["--epochs", "1", "--seeds", "1", "--examples", "100"],
    "cifar10_cnn": ["--epochs", "2", "--limit", "20", "--folder", "made-cifar10"],
    "digits_cnn": ["--epochs", "1"],
    "sequence_cnn1d": ["--epochs", "1", "--examples", "100"],
    "digits_mlp": ["--epochs", "1"],
    "distributed_digits": ["--epochs", "1"],
    "sine_regression": ["--steps", "20"],
    "why_does_it_not_learn": ["--steps", "20", "--no-diagnosis"],
    "polynomial_regression": ["--steps", "20"],
    "vanishing_gradient": ["--steps", "10"],
    "optimizers": ["--steps", "3", "--epochs", "1"],
    "overfitting": ["--epochs", "1"],
}
PICTURES = {
    "classify_image": {"classify_image.png"},
    "fine_tune": {"fine_tune.png"},
    "saliency": {"saliency.png"},
    "ensemble": {"ensemble.png"},
    "cifar10_cnn": {"cifar10_learning_curve.png", "cifar10_misclassified.png"},
    "digits_cnn": {"learning_curve.png", "filters.png", "misclassified.png"},
    "sequence_cnn1d": {"sequence_cnn1d.png"},
    "digits_mlp": {"learning_curve.png", "misclassified.png"},
    "distributed_digits": {"distributed_digits.png"},
    "sine_regression": {"sine_regression.png"},
    "why_does_it_not_learn": {"why_does_it_not_learn.png"},
    "polynomial_regression": {"polynomial_regression.png"},
    "vanishing_gradient": {"vanishing_gradient_accuracy.png", "vanishing_gradient_norms.png"},
    "optimizers": {"optimizers.png"},
    "overfitting": {"overfitting.png"},
}

Run = Callable[..., Any]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """`run(name, *options)`: what the example's `main` returns; its files go to `tmp_path`, its MNIST is elsewhere.

    It runs in a context of its own, where nothing but its `--backend` chooses the backend.
    """
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)

    def main(name: str, *options: str) -> Any:
        arguments = ["--out", str(tmp_path / "made" / "here"), *options]
        return contextvars.Context().run(importlib.import_module(name).main, arguments)

    yield main
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(EXAMPLES)):
            del sys.modules[name]


def files(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "made" / "here").iterdir()}


def test_every_example_is_tested() -> None:
    scripts = {path.stem for path in EXAMPLES.glob("*.py") if not path.stem.startswith("_")}
    assert scripts == set(QUICK) == set(PICTURES)
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"examples/{name}.py" in readme for name in scripts)


@pytest.mark.usefixtures("photographs", "sea")
@pytest.mark.parametrize("name", QUICK)
def test_runs_on_every_backend(
    name: str, backend: Backend, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = run(name, "--backend", backend.name, *QUICK[name])
    assert contextvars.Context().run(xpnet.get_backend).name == backend.name
    assert files(tmp_path) >= PICTURES[name]
    for picture in PICTURES[name]:
        assert (tmp_path / "made" / "here" / picture).read_bytes().startswith(b"\x89PNG")
    assert results
    numbers = [n for value in results.values() for n in (value.values() if isinstance(value, dict) else [value])]
    assert np.isfinite(numbers).all()
    assert "---" in capsys.readouterr().out


def test_backends_agree(backend: Backend, run: Run) -> None:
    figures = run("polynomial_regression", "--backend", backend.name, "--steps", "50")
    expected = run("polynomial_regression", "--backend", "numpy", "--steps", "50")
    assert figures == pytest.approx(expected, rel=1e-4)


def test_help_is_the_lesson(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("sine_regression", "--help")
    assert exit_.value.code == 0
    assert "--backend" in (shown := capsys.readouterr().out)
    assert "hinge" in shown


def check_digits(name: str, run: Run, tmp_path: Path, shown: Callable[[], str], model: Callable[[], Layer]) -> float:
    """The test accuracy of an example, which its figures, its files and its saved weights agree on."""
    accuracy: float = run(name)["test_accuracy"]
    assert files(tmp_path) == PICTURES[name] | {"weights.safetensors"}
    lines = shown()
    assert "epoch   5: training loss" in lines
    assert f"test accuracy {accuracy:.2%}" in lines

    loaded = model()
    xpnet.load_weights(loaded, tmp_path / "made" / "here" / "weights.safetensors")
    _, (x_test, t_test) = xpnet.data.digits(flat=name == "digits_mlp")
    right = xpnet.predict(loaded, x_test).argmax(axis=1) == t_test
    assert right.mean() == pytest.approx(accuracy)
    return accuracy


def test_digits_reach_98_percent_by_convolution(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def model() -> Layer:
        return sys.modules["digits_cnn"].new_model()

    assert check_digits("digits_cnn", run, tmp_path, lambda: capsys.readouterr().out, model) >= 0.98


def test_digits_reach_97_percent_without(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def model() -> Layer:
        return xpnet.models.mlp([64, 256, 256, 10], batch_norm=True, dropout=0.2)

    assert check_digits("digits_mlp", run, tmp_path, lambda: capsys.readouterr().out, model) >= 0.97


@pytest.mark.long
@pytest.mark.parametrize(("name", "least", "mean"), [("digits_cnn", 0.98, 0.985), ("digits_mlp", 0.97, 0.97)])
def test_digits_reach_it_whatever_the_seed(name: str, least: float, mean: float, run: Run) -> None:
    accuracies = [run(name, "--seed", str(seed))["test_accuracy"] for seed in range(5)]
    assert min(accuracies) >= least
    assert np.mean(accuracies) >= mean


def test_filters_are_drawn_from_before_and_after(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("digits_cnn", *QUICK["digits_cnn"])
    module, drawn = sys.modules["digits_cnn"], []
    monkeypatch.setattr(module, "draw_filters", lambda before, after: drawn.extend([before, after]))
    monkeypatch.setattr(module, "save", lambda figure, path: None)
    run("digits_cnn", *QUICK["digits_cnn"])
    before, after = drawn
    assert before.shape == after.shape == (32, 3, 3)
    assert np.abs(before).mean() == pytest.approx(0.008, rel=0.2)  # of a normal distribution with deviation 0.01
    assert np.abs(after - before).mean() > 0.001


def test_digits_are_moved_to_their_neighbours(run: Run) -> None:
    run("digits_mlp", *QUICK["digits_mlp"])
    moved_along = sys.modules["digits_mlp"].moved_along
    dot = np.zeros((2, 8, 8), np.float32)
    dot[0, 3, 0] = dot[1, 7, 5] = 1
    down = moved_along(1, dot, np.asarray([0.25, 0.5], np.float32)[:, None, None])
    assert (down[0, 3, 0], down[0, 4, 0], down[1, 7, 5]) == (0.75, 0.25, 0.5)
    assert down.sum() == 1.5  # half of the second has left the picture, and does not come back on the other side
    left = moved_along(2, dot, np.asarray([-0.5, -0.25], np.float32)[:, None, None])
    assert (left[0, 3, 0], left[1, 7, 5], left[1, 7, 4]) == (0.5, 0.75, 0.25)
    assert left.dtype == np.float32


def test_waves_are_told_apart_by_filters_that_slide(run: Run) -> None:
    accuracy = run("sequence_cnn1d")
    assert accuracy["cnn1d, noise 0.0"] > 0.95
    assert accuracy["cnn1d, noise 0.4"] > 0.75
    for noise in (0.0, 0.4, 1.0):
        assert accuracy[f"cnn1d, noise {noise}"] > accuracy[f"mlp, noise {noise}"] + 0.1


def test_waves_are_what_they_are_called(run: Run) -> None:
    run("sequence_cnn1d", *QUICK["sequence_cnn1d"])
    x, t = sys.modules["sequence_cnn1d"].waves(400, 0.0, seed=5)
    assert x.shape == (400, 128, 1)
    assert x.dtype == np.float32
    steps = np.diff(x[..., 0], axis=1) / np.abs(x).max(axis=(1, 2))[:, np.newaxis]
    levels = [len(np.unique(wave.round(4))) for wave in x[..., 0]]
    assert set(np.asarray(levels)[t == 1]) == {2}  # square: two values
    assert (np.median(np.abs(np.diff(steps[t == 2])), axis=1) < 1e-5).all()  # sawtooth: straight, with jumps
    assert np.abs(steps[t == 2]).max(axis=1).min() > 1
    for smooth in (0, 3):
        assert np.abs(steps[t == smooth]).max() < 0.5
    assert (np.median(np.abs(np.diff(steps[t == 3])), axis=1) < 1e-5).all()  # triangle: straight, with corners
    assert (np.median(np.abs(np.diff(steps[t == 0])), axis=1) > 1e-3).all()  # sine: curved


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder `made-cifar10` with files in CIFAR-10's format, ten pictures each: what is shown is the brightness."""
    (folder := tmp_path / "made-cifar10").mkdir()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        labels = np.arange(10, dtype=np.uint8)[:, np.newaxis]
        (folder / name).write_bytes(np.hstack([labels, np.repeat(25 * labels, 3072, axis=1)]).tobytes())
    return folder


def test_without_cifar10_the_message_says_how_to_get_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run("cifar10_cnn", "--folder", "nowhere")
    assert exit_.value.code == 2
    message = capsys.readouterr().err
    for needed in (
        "not in the folder nowhere",
        "--download",
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    ):
        assert needed in message


def test_cifar10_limit_that_is_too_small(run: Run, photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("cifar10_cnn", "--folder", str(photographs), "--limit", "9")
    assert "--limit is 9, expected at least 10" in capsys.readouterr().err


def test_sine_question_and_cure(run: Run) -> None:
    errors = run("sine_regression")
    assert errors["inputs in [0, 1], rate 0.01"] > 0.1
    assert errors["standardised, rate 0.1"] < 0.001
    assert errors["inputs in [0, 1], rate 0.1"] > 0.001
    assert errors["standardised, rate 0.01"] > 0.001


def test_the_learners_gradients_are_right(run: Run) -> None:
    run("why_does_it_not_learn", *QUICK["why_does_it_not_learn"])
    module = sys.modules["why_does_it_not_learn"]
    network, ((x, t), _) = module.Network(0.01), module.sine()
    network.b1[...] = 0.1  # no unit at its hinge
    gradients = network.gradients(x, t)
    for name, gradient in gradients.items():
        direction, h = np.random.default_rng(1).standard_normal(gradient.shape), 1e-6
        values, before = getattr(network, name), getattr(network, name).copy()
        ahead, behind = [], []
        for sign, losses in ((h, ahead), (-h, behind)):
            values[...] = before + sign * direction
            losses.append(module.half_squared_error(network.forward(x), t))
        values[...] = before
        assert (gradient * direction).sum() == pytest.approx((ahead[0] - behind[0]) / (2 * h), rel=1e-5)


def test_the_learners_network_is_diagnosed_from_its_start(run: Run) -> None:
    run("why_does_it_not_learn", *QUICK["why_does_it_not_learn"])
    module = sys.modules["why_does_it_not_learn"]
    train, test = module.sine()
    network, scale = module.Network(0.01), xpnet.data.MinMax(train[0])
    before = {name: values.copy() for name, values in vars(network).items() if name != "rate"}
    report = module.diagnosed(network, (scale(train[0]), train[1]), (scale(test[0]), test[1]))
    assert report.findings[0].cause == "hinges_outside_data"
    assert "100 of 100" in report.findings[0].sentence
    verified = report.findings[0].verified
    assert verified["after"] < verified["before"] / 50  # hundreds of times, in the steps that a busy machine leaves
    assert verified["what"].startswith("centred inputs and a learning rate of ")
    assert module.named_rate(report, 0.01) == 0.01 * verified["rate"] >= 0.03
    for name, values in before.items():
        np.testing.assert_array_equal(vars(network)[name], values)


@pytest.mark.long
def test_the_learners_network_is_mended(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    errors = run("why_does_it_not_learn")
    assert errors["inputs in [0, 1], rate 0.01"] == pytest.approx(0.129, rel=0.1)
    first, *_, last = errors
    assert last.startswith("centred inputs, rate ")
    assert errors[last] < errors[first] / 100
    shown = capsys.readouterr().out
    learners, mended = shown.split(f"With {last}:")
    assert "100 of 100 ReLU hinges" in learners
    assert "tried on a copy: centred inputs and a learning rate of " in learners
    assert mended.strip().startswith("Nothing wrong was found")


def test_polynomial_is_known_inside_only(run: Run) -> None:
    errors = run("polynomial_regression")
    assert errors["inside, x0 and x1 in [0, 1]"] < 0.15
    assert errors["outside, x0 and x1 in [1, 2]"] > 10 * errors["inside, x0 and x1 in [0, 1]"]


def test_gradients_vanish_and_are_cured_in_the_courses_order(run: Run) -> None:
    accuracy = run("vanishing_gradient")
    assert abs(accuracy["sigmoid, 0.01"] - 0.1) < 0.05
    assert accuracy["ReLU, He"] > 0.9
    for middle in ("ReLU, 0.01", "sigmoid, Xavier"):
        assert accuracy["sigmoid, 0.01"] < accuracy[middle] < accuracy["ReLU, He"]
    assert accuracy["sigmoid, 0.01, batch norm"] > 0.9


def test_mnist_is_used_where_its_files_are(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With files in MNIST's format, made of the small digits: half of them compressed."""
    splits = xpnet.data.digits()
    (folder := tmp_path / "mnist").mkdir()
    for part, (x, t) in zip(("train", "t10k"), splits, strict=True):
        pixels = (255 * x[:300]).astype(np.uint8).reshape(-1, 8, 8)
        images = np.pad(np.kron(pixels, np.ones((1, 3, 3), np.uint8)), [(0, 0), (2, 2), (2, 2)])  # (n, 28, 28)
        n = len(images)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(
            struct.pack(">4B3i", 0, 0, 8, 3, n, 28, 28) + images.tobytes()
        )
        labels = struct.pack(">4Bi", 0, 0, 8, 1, n) + t[:n].astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    accuracy = run("vanishing_gradient", "--steps", "100")  # the default folder is `mnist`
    assert "ours are on MNIST" in capsys.readouterr().out
    assert accuracy["ReLU, He"] > 0.3

    (folder / "train-images-idx3-ubyte").unlink()
    run("vanishing_gradient", "--steps", "1")
    assert "ours are on the 8x8 digits" in capsys.readouterr().out


def test_course_results_keep_their_note() -> None:
    course = json.loads((EXAMPLES / "course_results.json").read_text())
    assert course["note"].startswith("Accuracies printed by the course notes")
    assert course["runs"]["relu_he"]["test_accuracy"]["2000"] == 0.9555


def test_optimizers_reach_the_bowl_and_learn_the_digits(run: Run) -> None:
    results = run("optimizers")
    assert list(results) == ["SGD", "Momentum", "AdaGrad", "RMSprop", "Adam"]
    for row in results.values():
        assert row["height on the bowl"] < 0.3  # from 6.45
        assert row["test accuracy"] > 0.95


def test_penalties_and_dropout_hold_back_learning_by_heart(run: Run) -> None:
    plain, l1, l2, dropout = run("overfitting").values()
    assert plain["training accuracy"] > 0.99
    for remedy in (l1, l2, dropout):
        assert remedy["test accuracy"] > plain["test accuracy"]
        gap = remedy["training accuracy"] - remedy["test accuracy"]
        assert gap < plain["training accuracy"] - plain["test accuracy"]
    for penalty in (l1, l2):
        assert penalty["mean size of a weight"] < plain["mean size of a weight"] / 2
    assert l1["weights below 0.001"] > 0.5


@pytest.fixture
def sea(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A blue picture, and in the place of ResNet-18 a network that tells what colour a picture has most of."""

    def colours(*, classes: int = 1000) -> Sequential:
        return Sequential(maxpool=MaxPool2d(32), avgpool=GlobalAvgPool(), fc=Linear(3, classes))

    model = colours(classes=3)
    for path, parameter in model.parameters().items():
        parameter.data[...] = 0.0 if path == "fc.bias" else np.eye(3)
    xpnet.save_weights(model, tmp_path / "colours.safetensors")
    (tmp_path / "names.txt").write_text("red\ngreen\nblue\n")
    Image.new("RGB", (40, 30), (51, 102, 204)).save(tmp_path / "sea.png")
    monkeypatch.setattr(models, "resnet18", colours, raising=False)


@pytest.mark.usefixtures("sea")
def test_a_picture_is_classified_with_its_models_colours(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    found = run("classify_image", *PICTURE)
    scores = (np.asarray([51, 102, 204]) / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    expected = np.exp(scores) / np.exp(scores).sum()
    assert list(found) == ["blue", "green", "red"]
    np.testing.assert_allclose(list(found.values()), expected[::-1], rtol=1e-5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[-3:]] == [[name, f"{p:.1%}"] for name, p in found.items()]


@pytest.mark.usefixtures("sea")
def test_without_names_the_classes_are_numbers_and_five_are_shown(run: Run, tmp_path: Path) -> None:
    model = models.resnet18()
    for path, parameter in model.parameters().items():
        parameter.data[...] = np.arange(1000) / 100 if path == "fc.bias" else 0.0
    xpnet.save_weights(model, tmp_path / "colours.safetensors")
    found = run("classify_image", *PICTURE[:-2])
    assert list(found) == [f"class {k}" for k in range(999, 994, -1)]
    assert found["class 999"] / found["class 995"] == pytest.approx(np.exp(0.04), rel=1e-4)


@pytest.mark.usefixtures("sea")
def test_a_picture_is_turned_as_its_camera_was(run: Run, tmp_path: Path) -> None:
    run("classify_image", *PICTURE)
    (rotated := Image.Exif())[0x0112] = 6
    Image.new("RGB", (40, 30)).save(tmp_path / "turned.jpg", exif=rotated)
    assert sys.modules["classify_image"].picture_of(tmp_path / "turned.jpg").size == (30, 40)


@pytest.mark.usefixtures("sea")
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--model", "resnet51", "unknown model 'resnet51'; expected one of 'alexnet', "),
        ("--weights", "nowhere.safetensors", "there is no file nowhere.safetensors"),
        ("--weights", "sea.png", "no safetensors file"),
        ("--image", "nowhere.png", "No such file or directory: 'nowhere.png'"),
        ("--image", "names.txt", "cannot identify image file"),
        ("--classes", "one.txt", "shape: fc.weight (3, 3) → (1, 3)"),
    ],
)
def test_what_cannot_be_classified_is_said(
    option: str, value: str, message: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one.txt").write_text("blue\n")
    with pytest.raises(SystemExit) as exit_:
        run("classify_image", *PICTURE, option, value)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_convolutions_serve_new_digits_and_later_layers_do_not(run: Run) -> None:
    convolutions, all_but_head, scratch = run("fine_tune").values()
    assert convolutions["20"] > 0.95
    assert convolutions["20"] > convolutions["5"] > convolutions["1"] > 0.4
    for count in ("1", "5", "20"):
        assert all_but_head[count] < convolutions[count] - 0.1
        assert convolutions[count] == pytest.approx(scratch[count], abs=0.1 if count == "1" else 0.04)


def test_frozen_layers_stay_as_they_were(run: Run) -> None:
    run("fine_tune", *QUICK["fine_tune"])
    module = sys.modules["fine_tune"]
    kept = module.new_convolutions()
    model = module.network(module.Frozen(kept), module.new_features())
    before = model.state()
    x, t = module.few(module.part(xpnet.data.digits(flat=False)[0], 5), 3, seed=0)
    assert sorted(t) == sorted(3 * list(range(5)))
    assert x.shape == (15, 8, 8, 1)
    module.train(model, (x, t), 2, seed=0)
    changed = {path for path, values in model.state().items() if (values != before[path]).any()}
    assert changed == {"features.0.weight", "features.0.bias", "head.weight", "head.bias"}
    assert before.keys() == module.network(module.new_convolutions(), module.new_features()).state().keys()


def test_steps_against_the_saliency_blind_a_network_that_random_ones_do_not(run: Run) -> None:
    results = run("saliency")
    assert results["0"]["at random"] == results["0"]["against the saliency"] > 0.97
    assert results["0.1"]["at random"] > 0.95
    assert results["0.1"]["against the saliency"] < 0.85
    assert results["0.3"]["against the saliency"] < 0.2


def test_saliency_is_the_slope_of_the_winners_score(run: Run) -> None:
    run("saliency", *QUICK["saliency"])
    model = models.simple_cnn((8, 8, 1), channels=2, kernel_size=3).to(
        xpnet.backend.open_backend("numpy", dtype="float64")
    )
    x = np.random.default_rng(0).random((3, 8, 8, 1))
    winner, gradient = sys.modules["saliency"].saliency(model, x)
    np.testing.assert_array_equal(winner, model(x).argmax(axis=1))
    direction, h = np.random.default_rng(1).standard_normal(x.shape), 1e-6
    ahead, behind = (model(x + s * direction)[np.arange(3), winner] for s in (h, -h))
    np.testing.assert_allclose((gradient * direction).sum(axis=(1, 2, 3)), (ahead - behind) / (2 * h), rtol=1e-6)


def test_an_ensemble_beats_its_members(run: Run) -> None:
    for figures in run("ensemble").values():
        members = [figures[f"{name}, mean"] for name in ("first", "second", "third")]
        assert figures["ensemble, mean"] > max(members) + 0.01
        assert figures["seeds that beat all"] >= 4
        assert 0 < figures["ensemble, deviation"] < 0.02

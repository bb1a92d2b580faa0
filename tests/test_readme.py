"""The README's scripts run as they stand, and say the same thing."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import xpnet

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SCRIPT, LOOP = re.findall(r"```python\n(.*?)```", README.partition("## Twelve lines")[2], flags=re.DOTALL)[:2]
BACKEND = "cupy" if "cupy" in xpnet.available_backends() else "numpy"


def run(code, monkeypatch, folder, names=None):
    monkeypatch.chdir(folder)
    names = {} if names is None else names
    exec(code.replace('"cupy"', f'"{BACKEND}"', 1), names)
    return names


def lines_of(code):
    return [line for line in code.splitlines() if line.strip()]


def test_the_script_is_twelve_lines_and_the_loop_six():
    assert (len(lines_of(SCRIPT)), len(lines_of(LOOP))) == (12, 6)


def test_the_script_learns_the_digits_and_saves_weights_that_load(monkeypatch, tmp_path):
    found = run(SCRIPT, monkeypatch, tmp_path)
    assert found["history"]["val_accuracy"][-1] > 0.9
    fresh = xpnet.models.mlp([64, 128, 10])
    xpnet.load_weights(fresh, tmp_path / "digits.safetensors")
    x, _ = found["test"]
    assert xpnet.predict(fresh, x) == pytest.approx(xpnet.predict(found["model"], x), abs=1e-6)


def test_the_loop_does_what_fit_does(monkeypatch, tmp_path):
    fitted = run(SCRIPT, monkeypatch, tmp_path)
    xpnet.seed(0)
    before_fit = SCRIPT.partition("history =")[0]
    written_out = run(before_fit + "\n" + LOOP, monkeypatch, tmp_path)
    x, _ = fitted["test"]
    assert (xpnet.predict(written_out["model"], x) == xpnet.predict(fitted["model"], x)).all()


def test_the_learners_network_is_diagnosed_in_the_words_that_are_shown(monkeypatch, tmp_path, capsys):
    code, shown = re.search(
        r"## Why does it not learn\?.*?```python\n(.*?)```\n\n```text\n(.*?)```", README, flags=re.DOTALL
    ).groups()
    found = run(code, monkeypatch, tmp_path, {"xpnet": xpnet})["report"].findings[0]
    assert found.cause == "hinges_outside_data"
    assert found.verified["after"] < 0.2 * found.verified["before"]
    printed = capsys.readouterr().out
    assert printed.splitlines()[0] == shown.splitlines()[0]
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_weights_of_imagenet_are_loaded_and_go_on(monkeypatch, tmp_path):
    pytest.importorskip("onnx")
    code = re.search(r"```python\n(from PIL.*?)```", README, flags=re.DOTALL).group(1)
    xpnet.save_weights(xpnet.models.resnet50(), tmp_path / "resnet50.safetensors")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 260, 3), np.uint8)).save(tmp_path / "cat.jpg")
    found = run(code, monkeypatch, tmp_path, {"xpnet": xpnet})
    own, model = found["own"].state(), found["model"].state()
    assert (own["layer1.0.conv1.weight"] == model["layer1.0.conv1.weight"]).all()
    assert own["fc.weight"].shape == (2048, 10)
    assert (tmp_path / "resnet50.onnx").stat().st_size > 100_000_000

"""The README's scripts run as they stand, and say the same thing."""

import re
from pathlib import Path

import pytest

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

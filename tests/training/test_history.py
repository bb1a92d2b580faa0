"""A history is plain data that can be kept."""

import csv
import json
import sys
from types import SimpleNamespace

import pytest

from xpnet.training import GradientNorms, History, accuracy


@pytest.fixture
def history(examples, network, train):
    return train(
        network(), examples, validation=examples, metrics={"accuracy": accuracy}, callbacks=[GradientNorms(every=4)]
    )


def test_it_survives_json(history):
    history.stopped = "enough"
    back = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert back.to_dict() == history.to_dict()
    assert (back.epochs, back.steps, back.stopped) == (history.epochs, history.steps, "enough")
    assert back.gradient_norms == history.gradient_norms != {}


def test_what_to_dict_gave_is_a_copy(history):
    values = history.to_dict()
    values["epochs"][0]["loss"] = values["steps"]["loss"][0] = -1.0
    assert history["loss"][0] > 0.0
    assert history.steps["loss"][0] > 0.0


def test_csv_has_a_line_for_each_epoch_under_the_names(history, tmp_path):
    history.epochs.append({"epoch": 3, "loss": 0.5})
    history.to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = [{name: float(text) for name, text in row.items() if text} for row in csv.DictReader(file)]
    assert rows == history.epochs


def test_pandas_gets_the_rows(monkeypatch, history):
    monkeypatch.setitem(sys.modules, "pandas", SimpleNamespace(DataFrame=lambda rows: ("frame", rows)))
    assert history.to_pandas() == ("frame", history.epochs)


def test_without_pandas_it_says_how_to_get_it(monkeypatch, history):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^History\.to_pandas needs pandas: pip install pandas$"):
        history.to_pandas()


def test_one_quantity_over_the_epochs(history):
    assert history["val_loss"] == [row["val_loss"] for row in history.epochs]
    with pytest.raises(KeyError, match=r"history has no 'val_f1'; it has epoch, loss, accuracy, val_loss, val_acc"):
        history["val_f1"]


def test_it_shows_its_last_epoch():
    history = History()
    assert repr(history) == "History(0 epochs)"
    history.epochs.append({"epoch": 1, "loss": 0.123456})
    assert repr(history) == "History(1 epochs: epoch 1, loss 0.1235)"

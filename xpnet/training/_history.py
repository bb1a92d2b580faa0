import csv
from collections.abc import Mapping, MutableSequence
from os import PathLike
from typing import Any, final

from xpnet.training._numbers import Numbers


@final
class History:
    """What a training run has shown: plain data.

    Attributes
    ----------
    epochs : a row for each epoch: `epoch` (from 1), `loss`, each metric, `penalty`, `val_loss`, `val_` and each metric,
        `learning_rate` (of its last step), `seconds`; those that the run had.
    steps : for each name one value a step, to be used as a list is: `loss`. They take 8 bytes each.
    gradient_norms : by layer path, the norm of the gradient at some steps, if a `GradientNorms` callback took them.
    stopped : why the run ended before its last epoch, or None.

    Examples
    --------
    >>> history = History()
    >>> history.epochs += [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.0}]
    >>> history["loss"]
    [2.0, 1.0]
    """

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self.steps: dict[str, MutableSequence[float]] = {"loss": Numbers()}
        self.gradient_norms: dict[str, dict[int, float]] = {}
        self.stopped: str | None = None

    def __getitem__(self, name: str) -> list[float]:
        """One quantity over the epochs.

        Raises
        ------
        KeyError : the run had no such quantity.
        """
        if self.epochs and name not in self.epochs[-1]:
            raise KeyError(f"history has no {name!r}; it has {', '.join(self.epochs[-1])}")
        return [row[name] for row in self.epochs]

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {value:.4g}" for name, value in (self.epochs or [{}])[-1].items())
        return f"History({len(self.epochs)} epochs{': ' if last else ''}{last})"

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists and numbers, ready for JSON."""
        return {
            "epochs": [dict(row) for row in self.epochs],
            "steps": {name: list(values) for name, values in self.steps.items()},
            "gradient_norms": {path: dict(norms) for path, norms in self.gradient_norms.items()},
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "History":
        """The inverse of `to_dict`; step numbers may have become text, as JSON makes them."""
        history = cls()
        history.epochs = [dict(row) for row in values["epochs"]]
        history.steps = {name: Numbers(numbers) for name, numbers in values["steps"].items()}
        history.gradient_norms = {
            path: {int(step): norm for step, norm in norms.items()} for path, norms in values["gradient_norms"].items()
        }
        history.stopped = values["stopped"]
        return history

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Writes a line for each epoch, under a line of names."""
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(dict.fromkeys(name for row in self.epochs for name in row)))
            writer.writeheader()
            writer.writerows(self.epochs)

    def to_pandas(self) -> Any:
        """The epochs as a `pandas.DataFrame`.

        Raises
        ------
        ImportError : pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ImportError("History.to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.epochs)

"""What a checkpoint tells of a run's history and of the epoch under way, checked as it is read."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from xpnet.backend import HostArray
from xpnet.training._checkpoint_folder import Saved
from xpnet.training._numbers import Numbers


@final
class Restored:
    """The history and the epoch under way, of the kinds that they should be."""

    def __init__(self, saved: Saved, quantities: int) -> None:
        values, arrays = saved.values, saved.arrays
        self.name, self.nominal = str(values["run"]), values["nominal"]
        self.step, self.epoch, position = values["step"], values["epoch"], values["position"]
        counts = [self.step, self.epoch, *([] if position is None else [position])]
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"expected counts of steps, epochs and batches, got {counts}")
        self.position, self.seconds = position, float(values["seconds"])
        self.epochs, self.stopped = unpacked(values["epochs"], arrays["history.epochs"]), values["stopped"]
        self.losses = Numbers(arrays["history.loss"].tolist())
        norms = below("history.gradient_norms", arrays)
        self.norms = {path: {int(step): norm for step, norm in pairs.tolist()} for path, pairs in norms.items()}
        self.sizes, rows = array("q", arrays["epoch.sizes"].tolist()), arrays["epoch.rows"]
        if rows.shape != (len(self.sizes), quantities):
            raise ValueError(f"expected {quantities} quantities of {len(self.sizes)} steps, got shape {rows.shape}")
        self.columns = rows.T.tolist()

    def fill(self, history: Any) -> None:
        history.epochs[:] = self.epochs
        history.steps["loss"][:] = self.losses
        history.gradient_norms.update(self.norms)
        history.stopped = self.stopped


def below(prefix: str, arrays: Mapping[str, HostArray]) -> dict[str, HostArray]:
    return {name[len(prefix) + 1 :]: array for name, array in arrays.items() if name.startswith(prefix + ".")}


def packed(rows: Sequence[Mapping[str, Any]]) -> tuple[Any, HostArray]:
    """Rows of the same names and kinds of numbers as names and a table; others as they are, beside an empty one.

    Examples
    --------
    >>> packed([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    ({'epoch': 'int', 'loss': 'float'}, array([[1.  , 0.5 ],
           [2.  , 0.25]]))
    """
    kinds = [{name: type(value).__name__ for name, value in row.items()} for row in rows]
    plain = rows and all(each == kinds[0] for each in kinds) and set(kinds[0].values()) <= {"int", "float"}
    if not plain:
        return [dict(row) for row in rows], np.empty((0, 0))
    return kinds[0], np.asarray([[float(value) for value in row.values()] for row in rows])


def unpacked(described: Any, table: HostArray) -> list[dict[str, Any]]:
    """The inverse of `packed`.

    Raises
    ------
    ValueError : the table has another number of columns than there are names.
    """
    if isinstance(described, list):
        return [dict(row) for row in described]
    makers = [{"int": int, "float": float}[kind] for kind in described.values()]
    if table.shape[1:] != (len(makers),):
        raise ValueError(f"expected {len(makers)} columns of epochs, got shape {table.shape}")
    return [
        {name: make(value) for name, make, value in zip(described, makers, row, strict=True)} for row in table.tolist()
    ]

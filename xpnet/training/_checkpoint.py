import math
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from numbers import Integral
from os import PathLike
from pathlib import Path
from typing import Any, final

from xpnet.backend import HostArray
from xpnet.files import path_of
from xpnet.layers import Layer, check_count, check_model
from xpnet.optimizers import Optimizer, check_optimizer
from xpnet.training._callbacks import Callback, Run
from xpnet.training._checkpoint_folder import CheckpointError, CheckpointFolder, CheckpointWarning, Saved, passed_over
from xpnet.training._progress import Progress
from xpnet.training._restored import below
from xpnet.training._warning import warn


@final
class Checkpoint(Callback):
    """Saves a run now and then, so that `fit(..., resume=folder)` goes on as if it had never ended.

    A checkpoint is one safetensors file and one JSON manifest. Both are written under another name, forced to the disk
    and renamed, the manifest last; older ones are removed only after that. Training waits while values are copied on
    the host; hashing and writing go on beside it. While a run has a `Checkpoint`, SIGINT and SIGTERM let the step end,
    save, and leave with `Interrupted`; a second one ends the process at once. A checkpoint that cannot be written, as
    where the disk is full, is a `CheckpointWarning`; training goes on, and older ones stay.

    Parameters
    ----------
    folder : where; it is made if it is not there. No other process may use it meanwhile.
    every : `"epoch"`; or a whole number of steps; or a number of seconds, as a float or a `timedelta`. At the end of a
        run the last state is saved in any case.
    keep : how many checkpoints stay, >= 1.

    Attributes
    ----------
    last : the manifest of the newest whole checkpoint, or None.

    Raises
    ------
    ValueError : a value out of its range.
    TypeError : a value of another kind.
    FileExistsError : in the run, the folder has checkpoints of an earlier run, which is not resumed.
    OSError : in the run, the folder cannot be written, or another process uses it.

    Examples
    --------
    >>> import tempfile
    >>> import xpnet
    >>> (x, t), _ = xpnet.data.sine()
    >>> def run(epochs, folder):
    ...     xpnet.seed(0)
    ...     model = xpnet.models.mlp([1, 16, 1])
    ...     xpnet.fit(model, xpnet.data.batches(x, t, 10), loss=xpnet.losses.squared_error, epochs=epochs,
    ...               optimizer=xpnet.optimizers.Adam(model, 0.01), callbacks=[Checkpoint(folder)], resume=folder)
    ...     return model.state()
    >>> with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
    ...     whole, _, in_parts = run(4, one), run(2, two), run(4, two)
    >>> all((whole[path] == in_parts[path]).all() for path in whole)
    True
    """

    def __init__(
        self, folder: str | PathLike[str], *, every: str | int | float | timedelta = "epoch", keep: int = 3
    ) -> None:
        self.folder = path_of("Checkpoint", folder)
        if isinstance(every, Integral) and not isinstance(every, bool):
            every = int(every)
        self.every, self._seconds = every, _seconds(every)
        self.keep = check_count("Checkpoint", "keep", keep)
        self.last: Path | None = None
        self._files = CheckpointFolder(self.folder)
        self._writing: Future[tuple[Path, OSError | None]] | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._arrays: dict[str, HostArray] = {}
        self._saved_at = 0.0
        self._newest: tuple[int, int | None] | None = None

    @contextmanager
    def opened(self, resume: Path | None) -> Iterator[None]:
        """Holds the folder while a run lasts.

        Raises
        ------
        FileExistsError, OSError : see the class.
        """
        with self._files.opened():
            names = self._files.names()
            if names and not (resume is not None and self._goes_on(resume)):
                raise FileExistsError(
                    f"Checkpoint: {self.folder} has checkpoints of an earlier run, up to {names[-1]}; take another "
                    f"folder, or go on from them: fit(..., resume={str(self.folder)!r})"
                )
            self.last, self._newest, self._saved_at = None, None, time.monotonic()
            with ThreadPoolExecutor(1, "xpnet checkpoint") as self._writer:
                try:
                    yield
                finally:
                    self.wait()
                    self._arrays = {}

    def _goes_on(self, resume: Path) -> bool:
        """Whether the folder is of the run that is taken up: it is that folder, or another in which it was saved."""
        return resume.resolve() == self.folder.resolve() or self._files.run() == CheckpointFolder(resume).run()

    def newest(self) -> tuple[Path, Saved] | None:
        """The newest whole checkpoint of the folder, of which a warning says so if newer ones are damaged.

        Raises
        ------
        CheckpointError : there are some, but none is whole.
        """
        try:
            self.last, saved, problems = self._files.newest()
        except FileNotFoundError as error:
            if self._files.without_manifest:
                warn(CheckpointWarning(f"fit: resume: the run begins anew: {error}"))
            return None
        if problems:
            warn(CheckpointWarning(f"fit: resume: {passed_over(problems, self.last)}"))
        self._newest = _moment(saved.values)
        return self.last, saved

    def due(self, run: Run, *, after_epoch: bool = False, over: bool = False) -> bool:
        """Whether it is time."""
        if after_epoch:
            return over or self.every == "epoch"
        if self._seconds is not None:
            return time.monotonic() - self._saved_at >= self._seconds
        return isinstance(self.every, int) and run.step % self.every == 0

    @property
    def by_steps(self) -> bool:
        """Whether steps alone decide when it is time."""
        return isinstance(self.every, int)

    def has(self, progress: Progress) -> bool:
        """Whether this moment of the run is saved, or being written."""
        return self._newest == (progress.run.step, progress.position)

    def save(self, progress: Progress, seconds: float) -> None:
        """Copies what there is, and begins to write it; nothing where that has been done at this moment of the run."""
        if self.has(progress):
            return
        self.wait()
        saved = progress.saved(seconds, self._arrays)
        self._arrays, self._newest = dict(saved.arrays), _moment(saved.values)
        assert self._writer is not None
        self._writing = self._writer.submit(self._write, saved)
        self._saved_at = time.monotonic()

    def _write(self, saved: Saved) -> tuple[Path, OSError | None]:
        """In the writer's thread: one more, then without the oldest; its manifest, and why those are still there."""
        path = self._files.write(saved)
        try:
            self._files.prune(self.keep)
        except OSError as error:
            return path, error
        return path, None

    def wait(self) -> None:
        """Until what is being written is on the disk; if it cannot be, that is a warning."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            self.last, not_removed = writing.result()
        except OSError as error:
            self._newest = None
            still = f"the last one is {self.last}" if self.last else "there is none yet"
            warn(CheckpointWarning(f"Checkpoint: could not write into {self.folder} ({error}); {still}"))
        else:
            if not_removed is not None:
                warn(CheckpointWarning(f"Checkpoint: older ones than {self.last} could not be removed ({not_removed})"))


def load_checkpoint(folder: str | PathLike[str], model: Layer, optimizer: Optimizer | None = None) -> Path:
    """Takes a model, and its optimizer if given, from the newest whole checkpoint of a folder.

    To go on with a run as it was, `fit(..., resume=folder)` does more: data order, history, callbacks.

    Parameters
    ----------
    folder : of a `Checkpoint`.
    model : of the same paths and shapes.
    optimizer : of the same rule, built for this model.

    Returns
    -------
    The manifest of the checkpoint.

    Raises
    ------
    FileNotFoundError : the folder has no checkpoint.
    CheckpointError : none is whole, or it is of another model or rule; nothing is changed then.

    Examples
    --------
    >>> import tempfile
    >>> import xpnet
    >>> (x, t), _ = xpnet.data.sine()
    >>> model = xpnet.models.mlp([1, 16, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     history = xpnet.fit(model, xpnet.data.batches(x, t, 10), loss=xpnet.losses.squared_error, epochs=2,
    ...                         optimizer=xpnet.optimizers.Adam(model, 0.01), callbacks=[Checkpoint(folder)])
    ...     load_checkpoint(folder, xpnet.models.mlp([1, 16, 1])).name
    '000002-step-20.json'
    """
    check_model("load_checkpoint", model)
    if optimizer is not None:
        check_optimizer("load_checkpoint", optimizer, model)
    path, saved, problems = CheckpointFolder(path_of("load_checkpoint", folder)).newest()
    if problems:
        warn(CheckpointWarning(f"load_checkpoint: {passed_over(problems, path)}"))
    before = model.state()
    try:
        model.load_state(below("model", saved.arrays))
        if optimizer is not None:
            optimizer.load_state(below("optimizer", saved.arrays))
    except (ValueError, TypeError) as error:
        model.load_state(before)
        raise CheckpointError(f"load_checkpoint: {path}: {error}") from error
    return path


def _seconds(every: Any) -> float | None:
    """The time between two checkpoints, where it is one."""
    if every == "epoch":
        return None
    if isinstance(every, int) and not isinstance(every, bool):
        check_count("Checkpoint", "every", every)
        return None
    seconds = every.total_seconds() if isinstance(every, timedelta) else every
    if not isinstance(seconds, float):
        raise TypeError(
            f"Checkpoint: every must be 'epoch', a whole number of steps, or seconds as a float, got {every!r}"
        )
    if not 0.0 < seconds < math.inf:
        raise ValueError(f"Checkpoint: every must be above 0 seconds, got {every!r}")
    return seconds


def _moment(values: dict[str, Any]) -> tuple[Any, Any]:
    return values.get("step"), values.get("position")

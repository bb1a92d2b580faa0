import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sized
from pathlib import Path
from typing import Any, NoReturn, final

from tqdm.auto import tqdm

from xpnet._typing import Array
from xpnet.distributed import raised_alike
from xpnet.optimizers import NonFiniteError
from xpnet.training._checkpoint import Checkpoint
from xpnet.training._checkpoint_folder import CheckpointError, Saved
from xpnet.training._evaluate import NO_BATCH, Pairs
from xpnet.training._memory import DeviceLostError, MemoryWatch, OutOfMemoryError, lost
from xpnet.training._progress import Progress
from xpnet.training._ranks import Ranks
from xpnet.training._signals import Interrupted, SignalInEvaluation, Signals
from xpnet.training._step import Step
from xpnet.training._unseen import Unseen


@final
class Loop:
    """The epochs of a run, from where it is to its end.

    Parameters
    ----------
    progress : where it is.
    step : one step, on a batch or several.
    evaluated : what batches show of the model in inference mode.
    unseen : the steps that no one has looked at.
    log_every : steps between two looks.
    ranks : that share the run.
    hidden : whether to hide the progress bar; None hides it where there is no terminal.
    """

    def __init__(
        self,
        progress: Progress,
        step: Step,
        evaluated: Callable[[Pairs], dict[str, float]],
        unseen: Unseen,
        log_every: int,
        ranks: Ranks,
        hidden: bool | None,
    ) -> None:
        self.progress, self.step, self.evaluated, self.unseen = progress, step, evaluated, unseen
        self.log_every, self.ranks, self.hidden = log_every, ranks, hidden
        self.run, self.listeners = progress.run, progress.listeners
        self.model, self.optimizer = self.run.model, self.run.optimizer
        self.memory = MemoryWatch(self.model)
        self.checkpoints = [listener for listener in self.listeners if isinstance(listener, Checkpoint)]
        self.signals = Signals(told=ranks.first)
        self.saved: Saved | None = None
        self.started = 0.0

    # Checkpoints ------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def saving(self, source: Path | None) -> Iterator[None]:
        """Holds the folders of the checkpoints, and notes signals."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.signals.caught(bool(self.checkpoints)))  # until the last is on the disk
            for checkpoint in self.checkpoints if self.ranks.first else ():
                stack.enter_context(checkpoint.opened(source))
            yield

    def resume(self, source: Path) -> None:
        """Takes the run up where the newest whole checkpoint of a folder left it.

        Raises
        ------
        FileNotFoundError : it has none, and no checkpoint is written there.
        CheckpointError : it is of another run, or damaged.
        """
        writing = [each for each in self.checkpoints if each.folder.resolve() == source.resolve()]
        found = self.ranks.read((writing or [Checkpoint(source)])[0].newest)
        if found is None:
            if not writing:
                raise raised_alike(FileNotFoundError(f"fit: resume: there is no checkpoint in {source}"))
            return
        path, self.saved = found
        problem = None
        try:
            self.progress.load(self.saved)
        except CheckpointError as error:
            problem = error
        told = self.ranks.first_of(None if problem is None else str(problem))
        if told is not None:
            raise raised_alike(CheckpointError(f"fit: resume: {path}: {told}; nothing was changed")) from problem
        self.step.nominal = self.progress.nominal

    def _save(self, due: list[Checkpoint]) -> None:
        if due:
            self._join()
        for checkpoint in due if self.ranks.first else ():
            checkpoint.save(self.progress, self._seconds())

    def _join(self) -> None:
        """What ranks have each for themselves, they now have together: running statistics, and what steps showed."""
        if not self.ranks.alone:
            self.ranks.average(buffer.data for buffer in self.model.buffers().values())
            self.progress.ledger.agree(self.ranks.add)

    def _leave(self, signal: int) -> NoReturn:
        """Ends the run as a signal wants it, with all saved."""
        self._save(self.checkpoints)
        for checkpoint in self.checkpoints:
            checkpoint.wait()
        run, written = self.run, [checkpoint for checkpoint in self.checkpoints if checkpoint.last]
        saved = [checkpoint for checkpoint in written if checkpoint.has(self.progress)]
        places = ", ".join(str(checkpoint.last) for checkpoint in saved or written)
        what = f"saved as {places}" if saved else f"not saved, the last one is {places}" if places else "nothing saved"
        end = Interrupted(signal, "")
        end.message = (
            f"fit: {end.signal}: stopped after step {run.step}, in epoch {run.epoch} of {run.epochs}; {what}"
            f"{': fit(..., resume=...) goes on from there' if places else ''}"
        )
        if self.ranks.first:
            tqdm.write(end.message, file=sys.stderr)
        raise raised_alike(end)

    def _seconds(self) -> float:
        """What the epoch under way has taken."""
        return 0.0 if self.progress.position is None else self.progress.seconds + time.perf_counter() - self.started

    # The run ----------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """All that is left of the run."""
        run, backend = self.run, self.model.backend
        gone = False
        for listener in self.listeners:
            listener.on_start(run)
        if self.saved is not None:
            self.progress.load_callbacks(self.saved)
            self.saved = None
        try:
            while self.progress.position is not None or not self._is_over():
                self._epoch()
        except Exception as error:
            problem = error
            if backend.is_lost(error) and not isinstance(error, DeviceLostError):
                problem = lost(error)
            if isinstance(problem, (NonFiniteError, OutOfMemoryError, DeviceLostError)):
                problem.history = run.history
            gone = isinstance(problem, DeviceLostError)
            self._tell_of_checkpoints(problem)
            if problem is error:
                raise
            raise problem from error
        finally:
            for listener in self.listeners:
                with contextlib.suppress(*((Exception,) if gone else ())):  # it may read what is gone
                    listener.on_end(run)

    def _is_over(self) -> bool:
        return self.run.epoch >= self.run.epochs or self.run.history.stopped is not None

    def _tell_of_checkpoints(self, error: Exception) -> None:
        for checkpoint in self.checkpoints:
            checkpoint.wait()
            if checkpoint.last is None:
                continue
            if isinstance(error, (NonFiniteError, OutOfMemoryError, DeviceLostError)):
                error.args = (f"{error}. The last checkpoint is {checkpoint.last}",)
            else:
                error.add_note(f"The last checkpoint is {checkpoint.last}")

    def _epoch(self) -> None:
        run, progress, validation = self.run, self.progress, self.progress.validation
        if progress.position is None:
            run.epoch += 1
        self.started = time.perf_counter()
        total = len(progress.batches) if isinstance(progress.batches, Sized) else None
        bar = {"desc": f"epoch {run.epoch}/{run.epochs}", "unit": "batch", "disable": self.hidden}
        with tqdm(total=total, initial=progress.position or 0, **bar) as shown:
            try:
                row = self._steps(shown)
                if validation is not None:
                    row |= {f"val_{name}": value for name, value in self._validated(validation).items()}
            except Exception as error:
                if isinstance(error, DeviceLostError) or self.model.backend.is_lost(error):
                    progress.ledger.give_up()
                raise
            finally:  # what a run has shown outlives its end
                progress.ledger.read()
                run.history.steps["loss"] += progress.ledger.losses()
            shown.set_postfix({name: f"{value:.4g}" for name, value in row.items()})
        rest = {"learning_rate": self.optimizer.last_rate, "seconds": self._seconds()}
        run.history.epochs.append({"epoch": run.epoch} | row | rest)
        progress.between()
        for listener in self.listeners:
            listener.on_epoch(run)
        if not self.ranks.alone:
            run.history.stopped = self.ranks.same_end(run.history.stopped)
        over = self._is_over()
        self._save([each for each in self.checkpoints if each.due(run, after_epoch=True, over=over)])
        if signal := self._exchange([])[1]:
            self._leave(signal)

    def _exchange(self, due: list[Checkpoint]) -> tuple[list[Checkpoint], int]:
        """Which checkpoints are due, and the signal that came, or 0: of all ranks, if of one."""
        signal = self.signals.received or 0
        if self.ranks.alone or not self.checkpoints:
            return due, signal
        wanted = [self.ranks.first and each in due for each in self.checkpoints]  # only it knows when it has saved
        signal, *agreed = self.ranks.largest([signal, *wanted])
        return [each for each, want in zip(self.checkpoints, agreed, strict=True) if want], signal

    def _steps(self, bar: Any) -> dict[str, float]:
        """The steps of an epoch that are left; what all of it showed, averaged over examples."""
        self.unseen.clear()
        for done, (x, t, whole) in enumerate(self.progress.rest_of_pass(self.ranks.communicator), 1):
            self._pass(x, t, whole)
            if done % self.step.accumulate == 0:
                self._finish(bar)
        self._finish(bar)
        if not self.progress.ledger.sizes:
            raise ValueError(f"fit: {NO_BATCH}")
        self._look()
        self._join()
        return self.progress.ledger.means()

    def _look(self) -> None:
        """Reads what steps have shown, so that nothing is saved of one that was refused."""
        self.progress.ledger.read()
        try:
            self.optimizer.raise_if_not_finite()
        except NonFiniteError as error:
            raise self.unseen.explain(error) from None
        self.unseen.clear()

    def _validated(self, validation: Pairs) -> dict[str, float]:
        self.progress.validating()
        try:
            return self.evaluated(self.signals.between(validation) if self.ranks.alone else validation)
        except SignalInEvaluation as error:
            self._leave(error.signal)

    def _pass(self, x: Array, t: Array, whole: int) -> None:
        """A batch, or this rank's share of it."""
        self.unseen.note(self.optimizer.steps, x, t)
        try:
            with self.memory.step(x):
                self.step.go(x, t, whole)
        except NonFiniteError as error:
            raise self.unseen.explain(error) from None
        self.run.batch = x, t
        self.progress.position = (self.progress.position or 0) + 1

    def _finish(self, bar: Any) -> None:
        """The end of a step, whose batches have been gone through."""
        run, ledger, position = self.run, self.progress.ledger, self.progress.position or 0
        passes = position - bar.n
        try:
            if not self.step.finish():
                return
            run.step += 1
            self.progress.nominal = self.step.nominal
            due, signal = [each for each in self.checkpoints if each.due(run)], 0
            look = run.step % self.log_every == 0
            if look or self.ranks.alone:
                due, signal = self._exchange(due)
            else:
                due = [each for each in due if each.by_steps]
            look = look or bool(due) or signal != 0
            if look:
                ledger.read()
                self.optimizer.raise_if_not_finite()
            if look or self.unseen.at_once:
                self.unseen.clear()
        except NonFiniteError as error:
            raise self.unseen.explain(error) from None
        for listener in self.listeners:
            listener.on_step(run)
        run.batch = None
        if look and not bar.disable:
            bar.set_postfix({name: f"{value:.4g}" for name, value in ledger.last().items()}, refresh=False)
        bar.update(passes)
        self._save(due)
        if signal := signal or (self.signals.received or 0 if self.ranks.alone else 0):
            self._look()
            self._leave(signal)

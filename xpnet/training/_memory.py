"""A step for which memory does not suffice, and a device that is gone: what to say, and how to leave things."""

import gc
import math
import traceback
from types import TracebackType
from typing import Any, final

from xpnet._typing import Array, Shape
from xpnet.backend import asked_bytes, in_units
from xpnet.data import resident_bytes
from xpnet.layers import Layer, layer_shapes

_NEW = 3
"""Steps on batches of one shape, the first ones, before which running statistics are copied: where memory is not
enough, it is at the first ones (a step that is captured runs twice before)."""
_MARGIN = 0.9
"""The part of the free memory that a batch that should fit may take by the estimate."""


class OutOfMemoryError(MemoryError):
    """A step or an evaluation needed more memory than there is, on the device or the host.

    Attributes
    ----------
    batch_size : of the batch that did not fit.
    fits : a batch size that should fit; None if not even one example does.
    asked, used, free : bytes that could not be had, and that were in use and free at that moment; None if not known.
    history : what the run had shown, where `fit` raised it.
    """

    history: Any = None

    def __init__(
        self,
        message: str,
        *,
        batch_size: int,
        fits: int | None,
        asked: int | None = None,
        used: int | None = None,
        free: int | None = None,
    ) -> None:
        super().__init__(message)
        self.batch_size, self.fits = batch_size, fits
        self.asked, self.used, self.free = asked, used, free


class DeviceLostError(RuntimeError):
    """The device can no longer be used by this process, and nothing on it can be read.

    Attributes
    ----------
    history : what the run had shown, where `fit` raised it.
    """

    history: Any = None


@final
class MemoryWatch:
    """Explains what fails for lack of memory in the steps of one run, and puts things back.

    Parameters
    ----------
    model : the model that is trained or evaluated.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.models import mlp
    >>> model, x = mlp([2, 1]), np.zeros((64, 2), np.float32)
    >>> watch = MemoryWatch(model)
    >>> with watch.step(x):
    ...     raise MemoryError("Unable to allocate 3.00 GiB")
    Traceback (most recent call last):
    ...
    xpnet.training._memory.OutOfMemoryError: not enough memory for a training step on a batch of 64, ...
    """

    def __init__(self, model: Layer) -> None:
        self.model, self.backend = model, model.backend
        self._buffers = list(model.buffers().values())
        self._of_its_own = self.backend.room() is not None
        self._begun: dict[Shape, int] = {}
        self._before: list[Array] | None = None
        self._used = 0

    def step(self, x: Array, *, training: bool = True) -> "_Step":
        """A block around one step on the inputs x, or around one batch of an evaluation.

        An error in it that means a lack of memory becomes an `OutOfMemoryError`, and one that means that the device is
        gone a `DeviceLostError`; others pass.
        """
        if self._of_its_own:
            self._used = self.backend.memory().get("used", 0)
        self._before = None
        if training and self._buffers:
            shape = tuple(x.shape)
            begun = self._begun[shape] = self._begun.get(shape, 0) + 1
            if begun <= _NEW:
                self._before = [self.backend.copy(buffer.data) for buffer in self._buffers]
        return _Step(self, x, training)

    def explain(self, error: BaseException, x: Array, *, training: bool) -> OutOfMemoryError:
        """Puts things back, gives memory back, and says what happened and what should fit."""
        memory, free, asked = self.backend.memory(), self.backend.room(), asked_bytes(error)
        used = memory.get("used", memory.get("resident"))
        taken = max(0, (used or 0) - self._used) + (asked or 0) if self._of_its_own else 0
        state = self._state(error) if training else ""
        _let_go(error)
        if training:
            self._put_back()
        self.backend.release()
        known = {"{} could not be had": asked, "{} were in use": used, "{} were free": free}
        numbers = ", ".join(text.format(in_units(size)) for text, size in known.items() if size is not None)
        fits, advice = self._advice(x, training, taken)
        return OutOfMemoryError(
            f"not enough memory for {'a training step' if training else 'inference'} on a batch of {x.shape[0]}, "
            f"inputs of shape {tuple(x.shape)}{numbers and ': '}{numbers}. {advice}{state}",
            batch_size=int(x.shape[0]),
            fits=fits,
            asked=asked,
            used=used,
            free=free,
        )

    def _put_back(self) -> None:
        self.model.clear_gradients()
        if self._before is not None:
            for buffer, before in zip(self._buffers, self._before, strict=True):
                buffer.data[...] = before
            self._before = None

    def _state(self, error: BaseException) -> str:
        """What of the state is as it was."""
        if _was_updating(error):
            return ". It was the optimizer's update that failed, maybe half done: go on from weights saved before it"
        if self._buffers and self._before is None:
            return (
                ". Parameters and optimizer are as they were before this step; running statistics may have taken in "
                "this batch"
            )
        both = "Parameters, optimizer and running statistics" if self._buffers else "Parameters and optimizer"
        return f". {both} are as they were before this step"

    def _advice(self, x: Array, training: bool, taken: int) -> tuple[int | None, str]:
        """A batch size that should fit, and what to say of it. `taken` is the least that this batch has needed."""
        n, room = int(x.shape[0]), self.backend.room()
        if n == 1:
            return None, "It was one example: a smaller model, smaller inputs or another type are what is left"
        if room is None:
            return n // 2, f"A batch of {n // 2} needs about half of what this one does"
        example = max(taken, estimated_bytes(self.model, x, training=training)) // n
        size = n // 2
        while size and size * example > _MARGIN * room:
            size //= 2
        about = f"an example takes about {in_units(example)}, and without this step {in_units(room)} are free"
        if data := resident_bytes(self.backend):
            about += f" (and {in_units(data)} taken by data, which batches(..., resident=False) leaves on the host)"
        return (size, f"A batch of {size} should fit: {about}") if size else (None, f"Not even one should fit: {about}")


@final
class _Step:
    """The block around one step."""

    __slots__ = ("training", "watch", "x")

    def __init__(self, watch: MemoryWatch, x: Array, training: bool) -> None:
        self.watch, self.x, self.training = watch, x, training

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, (OutOfMemoryError, DeviceLostError)):
            return
        if self.watch.backend.is_lost(error):
            raise lost(error) from error
        if self.watch.backend.is_out_of_memory(error):
            del trace  # which would keep alive what the failed calls held
            raise self.watch.explain(error, self.x, training=self.training) from error


def explained_out_of_memory(model: Layer, x: Array, *, training: bool = True) -> _Step:
    """A block around one step or one batch of an evaluation: `MemoryWatch(model).step(x)`.

    Parameters
    ----------
    model : the model that is trained or evaluated.
    x : the batch's inputs.
    training : whether it is a step, whose traces are to be removed.

    Raises
    ------
    OutOfMemoryError : in place of an error in the block that means a lack of memory.
    DeviceLostError : in place of one that means that the device is gone.

    Examples
    --------
    >>> import numpy as np
    >>> from xpnet.models import mlp
    >>> model, x = mlp([2, 1]), np.zeros((64, 2), np.float32)
    >>> with explained_out_of_memory(model, x, training=False):
    ...     y = model(x)
    >>> y.shape
    (64, 1)
    """
    return MemoryWatch(model).step(x, training=training)


def lost(error: BaseException) -> DeviceLostError:
    """The error to raise for one that means that the device is gone."""
    reason = str(error).partition("\n")[0]
    return DeviceLostError(
        f"the device is gone ({reason}): this process can no longer use it, and nothing on it can be read, parameters "
        "and optimizer among them. What survives is on the host: the history so far (this error's .history), and what "
        "was written to files, such as weights at the last checkpoint. Start a new process and go on from those"
    )


def estimated_bytes(model: Layer, x: Array, *, training: bool) -> int:
    """About what a batch takes beside the parameters, from shapes alone; 0 for a model that does not tell its shapes.

    training     the outputs of all layers + twice the largest, for gradients on their way
    inference    three times the largest, for a layer's input, its output, and what it works on
    """
    try:
        whole = layer_shapes(model, tuple(x.shape))
    except Exception:  # whatever a layer of one's own raises: there is an error to explain already
        return 0
    sizes: dict[int, int] = {id(each.output_shape): math.prod(each.output_shape) for each in whole.walk()}
    largest: int = max(math.prod(x.shape), *sizes.values())
    numbers = sum(sizes.values()) + 2 * largest if training else 3 * largest
    return numbers * int(model.backend.item_bytes(x))


def _was_updating(error: BaseException) -> bool:
    """Whether the error came out of the rule of an optimizer, which changes arrays in place."""
    return any(
        frame.f_code.co_name == "_update" and str(frame.f_globals.get("__name__")).startswith("xpnet.optimizers")
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def _let_go(error: BaseException) -> None:
    """Lets go of all that the failed calls held: as long as a traceback lives, so do their variables and closures.

    The traceback goes on as a text. Clearing its frames would not do: their functions keep what they close over.
    """
    calls = "".join(traceback.format_tb(error.__traceback__)).rstrip()
    found: BaseException | None = error
    while found is not None:
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    if calls:
        error.add_note(f"Where it happened:\n{calls}")
    gc.collect()

"""A convolution as cuDNN sees it: dimensions, strides and padding, and the plan that cuDNN makes for it."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from xpnet._typing import Shape
from xpnet.backend._windows import Windows

X, FILTERS, Y = 1, 2, 3
"""The numbers under which an operation's three arrays are handed over."""

OPERANDS = {"forward": (X, FILTERS, Y), "data gradient": (Y, FILTERS, X), "weight gradient": (X, Y, FILTERS)}
"""What each of the three products reads, and last what it writes."""

_TYPES = {"float32": "FLOAT", "float16": "HALF"}
_LARGEST = 2**31 - 1
"""Arrays of more elements are left to the generic way: not all of cuDNN's engines count further."""


@dataclass(frozen=True)
class Problem:
    """One convolution of n examples.

    Parameters
    ----------
    n, inputs, outputs, groups : examples and channels.
    windows : where the kernel looks.
    dtype : the arrays' type.
    tf32 : whether float32 may be rounded to TF32 before it is multiplied.
    """

    n: int
    inputs: int
    outputs: int
    groups: int
    windows: Windows
    dtype: str
    tf32: bool

    def __str__(self) -> str:
        windows, size = self.windows, "×".join(map(str, (self.n, *self.windows.size, self.inputs)))
        kernel = "×".join(map(str, (*windows.kernel, self.inputs // self.groups, self.outputs)))
        options = f"stride {windows.stride}, dilation {windows.dilation}, padding before {windows.before}"
        return f"{self.dtype} x {size}, weight {kernel}, {options}, groups {self.groups}"

    @cached_property
    def suits(self) -> bool:
        """Whether cuDNN is asked at all: floats of 16 or 32 bits, up to three axes, something to compute.

        A kernel of one element that sees each pixel once is a plain product already, which needs no copy of the weight.
        """
        product = self.windows.trivial and self.groups == 1
        largest = max(math.prod(self.dimensions(uid)) for uid in (X, FILTERS, Y))
        return (
            self.dtype in _TYPES and len(self.windows.size) <= 3 and not product and self.n > 0 and largest < _LARGEST
        )

    def dimensions(self, uid: int) -> Shape:
        """An array's dimensions in cuDNN's order, channels before the spatial axes; a sequence has a height of 1."""
        if uid == X:
            return (self.n, self.inputs, *_plane(self.windows.size))
        if uid == Y:
            return (self.n, self.outputs, *_plane(self.windows.output))
        return (self.outputs, self.inputs // self.groups, *_plane(self.windows.kernel))

    @cached_property
    def padding(self) -> tuple[Shape, Shape] | None:
        """Zeros before and after each axis from which cuDNN counts as many windows; None where there are none such."""
        pairs = []
        windows = self.windows
        for size, stride, before, reach in zip(
            windows.size, windows.stride, windows.before, windows.reach, strict=True
        ):
            least = reach - before - size  # up to stride - 1 more make no further window
            after = before if least <= before < least + stride else max(0, least)
            if before < 0 or after >= least + stride:
                return None
            pairs.append((before, after))
        return tuple(before for before, _ in pairs), tuple(after for _, after in pairs)

    def cut(self) -> "Problem":
        """The same for an input that was padded, or cut, to what the windows see."""
        windows = self.windows
        return replace(self, windows=replace(windows, size=windows.reach, before=(0,) * len(windows.size)))


class NoPlanError(Exception):
    """cuDNN cannot compute this product of this convolution; the message is cuDNN's."""


class Plan:
    """How cuDNN computes one product of one convolution: its choice of an engine, and the workspace that this needs.

    Engines whose results change from run to run are left out, as are those that round their inputs, and those of the
    tensor cores where float32 is to stay float32.

    Parameters
    ----------
    cudnn : the module.
    handle : cuDNN's handle for the device.
    product : a key of `OPERANDS`.
    most : bytes of workspace that an engine may ask for.

    Raises
    ------
    NoPlanError : no engine takes it.
    """

    def __init__(self, cudnn: Any, handle: Any, product: str, problem: Problem, most: int) -> None:
        try:
            self._graph = graph_of(cudnn, handle, product, problem)
            self._graph.build_operation_graph()
            self._graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
            note = cudnn.numerical_note
            strict = [note.TENSOR_CORE] if problem.dtype == "float32" and not problem.tf32 else []
            self._graph.deselect_numeric_notes([note.NONDETERMINISTIC, note.DOWN_CONVERT_INPUTS, *strict])
            self._graph.deselect_workspace_greater_than(most)
            self._graph.check_support()
            self._graph.build_plans()
            self.workspace: int = self._graph.get_workspace_size()
        except (cudnn.cudnnGraphNotSupportedError, RuntimeError) as error:
            raise NoPlanError(" ".join(str(error).split()) or type(error).__name__) from error

    def run(self, handle: Any, pointers: dict[int, int], workspace: int) -> None:
        """Launches the product on the handle's stream."""
        self._graph.execute(pointers, workspace, handle=handle)


def graph_of(cudnn: Any, handle: Any, product: str, problem: Problem) -> Any:
    """cuDNN's graph of one operation, checked as far as that goes without a device.

    Raises
    ------
    RuntimeError, cudnn.cudnnGraphNotSupportedError : cuDNN does not take it.
    """
    kind, single = getattr(cudnn.data_type, _TYPES[problem.dtype]), cudnn.data_type.FLOAT
    graph = cudnn.pygraph(handle=handle, io_data_type=kind, intermediate_data_type=single, compute_data_type=single)
    first, second, written = OPERANDS[product]
    a, b = (
        graph.tensor(name=f"operand_{uid}", dim=list(dim), stride=list(channels_last(dim)), data_type=kind).set_uid(uid)
        for uid, dim in ((first, problem.dimensions(first)), (second, problem.dimensions(second)))
    )
    padding = problem.padding
    if padding is None:
        raise RuntimeError("a padding that cuDNN does not know")
    windows = problem.windows
    options = {
        "pre_padding": list(_plane(padding[0], 0)),
        "post_padding": list(_plane(padding[1], 0)),
        "stride": list(_plane(windows.stride)),
        "dilation": list(_plane(windows.dilation)),
    }
    if product == "forward":
        result = graph.conv_fprop(image=a, weight=b, **options)
    elif product == "data gradient":
        result = graph.conv_dgrad(loss=a, filter=b, **options)
    else:
        result = graph.conv_wgrad(image=a, loss=b, **options)
    dim = problem.dimensions(written)
    result.set_output(True).set_dim(list(dim)).set_stride(list(channels_last(dim)))
    result.set_data_type(kind).set_uid(written)
    graph.validate()
    return graph


def channels_last(dimensions: Shape) -> Shape:
    """Strides, in elements, of dimensions (n, c, *size) that lie in memory as (n, *size, c).

    Examples
    --------
    >>> channels_last((2, 3, 4, 5))
    (60, 1, 15, 3)
    """
    _, channels, *size = dimensions
    inner = [channels * math.prod(size[axis + 1 :]) for axis in range(len(size))]
    return (channels * math.prod(size), 1, *inner)


def _plane(lengths: Shape, missing: int = 1) -> Shape:
    """At least two spatial axes: a sequence is an image with a height of 1."""
    return (missing,) * (2 - len(lengths)) + lengths

"""The real nvidia-cudnn-frontend takes xpnet's graphs, all of them; collected only where it and cuDNN are installed."""

import cudnn
import pytest

from tests.backend.test_cudnn import CASES
from xpnet import functional as F
from xpnet.backend._cudnn_plans import OPERANDS, Problem, channels_last, graph_of
from xpnet.functional.shapes import conv_windows, transposed_windows


def problem_of(function, arrays, options, dtype):
    x, weight, _ = arrays
    options = dict(options)
    groups = options.pop("groups", 1)
    *kernel, first, last = weight.shape
    if function is F.conv:
        windows = conv_windows("conv", x.shape, first * groups, tuple(kernel), **options)
        return Problem(x.shape[0], first * groups, last, groups, windows, dtype, False)
    options = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1} | options
    windows = transposed_windows("conv_transpose", x.shape, first, tuple(kernel), **options)
    return Problem(x.shape[0], last * groups, first, groups, windows, dtype, False)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("product", OPERANDS)
@pytest.mark.parametrize(("function", "arrays", "options"), CASES.values(), ids=CASES)
def test_every_graph_is_valid(function, arrays, options, product, dtype):
    problem = problem_of(function, arrays, options, dtype)
    problem = problem.cut() if problem.padding is None else problem
    assert problem.suits
    graph_of(cudnn, None, product, problem)


def test_the_library_infers_the_shape_that_xpnet_expects():
    """As a check of the checks: a graph whose result's shape is left to the library."""
    problem = problem_of(*CASES["same with strides"], "float32")
    (before, after), kind = problem.padding, cudnn.data_type.FLOAT
    graph = cudnn.pygraph(io_data_type=kind, intermediate_data_type=kind, compute_data_type=kind)
    x, w = (
        graph.tensor(name=name, dim=list(dim), stride=list(channels_last(dim)), data_type=kind)
        for name, dim in (("x", problem.dimensions(1)), ("w", problem.dimensions(2)))
    )
    options = {"stride": list(problem.windows.stride), "dilation": [1, 1]}
    y = graph.conv_fprop(image=x, weight=w, pre_padding=list(before), post_padding=list(after), **options)
    y.set_output(True).set_data_type(kind)
    graph.validate()
    assert tuple(y.get_dim()) == problem.dimensions(3)

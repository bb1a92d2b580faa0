"""One process alone: every value is everybody's already, and the same mistakes are errors as with others."""

import numpy as np
import pytest

from xpnet.distributed import Communicator, Single


def test_nothing_is_changed(backend):
    alone: Communicator = Single()
    x = backend.asarray(np.arange(3.0))
    alone.all_reduce(x, "mean")
    alone.start_all_reduce(x).wait()
    alone.broadcast(x)
    alone.barrier()
    assert backend.to_host(x).tolist() == [0.0, 1.0, 2.0]
    assert alone.all_gather_object({"a": 1}) == [{"a": 1}]
    assert alone.broadcast_object({"a": 1}) == {"a": 1}
    assert (alone.rank, alone.size, alone.local_rank, alone.recordable) == (0, 1, 0, True)


def test_the_end_of_one_is_the_end():
    with pytest.raises(SystemExit, match="no more"):
        Single().abort("no more")


@pytest.mark.parametrize("start", [False, True])
def test_what_cannot_be_reduced_is_an_error(start):
    reduce = Single().start_all_reduce if start else Single().all_reduce
    with pytest.raises(ValueError, match="all_reduce: op must be one of 'sum', 'mean', 'max', 'min', got 'product'"):
        reduce(np.ones(3), "product")
    with pytest.raises(TypeError, match="all_reduce: the mean is for arrays of float32 and float64, got int64"):
        reduce(np.arange(3), "mean")
    with pytest.raises(TypeError, match=r"all_reduce: the sum is for arrays of float32, .* and int64, got float16"):
        reduce(np.ones(3, np.float16))

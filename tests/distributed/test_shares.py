"""Each example of a batch is one rank's, and the ranks' means add up to the batch's, whatever their number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.distributed import share, share_weight, shares

PROPERTY = settings(derandomize=True, deadline=None, max_examples=100)
sizes = st.integers(1, 17)
numbers = st.integers(0, 200)


@PROPERTY
@given(n=numbers, size=sizes)
def test_parts_are_the_batch_in_its_order_and_even(n, size):
    parts = [range(n)[share(n, rank, size)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(n))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@PROPERTY
@given(n=st.integers(1, 200), size=sizes, seed=st.integers(0, 1000))
def test_weighted_means_of_the_parts_are_the_mean_of_the_batch(n, size, seed):
    values = np.random.default_rng(seed).standard_normal(n)
    parts = [values[share(n, rank, size)] for rank in range(size)]
    weights = [share_weight(n, rank, size) for rank in range(size)]
    assert sum(weights) == pytest.approx(1.0, abs=1e-14)
    assert all((weight == 0.0) == (len(part) == 0) for weight, part in zip(weights, parts, strict=True))
    mean = sum(weight * part.mean() for weight, part in zip(weights, parts, strict=True) if len(part))
    assert mean == pytest.approx(values.mean(), abs=1e-14)


@PROPERTY
@given(examples=st.integers(17, 200), batch=st.integers(1, 50), size=sizes, drop_last=st.booleans())
def test_an_epoch_uses_each_example_once_in_the_same_batches_for_any_number_of_ranks(examples, batch, size, drop_last):
    def epoch(ranks):
        return [list(shares(examples, batch, rank, ranks, drop_last=drop_last)) for rank in range(ranks)]

    together, alone = epoch(size), epoch(1)[0]
    order = range(examples)
    used = examples - examples % batch if drop_last else examples
    assert [i for part in alone for i in order[part.rows]] == list(range(used))
    for step, whole in enumerate(alone):
        parts = [own[step] for own in together]
        assert [i for part in parts for i in order[part.rows]] == list(order[whole.rows])
        assert {(part.batch.start, part.batch.stop) for part in parts} == {(whole.rows.start, whole.rows.stop)}
        assert sum(part.weight for part in parts) == pytest.approx(1.0, abs=1e-14)
    assert {len(own) for own in together} == {len(alone)}


def test_an_empty_batch_counts_nothing():
    assert share_weight(0, 0, 2) == 0.0


def test_more_ranks_than_examples_are_refused_on_all_of_them():
    for rank in range(4):
        with pytest.raises(
            ValueError, match=r"shares: 4 ranks are more than there are examples, 3; start fewer"
        ) as error:
            list(shares(3, 3, rank, 4))
        assert error.value.on_all_ranks


def test_numbers_out_of_range_are_errors():
    with pytest.raises(ValueError, match=r"share: rank must be from 0 to 3, got 4"):
        share(8, 4, 4)
    with pytest.raises(ValueError, match=r"share: rank must be from 0 to -1, got 0"):
        share(8, 0, 0)
    with pytest.raises(ValueError, match=r"share: a batch has 0 examples or more, got -1"):
        share(-1, 0, 2)
    with pytest.raises(ValueError, match=r"shares: a batch has 1 example or more, got 0"):
        list(shares(8, 0, 0, 2))

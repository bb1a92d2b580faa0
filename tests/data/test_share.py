"""Processes that share each batch: together they have all of it, and each reads little more than its own part."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnet.data import RandomFlip, Share, batches

PROPERTY = settings(derandomize=True, deadline=None, max_examples=50)


class Dataset:
    """Stands for one in a file: a length, a shape and slicing; it counts the rows that are read."""

    def __init__(self, values):
        self.values, self.shape, self.read = values, values.shape, 0

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.read += len(self.values[rows])
        return self.values[rows]


def arrays(n):
    return np.arange(4.0 * n).reshape(n, 2, 2, 1), np.arange(n)


@PROPERTY
@given(n=st.integers(0, 200), size=st.integers(1, 17))
def test_parts_are_the_batch_in_its_order_and_even(n, size):
    parts = [range(n)[Share(rank, size).of(n)] for rank in range(size)]
    assert [i for part in parts for i in part] == list(range(n))
    lengths = [len(part) for part in parts]
    assert max(lengths) - min(lengths) <= 1
    assert lengths == sorted(lengths, reverse=True)


@PROPERTY
@given(
    n=st.integers(1, 100),
    size=st.integers(1, 20),
    ranks=st.integers(1, 5),
    sliced=st.booleans(),
    shuffle=st.booleans(),
    first=st.integers(0, 3),
)
def test_all_parts_together_are_the_batches_for_any_number_of_ranks(n, size, ranks, sliced, shuffle, first):
    def one_pass(share):
        x, t = arrays(n)
        pairs = batches(Dataset(x) if sliced else x, t, size, 3, shuffle=shuffle, augment=[RandomFlip()])
        return list(pairs.after(first, share))

    whole, parts = one_pass(Share()), [one_pass(Share(rank, ranks)) for rank in range(ranks)]
    assert {len(part) for part in parts} == {len(whole)}
    for step, (x, t) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([part[step][0] for part in parts]), x)
        np.testing.assert_array_equal(np.concatenate([part[step][1] for part in parts]), t)


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize(("shuffle", "more"), [(False, 0.0), (True, 0.16)])
def test_each_reads_its_own_part_of_a_file_and_little_more(ranks, shuffle, more):
    x, t = arrays(8_000)
    for rank in range(ranks):
        data = Dataset(x)
        pairs = batches(data, t, 128, shuffle=shuffle)
        for _ in pairs.after(0, Share(rank, ranks)):
            pass
        assert data.read <= (1 / ranks + more) * len(t)


@pytest.mark.parametrize(("rank", "size"), [(2, 2), (-1, 2), (0, 0)])
def test_a_rank_that_there_is_not(rank, size):
    with pytest.raises(ValueError, match=rf"^Share: rank must be from 0 to {size - 1}, got {rank}$"):
        Share(rank, size)


def test_it_says_what_it_is():
    assert repr(Share(1, 4)) == "Share(1, 4)"

"""What a run keeps of each step is used as a list is, and takes a quarter of the memory."""

import copy
import pickle
import sys

import numpy as np
import pytest

from xpnet.training import History
from xpnet.training._ledger import Ledger
from xpnet.training._numbers import Numbers

VALUES = [2.0, 1.0, 0.1, 1e300]

CHANGES = {
    "append": lambda a: a.append(3.0),
    "insert": lambda a: a.insert(1, 3.0),
    "extend": lambda a: a.extend(x / 2 for x in range(3)),
    "itself": lambda a: a.extend(a),
    "clear": lambda a: a.clear(),
    "pop": lambda a: a.pop(1),
    "reverse": lambda a: a.reverse(),
    "element": lambda a: a.__setitem__(-1, 5.0),
    "slice": lambda a: a.__setitem__(slice(1, 3), [5.0, 6.0, 7.0]),
    "delete": lambda a: a.__delitem__(0),
    "delete slice": lambda a: a.__delitem__(slice(None, None, 2)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_it_changes_as_a_list_does(change):
    numbers, expected = Numbers(VALUES), list(VALUES)
    assert change(numbers) == change(expected)
    assert list(numbers) == expected
    assert numbers == expected == numbers
    assert len(numbers) == len(expected)
    assert repr(numbers) == repr(expected)


READINGS = {
    "last": lambda a: a[-1],
    "slice": lambda a: a[1:],
    "backwards": lambda a: a[::-1],
    "sum": sum,
    "smallest": min,
    "sorted": sorted,
    "backwards again": lambda a: list(reversed(a)),
    "contains": lambda a: (0.1 in a, 0.2 in a),
    "index": lambda a: a.index(0.1),
    "with a list": lambda a: a + [3.0],  # noqa: RUF005 - the sum is what is tested
    "behind a list": lambda a: [3.0] + a,  # noqa: RUF005 - the sum is what is tested
    "with itself": lambda a: a + a,
    "array": lambda a: np.asarray(a).tolist(),
    "copy": lambda a: list(copy.deepcopy(a)),
    "pickle": lambda a: list(pickle.loads(pickle.dumps(a))),
}


@pytest.mark.parametrize("read", READINGS.values(), ids=READINGS)
def test_it_reads_as_a_list_does(read):
    assert read(Numbers(VALUES)) == read(VALUES)
    assert type(read(Numbers(VALUES))) is type(read(VALUES))


def test_it_is_equal_to_the_same_numbers_alone():
    assert Numbers(VALUES) == Numbers(VALUES)
    assert Numbers(VALUES) != Numbers(VALUES[1:])
    assert Numbers(VALUES) != VALUES[1:]
    assert Numbers([]) != 0
    with pytest.raises(TypeError, match="unhashable"):
        hash(Numbers())


def test_an_array_of_it_is_a_copy():
    numbers = Numbers(VALUES)
    array = np.asarray(numbers)
    numbers.append(0.5)  # the array does not hold its memory
    array[0] = 3.0
    assert numbers == [*VALUES, 0.5]
    assert (array.dtype, np.asarray(Numbers([0.5]), np.float32).dtype) == (np.float64, np.float32)


def test_a_view_keeps_what_it_had_when_more_are_put_at_the_end():
    numbers = Numbers(VALUES)
    view = numbers.view
    assert np.shares_memory(view, np.asarray(numbers, copy=False))
    for i in range(100):
        numbers.append(float(i))
    numbers[:2] = [5.0, 6.0]
    numbers[:2] = VALUES[:2]
    assert view.tolist() == VALUES
    assert numbers == [*VALUES, *map(float, range(100))]


def test_other_values_are_refused_and_change_nothing():
    numbers = Numbers(VALUES)
    with pytest.raises(TypeError, match="must be real number, not str"):
        numbers.append("1")
    with pytest.raises(IndexError):
        numbers[4]
    assert numbers == VALUES


def test_a_step_takes_8_bytes_in_the_history_and_16_in_its_epoch(backend):
    """Of the lengths that arrays make room for ahead, at most an eighth more."""
    ledger, history = Ledger(backend, backend.zeros(1), ("loss",), 10), History()
    ledger.begin()
    loss = backend.zeros(())
    for _ in range(20_000):
        ledger.note(loss)
        ledger.count(32)
    ledger.read()
    history.steps["loss"] += ledger.losses()
    assert len(history.steps["loss"]) == 20_000
    assert history.steps["loss"].view.nbytes == 8 * 20_000
    assert sum(map(sys.getsizeof, (ledger.sizes, *ledger.columns))) < 18 * 20_000 + 200

"""How batches reach a GPU: on a stream of their own while it computes, or not at all where the data stay there."""

import pytest


@pytest.fixture(scope="module")
def found(dry_run):
    return dry_run("count_data.py")


def copies(events, stream):
    return [i for i, (what, on, _) in enumerate(events) if what == "<H2D>" and on == stream]


STREAMED = ["streaming", "not shuffled", "streaming, augmented", "training", "no pinned memory"]


@pytest.mark.parametrize("case", STREAMED)
def test_batches_are_uploaded_on_a_stream_of_their_own_and_nothing_waits_on_the_host(found, case):
    events = found[case]
    assert len(copies(events, found["uploads"])) == 4 * (3 if "augmented" in case else 2)
    assert not copies(events, 0)
    assert not {what for what, *_ in events} & {"<sync>", "<D2H>"}


@pytest.mark.parametrize("case", STREAMED)
def test_the_next_batch_is_on_its_way_before_the_work_on_one_begins(found, case):
    """When the first kernel of a batch is launched, the copies of that batch and the next have been asked for."""
    events, each = found[case], 3 if "augmented" in case else 2
    waits = [i for i, (what, on, _) in enumerate(events) if what == "wait" and on == 0]
    first_waits = waits[::each]
    assert len(first_waits) == 4
    for batch, wait in enumerate(first_waits):
        asked = sum(i < wait for i in copies(events, found["uploads"]))
        assert asked == each * min(batch + 2, 4)


@pytest.mark.parametrize("case", STREAMED)
def test_the_computing_stream_waits_for_each_copy_it_uses(found, case):
    """By an event recorded on the upload stream right behind the copy, before the batch's first kernel."""
    events = found[case]
    behind = [events[i + 1] for i in copies(events, found["uploads"])]
    assert all((what, on) == ("record", found["uploads"]) for what, on, _ in behind)
    waited = [event for what, on, event in events if what == "wait" and on == 0]
    assert sorted(waited) == sorted(event for *_, event in behind)


@pytest.mark.parametrize("case", STREAMED)
def test_memory_goes_back_to_the_upload_stream_behind_all_that_the_computing_stream_was_asked(found, case):
    events = found[case]
    recorded = {event: i for i, (what, on, event) in enumerate(events) if what == "record" and on == 0}
    waited = {event: i for i, (what, on, event) in enumerate(events) if what == "wait" and on == found["uploads"]}
    assert len(recorded) == 4 * (3 if "augmented" in case else 2)
    assert waited == {event: i + 1 for event, i in recorded.items()}


def test_data_that_stay_there_are_copied_once_and_a_pass_costs_one_permutation(found):
    first, second = found["resident"]["first"], found["resident"]["second"]
    assert len(copies(first, found["uploads"])) == 2
    assert [what for what, *_ in second] == ["<H2D>", *["cupy_take", "cupy_take", "cupy_exp__float32_float32"] * 4]


def test_augmentation_of_data_that_stay_there_copies_nothing_either(found):
    second = [what for what, *_ in found["resident, augmented"]["second"]]
    assert second.count("<H2D>") == 1
    assert second.index("<H2D>") == 0
    assert not set(second) & {"<sync>", "<D2H>"}


def test_data_that_stay_there_in_their_own_order_need_no_permutation(found):
    second = [what for what, *_ in found["resident, not shuffled"]["second"]]
    assert not set(second) & {"<H2D>", "<sync>", "<D2H>"}
    assert second.count("cupy_copy__float32_float32") == 4  # no one gets a view of what is kept


def test_arrays_that_lived_there_already_are_indexed_by_one_permutation_a_pass(found):
    assert [what for what, *_ in found["on the device"]].count("<H2D>") == 1


def test_in_a_thread_the_stream_of_that_thread_waits_also_for_two_passes_at_once(found):
    thread, uploads = found["thread"], found["uploads"]
    events = thread["events"]
    assert thread["done"] == [4]
    assert len(copies(events, uploads)) == 16
    assert {on for _, on, _ in events} == {thread["stream"], uploads}
    waited = [event for what, on, event in events if what == "wait" and on == thread["stream"]]
    assert sorted(waited) == sorted(events[i + 1][2] for i in copies(events, uploads))
    given_back = [i for i, (what, on, _) in enumerate(events) if what == "wait" and on == uploads]
    last_kernel = max(i for i, (what, *_) in enumerate(events) if what.startswith("cupy_exp"))
    assert len(given_back) == 16
    assert sum(i > last_kernel for i in given_back) >= 8  # what was held is given back when it is let go


def test_memory_is_given_back_when_the_last_view_dies_or_the_loop_is_left(found):
    memory = found["memory"]
    assert memory["half"] == memory["after"] == memory["before"]
    assert memory["inside"] >= memory["before"] + 64 * 8 * 8 * 3 * 4


def test_an_array_that_dies_while_its_stream_is_captured_asks_for_nothing_until_the_next_upload(found):
    capture = found["capture"]
    assert capture["inside"] == []
    record, wait = capture["after"][:2]
    assert record[:2] == ["record", capture["stream"]]
    assert wait == ["wait", found["uploads"], record[2]]


def test_pinned_memory_under_way_is_bounded(found):
    """By 40 000 bytes here, one buffer more at most; no copy was ever done in that run, so the host had to wait."""
    assert max(found["far ahead"]) <= 40_000
    assert found["far ahead"][-1] > 30_000


def test_what_is_copied_are_the_examples_of_the_batch(found):
    assert len(found["same values"]) == 14
    assert [name for name, right in found["same values"].items() if not right] == []


def test_a_large_array_goes_in_pieces_behind_one_event(found):
    events = found["pieces"]["events"]
    assert found["pieces"]["right"]
    assert len(copies(events, found["uploads"])) == 7
    assert [event for what, on, event in events if what == "wait"] == [events[-2][2]]


def test_the_room_is_what_the_gpu_has_free_and_what_the_pool_holds(found):
    assert 140 * 2**30 <= found["room"] < 141 * 2**30

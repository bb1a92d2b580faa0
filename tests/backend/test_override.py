"""Backend, seed and convolution may be set for the process and for a block; a block holds in its own context alone."""

import asyncio
import contextlib
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

import xpnet
from xpnet import layers as L
from xpnet.backend import compiled_loops, current_seed, draw, next_key
from xpnet.initializers import normal

SETTINGS = {
    "backend": (xpnet.set_backend, xpnet.use_backend, lambda: xpnet.get_backend().name, ("numpy", "array_api_strict")),
    "convolution": (
        xpnet.set_convolution,
        xpnet.use_convolution,
        xpnet.get_convolution,
        ("auto", "direct", "winograd"),
    ),
    "seed": (xpnet.seed, xpnet.use_seed, current_seed, (0, 1, 2)),
}


@pytest.fixture(params=SETTINGS)
def setting(request):
    """How one of them is set, used and read, its default, and other values that it can have; put back afterwards."""
    choose, use, read, values = SETTINGS[request.param]
    default, first, second = (*values, values[0])[:3]
    choose(default)
    yield SimpleNamespace(choose=choose, use=use, read=read, default=default, first=first, second=second)
    choose(default)


def test_the_innermost_block_counts_and_the_process_may_be_set_meanwhile(setting):
    with setting.use(setting.first):
        with setting.use(setting.second):
            setting.choose(setting.first)
            assert setting.read() == setting.second
        assert setting.read() == setting.first
        setting.choose(setting.default)
        assert setting.read() == setting.first
    assert setting.read() == setting.default


def test_an_error_ends_a_block(setting):
    with pytest.raises(ZeroDivisionError), setting.use(setting.first):
        raise ZeroDivisionError
    assert setting.read() == setting.default


def test_two_threads_inside_blocks_do_not_see_each_other(setting):
    both = threading.Barrier(2, timeout=30)

    def inside(value):
        seen = [setting.read()]
        with setting.use(value):
            both.wait()  # both are inside
            seen.append(setting.read())
            both.wait()
        return [*seen, setting.read()]

    with setting.use(setting.second), ThreadPoolExecutor(2) as pool:
        found = list(pool.map(inside, (setting.default, setting.first)))
    assert found == [[setting.default, value, setting.default] for value in (setting.default, setting.first)]


def test_what_one_thread_sets_for_the_process_is_seen_by_all_outside_blocks(setting):
    def choose():
        with setting.use(setting.second):
            setting.choose(setting.first)

    thread = threading.Thread(target=choose)
    with setting.use(setting.default):
        thread.start()
        thread.join()
        assert setting.read() == setting.default
    assert setting.read() == setting.first


def test_tasks_begin_with_the_block_they_are_made_in_and_have_blocks_of_their_own(setting):
    async def inside(value):
        seen = [setting.read()]
        with setting.use(value):
            await asyncio.sleep(0)  # the other task's turn
            seen.append(setting.read())
        return [*seen, setting.read()]

    async def main():
        with setting.use(setting.second):
            tasks = [asyncio.create_task(inside(value)) for value in (setting.default, setting.first)]
        assert setting.read() == setting.default
        return await asyncio.gather(*tasks)

    found = asyncio.run(main())
    assert found == [[setting.second, value, setting.second] for value in (setting.default, setting.first)]


def test_asyncios_threads_begin_with_the_block_they_are_asked_from(setting):
    async def main():
        with setting.use(setting.first):
            return await asyncio.to_thread(setting.read)

    assert asyncio.run(main()) == setting.first


def test_a_copied_context_keeps_the_block_and_changes_stay_in_the_copy(setting):
    def enter():
        stack.enter_context(setting.use(setting.second))
        return setting.read()

    with setting.use(setting.first):
        copy = contextvars.copy_context()
    assert (setting.read(), copy.run(setting.read)) == (setting.default, setting.first)
    with contextlib.ExitStack() as stack:
        assert copy.run(enter) == setting.second
        assert setting.read() == setting.default
        stack.close()  # in another context than the one it was entered in: nothing to end there, and no error
        assert setting.read() == setting.default


def test_a_generators_block_holds_until_the_generator_goes_on(setting):
    """Python runs a generator in the context of its caller."""

    def generate(value):
        with setting.use(value):
            yield setting.read()
            yield setting.read()

    for value in generate(setting.first):
        assert value == setting.read() == setting.first
    assert setting.read() == setting.default

    first, second = generate(setting.first), generate(setting.second)
    next(first), next(second)
    first.close()
    assert setting.read() == setting.second
    second.close()
    assert setting.read() == setting.default  # not what was before `second`, which has ended


def weights():
    return L.Linear(3, 3).weight.data.tolist()


def sequence():
    return draw(normal(1.0), (3,)).tolist(), next_key(), weights()


def test_a_block_with_a_seed_draws_what_a_process_with_that_seed_draws():
    xpnet.seed(5)
    expected, rest = sequence(), sequence()
    xpnet.seed(9)
    before = sequence()
    with xpnet.use_seed(5):
        assert sequence() == expected
        xpnet.seed(9)  # the process's: nothing changes inside
        with xpnet.use_seed(5):
            assert sequence() == expected
        assert sequence() == rest
    assert sequence() == before  # nothing was taken from the process's sequence


def test_seeding_in_one_thread_does_not_disturb_a_block_in_another():
    inside, seeded = threading.Event(), threading.Event()

    def build():
        with xpnet.use_seed(3):
            first = sequence()
            inside.set()
            assert seeded.wait(30)
            return first, sequence()

    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(build)
        assert inside.wait(30)
        xpnet.seed(4)
        mine = sequence()
        seeded.set()
        found = found.result()
    with xpnet.use_seed(3):
        assert found == (sequence(), sequence())
    with xpnet.use_seed(4):
        assert mine == sequence()


@pytest.mark.parametrize(
    ("n", "error", "message"),
    [(-1, ValueError, "seed: expected 0 or more, got -1"), ("7", TypeError, "seed: expected an integer, got '7'")],
)
def test_a_block_with_another_seed_is_refused(n, error, message):
    with pytest.raises(error, match=f"^{message}$"), xpnet.use_seed(n):
        pass
    assert current_seed() == 0


def test_compiled_loops_are_switched_for_the_process():
    with ThreadPoolExecutor(1) as pool:
        pool.submit(compiled_loops, False).result()
    assert not compiled_loops()

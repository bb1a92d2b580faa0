"""xpnet's own threads: what a fork, the end of Python and the machine may do to them."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest
import threadpoolctl

from xpnet.backend import _blas, _threads, get_backend


def run(script):
    """In a Python of its own, with two BLAS threads; what it prints."""
    finished = subprocess.run(
        [sys.executable, "-c", "import threadpoolctl\n" + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_a_forked_child_has_locks_and_threads_of_its_own():
    out = run(
        """
        import os, threading, time, warnings
        warnings.simplefilter("ignore")
        import numpy as np
        from xpnet.backend import _blas, _threads
        threadpoolctl.threadpool_limits(2)
        busy = True
        def work():
            while busy:
                _threads.run(50, 1, lambda *_: time.sleep(0.0002))
        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        for _ in range(5):
            time.sleep(0.01)
            child = os.fork()
            if child == 0:
                found = _threads.run(10, 1, lambda start, stop: start)
                free = _blas._holders == 0 and {get() for get, _ in _blas._settings()} == {2}
                os._exit(0 if found == list(range(10)) and free else 1)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        busy = False
        """
    )
    assert out.split() == ["0"] * 5


def test_a_thread_that_outlives_the_main_one_goes_on_alone():
    out = run(
        """
        import threading, time
        from xpnet.backend import _threads
        threadpoolctl.threadpool_limits(2)
        def work():
            time.sleep(0.3)
            print(_threads.run(4, 1, lambda start, stop: start))
        threading.Thread(target=work).start()
        """
    )
    assert out.strip() == "[0, 1, 2, 3]"


def test_products_leave_blas_on_one_thread_and_give_it_back(monkeypatch):
    def now():
        return max(get() for get, _ in _blas._settings())

    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        seen = []
        plain = np.matmul

        def watched(*arguments, **options):
            seen.append(now())
            return plain(*arguments, **options)

        monkeypatch.setattr(np, "matmul", watched)
        backend, random = get_backend(), np.random.default_rng(0)
        backend.matmul(random.random((9, 100_000)), random.random((100_000, 16)))
        backend.matmul(random.random((300, 300)), random.random((300, 300)))
        backend.matmul_planes(random.random((36, 64, 64)), random.random((36, 64, 64)))
        assert seen
        assert set(seen) == {1}
        assert now() == 2


def test_results_do_not_depend_on_whether_another_thread_holds_blas():
    """Which is so at some moments while two models are trained, and not at others."""
    backend, random = get_backend(), np.random.default_rng(0)
    x = random.standard_normal((4096, 300)).astype(np.float32)
    operations = (
        lambda: backend.column_sum(x),
        lambda: backend.row_sum(x),
        lambda: backend.sum_of_squares(x.reshape(-1)),
        lambda: backend.matmul(x.T, x),
    )
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        alone = [np.asarray(operation()).tobytes() for operation in operations]
        with _blas.one_thread():
            assert [np.asarray(operation()).tobytes() for operation in operations] == alone
    with threadpoolctl.threadpool_limits(1, user_api="blas"):
        assert [np.asarray(operation()).tobytes() for operation in operations] != alone  # so they were parted


@pytest.mark.parametrize("text", ["", "nonsense", "1024K"])
def test_a_cache_of_unknown_size_counts_as_one_mebibyte(text, monkeypatch):
    monkeypatch.setattr(_threads.Path, "read_text", lambda self: text)
    _threads.cache_bytes.cache_clear()
    assert _threads.cache_bytes() == 2**20
    _threads.cache_bytes.cache_clear()

import fcntl
import hashlib
import io
import os
import re
import resource
import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from xpnet.data import _download, _http
from xpnet.data._download import download

CONTENT = np.random.default_rng(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
CUT = 150_000


class Mirror:
    """A server on 127.0.0.1 whose answers to one address a test lists, the last one repeated."""

    def __init__(self):
        self.answers = {}
        self.requests = []  # (address, Range header)
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append((self.path, self.headers["Range"]))
                answers = mirror.answers[self.path]
                answer = answers.pop(0) if len(answers) > 1 else answers[0]
                answer(self)

            def log_message(self, *arguments):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def offer(self, address, *answers):
        self.answers[address] = list(answers)
        return f"http://127.0.0.1:{self.server.server_port}{address}"

    def close(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def head(handler, status, length, **fields):
    handler.send_response(status)
    handler.send_header("Content-Length", str(length))
    for name, value in fields.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def sends(content, *, ranges=True, until=None):
    """Answer with content, from where the Range header asks, and hang up at byte `until`."""

    def answer(handler):
        asked = handler.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and ranges else 0
        if start >= len(content):
            head(handler, 416, 0)
            return
        if start:
            place = f"bytes {start}-{len(content) - 1}/{len(content)}"
            head(handler, 206, len(content) - start, Content_Range=place)
        else:
            head(handler, 200, len(content))
        handler.wfile.write(content[start:until])

    return answer


def fails(status):
    return lambda handler: head(handler, status, 0)


def sends_html(handler):
    head(handler, 200, 6, Content_Type="text/html; charset=utf-8")
    handler.wfile.write(b"<html>")


def sends_wrong_range(handler):
    head(handler, 206, 10, Content_Range="bytes 0-9/10")
    handler.wfile.write(bytes(10))


def cuts_chunked(handler):
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"%x\r\n" % len(CONTENT) + CONTENT[:CUT])


def hangs_up(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def mirror(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    mirror = Mirror()
    yield mirror
    mirror.close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "folder" / "file.gz"


def part_of(path):
    return path.with_name("file.gz.part")


def keep_part(path, content):
    path.parent.mkdir(parents=True)
    part_of(path).write_bytes(content)


def check_success(path):
    assert path.read_bytes() == CONTENT
    assert [found.name for found in path.parent.iterdir()] == ["file.gz"]


def refuse(urls, path, *reasons, sha256=SHA256, **options):
    lines = [f"  {url}: {reason}" for url, reason in zip(urls, reasons, strict=True)]
    message = "\n".join(
        [
            "file.gz could not be downloaded:",
            *lines,
            f"To go on without network, put the file file.gz (SHA-256 {sha256}) into the folder {path.parent}",
        ]
    )
    with pytest.raises(ConnectionError) as caught:
        download(urls, path, sha256, **options)
    assert str(caught.value) == message
    assert not path.exists()


def test_success(mirror, path):
    assert download([mirror.offer("/a", sends(CONTENT))], path, SHA256) == path
    check_success(path)
    assert mirror.requests == [("/a", None)]


def test_path_may_be_text_checksum_in_capitals_and_an_old_file_is_replaced(mirror, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    download((mirror.offer("/a", sends(CONTENT)),), str(path), SHA256.upper())
    check_success(path)


def test_the_file_that_is_there_already_is_not_asked_for(mirror, path):
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256.upper())
    check_success(path)
    assert mirror.requests == []


def test_cut_connection_is_resumed_in_the_same_call(mirror, path):
    download([mirror.offer("/a", sends(CONTENT, until=CUT), sends(CONTENT))], path, SHA256)
    check_success(path)
    assert mirror.requests == [("/a", None), ("/a", f"bytes={CUT}-")]


def test_cut_connection_is_resumed_in_the_next_call(mirror, path):
    url = mirror.offer("/a", sends(CONTENT, until=CUT), fails(500))
    refuse([url], path, "HTTP 500 Internal Server Error")
    assert part_of(path).read_bytes() == CONTENT[:CUT]
    mirror.requests.clear()
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256)
    check_success(path)
    assert mirror.requests == [("/a", f"bytes={CUT}-")]


def test_mirror_that_always_cuts_is_asked_three_times(mirror, path):
    url = mirror.offer("/a", *(sends(CONTENT, until=until) for until in (100_000, 200_000, 250_000)))
    refuse([url], path, "cut after 250000 of 300000 bytes")
    assert part_of(path).read_bytes() == CONTENT[:250_000]
    assert len(mirror.requests) == 3


def test_mirror_that_cuts_without_sending_is_asked_once(mirror, path):
    refuse([mirror.offer("/a", sends(CONTENT, until=0))], path, "cut after 0 of 300000 bytes")
    assert len(mirror.requests) == 1


def test_next_mirror_goes_on_where_the_last_was_cut(mirror, path):
    urls = [mirror.offer("/a", sends(CONTENT, until=CUT), fails(404)), mirror.offer("/b", sends(CONTENT))]
    download(urls, path, SHA256)
    check_success(path)
    assert mirror.requests[-1] == ("/b", f"bytes={CUT}-")


def test_server_without_ranges_starts_again(mirror, path):
    url = mirror.offer("/a", sends(CONTENT, ranges=False, until=CUT), sends(CONTENT, ranges=False))
    download([url], path, SHA256)
    check_success(path)
    assert len(mirror.requests) == 2


def test_cut_without_announced_length(mirror, path):
    urls = [mirror.offer("/a", cuts_chunked)]
    with pytest.raises(ConnectionError, match=r"cut after \d+ of an unknown number of bytes \(IncompleteRead.*\)"):
        download(urls, path, SHA256)
    assert CONTENT.startswith(part_of(path).read_bytes())
    assert part_of(path).stat().st_size > 0


def test_complete_part_needs_no_mirror(mirror, path):
    keep_part(path, CONTENT)
    download([mirror.offer("/a", fails(404))], path, SHA256)
    check_success(path)
    assert mirror.requests == []


@pytest.mark.parametrize("stale", [b"stale", bytes(400_000)], ids=["shorter", "longer"])
def test_stale_part_is_given_up(mirror, path, stale):
    keep_part(path, stale)
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256)
    check_success(path)
    assert mirror.requests == [("/a", f"bytes={len(stale)}-"), ("/a", None)]


def test_wrong_range_starts_again(mirror, path):
    keep_part(path, CONTENT[:CUT])
    download([mirror.offer("/a", sends_wrong_range, sends(CONTENT))], path, SHA256)
    check_success(path)
    assert mirror.requests == [("/a", f"bytes={CUT}-"), ("/a", None)]


def test_wrong_range_again_and_again(mirror, path):
    def answer(handler):
        head(handler, 206, 0, Content_Range="bytes 7-9/10")

    keep_part(path, CONTENT[:CUT])
    refuse([mirror.offer("/a", answer)], path, "sent the range 'bytes 7-9/10', expected bytes 0-")
    assert len(mirror.requests) == 2


def test_wrong_checksum_is_not_kept_and_the_next_mirror_asked(mirror, path):
    bad = bytes(1000)
    reason = f"sent a file of SHA-256 {hashlib.sha256(bad).hexdigest()}, expected {SHA256}"
    refuse([mirror.offer("/bad", sends(bad))], path, reason)
    assert list(path.parent.iterdir()) == []
    assert len(mirror.requests) == 1
    download([mirror.offer("/bad", sends(bad)), mirror.offer("/good", sends(CONTENT))], path, SHA256)
    check_success(path)


def test_mirrors_that_answer_something_else(mirror, path):
    urls = [
        mirror.offer("/missing", fails(404)),
        mirror.offer("/broken", fails(500)),
        mirror.offer("/odd", fails(599)),
        mirror.offer("/page", sends_html),
        mirror.offer("/range", fails(416)),
    ]
    refuse(
        urls,
        path,
        "HTTP 404 Not Found",
        "HTTP 500 Internal Server Error",
        "HTTP 599 unknown status",
        "sent an HTML page, expected a file",
        f"HTTP 416 {_download.http.client.responses[416]}",
    )
    assert list(path.parent.iterdir()) == []
    download([*urls, mirror.offer("/a", sends(CONTENT))], path, SHA256)
    check_success(path)


def test_html_does_not_spoil_the_part(mirror, path):
    keep_part(path, CONTENT[:CUT])
    refuse([mirror.offer("/page", sends_html)], path, "sent an HTML page, expected a file")
    assert part_of(path).read_bytes() == CONTENT[:CUT]


def test_too_large_file_is_not_kept(mirror, path):
    refuse([mirror.offer("/a", sends(CONTENT))], path, "sent more than 1000 bytes", limit=1000)
    assert list(path.parent.iterdir()) == []


def test_file_of_exactly_the_limit(mirror, path):
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256, limit=len(CONTENT))
    check_success(path)


def test_no_server_at_all(path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        message = rf"(?s)  {re.escape(url)}: not reached: .*refused.*put the file file\.gz .*folder {path.parent}$"
        with pytest.raises(ConnectionError, match=message):
            download([url], path, SHA256)


def test_server_that_hangs_up(mirror, path):
    with pytest.raises(ConnectionError, match=r"not reached: .+\n"):
        download([mirror.offer("/a", hangs_up)], path, SHA256)


def test_mirror_that_sends_on(mirror, path):
    def moved(place):
        return lambda handler: head(handler, 302, 0, Location=place)

    there = mirror.offer("/there", sends(CONTENT))
    download([mirror.offer("/a", moved(there))], path, SHA256)
    check_success(path)
    path.unlink()
    places = ["file:///etc/passwd", "http://[", "ftp://127.0.0.1/a"]
    urls = [mirror.offer(f"/{i}", moved(place)) for i, place in enumerate(places)]
    refuse(urls, path, "HTTP 302 Found", "not reached: Invalid IPv6 URL", "not reached: unknown url type: ftp")


def test_silent_server_times_out(mirror, path, monkeypatch):
    monkeypatch.setattr(_http, "TIMEOUT", 0.2)
    done = threading.Event()

    def before_the_answer(handler):
        done.wait(10)

    def inside_the_answer(handler):
        head(handler, 200, len(CONTENT))
        handler.wfile.write(CONTENT[:CUT])
        done.wait(10)

    urls = [mirror.offer("/a", before_the_answer), mirror.offer("/b", inside_the_answer)]
    try:
        with pytest.raises(
            ConnectionError, match=r"(?s)/a: not reached: timed out\n.*/b: cut after \d+ of 300000 bytes \(timed out\)"
        ):
            download(urls, path, SHA256)
    finally:
        done.set()
    assert CONTENT.startswith(part_of(path).read_bytes())


@pytest.mark.parametrize("place", ["headers", "body", "length of a piece", "behind the pieces"])
def test_a_mirror_that_drips_is_given_up(mirror, path, monkeypatch, place):
    """Each byte comes before the time-out, all of them would take days."""
    monkeypatch.setattr(_http, "TIMEOUT", 0.5)
    done = threading.Event()
    begins = {
        "headers": b"X-Header: ",
        "body": b"Content-Length: 300000\r\n\r\n",
        "length of a piece": b"Transfer-Encoding: chunked\r\n\r\n",
        "behind the pieces": b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
    }

    def drips(handler):
        handler.send_response(200)
        handler.flush_headers()
        handler.wfile.write(begins[place])
        for _ in range(1000):
            try:
                handler.wfile.write(b"0")
            except OSError:
                return
            if done.wait(0.02):
                return

    urls = [mirror.offer("/slow", drips), mirror.offer("/a", sends(CONTENT))]
    try:
        with pytest.raises(ConnectionError, match=r"(fewer than 131072 bytes in 0\.5 s|timed out)\)?\n"):
            download(urls[:1], path, SHA256)
        download(urls, path, SHA256)
    finally:
        done.set()
    check_success(path)


def test_a_mirror_that_is_slow_enough_is_not_given_up(mirror, path, monkeypatch):
    monkeypatch.setattr(_http, "TIMEOUT", 0.2)
    monkeypatch.setattr(_http, "LEAST", 1000)

    def sends_slowly(handler):
        head(handler, 200, len(CONTENT))
        for start in range(0, len(CONTENT), 30_000):
            handler.wfile.write(CONTENT[start : start + 30_000])
            threading.Event().wait(0.04)

    download([mirror.offer("/a", *[sends_slowly] * 3, sends(CONTENT))], path, SHA256)
    check_success(path)


def test_what_a_redirection_says_beside_its_address_is_not_read(mirror, path):
    def moves_without_end(handler):
        head(handler, 302, 10**15, Location=there)
        while True:
            try:
                handler.wfile.write(bytes(100_000))
            except OSError:
                return

    there = mirror.offer("/there", sends(CONTENT))
    download([mirror.offer("/a", moves_without_end)], path, SHA256)
    check_success(path)


def test_redirections_in_a_circle(mirror, path):
    def moves(handler):
        head(handler, 302, 0, Location="/a")

    with pytest.raises(ConnectionError, match="HTTP 302 Found"):
        download([mirror.offer("/a", moves)], path, SHA256)
    assert len(mirror.requests) < 20


def test_a_wrong_length(mirror, path):
    def answers(length):
        def answer(handler):
            head(handler, 200, length)
            handler.wfile.write(CONTENT)

        return answer

    short = hashlib.sha256(CONTENT[:1000]).hexdigest()
    refuse([mirror.offer("/short", answers(1000))], path, f"sent a file of SHA-256 {short}, expected {SHA256}")
    assert list(path.parent.iterdir()) == []
    for length in (400_000, -5, "many"):
        download([mirror.offer("/odd", answers(length))], path, SHA256)
        check_success(path)
        path.unlink()


def test_a_part_beyond_the_limit_is_given_up(mirror, path):
    keep_part(path, bytes(len(CONTENT) + 1))
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256, limit=len(CONTENT))
    check_success(path)
    assert mirror.requests == [("/a", None)]


def test_a_full_disk_keeps_what_has_come(mirror, path):
    url = mirror.offer("/a", sends(CONTENT))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (CUT, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            download([url], path, SHA256)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert part_of(path).read_bytes() == CONTENT[:CUT]
    download([url], path, SHA256)
    check_success(path)
    assert mirror.requests == [("/a", None), ("/a", f"bytes={CUT}-")]


def test_the_file_is_on_the_disk_before_it_has_its_name(mirror, path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *given, name=name, real=real: (done.append(name), real(*given))[1])
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256)
    assert done == ["fsync", "replace", "fsync"]


# Several processes ---------------------------------------------------------------------------------------------------


@pytest.fixture
def pool():
    with ThreadPoolExecutor(4) as pool:
        yield pool


def test_of_several_at_once_one_downloads(mirror, path, pool):
    """Threads exclude each other as processes do: a lock belongs to the open file."""
    url = mirror.offer("/a", sends(CONTENT))
    together = threading.Barrier(4)

    def get():
        together.wait()
        return download([url], path, SHA256)

    assert [found.result() for found in [pool.submit(get) for _ in range(4)]] == [path] * 4
    check_success(path)
    assert mirror.requests == [("/a", None)]


def held(path, content=b""):
    """The part as another process has it."""
    keep_part(path, content)
    file = open(part_of(path), "r+b")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def waiting(pool, path, urls, monkeypatch):
    """A download that has begun to wait for the part."""
    looked = threading.Event()
    wait = _download.time.sleep
    monkeypatch.setattr(_download.time, "sleep", lambda seconds: (looked.set(), wait(seconds)))
    found = pool.submit(download, urls, path, SHA256)
    assert looked.wait(10)
    return found


def test_what_another_process_downloads_is_waited_for(mirror, path, pool, monkeypatch):
    with held(path) as part:
        found = waiting(pool, path, [mirror.offer("/a", fails(500))], monkeypatch)
        part.write(CONTENT)
        part.flush()
        os.replace(part_of(path), path)
    assert found.result() == path
    check_success(path)
    assert mirror.requests == []


def test_where_another_process_ends_its_download_is_gone_on_with(mirror, path, pool, monkeypatch):
    with held(path, CONTENT[:CUT]):
        found = waiting(pool, path, [mirror.offer("/a", sends(CONTENT))], monkeypatch)
    assert found.result() == path
    check_success(path)
    assert mirror.requests == [("/a", f"bytes={CUT}-")]


def test_where_another_process_gives_up_its_download_is_begun_anew(mirror, path, pool, monkeypatch):
    with held(path):
        found = waiting(pool, path, [mirror.offer("/a", sends(CONTENT))], monkeypatch)
        part_of(path).unlink()
    assert found.result() == path
    check_success(path)


def test_another_process_that_does_not_go_on_is_not_waited_for(path, monkeypatch):
    monkeypatch.setattr(_download, "_PATIENCE", 0.2)
    message = rf"{part_of(path)} is held by another process, which has added nothing for 0\.2 s"
    with held(path, b"begun"), pytest.raises(ConnectionError, match=f"^{message}$"):
        download(["http://127.0.0.1:9/a"], path, SHA256)
    assert part_of(path).read_bytes() == b"begun"


def test_where_files_cannot_be_locked_none_is(mirror, path, monkeypatch):
    def flock(file, operation):
        raise OSError("no locks here")

    monkeypatch.setattr(_download.fcntl, "flock", flock)
    download([mirror.offer("/a", sends(CONTENT))], path, SHA256)
    check_success(path)


def test_a_part_that_is_a_link_or_a_pipe_is_not_written_to(mirror, path, tmp_path):
    url = mirror.offer("/a", sends(CONTENT))
    (other := tmp_path / "other").write_bytes(b"precious")
    path.parent.mkdir(parents=True)
    part_of(path).symlink_to(other)
    with pytest.raises(OSError, match="symbolic links"):
        download([url], path, SHA256)
    assert other.read_bytes() == b"precious"
    part_of(path).unlink()
    os.mkfifo(part_of(path))
    with pytest.raises(FileExistsError, match=f"^{part_of(path)} is a pipe or a device, expected a file or nothing$"):
        download([url], path, SHA256)


def test_errors_of_the_disk_are_not_the_mirror_s(mirror, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        download([mirror.offer("/a", sends(CONTENT))], tmp_path / "file" / "a", SHA256)
    assert mirror.requests == []


def test_progress_is_shown_on_a_terminal_only(mirror, path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for kind, shown in ((io.StringIO, False), (Terminal, True)):
        stream = kind()
        monkeypatch.setattr(sys, "stderr", stream)
        download([mirror.offer("/a", sends(CONTENT))], path, SHA256)
        assert ("file.gz" in stream.getvalue()) is shown
        assert ("300k/300k" in stream.getvalue()) is shown
        path.unlink()


@pytest.mark.parametrize(
    ("urls", "sha256", "message"),
    [
        ([], SHA256, "^download: urls is empty, expected at least one address$"),
        (["file:///etc/passwd"], SHA256, r"^download: urls\[0\] is 'file:///etc/passwd', expected http://\.\.\. or"),
        ("http://a/b", SHA256, r"^download: urls\[0\] is 'h', expected http://\.\.\. or https://\.\.\.$"),
        (["http://a/b"], "0123", "^download: sha256 is '0123', expected 64 hexadecimal digits$"),
    ],
)
def test_wrong_arguments(path, urls, sha256, message):
    with pytest.raises(ValueError, match=message):
        download(urls, path, sha256)
    assert not path.parent.exists()

"""Damaged files: the loaders stand them, and the fuzzer sees what does not."""

import re
import time
from pathlib import Path
from random import Random

import numpy as np
import pytest

from bench.fuzz import __main__ as command
from bench.fuzz import running
from bench.fuzz.loaders import LOADERS, Loader, reads, total
from bench.fuzz.mutations import ANY, INFLATED, inflated, json_changed, safetensors_header, spliced, within_gzip
from bench.fuzz.running import Reader, Report, fuzz, smaller

KEPT = Path(__file__).parent / "kept"


@pytest.mark.parametrize("name", LOADERS)
def test_a_few_hundred_damaged_files(name):
    files = round(400 * LOADERS[name].part)
    report = fuzz(name, files, seed=2026)
    assert report.findings == {}
    assert (report.files, report.loaded < files / 2) == (files, True)
    assert len(report.kinds) > 1


@pytest.mark.long
def test_two_hundred_thousand_damaged_files(tmp_path):
    reports = command.main(["--files", "200000", "--jobs", "2", "--seed", "77", "--out", str(tmp_path)])
    assert sum(report.files for report in reports.values()) > 199_990


@pytest.mark.parametrize("name", LOADERS)
def test_files_that_were_kept(name, tmp_path):
    """The smallest of each kind of answer in a run of 205 000: still loaded, or refused with a documented error."""
    kept = command.unpacked((KEPT / f"{name}.json").read_text(encoding="ascii"))
    reader = Reader(LOADERS[name], tmp_path)
    assert len(kept) > 1
    for loaded, files in kept:
        answer = reader.answer(files)
        assert (answer.wrong, answer.kind == "loaded") == ("", loaded), files


# The fuzzer itself --------------------------------------------------------------------------------------------------

CHANGED = bytearray(b"as it was")


def plant(monkeypatch, load, state=bytes):
    """A loader with a fault, of files that begin with `good`."""

    def loads(folder):
        content = (folder / "file").read_bytes()
        return None if content == b"good file" else load(folder, content)

    loader = Loader("planted", lambda: [{"file": b"good file"}], lambda: (loads, state), total)
    monkeypatch.setitem(LOADERS, "planted", loader)
    return loader


def refuses(folder, content):
    raise ValueError(f"{folder}: no")


def raises_a_key_error(folder, content):
    {}[content]


def forgets_to_say_which_file(folder, content):
    raise ValueError("no")


def lets_through_an_undocumented_one(folder, content):
    (content + b"\xff").decode()


def takes_memory(folder, content):
    np.ones(2**20, np.uint8)
    refuses(folder, content)


def takes_time(folder, content):
    end = time.process_time() + running.SECONDS + 0.01
    while time.process_time() < end:
        pass


def changes_something(folder, content):
    CHANGED[0] += 1
    refuses(folder, content)


@pytest.mark.parametrize(
    ("load", "wrong"),
    [
        (raises_a_key_error, "KeyError that is not documented, at nowhere in xpnet"),
        (forgets_to_say_which_file, "ValueError that is not documented, at nowhere in xpnet"),
        (lets_through_an_undocumented_one, "UnicodeDecodeError that is not documented, at nowhere in xpnet"),
        (takes_memory, "more memory than twice the honest size, nowhere in xpnet"),
        (takes_time, "more than 0.05 s, loaded"),
        (changes_something, "something was changed before the error, at nowhere in xpnet"),
    ],
)
def test_faults_are_found_and_made_small(monkeypatch, load, wrong):
    monkeypatch.setattr(running, "SECONDS", 0.05)
    plant(monkeypatch, load, lambda: bytes(CHANGED))
    report = fuzz("planted", 5, seed=0)
    assert report.findings == {wrong: {"file": b""}}


def test_a_loader_without_a_fault(monkeypatch):
    plant(monkeypatch, refuses)
    report = fuzz("planted", 50, seed=0)
    assert report.findings == {}
    assert set(report.kinds) <= {"loaded", "nowhere in xpnet"}


def test_an_honest_file_that_is_refused_ends_the_run(monkeypatch):
    loader = Loader("planted", lambda: [{"file": b"good"}], reads(lambda folder: refuses(folder, b"")), total)
    monkeypatch.setitem(LOADERS, "planted", loader)
    with pytest.raises(RuntimeError, match="planted: an honest file was not loaded"):
        fuzz("planted", 5, seed=0)


def test_a_finding_becomes_as_small_as_it_can_be(monkeypatch, tmp_path):
    def dislikes_x(folder, content):
        if b"x" in content:
            raise KeyError
        refuses(folder, content)

    reader = Reader(plant(monkeypatch, dislikes_x), tmp_path)
    assert smaller({"file": b"a long x story"}, reader, "KeyError that is not documented, at nowhere in xpnet") == {
        "file": b"x"
    }


def test_the_same_seed_damages_the_same():
    first, second, other = fuzz("csv", 100, seed=1), fuzz("csv", 100, seed=1), fuzz("csv", 100, seed=2)
    assert first.kinds == second.kinds != other.kinds


def test_reports_are_added():
    first = Report(10, 2, 1.0, 0.5, 100, {"a": {"f": b"long"}}, {})
    first.add(Report(5, 1, 2.0, 0.25, 200, {"a": {"f": b"l"}, "b": {"f": b"new"}}, {"fault": {"f": b""}}))
    assert first == Report(15, 3, 3.0, 0.5, 200, {"a": {"f": b"l"}, "b": {"f": b"new"}}, {"fault": {"f": b""}})


@pytest.mark.parametrize("mutation", [*ANY, within_gzip(ANY), safetensors_header, json_changed])
@pytest.mark.parametrize("content", [b"", b"a", b"\x02\0\0\0\0\0\0\0{}", b'{"a":[1,{"b":2}]}', bytes(range(256))])
def test_mutations_take_anything_and_mostly_change_it(mutation, content):
    random = Random(0)
    found = [mutation(content, random) for _ in range(50)]
    assert all(type(each) is bytes for each in found)
    assert sum(each != content for each in found) > (25 if len(content) > 2 else -1)


def test_large_files_and_spliced_ones():
    assert INFLATED - 60 <= len(inflated(b"abc", Random(1))) <= INFLATED
    assert spliced(b"aaa", b"bbb", Random(2)).strip(b"a").strip(b"b") == b""


def test_the_command_writes_findings_and_kept_files(monkeypatch, tmp_path, capsys):
    class Here:
        def __init__(self, *arguments):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *arguments):
            pass

        map = staticmethod(map)

    plant(monkeypatch, raises_a_key_error)
    monkeypatch.setattr(command, "ProcessPoolExecutor", Here)
    options = ["--loaders", "planted", "csv", "--files", "60", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match=r"^1$"):
        command.main([*options, "--kept", str(tmp_path / "kept")])
    printed = capsys.readouterr().out
    assert re.search(r"\| planted \| 30 \| \d+ \| \d \| 1 \|", printed)
    folder = tmp_path / "out" / "planted KeyError-that-is-not-documented-at-nowhere-in-xpnet"
    assert f"planted: KeyError that is not documented, at nowhere in xpnet: {folder}" in printed
    assert (folder / "file").read_bytes() == b""
    kept = command.unpacked((tmp_path / "kept" / "csv.json").read_text())
    assert len(kept) > 2
    assert all(files.keys() == {"csv"} for _, files in kept)
    assert command.main(["--loaders", "csv", "--files", "10"])["csv"].files == 10

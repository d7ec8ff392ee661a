"""What is written is there as a whole or not at all, and is on the disk before it counts."""

from __future__ import annotations

import errno
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from engine.model import ActionResult, Status
from engine.record.files import remove, replacing, write_atomically
from engine.record.folders import OutputError, write_whole
from engine.record.journal import Journal, JournalHeading, read


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What is asked of the disk, in order: ("sync" | "rename", name of the file or folder)."""
    seen: list[tuple[str, str]] = []
    fsync, replace, rename = os.fsync, os.replace, os.rename

    def syncing(handle: int) -> None:
        seen.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name))
        fsync(handle)

    def replacing_(source: Any, target: Any) -> None:
        seen.append(("rename", Path(target).name))
        replace(source, target)

    def renaming(source: Any, target: Any) -> None:
        seen.append(("rename", Path(target).name))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", syncing)
    monkeypatch.setattr(os, "replace", replacing_)
    monkeypatch.setattr(os, "rename", renaming)
    return seen


@pytest.mark.parametrize("content", ["first\n", b"\x00\xff", "Zoë & Łukasz"])
def test_a_file_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, calls: list[tuple[str, str]], content: str | bytes
) -> None:
    path = tmp_path / "memory.json"
    write_atomically(path, content)
    (first, temporary), *rest = calls
    assert first == "sync"
    assert temporary.startswith(".memory.json.")
    assert rest == [("rename", "memory.json"), ("sync", tmp_path.name)]
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_what_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "table"
    path.write_text("old")

    def fail_half_way() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("ne")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        fail_half_way()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_many_writers_of_one_file_leave_one_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    texts = [str(k) * 10_000 for k in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_atomically(path, text), texts))
    assert path.read_text() in texts
    assert list(tmp_path.iterdir()) == [path]


def test_a_removed_file_does_not_come_back(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("x")
    remove(path)
    remove(path)
    assert not path.exists()
    assert ("sync", tmp_path.name) in calls


def fill(folder: Path) -> None:
    (folder / "summary.json").write_text("{}")
    (folder / "tables").mkdir()
    (folder / "tables" / "timeline").write_text("rows")


def test_a_folder_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, calls: list[tuple[str, str]]
) -> None:
    base = tmp_path / "outputs"
    folder = write_whole(base, "a", fill, lambda made: (made / "report").touch())
    at = calls.index(("rename", "a"))
    before = {name for _, name in calls[:at]}
    assert {"summary.json", "timeline", "tables", "report"} <= before
    assert ("sync", "outputs") in calls[at:]
    assert sorted(path.name for path in folder.iterdir()) == ["report", "summary.json", "tables"]


@pytest.mark.parametrize("code", [errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR])
def test_a_record_that_got_the_name_meanwhile_stands_beside_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whatever the file system says of it; Linux says 39, directory not empty."""
    rename, refused = os.rename, []

    def rename_late(source: Any, target: Any) -> None:
        if not refused:
            refused.append(target)
            raise OSError(code, os.strerror(code))
        rename(source, target)

    monkeypatch.setattr(os, "rename", rename_late)
    assert write_whole(tmp_path, "a", fill) == tmp_path / "a-2"


@pytest.mark.parametrize("there", ["folder", "file", "dangling link"])
def test_what_has_the_name_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    taken = tmp_path / "a"
    if there == "folder":
        taken.mkdir()
        (taken / "kept").touch()
    elif there == "file":
        taken.write_text("kept")
    else:
        taken.symlink_to("nowhere")
    lexists, looks = os.path.lexists, []

    def not_there_yet(path: Any) -> bool:
        looks.append(path)
        return len(looks) > 1 and lexists(path)

    monkeypatch.setattr(os.path, "lexists", not_there_yet)
    assert write_whole(tmp_path, "a", fill) == tmp_path / "a-2"
    assert lexists(taken)
    assert not (taken / "summary.json").exists()


def test_records_that_close_at_the_same_moment_all_stand(tmp_path: Path) -> None:
    together = threading.Barrier(8)

    def close(number: int) -> Path:
        def fill_together(folder: Path) -> None:
            (folder / "number").write_text(str(number))
            together.wait(300)

        return write_whole(tmp_path, "a", fill_together)

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(close, range(8)))
    assert len(set(folders)) == 8
    assert [int((folder / "number").read_text()) for folder in folders] == list(range(8))
    assert sorted(tmp_path.iterdir()) == sorted(folders)


@pytest.mark.parametrize("error", [ValueError("no figure"), OSError("no font"), MemoryError()])
def test_a_report_that_fails_costs_no_record(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    def fail(folder: Path) -> None:
        (folder / "report.html").write_text("half")
        raise error

    folder = write_whole(tmp_path, "a", fill, fail)
    assert sorted(path.name for path in folder.iterdir()) == ["summary.json", "tables"]
    assert "the report cannot be made" in caplog.text
    assert type(error).__name__ in caplog.text


def test_an_interrupt_while_the_report_is_drawn_costs_no_record(tmp_path: Path) -> None:
    def interrupted(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path, "a", fill, interrupted)
    assert (tmp_path / "a" / "summary.json").exists()


def test_results_that_cannot_be_written_leave_nothing(tmp_path: Path) -> None:
    def full(folder: Path) -> None:
        fill(folder)
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_whole(tmp_path, "a", full)
    assert list(tmp_path.iterdir()) == []


# --- the journal


HEADING = JournalHeading(1_000_000.0, ("api",), 5.0, "engine")


def test_a_closed_journal_is_on_the_disk(tmp_path: Path, calls: list[tuple[str, str]]) -> None:
    journal = Journal(tmp_path, HEADING)
    journal.event(1.0, "a", "b", "c", detail="d")
    calls.clear()
    journal.close()
    journal.close()
    assert calls == [("sync", "journal.jsonl")]


def test_a_result_that_comes_after_the_journal_was_closed_is_taken(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADING)
    journal.close()
    journal.result(ActionResult("a", Status.ACCEPTED, 1.0))
    journal.event(2.0, "trouble_ended", "api", "c", detail="d")
    assert [line["kind"] for line in read(journal.path)] == ["run", "result", "event"]
    assert journal.lost == 0


def test_a_result_that_comes_after_the_record_begins_no_other_journal(tmp_path: Path) -> None:
    journal = Journal(tmp_path, HEADING)
    journal.close()
    remove(journal.path)
    journal.result(ActionResult("a", Status.ACCEPTED, 1.0))
    assert list(tmp_path.iterdir()) == []


def test_journals_that_are_put_aside_never_replace_each_other(tmp_path: Path) -> None:
    aside = []
    for _ in range(3):
        journal = Journal(tmp_path, HEADING)
        journal.close()
        aside.append(journal.put_aside())
    assert len(set(aside)) == 3
    assert sorted(tmp_path.iterdir()) == sorted(aside)

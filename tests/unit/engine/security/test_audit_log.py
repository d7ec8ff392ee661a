"""The audit log in a folder: killed, full, rolled back, written by several at once."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.adapters.store.sqlite import FILE, local_desk
from engine.commands import audit, requests
from engine.model import Pause
from engine.ports.store import StagedRow
from engine.security.audit import verifier
from engine.security.audit.log import (
    CHECKPOINTS,
    FOLDER,
    HEAD,
    KEY,
    ROWS,
    VERIFIER,
    AuditError,
    AuditKeyError,
    AuditLog,
    opened,
)
from engine.security.audit.rows import AuditEntry


def entry(number: int) -> AuditEntry:
    return AuditEntry(
        at_ms=1_813_437_000_000 + number, actor="pat", action="scale", target="api",
        outcome="accepted", after={"instances": number},
    )  # fmt: skip


def whole(folder: Path) -> int:
    key = (folder / VERIFIER).read_text(encoding="utf-8")
    return verifier.verified(folder, key)


def test_every_row_is_under_a_checkpoint_when_append_returns(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for number in range(5):
        log.append(entry(number), entry(number))
        assert whole(tmp_path) == 2 * number + 2
    assert (tmp_path / KEY).stat().st_mode & 0o777 == 0o600
    again = AuditLog(tmp_path)
    again.append(entry(9))
    assert whole(tmp_path) == 11


def test_two_processes_append_to_one_log(tmp_path: Path) -> None:
    one, other = AuditLog(tmp_path), AuditLog(tmp_path)
    for number in range(4):
        one.append(entry(number))
        other.append(entry(number))
    one.append(entry(99))
    assert whole(tmp_path) == 9
    assert one.size == 9


@pytest.mark.parametrize("head", ["gone", "old"])
def test_a_head_that_is_behind_costs_reading_and_no_row(tmp_path: Path, head: str) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    old = (tmp_path / HEAD).read_bytes()
    log.append(entry(1), entry(2))
    if head == "old":
        (tmp_path / HEAD).write_bytes(old)
    else:
        (tmp_path / HEAD).unlink()
    AuditLog(tmp_path).append(entry(3))
    assert whole(tmp_path) == 4


def test_rows_that_were_written_and_not_signed_are_signed_by_the_next(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    with (tmp_path / ROWS).open("ab") as rows:
        rows.write(entry(1).text() + b"\n")
    AuditLog(tmp_path)
    assert whole(tmp_path) == 2


def test_checkpoints_that_are_gone_are_missed(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    first = (tmp_path / CHECKPOINTS).read_bytes()
    log.append(entry(1))
    for text in (b"", first):
        (tmp_path / CHECKPOINTS).write_bytes(text)
        with pytest.raises(AuditError, match="checkpoints that were signed are gone"):
            AuditLog(tmp_path)


def test_a_checkpoint_that_was_touched_is_kept_as_it_is(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    path = tmp_path / CHECKPOINTS
    touched = path.read_bytes().replace(b"\n1\n", b"\n2\n")
    path.write_bytes(touched)
    with pytest.raises(AuditError, match="signature of wedtwin/audit is not one of this note"):
        AuditLog(tmp_path)
    assert path.read_bytes() == touched


@pytest.mark.parametrize("cut", range(1, 170, 7))
def test_a_checkpoint_that_was_half_written_is_cut_off(tmp_path: Path, cut: int) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    before = (tmp_path / CHECKPOINTS).read_bytes()
    log.append(entry(1))
    after = (tmp_path / CHECKPOINTS).read_bytes()
    (tmp_path / CHECKPOINTS).write_bytes(after[: min(len(before) + cut, len(after) - 1)])
    (tmp_path / HEAD).unlink()
    AuditLog(tmp_path).append(entry(2))
    assert whole(tmp_path) == 3


def test_what_was_half_written_is_cut_off(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    with (tmp_path / ROWS).open("ab") as rows:
        rows.write(entry(1).text()[:30])
    with (tmp_path / CHECKPOINTS).open("a", encoding="utf-8") as checkpoints:
        checkpoints.write("\n\nwedtwin/audit\n2\nAAAA")
    AuditLog(tmp_path).append(entry(2))
    assert whole(tmp_path) == 2
    assert len((tmp_path / ROWS).read_bytes().splitlines()) == 2


@pytest.mark.parametrize("file", [ROWS, CHECKPOINTS])
def test_a_row_that_finds_no_room_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    before = {name: (tmp_path / name).read_bytes() for name in (ROWS, CHECKPOINTS)}
    real = os.fsync

    def full(handle: int) -> None:
        if Path(f"/proc/self/fd/{handle}").readlink().name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        log.append(entry(1))
    assert {name: (tmp_path / name).read_bytes() for name in (ROWS, CHECKPOINTS)} == before
    monkeypatch.undo()
    log.append(entry(2))
    assert whole(tmp_path) == 2


def test_a_row_without_a_text_leaves_the_log_as_it_was(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0))
    with pytest.raises(ValueError, match=r"\S"):
        log.append(entry(1), AuditEntry(1, "a", "b", "c", "d", after={"x": float("nan")}))
    log.append(entry(2))
    assert whole(tmp_path) == 2


def test_rows_that_were_signed_and_are_gone_are_missed(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.append(entry(0), entry(1))
    rows = (tmp_path / ROWS).read_bytes()
    (tmp_path / ROWS).write_bytes(rows.splitlines(keepends=True)[0])
    with pytest.raises(AuditError, match="rows that were signed are gone"):
        log.append(entry(2))
    with pytest.raises(AuditError, match="rows that were signed are gone"):
        AuditLog(tmp_path)


def test_a_damaged_log_is_kept_and_does_not_keep_an_engine_from_running(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    log = AuditLog(folder)
    log.append(entry(0), entry(1))
    for number in (1, 2):
        (folder / ROWS).write_bytes(b"")
        opened(folder).append(entry(2))
        (begun, own) = map(json.loads, (folder / ROWS).read_bytes().splitlines())
        assert f"audit.damaged-{number}" in begun["why"]
        assert own["after"] == {"instances": 2}
        assert whole(folder) == 2
        assert (tmp_path / f"audit.damaged-{number}" / CHECKPOINTS).is_file()
    # Who has the verifier key can check the new one with it.
    assert (folder / VERIFIER).read_text() == (tmp_path / "audit.damaged-1" / VERIFIER).read_text()


def test_a_key_of_ones_own_signs(tmp_path: Path) -> None:
    AuditLog(tmp_path / "first").append(entry(0))
    key = tmp_path / "first" / KEY
    AuditLog(tmp_path / "second", key=key).append(entry(0))
    assert not (tmp_path / "second" / KEY).exists()
    assert whole(tmp_path / "second") == 1
    other = tmp_path / "other" / KEY
    AuditLog(other.parent)
    with pytest.raises(AuditKeyError, match="a log has one key"):
        AuditLog(tmp_path / "second", key=other)
    AuditLog(tmp_path / "second", key=key).append(entry(1))
    for name, text in (("none", None), ("text", b"no key")):
        path = tmp_path / name
        if text is not None:
            path.write_bytes(text)
        with pytest.raises(AuditKeyError, match=name):
            AuditLog(tmp_path / "third", key=path)


def test_who_asks_something_signs_with_the_key_that_the_engine_was_given(tmp_path: Path) -> None:
    key = tmp_path / "elsewhere" / KEY
    AuditLog(key.parent)
    state = tmp_path / "state"
    engine = opened(state / FOLDER, key=key)
    engine.append(entry(0))
    assert requests.pause(["--state", str(state)]) == 0
    engine.append(entry(1))
    assert whole(state / FOLDER) == 3
    assert sorted(path.name for path in state.iterdir()) == [FOLDER, FILE]
    key.unlink()
    # Without the key nobody can sign, and nothing is asked for; the log stays as it is.
    assert requests.resume(["--state", str(state)]) == 2
    assert whole(state / FOLDER) == 3
    with closing(local_desk(state)) as desk:
        assert [one.request for one in desk.asked()[0]] == [Pause()]


def test_an_engine_goes_on_in_the_log_that_somebody_has_begun_anew(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    engine = opened(folder)
    engine.append(entry(0), entry(1))
    (folder / ROWS).write_bytes(b"")
    assert requests.pause(["--state", str(tmp_path)]) == 0
    engine.append(entry(2))
    rows = [json.loads(line)["action"] for line in (folder / ROWS).read_bytes().splitlines()]
    assert rows == ["begin", "pause", "scale"]
    assert whole(folder) == 3


def test_a_key_that_is_lost_ends_its_log_and_not_the_engine(tmp_path: Path) -> None:
    folder = tmp_path / FOLDER
    opened(folder).append(entry(0))
    (folder / KEY).unlink()
    opened(folder).append(entry(1))
    assert whole(folder) == 2
    assert (tmp_path / "audit.damaged-1" / ROWS).read_bytes().count(b"\n") == 1


def test_a_copy_finds_what_was_rolled_back_with_its_checkpoints(tmp_path: Path) -> None:
    folder, copy = tmp_path / FOLDER, tmp_path / "elsewhere"
    log = AuditLog(folder, copies=[str(copy), str(tmp_path / "no" / "disk")])
    log.append(entry(0))
    kept = {name: (folder / name).read_bytes() for name in (ROWS, CHECKPOINTS, HEAD)}
    log.append(entry(1))
    for name, content in kept.items():
        (folder / name).write_bytes(content)
    assert audit.run(["verify", "--state", str(tmp_path)]) == 0
    assert audit.run(["verify", "--state", str(tmp_path), "--kept", str(copy)]) == 1


KILLED = """
import sys
from pathlib import Path
from engine.security.audit.log import AuditLog
from engine.security.audit.rows import AuditEntry
log = AuditLog(Path(sys.argv[1]))
number = log.size
while True:
    log.append(AuditEntry(number, "pat", "scale", "api", "accepted", why="x" * 4000))
    number += 1
    print(number, flush=True)
"""


def test_a_kill_at_any_moment_loses_no_acknowledged_row(tmp_path: Path) -> None:
    acknowledged = 0
    for attempt in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(3 + attempt):
            acknowledged = int(writer.stdout.readline())
        time.sleep(0.0007 * attempt)  # somewhere in the next one
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
        writer.wait()
        writer.stdout.close()
        log = AuditLog(tmp_path)
        assert log.size in (acknowledged, acknowledged + 1)
        # All of them, each once, in their order.
        rows = [json.loads(line) for line in (tmp_path / ROWS).read_bytes().splitlines()]
        assert [row["at_ms"] for row in rows] == list(range(log.size))
        assert whole(tmp_path) == log.size


def test_what_people_ask_for_is_in_the_log_before_it_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    assert requests.floor(["api", "5", "--why", "the mayor marries", *state]) == 0
    assert requests.pause(["--direction", "in", *state]) == 0
    assert requests.resume(state) == 0
    assert requests.reject(["api-7", *state]) == 0
    assert requests.approve(["api-7", *state]) == 2  # a refusal is final
    capsys.readouterr()
    assert audit.run(["show", "--json", *state]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["action"], row["target"], row["outcome"]) for row in rows] == [
        ("floor", "api", "accepted"),
        ("pause", "all-services", "accepted"),
        ("resume", "all-services", "accepted"),
        ("reject", "api-7", "accepted"),
        ("approve", "api-7", "refused"),
    ]
    assert rows[0]["why"] == "the mayor marries"
    assert rows[0]["after"] == {"instances": 5, "until": "it is taken back"}
    assert audit.run(["verify", *state]) == 0
    assert "5 rows: whole" in capsys.readouterr().out
    assert audit.run(["show", "--last", "1", *state]) == 0
    assert "approve  api-7  refused" in capsys.readouterr().out


def test_what_the_log_cannot_take_waits_in_the_store_and_is_in_the_log_once_it_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "rows.jsonl")

    state = ["--state", str(tmp_path)]
    requests.pause(state)
    monkeypatch.setattr(os, "fsync", full)
    assert requests.floor(["api", "5", "--why", "a fair", *state]) == 0
    assert "waits in the store: [Errno 28] No space left" in capsys.readouterr().err
    monkeypatch.undo()
    assert requests.resume(state) == 0
    rows = [json.loads(line) for line in (tmp_path / FOLDER / ROWS).read_text().splitlines()]
    assert [row["action"] for row in rows] == ["pause", "floor", "resume"]
    assert rows[1]["why"] == "a fair"


def test_what_the_store_cannot_take_is_not_asked_for_and_the_log_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = ["--state", str(tmp_path)]
    requests.pause(state)
    (tmp_path / "store.db").write_bytes(b"no database at all" * 99)
    assert requests.floor(["api", "5", *state]) == 2
    assert "store.db" in capsys.readouterr().err
    rows = [json.loads(line) for line in (tmp_path / FOLDER / ROWS).read_text().splitlines()]
    assert [(row["action"], row["outcome"]) for row in rows] == [
        ("pause", "accepted"), ("floor", "refused"),
    ]  # fmt: skip


def rows_with_ids(log: AuditLog, *ids: str) -> None:
    rows = [AuditEntry(1, "pat", "try", "api", "accepted", id=name) for name in ids]
    log.take([StagedRow(row.id, row.text().decode()) for row in rows])


def ids_in(folder: Path) -> list[str]:
    return [json.loads(line)["id"] for line in (folder / ROWS).read_text().splitlines()]


def test_a_row_that_comes_again_is_there_once_also_after_a_kill(tmp_path: Path) -> None:
    one, other = AuditLog(tmp_path), AuditLog(tmp_path)
    rows_with_ids(one, "a", "b")
    rows_with_ids(one, "b", "c")
    rows_with_ids(other, "a", "c", "d")  # another process, which has seen only the file
    rows_with_ids(AuditLog(tmp_path), "b", "d")  # a third one, which goes by the head
    (tmp_path / HEAD).unlink()
    rows_with_ids(AuditLog(tmp_path), "a", "d")  # and one whose head was lost
    assert ids_in(tmp_path) == ["a", "b", "c", "d"]
    assert verifier.verified(tmp_path, (tmp_path / VERIFIER).read_text()) == 4


def test_an_id_is_forgotten_once_its_store_has_let_it_go(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    rows_with_ids(log, "a", "b")
    log.forget(["a", "z"])
    rows_with_ids(log, "c")
    assert json.loads((tmp_path / HEAD).read_text())["ids"] == ["b", "c"]


def test_ids_that_nobody_lets_go_of_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.security.audit.log.MOST_REMEMBERED", 3)
    log = AuditLog(tmp_path)
    rows_with_ids(log, *"abcde")
    assert json.loads((tmp_path / HEAD).read_text())["ids"] == ["c", "d", "e"]


def test_an_exported_log_is_checked_by_what_was_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    AuditLog(tmp_path / FOLDER).append(entry(0), entry(1))
    state, folder = ["--state", str(tmp_path)], tmp_path / "out"
    assert audit.run(["export", str(folder), *state]) == 0
    line = capsys.readouterr().out.split()
    assert line[0] == "python"

    def checked() -> int:
        return subprocess.run([sys.executable, "-I", *line[1:]], check=False).returncode

    assert checked() == 0
    rows = folder / ROWS
    rows.write_bytes(rows.read_bytes().replace(b"pat", b"tap", 1))
    assert checked() == 1
    assert audit.run(["export", str(folder), *state]) == 2
    assert audit.run(["verify", "--state", str(tmp_path / "nowhere")]) == 2


def test_a_touched_log_is_said_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    AuditLog(tmp_path / FOLDER).append(entry(0), entry(1))
    state = ["--state", str(tmp_path)]
    key = (tmp_path / FOLDER / VERIFIER).read_text(encoding="utf-8").strip()
    assert audit.run(["verify", "--key", key, *state]) == 0
    other = AuditLog(tmp_path / "other")
    other.append(entry(0))
    foreign = (tmp_path / "other" / VERIFIER).read_text(encoding="utf-8").strip()
    assert foreign.partition("+")[0] == key.partition("+")[0]
    assert audit.run(["verify", "--key", foreign, *state]) == 1
    assert audit.run(["verify", "--key", "nonsense", *state]) == 1
    rows = tmp_path / FOLDER / ROWS
    rows.write_bytes(rows.read_bytes()[:-1] + b" \n")
    assert audit.run(["verify", *state]) == 1
    assert "touched: the first 2 rows are not those of their checkpoint" in capsys.readouterr().out

"""Bytes of others that once ended in an error that nobody promised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import memory_json
from engine.adapters.bookings.rows import WrongRow
from engine.adapters.store.written import answer_of, asked_of, readable
from engine.commands import audit
from engine.ingest.segments import SegmentFolder, SpanRows, Tier
from engine.record import journal
from engine.security.audit.reading import rows_in
from tools.fuzz.targets import last_good, memory, monitor_memory, target_of

DEEP = "[" * 100_000
HUGE = "9" * 400
"""A whole number that no float holds."""


def refused(target: str, given: bytes) -> None:
    """The reader takes it, or raises what it promises."""
    one = target_of(target)
    read = one.make()
    try:
        read(given)
    except one.promised:
        return


@pytest.mark.parametrize(
    "target",
    [
        "bookings_http", "event_model", "journal", "last_good", "memory", "monitor_memory",
        "prometheus", "requests",
    ],
)  # fmt: skip
def test_brackets_without_end_are_no_document(target: str) -> None:
    refused(target, DEEP.encode())


def test_a_request_that_makes_no_sense_is_a_complaint_and_no_error() -> None:
    for text in (DEEP, f'{{"service": "", "expires_s": {HUGE}, "direction": "all"}}'):
        requests, complaints = readable([("it", text)], lambda _, text: asked_of("pause", text))
        assert (requests, len(complaints)) == ([], 1)
        answers, complaints = readable([("it", text)], lambda _, text: answer_of(text))
        assert (answers, len(complaints)) == ([], 1)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"guests": int(HUGE)}, "guests: is no number"),
        ({"at": int(HUGE)}, "at: is no time that clocks have"),
        ({"id": "\ud800"}, "id: is no text"),
    ],
)
def test_a_row_of_bookings_that_cannot_be_meant_costs_no_other_row(
    row: dict[str, Any], said: str
) -> None:
    rows = [{"id": "A1", "at": "2027-06-19T16:00Z"}, {"id": "B2", "at": "2027-06-19T16:00Z"} | row]
    listing: Any = target_of("bookings_http").make()(json.dumps({"items": rows}).encode())
    assert [event.starts_s for event in listing.events] == [1813420800.0]
    assert listing.wrong == [WrongRow("" if "id" in row else listing.wrong[0].id, "row 2", said)]


def test_a_calendar_with_a_zone_that_is_no_name_is_refused() -> None:
    whole = target_of("bookings_ics").corpus[1]
    refused("bookings_ics", whole.replace(b"Europe/Rome", b"x" * 1000))


def test_bookings_that_were_kept_for_another_number_of_roles_are_left_aside() -> None:
    kept = {"version": 1, "of": "ours", "read_s": 1.0, "events": [*last_good.EVENTS]}
    for people in ([1.0], [1.0, 2.0, 3.0], [int(HUGE), 1.0]):
        kept["events"] = [["A1", 1.0, None, people, True, None]]
        schedule: Any = last_good.TARGET.make()(json.dumps(kept).encode())
        assert len(schedule.participants) == 0


def test_a_memory_that_could_not_be_kept_again_is_none() -> None:
    for text in ('"level": NaN', '"level": 1e999'):
        with pytest.raises(ValueError, match="not JSON compliant"):
            memory_json.from_json(memory.CURRENT.replace('"level": 0.1', text))
    document = json.loads(monitor_memory.TARGET.corpus[0])
    with pytest.raises(ValueError, match="not JSON compliant"):
        monitor_memory.TARGET.make()(json.dumps({**document, "learned_s": float("inf")}).encode())


def test_a_line_of_the_journal_that_is_no_text_costs_no_other_line(tmp_path: Path) -> None:
    path = tmp_path / journal.JOURNAL
    path.write_bytes(
        b'{"kind": "run"}\n{"kind": "ev\xff\xfe\n' + DEEP.encode() + b'\n{"kind": "x"}\n'
    )
    assert [line["kind"] for line in journal.read(path)] == ["run", "x"]


@pytest.mark.parametrize("line", ["7", "[]", DEEP, "{"])
def test_a_line_of_the_audit_log_that_is_no_row_is_said_and_no_traceback(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="line"):
        list(rows_in([line], None))
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "rows.jsonl").write_text(line + "\n")
    assert audit.run(["show", "--state", str(tmp_path)]) == 2
    assert "line" in capsys.readouterr().err


@pytest.mark.parametrize("spoilt", [b"", b"PAR1", b"no parquet at all"])
def test_a_segment_of_samples_that_is_damaged_is_named(spoilt: bytes, tmp_path: Path) -> None:
    tier = Tier("fine", 5_000, 3_600_000, 2.0)
    ones = np.ones(1)
    row = SpanRows((b"a",), np.zeros(1, np.int32), np.zeros(1, np.int64), ones, ones, ones,
                   np.ones(1, np.int64))  # fmt: skip
    folder = SegmentFolder(tmp_path, tier)
    folder.add(row)
    (path,) = (tmp_path / "fine").iterdir()
    path.write_bytes(spoilt)
    with pytest.raises(OSError, match="it is damaged") as raised:
        folder.between(0, 60_000)
    assert raised.value.filename == str(path)

"""Files that are watched: changes, half-written ones, and what stays of the last good."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.adapters.bookings import csv_file, ics_file
from engine.adapters.bookings.feed import Feed
from engine.config.strict import ConfigError
from engine.model import Outlook
from engine.ports import contract
from engine.record.files import write_atomically
from tests.unit.engine.adapters.bookings.conftest import NOW_S, SPECS, at

HEADING = "id,at,guests,state,bride\n"
ROW = "A1,2027-06-19T16:00Z,200,booked,Jane Doe\n"
COLUMNS = {"id": "id", "starts": "at", "people": {"guest": "guests"}, "status": "state"}


def feed(path: Path, model: str, **options: Any) -> Feed:
    given = {"max_age_s": None, **options}
    return csv_file.connect(SPECS, NOW_S, path=str(path), columns=COLUMNS, model=model, **given)


def written(path: Path, text: str, age_s: float = 60.0) -> None:
    """A file that was left alone for so long."""
    write_atomically(path, text, durable=False)
    then_ns = path.stat().st_mtime_ns - round(age_s * 1e9)
    os.utime(path, ns=(then_ns, then_ns))


def during(outlook: Outlook, clock: str = "17:00") -> float:
    """Requests/s at a time on the day of the wedding."""
    return outlook.rate(0, at(clock))


def play(story: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(story())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "bookings.csv"
    written(made, HEADING + ROW)
    return made


def test_a_file_keeps_the_ports_contract(path: Path, model: str) -> None:
    play(lambda: contract.bookings(feed(path, model), ["api"], NOW_S))


def test_each_change_of_the_file_is_in_the_next_outlook(path: Path, model: str) -> None:
    async def story() -> None:
        source, now_s = feed(path, model), NOW_S
        shown = await source.outlook(now_s)
        assert during(shown) == pytest.approx(5 + 100)
        changes = {
            ROW + ROW.replace("A1", "B2"): 5 + 200,  # new
            ROW.replace("200", "300"): 5 + 150,  # guests; and the new one is only missing yet
            ROW.replace("booked", "Cancelled"): 5,
            ROW.replace("16:00", "16:30"): 5 + 100,
        }
        for k, (text, expected) in enumerate(changes.items()):
            written(path, HEADING + text, 60.0 - k)
            now_s += 5.0
            shown = await source.outlook(now_s)
            if k == 1:
                assert during(shown) == pytest.approx(expected + 100)
                now_s += 20.0
                await source.outlook(now_s)
                shown = await source.outlook(now_s + 10.0)
            assert during(shown) == pytest.approx(expected), text
        moved = await source.outlook(now_s + 1.0)
        assert during(moved, "16:15") == pytest.approx(5 + 10)  # the vendors before
        assert moved is shown
        assert source.feed().troubles == ()
        await source.close()

    play(story)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty, without a heading"),
        ("id,at,guests\n", "has no column state (bookings.options.columns; there are id, at, gue"),
        (HEADING, "1 of 1 events to come are missing without being marked as cancelled"),
        (HEADING + ROW + "B2,2027-06-19T16:0", "ends within a line; it may be half written"),
        (HEADING + ROW + "B2,2027-06-19T16:0\n", "line 3: has 2 columns, the heading 5"),
        (HEADING + ROW.replace("200", "nan"), "line 2: guests: nan is not allowed (0 … 100,000)"),
        (HEADING + ROW.replace("200", "1e9"), "line 2: guests: 1e+09 is not allowed"),
        (HEADING + ROW.replace("2027", "9999"), "line 2: at: is not allowed (within 5 years"),
        (HEADING + 3 * "x,y,z,a,b\n", "3 of 3 rows are wrong: the listing is not believed"),
        ("\0\0\0" + HEADING, "holds binary data, no CSV"),
        (b"\xff\xfe\xfa", "is not written in utf-8-sig"),
        (None, "cannot be read: No such file or directory; what was known at 2027-06-18 12:00:00"),
    ],
)
def test_whatever_becomes_of_the_file_the_last_good_outlook_stays_and_a_trouble_says_why(
    path: Path, model: str, text: str | bytes | None, said: str
) -> None:
    async def story() -> None:
        source = feed(path, model)
        shown = await source.outlook(NOW_S)
        if text is None:
            path.unlink()
        elif isinstance(text, bytes):
            path.write_bytes(text)
            os.utime(path, (0, 0))
        else:
            written(path, text, 30.0)
        for k in range(1, 100):
            assert await source.outlook(NOW_S + 12.0 * k) is shown
        (trouble, *_) = [one for one in source.feed().troubles if said in one] or [""]
        assert trouble, source.feed().troubles
        assert "Jane" not in str(source.feed())
        written(path, HEADING + ROW.replace("200", "100"), 10.0)
        again = await source.outlook(NOW_S + 1300.0)
        assert during(again) == pytest.approx(5 + 50)
        assert source.feed().troubles == ()

    play(story)


def test_a_file_that_is_being_written_is_read_when_it_was_left_alone(
    path: Path, model: str
) -> None:
    async def story() -> None:
        source = feed(path, model)
        shown = await source.outlook(NOW_S)
        written(path, HEADING + ROW.replace("200", "300"), 0.0)  # just now
        assert await source.outlook(NOW_S + 10.0) is shown
        assert source.feed().troubles == ()
        os.utime(path, (path.stat().st_mtime - 10.0,) * 2)
        assert during(await source.outlook(NOW_S + 20.0)) == pytest.approx(5 + 150)

    play(story)


def test_before_anything_was_read_the_outlook_does_not_cover_the_present(
    path: Path, model: str
) -> None:
    async def story() -> None:
        path.unlink()
        source = feed(path, model)
        shown = await source.outlook(NOW_S)
        assert not shown.covers(NOW_S)
        assert shown.issued_s <= NOW_S
        (trouble,) = source.feed().troubles
        assert trouble.endswith("; nothing has been read yet")
        written(path, HEADING + ROW)
        assert (await source.outlook(NOW_S + 10.0)).covers(NOW_S)

    play(story)


def test_a_file_that_nobody_has_written_for_long_is_a_trouble(path: Path, model: str) -> None:
    async def story() -> None:
        written_s = path.stat().st_mtime
        source = feed(path, model, max_age_s=86_400)
        await source.outlook(written_s + 86_000.0)
        assert source.feed().troubles == ()
        await source.outlook(written_s + 90_000.0)
        (trouble,) = source.feed().troubles
        assert trouble.startswith("its listing was made at ")

    play(story)


def test_the_outlook_moves_on_with_the_time_though_the_file_is_gone(path: Path, model: str) -> None:
    async def story() -> None:
        source = feed(path, model, ahead_s=14_400)
        assert not (await source.outlook(NOW_S)).covers(at("17:00"))
        path.unlink()
        later = await source.outlook(at("14:00"))
        assert during(later) == pytest.approx(5 + 100)

    play(story)


ICS = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:x
X-WR-TIMEZONE:Europe/Rome
BEGIN:VEVENT
UID:w1@example.com
DTSTART:20270612T180000
DTEND:20270612T210000
RRULE:FREQ=WEEKLY
X-GUESTS:200
SUMMARY:Jane Doe
END:VEVENT
BEGIN:VEVENT
UID:w2@example.com
DTSTART:20270619T160000Z
ATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.com
ATTENDEE;PARTSTAT=DECLINED:mailto:b@example.com
ATTENDEE:mailto:c@example.com
X-TYPE:luxury
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def test_a_calendar_is_followed_with_its_recurring_events(tmp_path: Path, model: str) -> None:
    async def story() -> None:
        path = tmp_path / "w.ics"
        written(path, ICS)
        columns = {"people": {"guest": "X-GUESTS", "vendor": "ATTENDEE"}, "major": "X-TYPE"}
        source = ics_file.connect(
            SPECS,
            NOW_S,
            path=str(path),
            columns=columns,
            model=model,
            major=["luxury"],
            max_age_s=None,
        )
        shown = await source.outlook(NOW_S)
        # 18:00 in Rome is 16:00; the second one says nothing of its guests.
        assert during(shown) == pytest.approx(5 + 100 + 50)
        assert during(shown, "15:30") == pytest.approx(5 + 10 + 2)
        assert float(np.max(shown.major_events)) == pytest.approx(1.0)
        assert source.feed().troubles == ()
        # A week later it is the next one, though nobody has touched the file.
        later = await source.outlook(NOW_S + 7 * 86_400)
        assert later.rate(0, at("17:00") + 7 * 86_400) == pytest.approx(5 + 100)
        written(path, ICS[: len(ICS) // 2], 30.0)
        assert await source.outlook(NOW_S + 7 * 86_400 + 10) is later
        assert "does not end; it may be half written" in source.feed().troubles[0]
        cancelled = ICS.replace("X-TYPE:luxury", "STATUS:CANCELLED")
        written(path, cancelled.replace("X-GUESTS:200", "X-GUESTS:nan"), 20.0)
        final = await source.outlook(NOW_S + 7 * 86_400 + 20)
        assert float(np.max(final.major_events)) == 0.0
        assert "event 1: X-GUESTS: nan is not allowed" in source.feed().troubles[0]

    play(story)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"path": "???"}, "bookings.options.path: is missing"),
        ({"delimiter": ";;"}, "bookings.options.delimiter: "),
        (
            {"model": "nowhere.json"},
            "bookings.options.model: nowhere.json: cannot be read (No such",
        ),
        ({"model": None}, "bookings.options.model: is missing; python -m engine learn makes one"),
        (
            {"usual": "builtins:list", "model": None},
            "bookings.options.usual: builtins:list makes a",
        ),
        ({"columns": {**COLUMNS, "people": {"gest": "g"}}}, "people.gest: is not allowed (guest"),
    ],
)
def test_a_wrong_option_is_named(path: Path, model: str, options: Any, said: str) -> None:
    given = {"path": str(path), "columns": COLUMNS, "model": model, **options}
    with pytest.raises(ConfigError) as error:
        csv_file.connect(SPECS, NOW_S, **given)
    assert said in str(error.value)


def test_an_engine_that_is_started_again_goes_on_with_what_was_known(
    path: Path, model: str, tmp_path: Path
) -> None:
    async def story() -> None:
        kept = tmp_path / "state"
        before = feed(path, model)
        before.keep_in(kept, None)
        first = await before.outlook(NOW_S)
        await before.outlook(NOW_S + 5.0)
        await before.close()
        assert b"Jane" not in (kept / "known").read_bytes()
        assert b"A1" not in (kept / "known").read_bytes()
        written(path, HEADING, 30.0)
        again = feed(path, model)
        again.name_by(before._reader.named)
        again.keep_in(kept, None)
        shown = await again.outlook(NOW_S + 60.0)
        assert np.array_equal(shown.load, first.load)
        assert again.feed().read_s == NOW_S
        assert "1 of 1 events to come are missing" in again.feed().troubles[0]
        # Who means it says so.
        meant = feed(path, model, vanished_share=1.0)
        meant.keep_in(kept, None)
        for k in range(4):
            shown = await meant.outlook(NOW_S + 100.0 + 20.0 * k)
        assert during(shown) == pytest.approx(5.0)

    play(story)


@pytest.mark.parametrize("spoiled", [b"", b"{}", b"[1", b'{"version": 1, "of": "x"}', b"\xff"])
def test_what_was_kept_and_cannot_be_read_or_is_of_another_source_is_left_aside(
    path: Path, model: str, tmp_path: Path, spoiled: bytes
) -> None:
    async def story() -> None:
        (tmp_path / "known").write_bytes(spoiled)
        source = feed(path, model)
        source.keep_in(tmp_path, None)
        assert during(await source.outlook(NOW_S)) == pytest.approx(5 + 100)
        await source.close()
        other = csv_file.connect(
            SPECS, NOW_S, path=str(tmp_path / "other.csv"), columns=COLUMNS, model=model
        )
        other.keep_in(tmp_path, None)
        assert not (await other.outlook(NOW_S)).covers(NOW_S)

    play(story)


def test_of_a_source_that_is_gone_for_long_the_present_is_not_covered_any_more(
    path: Path, model: str
) -> None:
    async def story() -> None:
        source = feed(path, model, ahead_s=14_400)
        await source.outlook(NOW_S)
        path.unlink()
        assert (await source.outlook(NOW_S + 6.9 * 86_400)).covers(NOW_S + 6.9 * 86_400)
        assert not (await source.outlook(NOW_S + 7.5 * 86_400)).covers(NOW_S + 7.5 * 86_400)
        written(path, HEADING + ROW, 5.0)
        assert (await source.outlook(NOW_S + 8.0 * 86_400)).covers(NOW_S + 8.0 * 86_400)

    play(story)

"""Calendars of events beside measured load."""

from __future__ import annotations

from collections.abc import Callable

from scenarios.traces import fixtures
from scenarios.traces.fixtures import FixturesError
from tools.fuzz.scratch import folder
from tools.fuzz.target import FuzzTarget

FILES = (
    b"start,end,name,size\n2026-06-01 20:00,2026-06-01 22:00,a match,40000\n"
    b"2026-06-08 20:00,,another,1e4\n",
    b"start;name\n2026-06-01T20:00:00Z;\xc3\xa4\n2026-06-02T21:00:00Z;b\n",
)


def _read() -> Callable[[bytes], object]:
    path = folder() / "events.csv"

    def read(given: bytes) -> object:
        path.write_bytes(given)
        return fixtures.listed(path, "Europe/Rome")

    return read


TARGET = FuzzTarget("fixtures", FILES, _read, (FixturesError,))

"""Pages of metrics, in both text formats, with the labels of each series."""

from __future__ import annotations

from collections.abc import Callable

from engine.ingest import exposition
from engine.ingest.exposition import PageError
from tools.fuzz.target import FuzzTarget

PAGES = (
    b'# HELP cpu of it\n# TYPE cpu gauge\ncpu{service="api",instance="a\\"1"} 0.5 1813320000000\n'
    b'requests_total{service="api"} 1e6\nup 1\n',
    b'# TYPE requests counter\nrequests_total{service="api"} 17.0 1813320000.123 '
    b'# {trace_id="abc"} 0.67 1813320000.0\n# UNIT cpu ratio\ncpu NaN\n'
    b'left{a="\\\\\\n"} +Inf\n# EOF\n',
)


def _read() -> Callable[[bytes], object]:
    def read(given: bytes) -> object:
        text = given.decode("utf-8")
        return exposition.read(
            text,
            lambda series: len(dict(exposition.labels_of(series))),
            openmetrics=b"EOF" in given,
            most=10_000,
        )

    return read


TARGET = FuzzTarget("exposition", PAGES, _read, (PageError, UnicodeDecodeError))

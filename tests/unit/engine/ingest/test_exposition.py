"""Pages of metrics: as prometheus_client reads them, and what is no page."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parsed_new
from prometheus_client.parser import text_string_to_metric_families as parsed_old

from engine.ingest.exposition import PageError, labels_of, read
from engine.ingest.plain import Labels


def ours(text: str, *, new: bool) -> list[tuple[Labels, float]]:
    series: list[str] = []

    def number(one: str) -> int:
        series.append(one)
        return len(series) - 1

    samples = read(text, number, openmetrics=new, most=1000)
    return [(labels_of(series[one.series]), one.value) for one in samples]


def theirs(text: str, *, new: bool) -> list[tuple[Labels, float]]:
    parse = parsed_new if new else parsed_old
    return [
        (
            tuple(sorted(
                {"__name__": one.name, **{k: v for k, v in one.labels.items() if v}}.items()
            )),
            float(one.value),
        )
        for family in parse(text) for one in family.samples
    ]  # fmt: skip


texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('\n\\"{}#, '), max_size=12
)


@pytest.mark.parametrize("new", [False, True])
@given(values=st.lists(st.tuples(texts, texts, st.floats(allow_nan=False)), max_size=5))
def test_pages_are_read_as_the_client_that_wrote_them_reads_them(
    new: bool, values: list[tuple[str, str, float]]
) -> None:
    registry = CollectorRegistry()
    gauge = Gauge("g", 'what\nit "is"', ["a", "b"], registry=registry)
    for a, b, value in values:
        gauge.labels(a, b).set(value)
    counter = Counter("c", "counts", ["a"], registry=registry)
    counter.labels('{"x"} # {').inc(3, {"trace_id": "x} 5"} if new else None)
    Histogram("h_seconds", "takes", registry=registry).observe(0.3, {"id": "1"} if new else None)
    text = (openmetrics.generate_latest if new else generate_latest)(registry).decode()
    assert sorted(ours(text, new=new)) == sorted(theirs(text, new=new))


@pytest.mark.parametrize(
    ("line", "labels", "value"),
    [
        ("up 1", {}, 1.0),
        ("up\t1", {}, 1.0),
        ("up{} 1", {}, 1.0),
        ("up{} 1 1781870400000", {}, 1.0),
        ('up{a="b"} 1e-3', {"a": "b"}, 0.001),
        ('up{a="b",} +Inf', {"a": "b"}, math.inf),
        ('up { a = "b" , c = "d" } -Inf', {"a": "b", "c": "d"}, -math.inf),
        (r'up{a="\\",b="\"}",c="\n"} 1', {"a": "\\", "b": '"}', "c": "\n"}, 1.0),
        ('up{a="}"}1', {"a": "}"}, 1.0),
        ('up{a=""} 1', {}, 1.0),
    ],
)
def test_a_line_is_a_series_and_a_value(line: str, labels: dict[str, str], value: float) -> None:
    expected = tuple(sorted({"__name__": "up", **labels}.items()))
    assert ours(f"# HELP up x\n{line}\n", new=False) == [(expected, value)]


@pytest.mark.parametrize(
    "line",
    [
        "up", "up ", "up one", "up 1 2 3", "up 1_000", "up ١", "up 0x10", "1up 1", 'up{a="b" 1',
        'up{a="b} 1', "up{a=b} 1", 'up{a="b" c="d"} 1', 'up{a="b",a="c"} 1', 'up{1a="b"} 1',
        "up 1 nan", "up 1 1e300", "{} 1", "<html>", "up{,} 1", "up 1 # {", 'up{a="b"}} 1',
    ],
)  # fmt: skip
def test_what_is_no_line_spoils_the_page(line: str) -> None:
    with pytest.raises(PageError):
        ours(f"fine 1\n{line}\nfine 2\n", new=False)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("up 1\n", "# EOF"),
        ("up 1\n# EOF\nup 2\n", "after the end"),
        ("a 1\n" * 1001 + "# EOF\n", "more than"),
        ("a 1\n" + "b" * 70_000 + " 1\n# EOF\n", "longer than"),
    ],
)
def test_a_page_that_is_cut_or_too_much_is_refused(text: str, why: str) -> None:
    with pytest.raises(PageError, match=why):
        ours(text, new=True)


def test_times_are_seconds_in_openmetrics_and_milliseconds_before_it() -> None:
    for text, new in (("up 1 1781870400.5\n# EOF\n", True), ("up 1 1781870400500\n", False)):
        (sample,) = read(text, lambda _: 0, openmetrics=new, most=9)
        assert sample.at_ms == 1781870400500

"""Pages of metrics, read: OpenMetrics 1.0 and the text format that was before it.

A page is mostly the same from one scrape to the next, so the text of a series is looked up, and
only read where it is new.  The tests compare with prometheus_client's parser, which takes four
times as long (`python benchmarks/ingest.py pages`).

A page that breaks the format anywhere is refused as a whole, as Prometheus does: half of a page is
not the state of its target.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from engine.ingest.labels import NAME
from engine.ingest.plain import Labels

LONGEST_LINE = 65_536
METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|\Z)\s*')
ESCAPED = re.compile(r"\\(.)")
ESCAPES = {"n": "\n", "\\": "\\", '"': '"'}
NUMBER = re.compile(
    r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?(?:Inf|inf|Infinity)|NaN|nan"
)
EXEMPLAR = " # {"


class PageError(Exception):
    """It is no page of metrics; the message says where."""


@dataclass(frozen=True, slots=True)
class PageSample:
    """A line: the number of its series, its value, its time (ms; None: that of the scrape)."""

    series: int
    value: float
    at_ms: int | None


def read(
    text: str, number: Callable[[str], int], *, openmetrics: bool, most: int
) -> list[PageSample]:
    """The samples of a page, each series numbered by `number` of its text (name and labels).

    `openmetrics`: times are seconds, and the page has to end with `# EOF`.  Raises PageError where
    a line is none, and where there are more than `most` samples.
    """
    samples: list[PageSample] = []
    ended = False
    for k, line in enumerate(text.split("\n"), 1):
        if ended and line.strip():
            raise PageError(f"line {k}: it comes after the end (# EOF)")
        if not line or line[0] == "#":
            ended = ended or (openmetrics and line.rstrip() == "# EOF")
            continue
        line = line.strip()
        if not line:
            continue
        if len(line) > LONGEST_LINE:
            raise PageError(f"line {k}: it is longer than {LONGEST_LINE:,} characters")
        try:
            samples.append(_sample(line, number, openmetrics=openmetrics))
        except (PageError, ValueError, OverflowError) as error:
            raise PageError(f"line {k}: {error}") from None
        if len(samples) > most:
            raise PageError(f"more than {most:,} samples")
    if openmetrics and not ended:
        raise PageError("it does not end with # EOF: a part of it is missing")
    return samples


def _sample(line: str, number: Callable[[str], int], *, openmetrics: bool) -> PageSample:
    closing = _closing(line)
    series, rest = line[:closing], line[closing:]
    if openmetrics and EXEMPLAR in rest:
        rest = rest[: rest.index(EXEMPLAR)]
    fields = rest.split()
    if not 1 <= len(fields) <= 2 or (rest[0] not in " \t" and not series.endswith("}")):
        raise PageError("a sample is a name, labels, a value, and perhaps a time")
    value = _number(fields[0])
    at_ms = None
    if len(fields) == 2:
        time = _number(fields[1])
        if not math.isfinite(time) or abs(time) > 1e15:
            raise PageError(f"{fields[1]} is no time")
        at_ms = round(time * 1000.0) if openmetrics else round(time)
    return PageSample(number(series), value, at_ms)


def _closing(line: str) -> int:
    """Where the name and the labels of a line end."""
    brace = line.find("{")
    space = min((at for at in (line.find(" "), line.find("\t")) if at >= 0), default=-1)
    if brace < 0 or (0 <= space < brace and line[space:brace].strip()):
        if space < 0:
            raise PageError("there is no value")
        return space
    i = brace + 1
    while True:  # to the brace that is in no quotes
        end, quote = line.find("}", i), line.find('"', i)
        if end < 0:
            raise PageError("its labels do not end")
        if quote < 0 or end < quote:
            return end + 1
        i = quote + 1
        while True:
            i = line.find('"', i)
            if i < 0:
                raise PageError("its labels do not end")
            slashes = 0
            while line[i - 1 - slashes] == "\\":
                slashes += 1
            i += 1
            if slashes % 2 == 0:
                break


def _number(text: str) -> float:
    # float() knows more than the format: underlines, and digits of other scripts.
    if NUMBER.fullmatch(text) is None:
        raise PageError(f"{text[:40]} is no number")
    return float(text)


def labels_of(series: str) -> Labels:
    """The labels of a series' text, in the order of their names; raises PageError."""
    name, brace, rest = series.partition("{")
    name = name.strip()
    if METRIC.fullmatch(name) is None:
        raise PageError(f"{name[:100]!r} is no name of a metric")
    labels = {NAME: name}
    rest = rest[:-1].strip() if brace else ""
    at = 0
    while at < len(rest):
        match = LABEL.match(rest, at)
        if match is None or (match[3] == "" and match.end() < len(rest)):
            raise PageError(f"the labels of {name[:100]} cannot be read")
        if match[1] in labels:
            raise PageError(f"{name[:100]} has the label {match[1]} twice")
        labels[match[1]] = ESCAPED.sub(lambda one: ESCAPES.get(one[1], one[0]), match[2])
        at = match.end()
    return tuple(sorted((key, value) for key, value in labels.items() if value))

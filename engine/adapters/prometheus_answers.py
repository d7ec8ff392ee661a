"""What is wrong with answers that Prometheus did give: nothing in them, or not all, or not of now.

A query that fails says so itself.  These do not, and are the ones that people lose an evening to:
a label that was renamed leaves an empty result, a store that is gone leaves a warning and half of
the rate, a clock that is off leaves samples that never become new.  So each round is compared with
what was asked, and what is not as it should be becomes words for a trouble.

A service at rest is not amiss: at no requests a quotient of two rates is 0/0, and there are no
response times.  What is missing of a service counts only after `PATIENCE_S`, so that a scrape that
was lost, or an instance that has been scraped once, is no trouble yet.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.model import SAMPLE_FIELDS, InstanceFigures
from engine.ports.metrics import MOST_INSTANCES

OF = "\n"
"""Between the names of a service and of its instance, neither of which has it."""
SAMPLED, SCRAPED = "sampled", "scraped"
"""When the newest scrape was, and the share of targets that were scraped."""
RATE = "request_rate"
SUMS = (RATE, "queue_depth")
"""Figures that are too small when a target is not scraped."""
ENOUGH = 0.9
"""Of the targets: with fewer scraped, a sum is no figure of the service."""
OF_REQUESTS = ("p50_s", "p95_s", "p99_s", "error_rate")
"""Figures that there are none of while there are no requests."""
FRACTIONS = ("error_rate", SCRAPED)
"""Figures that are not above 1; one that is may be in percent, or a count."""
QUOTIENTS = (*OF_REQUESTS, "cpu", "memory")
"""Figures that may be 0/0 then."""

PATIENCE_S = 15.0
"""For what is missing of one service, before it is told."""
CLOCK_OFF_S = 10.0
"""Two clocks that are no further apart are taken for one."""
REPLAYED_S = 86_400.0
"""Two that are further apart are not both clocks: one of them plays another day."""
OLD_S = 20.0
"""The newest sample may be so old, or three times as old as the samples are apart."""
SHOWN = 3
LONGEST = 160
"""Characters of an expression or a warning that are shown."""

_NO_NUMBER = {"nan": "NaN", "inf": "+Inf", "-inf": "-Inf"}

Points = Mapping[float, float]
"""Values by time of evaluation (epoch seconds)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one query was answered: values by service, and all that came with them.

    `others` are the label's values of series that are of no service; `ahead_s` is how far the
    server's clock is ahead of ours, NaN if it did not say.
    """

    by_service: Mapping[str, Points]
    others: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()
    ahead_s: float = math.nan

    @property
    def partial(self) -> bool:
        """Whether something may be missing in it, such as what a store would have added.

        A warning of PromQL itself is about the expression, and comes with every answer.
        """
        return any(not warning.startswith("PromQL") for warning in self.warnings)


@dataclass(frozen=True, slots=True)
class AnsweredQuery:
    """A figure, its expression, the services that it was asked for, and what came."""

    figure: str
    expression: str
    services: tuple[str, ...]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Amiss:
    """Words for each trouble; those of `silent` services are by service."""

    troubles: tuple[str, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)


class RoundCheck:
    """Compares each round with the ones before it."""

    def __init__(self, sample_s: float) -> None:
        self._sample_s = sample_s
        self._since: dict[tuple[str, str], float] = {}
        """Since when something is missing, by figure ("": all of them) and service."""
        self._annotated: dict[tuple[str, str], str] = {}
        """Annotations in the words in which they came first, by them without figures."""

    def look(
        self,
        now_s: float,
        end_s: float,
        asked: Sequence[AnsweredQuery],
        scrapes: Mapping[str, Sequence[float]],
    ) -> Amiss:
        """What is amiss with the round that was `asked`, up to the time of evaluation `end_s`.

        `scrapes` are the times of each service's newest samples (epoch s, rising), of those that
        have any; they may be ahead of `now_s`.
        """
        missing = dict(_missing(end_s - self._sample_s, asked))
        # After the clock was set back the patience begins anew.
        self._since = {key: min(self._since.get(key, now_s), now_s) for key in missing}
        due = {key: what for key, what in missing.items() if now_s - self._since[key] >= PATIENCE_S}
        troubles = [*self._annotations(asked), *_unnamed(asked), *_in_words(due)]
        clock = _clock(asked)
        if not clock:
            gone = {service for figure, service in missing if figure in ("", SAMPLED)}
            there = {name: times for name, times in scrapes.items() if name not in gone}
            clock = tuple(_ages(now_s, self._sample_s, there))
        silent = {service: what for (figure, service), what in due.items() if not figure}
        return Amiss((*dict.fromkeys(troubles), *clock), silent)

    def _annotations(self, asked: Sequence[AnsweredQuery]) -> Iterator[str]:
        """What came beside the values, in the same words as long as only figures change."""
        before, self._annotated = self._annotated, {}
        for one in asked:
            kinds = (("a warning", one.answer.warnings), ("an info", one.answer.infos))
            for kind, texts in kinds:
                for text in texts[:SHOWN]:
                    key = (one.figure, _without_figures(text))
                    unused = "; not used, as it may be a part only" if one.answer.partial else ""
                    words = (
                        f"{one.figure}: came with {kind}{unused}: {shortened(text)} "
                        f"(asked: {shortened(one.expression)})"
                    )
                    yield self._annotated.setdefault(key, before.get(key, words))


def _ages(now_s: float, sample_s: float, scrapes: Mapping[str, Sequence[float]]) -> Iterator[str]:
    """Samples of the future, and samples that never become new.

    Where a service is scraped less often, its samples may be older: three times as old as they are
    apart, on a median.
    """
    ahead = {name: times[-1] - now_s for name, times in scrapes.items() if len(times)}
    ahead = {name: by_s for name, by_s in ahead.items() if by_s > CLOCK_OFF_S}
    if ahead:
        yield (
            f"sampled: the newest sample of {listed(sorted(ahead))} is "
            f"{_rounded(max(ahead.values()))} in the future; is the clock of Prometheus right?"
        )
    late: dict[str, float] = {}
    for name, times in scrapes.items():
        apart = sorted(b - a for a, b in itertools.pairwise(times))
        spacing_s = apart[len(apart) // 2] if apart else sample_s
        if len(times) and now_s - times[-1] > max(OLD_S, 3.0 * spacing_s):
            late[name] = now_s - times[-1]
    if late:
        # In doublings, so that the words do not change with every sample that does not come.
        doublings = math.floor(math.log2(min(late.values()) / OLD_S))
        yield (
            f"sampled: the newest sample of {listed(sorted(late))} is more than "
            f"{OLD_S * 2.0**doublings:.0f} s old; is it still scraped, and is the clock of "
            "Prometheus right?"
        )


def _missing(
    since_s: float, asked: Sequence[AnsweredQuery]
) -> Iterator[tuple[tuple[str, str], str]]:
    """What is missing by figure and service, and what came instead; "": every figure of it."""
    rates = {
        service: _last(one.answer.by_service.get(service, {}))
        for one in asked
        if one.figure == RATE
        for service in one.services
    }
    absent: dict[str, list[tuple[str, str]]] = {}
    total: dict[str, int] = {}
    for one in asked:
        for service in one.services:
            total[service] = total.get(service, 0) + 1
            points = one.answer.by_service.get(service, {})
            rate = rates.get(service, math.nan)
            value = _last(points)
            if not points or max(points) < since_s - 1e-6:
                absent.setdefault(service, []).append((one.figure, _instead(one, points)))
            elif one.figure == SCRAPED and value < 1.0:
                unused = "" if value >= ENOUGH else f"; {' and '.join(SUMS)} are not used"
                yield (
                    (SCRAPED, service),
                    f"some targets are not scraped by {shortened(one.expression)}{unused}",
                )
            elif one.figure in FRACTIONS and math.isfinite(value) and value > 1.0 + 1e-6:
                yield (
                    (one.figure, service),
                    f"more than 1 came of {shortened(one.expression)}, where a fraction is meant",
                )
            elif not possible(value):
                if math.isnan(value) and one.figure in QUOTIENTS and not rate > 0.0:
                    continue  # 0/0, at rest
                came = "a negative number" if math.isfinite(value) else _NO_NUMBER[str(value)]
                yield (one.figure, service), f"{came} came of {shortened(one.expression)}"
    for service, figures in absent.items():
        if len(figures) == total[service]:
            figure, what = figures[0]
            yield (
                ("", service),
                (
                    f"{service}: no series for any figure, neither for {figure}: {what}"
                    if total[service] > 1
                    else f"{figure}: no series of {service}: {what}"
                ),
            )
            continue
        for figure, what in figures:
            if figure in OF_REQUESTS and rates.get(service) == 0.0:
                continue  # at rest
            yield (figure, service), f"no series: {what}"


def _unnamed(asked: Sequence[AnsweredQuery]) -> Iterator[str]:
    """Series that no service can be told of, beside those that are of one.

    Where a label was renamed on some of the targets, what is left looks like all of it.
    """
    for one in asked:
        if "" in one.answer.others:
            yield (
                f"{one.figure}: some series of {shortened(one.expression)} do not say of which "
                "service they are, and are in no figure"
            )


def _instead(one: AnsweredQuery, points: Points) -> str:
    asked = shortened(one.expression)
    if points:
        return f"{asked} has none of now"
    if one.answer.others:
        more = " …" if len(one.answer.others) > SHOWN else ""
        there = ", ".join(f'"{shortened(name)}"' for name in one.answer.others[:SHOWN])
        return f"{asked} has only others, such as {there}{more}"
    if one.answer.by_service:
        return f"{asked} has only those of {listed(sorted(one.answer.by_service))}"
    return f"the result of {asked} is empty"


def _in_words(due: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """One trouble for each figure and what is the matter with it, and one for a silent service."""
    services: dict[tuple[str, str], list[str]] = {}
    for (figure, service), what in due.items():
        if figure:
            services.setdefault((figure, what), []).append(service)
        else:
            yield what
    for (figure, what), names in services.items():
        yield f"{figure} of {listed(sorted(names))}: {what}"


def _clock(asked: Sequence[AnsweredQuery]) -> tuple[str, ...]:
    """How far the clock of the server is off, by what it says itself."""
    said = sorted(one.answer.ahead_s for one in asked if math.isfinite(one.answer.ahead_s))
    ahead_s = said[len(said) // 2] if said else 0.0
    if not CLOCK_OFF_S < abs(ahead_s) < REPLAYED_S:
        return ()
    where = "ahead of" if ahead_s > 0.0 else "behind"
    return (
        f"clock: that of Prometheus is {_rounded(abs(ahead_s))} {where} ours, "
        "so its samples are not of the times that they say",
    )


def possible(value: float) -> bool:
    """Whether a figure can be: none of them is ever negative."""
    return math.isfinite(value) and value >= 0.0


def shortened(text: str) -> str:
    """A text in one line of at most `LONGEST` characters."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def listed(names: Sequence[str]) -> str:
    """Names for people."""
    return ", ".join(names)


def _last(points: Points) -> float:
    return points[max(points)] if points else math.nan


def _rounded(span_s: float) -> str:
    """A span in steps of ten seconds, so that the words stay the same."""
    return f"{10.0 * round(span_s / 10.0):.0f} s"


def _without_figures(text: str) -> str:
    return "".join(character for character in text if not character.isdigit())


def instances_of(
    answers: Mapping[str, Mapping[str, Points]], services: Sequence[str], now_s: float
) -> dict[str, InstanceFigures]:
    """The figures of single instances, by service; `answers` are by figure, service and instance.

    A sample is of when it was scraped if `sampled` says that, else of `now_s`; one whose time is
    not known is none.
    """
    rows: dict[str, dict[str, list[float]]] = {name: {} for name in services}
    dated = SAMPLED in answers
    for figure, by_name in answers.items():
        column = SAMPLE_FIELDS.index("time_s" if figure == SAMPLED else figure)
        for key, points in by_name.items():
            service, _, instance = key.partition(OF)
            own = rows[service]
            if instance not in own:
                if len(own) >= MOST_INSTANCES:
                    continue
                own[instance] = [math.nan if dated else now_s] + [math.nan] * (
                    len(SAMPLE_FIELDS) - 1
                )
            for value in points.values():
                own[instance][column] = value if possible(value) else math.nan
    return {
        service: InstanceFigures(tuple(own), np.array(list(own.values())))
        for service, own in rows.items()
        if own
    }

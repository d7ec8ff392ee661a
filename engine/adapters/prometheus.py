"""Samples from anything that speaks Prometheus's HTTP API: Prometheus, VictoriaMetrics, Thanos.

Each figure of a sample is one PromQL expression of the configuration.  An expression is asked for
all services at once, and its series are told apart by a label; where it holds `{service}` it is
asked for each service.  A round asks everything concurrently, as range queries over the last few
samples, so what came late, or while the source was down, is caught up with.

A range query happily repeats a value for five minutes after the last scrape.  So that the engine
does not take an old sample for a new one, the expression `sampled` says when the scrape really
was (`timestamp(…)`): that is the time of the sample, and of the answers from one scrape one counts.
Values that are NaN, infinite or negative are holes.  So are sums while the expression `scraped`
says that a part of the targets is lost, and whatever came with a warning that something may be
missing: half of a rate is not the rate.  What else is amiss with an answer is in
`engine.adapters.prometheus_answers`; all of it is told as trouble.

It is one adapter, whose rounds, holes and catching up share what was last seen: so it is long.

It is long because rounds, totals and single instances go through the same questions and holes.
"""

from __future__ import annotations

import asyncio
import email.utils
import logging
import math
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import (
    AfterValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from engine.adapters.prometheus_answers import (
    ENOUGH,
    OF,
    SAMPLED,
    SCRAPED,
    SUMS,
    Answer,
    AnsweredQuery,
    Points,
    RoundCheck,
    instances_of,
    possible,
)
from engine.config.secrets import masked, revealed
from engine.config.strict import Strict, validated
from engine.model import SAMPLE_FIELDS, InstanceFigures, ServiceSpec
from engine.ports.metrics import INSTANCES_S, WINDOW, Reading, SampleWindow
from engine.security import tls
from engine.security.addresses import complaint
from engine.security.foreign_json import ForeignJsonError, parsed, words
from engine.security.outbound import OutboundTransport

FIGURES = SAMPLE_FIELDS[1:]
TOTALS = ("p50_s", "p95_s", "p99_s", "requests", "served", "failed", "shed", "timed_out", "slow")
SERVICE, SLO, SPAN = "{service}", "{slo_p95_s}", "{span}"
UNNOTICED = {
    SAMPLED: "values that Prometheus repeats after a last scrape are taken for new ones",
    SCRAPED: "when some targets are lost, the sum over the others is taken for all of it",
}
"""What nobody notices without an expression that says it."""
REPEATED = 3
"""A round asks again for so many samples that it has, for figures that came late."""


def _of_http(url: SecretStr) -> SecretStr:
    if not re.fullmatch(r"https?://\S+", url.get_secret_value()):
        raise ValueError("give an address such as http://127.0.0.1:9090")
    if why := complaint(url.get_secret_value()):
        raise ValueError(why)
    return url


HttpUrl = Annotated[SecretStr, AfterValidator(_of_http)]


class PrometheusConfig(Strict):
    """Where the API is and what to ask it."""

    url: HttpUrl
    """May hold a password or a token."""
    queries: dict[str, str]
    totals: dict[str, str] = Field(default_factory=dict)
    """Figures of a whole run for its record, at its end; `{span}` is how long it was."""
    first_served: str = ""
    """Epoch seconds of the first request that each instance served, a series an instance."""
    instances: dict[str, str] = Field(default_factory=dict)
    """Figures of single instances, a series each: for the monitor, which of them differs."""
    label: str = Field(default="service", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The label by which series are told apart."""
    instance: str = Field(default="instance", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """The label by which the instances of a service are."""
    names: dict[str, str] = Field(default_factory=dict)
    """The label's value, for services whose name it is not."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    parameters: dict[str, SecretStr] = Field(default_factory=dict)
    """Further parameters of each query, such as Thanos' `partial_response`."""
    timeout_s: Annotated[float, Field(gt=0.0, le=60.0)] = 2.0
    """For a whole round."""
    totals_timeout_s: Annotated[float, Field(gt=0.0, le=600.0)] = 30.0
    """For the totals."""
    max_mib: Annotated[float, Field(gt=0.0, le=1024.0)] = 8.0
    """An answer that is larger is refused."""
    ca: Path | None = None
    """Certificates that it is trusted by (TLS 1.3); null: those of the system."""
    certificate: Path | None = None
    """A certificate with its key, in one file of PEM, that is shown to it."""

    @model_validator(mode="after")
    def _tls_where_it_is_asked_for(self) -> PrometheusConfig:
        if (self.ca or self.certificate) and not self.url.get_secret_value().startswith("https:"):
            raise ValueError("ca and certificate are for an address that begins with https://")
        return self

    @field_validator("parameters", "headers", "names", mode="before")
    @classmethod
    def _as_texts(cls, given: object) -> object:
        """YAML reads 1 and false where a text is meant."""
        if not isinstance(given, Mapping):
            return given
        return {
            key: str(value).lower() if isinstance(value, (bool, int, float)) else value
            for key, value in given.items()
        }

    @field_validator("queries", "totals", "instances")
    @classmethod
    def _allowed_names(cls, queries: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        allowed = {
            "queries": (SAMPLED, SCRAPED, *FIGURES), "instances": (SAMPLED, *FIGURES),
        }.get(str(info.field_name), TOTALS)  # fmt: skip
        for name, query in queries.items():
            if name not in allowed:
                raise ValueError(f'"{name}" is not allowed ({", ".join(allowed)})')
            if not query.strip():
                raise ValueError(f"{name} is empty; leave it out if there is no such figure")
        if info.field_name == "queries" and not any(name in FIGURES for name in queries):
            raise ValueError(f"at least one of {', '.join(FIGURES)} is needed")
        return queries


def trusted(config: PrometheusConfig) -> ssl.SSLContext | bool:
    """What the connection goes by; raises TlsError."""
    if config.ca is None and config.certificate is None:
        return True
    return tls.client_context(config.ca, config.certificate)


class TroubleError(Exception):
    """A query without a usable answer; the message says why, and is the same each time."""


@dataclass(frozen=True, slots=True)
class _Query:
    """One request: the figure, the expression, and the service if it is asked for one alone.

    With `several`, a service may have any number of series; their values are only numbered.  With
    `single` each of its instances has one, by whose name it is kept.
    """

    figure: str
    expression: str
    service: str = ""
    several: bool = False
    single: bool = False


class PrometheusSource:
    """Keeps a window of samples for each service, renewed by each round."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        sample_s: float,
        config: PrometheusConfig,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.config = config
        self._sample_s = sample_s
        self._specs = {spec.name: spec for spec in specs}
        self._services = list(self._specs)
        self._by_label = {config.names.get(name, name): name for name in self._services}
        self._windows = {name: SampleWindow() for name in self._services}
        self._queries = [
            query
            for figure, expression in config.queries.items()
            for query in self._expanded(figure, expression)
        ]
        self._singles = [
            replace(query, single=True)
            for figure, expression in config.instances.items()
            for query in self._expanded(figure, expression)
        ]
        self._single_s = -math.inf
        self._by_instance: Mapping[str, InstanceFigures] = {}
        self._whole_s = -math.inf
        """The newest time of evaluation up to which all has been answered."""
        self._watch = RoundCheck(sample_s)
        self._client = httpx.AsyncClient(
            base_url=config.url.get_secret_value().rstrip("/") + "/",
            headers=revealed(config.headers),
            timeout=config.timeout_s,
            transport=transport
            or OutboundTransport(
                to_self=True, verify=trusted(config), limits=httpx.Limits(max_connections=16)
            ),
            trust_env=False,
        )

    async def read(self, now_s: float) -> Reading:
        """One round: ask for all figures since the last whole round, at most a window of them."""
        end_s = math.floor(now_s / self._sample_s) * self._sample_s
        first_s = end_s - (WINDOW - 1) * self._sample_s
        begin_s = max(first_s, min(self._whole_s, end_s) - (REPEATED - 1) * self._sample_s)
        during = {
            "start": f"{begin_s:.3f}", "end": f"{end_s:.3f}", "step": f"{self._sample_s:g}"
        }  # fmt: skip
        (asked, failed), (_, also_failed) = await asyncio.gather(
            self._round(
                self._queries, "api/v1/query_range", during, self.config.timeout_s, now_s=now_s
            ),
            self._look_at_instances(now_s),
        )
        answers = _by_figure(asked)
        for service in self._services:
            self._take(service, answers, now_s)
        if not failed and not any(one.answer.partial for one in asked):
            self._whole_s = end_s
        windows = {name: window.array for name, window in self._windows.items()}
        amiss = self._watch.look(now_s, end_s, asked, self._scrapes(answers))
        troubles = (*failed, *also_failed, *amiss.troubles)
        return Reading(windows, troubles, amiss.silent, self._by_instance)

    async def _look_at_instances(self, now_s: float) -> tuple[list[AnsweredQuery], tuple[str, ...]]:
        """Ask for the figures of single instances, every `INSTANCES_S`."""
        if not self._singles or 0.0 <= now_s - self._single_s < INSTANCES_S:
            return [], ()
        self._single_s = now_s
        at = {"time": f"{now_s:.3f}"}
        asked, failed = await self._round(
            self._singles, "api/v1/query", at, self.config.timeout_s, now_s=now_s
        )
        self._by_instance = instances_of(_by_figure(asked), self._services, now_s)
        return asked, tuple(f"instances: {trouble}" for trouble in failed)

    def _scrapes(self, answers: Mapping[str, Mapping[str, Points]]) -> dict[str, list[float]]:
        """Times of the samples by service, also of those that are still ahead of our clock."""
        scrapes: dict[str, list[float]] = {}
        for service, window in self._windows.items():
            times = {*window.array["time_s"].tolist()}
            sampled = answers.get(SAMPLED, {}).get(service, {}).values()
            times.update(time_s for time_s in sampled if math.isfinite(time_s))
            if times:
                scrapes[service] = sorted(times)
        return scrapes

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        """Figures of the time between, by service and name; what is not known is not there."""
        span = f"{max(round(end_s - begin_s), 1)}s"
        queries = [
            query
            for figure, expression in self.config.totals.items()
            for query in self._expanded(figure, expression.replace(SPAN, span))
        ]
        asked, _ = await self._asked_at(queries, end_s)
        totals: dict[str, dict[str, float]] = {name: {} for name in self._services}
        for figure, by_service in _by_figure(asked).items():
            for service, points in by_service.items():
                for value in points.values():
                    if math.isfinite(value):
                        totals[service][figure] = value
        return totals

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        """When each instance served its first request, by service, if that is known."""
        if not self.config.first_served:
            return {}
        span = f"{max(round(end_s - begin_s), 1)}s"
        query = _Query("first_served", self.config.first_served.replace(SPAN, span), several=True)
        asked, _ = await self._asked_at([query], end_s)
        return {
            service: sorted(value for value in points.values() if value >= begin_s)
            for service, points in _by_figure(asked).get("first_served", {}).items()
        }

    async def _asked_at(
        self, queries: Sequence[_Query], time_s: float
    ) -> tuple[list[AnsweredQuery], tuple[str, ...]]:
        """What the queries gave at one moment, with the patience that totals have."""
        at = {"time": f"{time_s:.3f}"}
        return await self._round(
            queries, "api/v1/query", at, self.config.totals_timeout_s, now_s=time_s
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def _expanded(self, figure: str, expression: str) -> list[_Query]:
        if SERVICE not in expression and SLO not in expression:
            return [_Query(figure, expression)]
        return [
            _Query(
                figure,
                expression.replace(SERVICE, self.config.names.get(name, name)).replace(
                    SLO, f"{spec.slo_p95_s:g}"
                ),
                name,
            )
            for name, spec in self._specs.items()
        ]

    async def _round(
        self,
        queries: Sequence[_Query],
        path: str,
        when: Mapping[str, str],
        timeout_s: float,
        *,
        now_s: float,
    ) -> tuple[list[AnsweredQuery], tuple[str, ...]]:
        """All queries at once: what those were answered that were, and why others were not."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()

        def clock() -> float:
            return now_s + loop.time() - began_s

        tasks = [
            asyncio.create_task(self._ask(q, path, when, timeout_s, clock=clock)) for q in queries
        ]
        try:
            _, late = await asyncio.wait(tasks, timeout=timeout_s) if tasks else ((), ())
        except asyncio.CancelledError:
            for task in tasks:
                task.cancel()
            raise
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        asked: list[AnsweredQuery] = []
        troubles: list[str] = []
        for query, task in zip(queries, tasks, strict=True):
            services = (query.service,) if query.service else tuple(self._services)
            try:
                asked.append(AnsweredQuery(query.figure, query.expression, services, task.result()))
            except asyncio.CancelledError:
                troubles.append(f"{query.figure}: no answer within {timeout_s:g} s")
            except TroubleError as error:
                troubles.append(f"{query.figure}: {error}")
        return asked, tuple(dict.fromkeys(troubles))

    async def _ask(
        self,
        query: _Query,
        path: str,
        when: Mapping[str, str],
        timeout_s: float,
        *,
        clock: Callable[[], float],
    ) -> Answer:
        """One query's answer; raises TroubleError.  `clock` says our time (epoch s)."""
        parameters = {
            **revealed(self.config.parameters),
            **when,
            "query": query.expression,
            "timeout": f"{timeout_s:g}s",
        }
        limit = int(self.config.max_mib * 2**20)
        body = bytearray()
        try:
            async with self._client.stream(
                "POST", path, data=parameters, timeout=timeout_s
            ) as answer:
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > limit:
                        raise TroubleError(f"the answer is larger than {self.config.max_mib:g} MiB")
                status, date = answer.status_code, answer.headers.get("date", "")
        except httpx.TimeoutException:
            raise TroubleError(f"no answer within {timeout_s:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            reason = str(error) or type(error).__name__
            address = masked(self.config.url.get_secret_value())
            raise TroubleError(f"{address} cannot be asked: {reason}") from None
        document, result = _result(bytes(body), status)
        by_service, others = self._by_service(query, result)
        return Answer(
            by_service,
            others,
            _warnings(document),
            _texts(document.get("infos")),
            _epoch_s(date) - clock(),
        )

    def _by_service(
        self, query: _Query, result: list[Any]
    ) -> tuple[dict[str, Points], tuple[str, ...]]:
        """The series of a result, one for a service, and the names of those that are not ours."""
        by_service: dict[str, Points] = {}
        others: list[str] = []
        labelled = bool(query.service) or not result
        for item in result:
            try:
                labels = item["metric"]
                labelled = labelled or self.config.label in labels
                values = item["values"] if "values" in item else [item["value"]]
                named = self._by_label.get(str(labels.get(self.config.label, "")))
                points = {float(time_s): float(text) for time_s, text in values}
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                raise TroubleError("the answer holds no series of numbers") from None
            service = query.service or named
            if service is None:
                others.append(words(labels.get(self.config.label), 200))
                continue
            if query.single:
                name = str(labels.get(self.config.instance, ""))
                if name:
                    by_service[f"{service}{OF}{name}"] = points
                continue
            if query.several:
                joined = dict(by_service.get(service, {}))
                joined |= {float(len(joined) + k): value for k, value in enumerate(points.values())}
                by_service[service] = joined
                continue
            if service in by_service:
                label = self.config.label
                raise TroubleError(
                    f"several series for {service}; let the query aggregate by ({label})"
                )
            by_service[service] = points
        if not labelled:
            raise TroubleError(f'no series has the label "{self.config.label}"')
        return by_service, tuple(dict.fromkeys(others))

    def _take(
        self,
        service: str,
        answers: Mapping[str, Mapping[str, Points]],
        now_s: float,
    ) -> None:
        """Make samples of one service's values, each at the time of its scrape."""
        values = {figure: by_service.get(service, {}) for figure, by_service in answers.items()}
        sampled = values.pop(SAMPLED, None)
        share = values.pop(SCRAPED, {})
        dated = SAMPLED in self.config.queries
        if dated and sampled is None:
            return  # when it was cannot be told
        for at_s in sorted({time_s for points in values.values() for time_s in points}):
            time_s = sampled.get(at_s, math.nan) if dated and sampled is not None else at_s
            lost = share.get(at_s, 1.0) < ENOUGH
            row = [
                math.nan if lost and figure in SUMS else _possible(points_of.get(at_s, math.nan))
                for figure in FIGURES
                for points_of in (values.get(figure, {}),)
            ]
            # What is ahead of our clock is asked for again later.
            if time_s <= now_s and any(math.isfinite(value) for value in row):
                self._windows[service].add([time_s, *row])


def connect(specs: Sequence[ServiceSpec], sample_s: float, **options: Any) -> PrometheusSource:
    """The source as configured; raises ValueError naming each key that is wrong."""
    config = validated(PrometheusConfig, options, "metrics")
    unknown = sorted(set(config.names) - {spec.name for spec in specs})
    if unknown:
        raise ValueError(f"metrics.names: {unknown[0]} is not a service of the platform")
    for name, otherwise in UNNOTICED.items():
        if name not in config.queries:
            logging.getLogger(__name__).warning(f"metrics.queries has no {name}: {otherwise}")
    return PrometheusSource(specs, sample_s, config)


def _by_figure(asked: Sequence[AnsweredQuery]) -> dict[str, dict[str, Points]]:
    """What can be used, by figure and service; a figure that was answered is there."""
    answers: dict[str, dict[str, Points]] = {}
    for one in asked:
        by_service = answers.setdefault(one.figure, {})
        if not one.answer.partial:
            by_service.update(one.answer.by_service)
    return answers


def _result(body: bytes, status: int) -> tuple[dict[str, Any], list[Any]]:
    """An answer and its series; raises TroubleError for everything that has none."""
    try:
        document = parsed(body)
    except ForeignJsonError:
        start = body[:40].decode("utf-8", "replace").split("\n")[0]
        raise TroubleError(f"HTTP {status}, no JSON: {start!r}") from None
    if not isinstance(document, dict) or document.get("status") != "success":
        said = words(document.get("error"), 500) if isinstance(document, dict) else ""
        raise TroubleError(f"HTTP {status}: {said or 'the query was not successful'}")
    answer = document.get("data")
    kind = answer.get("resultType") if isinstance(answer, dict) else None
    result = answer.get("result") if isinstance(answer, dict) else None
    if kind not in ("matrix", "vector") or not isinstance(result, list):
        raise TroubleError("the answer holds no series; give expressions that are vectors")
    return document, result


def _warnings(document: Mapping[str, Any]) -> tuple[str, ...]:
    """What says that an answer may be a part only; a cluster of VictoriaMetrics has a flag."""
    partial = ("isPartial: some storage nodes did not answer",)
    return (
        *_texts(document.get("warnings")),
        *_texts(document.get("error")),
        *(partial if document.get("isPartial") else ()),
    )


def _texts(given: object) -> tuple[str, ...]:
    """Annotations of an answer: a list, or whatever else somebody made of it."""
    if isinstance(given, list):
        return tuple(words(str(one), 500) for one in given)
    return (words(str(given), 500),) if given else ()


def _epoch_s(date: str) -> float:
    """The time of an answer's `Date`, NaN if it has none."""
    try:
        return email.utils.parsedate_to_datetime(date).timestamp()
    except ValueError:
        return math.nan


def _possible(value: float) -> float:
    return value if possible(value) else math.nan

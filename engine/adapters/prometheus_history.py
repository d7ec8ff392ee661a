"""Weeks of the past from whatever speaks Prometheus's HTTP API, by range queries in pieces.

A piece that the server finds too large is asked for in two halves.  What it has no value for stays
NaN: a gap is a gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from pydantic import SecretStr

from engine.config.secrets import revealed
from engine.config.strict import ConfigError
from engine.model import FloatArray
from engine.security import tls
from engine.security.foreign_json import ForeignJsonError, parsed, words
from engine.security.outbound import BlockingOutboundTransport

STEPS_AT_ONCE = 2_016
"""Of one query: a week of five minutes; Prometheus itself refuses more than 11,000."""
LEAST_STEPS = 16
REFUSED = (400, 422, 503, 504)
"""How servers answer what takes them too long, or too many samples."""


class HistoryError(ConfigError):
    """The history cannot be had; the message names the key and what the server said."""


@dataclass(frozen=True, slots=True)
class HistoryGrid:
    """Steps of the past; the value of a step is asked for at its end."""

    start_s: float
    step_s: float
    steps: int

    def end_of(self, step: int) -> float:
        """When a step ends (epoch seconds)."""
        return self.start_s + (step + 1) * self.step_s


@dataclass(frozen=True, slots=True)
class PastSeries:
    """One series on the grid, NaN where there was no value."""

    labels: Mapping[str, str]
    values: FloatArray


class PastMetrics:
    """Asks one server."""

    def __init__(self, client: httpx.Client, parameters: Mapping[str, str]) -> None:
        self._client = client
        self._parameters = parameters

    def over(self, key: str, query: str, grid: HistoryGrid) -> list[PastSeries]:
        """All series of `query` on the grid; raises HistoryError naming `key`."""
        rows: dict[tuple[tuple[str, str], ...], FloatArray] = {}
        for first in range(0, grid.steps, STEPS_AT_ONCE):
            count = min(STEPS_AT_ONCE, grid.steps - first)
            for series in self._piece(key, query, grid, first, count=count):
                with _refusing_other_shapes(key):
                    labels = tuple(sorted((str(k), str(v)) for k, v in series["metric"].items()))
                    row = rows.setdefault(labels, np.full(grid.steps, np.nan))
                    _take(row, series.get("values") or (), grid)
        return [PastSeries(dict(labels), row) for labels, row in rows.items()]

    def at(self, key: str, query: str, time_s: float) -> list[tuple[dict[str, str], float]]:
        """The values of `query` at one time, with their labels; raises HistoryError."""
        result, status, said = self._asked(
            "api/v1/query", {"query": query, "time": f"{time_s:.0f}"}
        )
        if result is None:
            raise HistoryError(f"{key}: the server answered {status}: {said}")
        answers = []
        for one in result:
            with _refusing_other_shapes(key):
                value = float(one["value"][1])
                if math.isfinite(value):
                    answers.append(({str(k): str(v) for k, v in one["metric"].items()}, value))
        return answers

    def _piece(
        self, key: str, query: str, grid: HistoryGrid, first: int, *, count: int
    ) -> Iterator[dict[str, Any]]:
        parameters = {
            "query": query, "step": f"{grid.step_s:.0f}",
            "start": f"{grid.end_of(first):.0f}", "end": f"{grid.end_of(first + count - 1):.0f}",
        }  # fmt: skip
        result, status, said = self._asked("api/v1/query_range", parameters)
        if result is not None:
            yield from result
        elif status in REFUSED and count >= 2 * LEAST_STEPS and "parse" not in said:
            half = count // 2
            yield from self._piece(key, query, grid, first, count=half)
            yield from self._piece(key, query, grid, first + half, count=count - half)
        else:
            raise HistoryError(f"{key}: the server answered {status}: {said}")

    def _asked(
        self, path: str, parameters: Mapping[str, str]
    ) -> tuple[list[dict[str, Any]] | None, int, str]:
        """The series of an answer, or None with the status and what was said."""
        try:
            answer = self._client.post(path, data={**self._parameters, **parameters})
        except httpx.HTTPError as error:
            said = str(error) or type(error).__name__
            raise HistoryError(f"metrics.url: cannot be asked: {said}") from None
        if answer.status_code in (401, 403):
            raise HistoryError(
                f"metrics.headers: the server refuses who asks ({answer.status_code}): is the "
                "token right, and not expired?"
            )
        try:
            document = parsed(answer.content)
        except ForeignJsonError:
            raise HistoryError(
                f"metrics.url: answered {answer.status_code} and no JSON; is it the address of a "
                "Prometheus?"
            ) from None
        if not isinstance(document, dict) or document.get("status") != "success":
            said = words(document.get("error"), 300) if isinstance(document, dict) else ""
            return None, answer.status_code, said
        try:
            return series_in(document), answer.status_code, ""
        except ValueError as error:
            raise HistoryError(f"metrics.url: {error}") from None


@contextmanager
def connected(
    url: SecretStr,
    headers: Mapping[str, SecretStr],
    parameters: Mapping[str, SecretStr],
    timeout_s: float,
    *,
    ca: Path | None,
    certificate: Path | None,
) -> Iterator[PastMetrics]:
    """A connection to the server at `url`; raises HistoryError."""
    try:
        trust = tls.client_context(ca, certificate) if ca or certificate else True
    except tls.TlsError as error:
        raise HistoryError(f"metrics.ca: {error}") from None
    with httpx.Client(
        base_url=url.get_secret_value().rstrip("/") + "/",
        headers=revealed(dict(headers)),
        timeout=timeout_s,
        trust_env=False,
        transport=BlockingOutboundTransport(to_self=True, verify=trust),
    ) as client:
        yield PastMetrics(client, revealed(dict(parameters)))


def series_in(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The series of a successful answer; raises ValueError for one that has no list of them."""
    content = document.get("data") or {}
    result = (content.get("result") or []) if isinstance(content, dict) else None
    if not isinstance(result, list):
        raise ValueError("the answer holds no series")
    return [one for one in result if isinstance(one, dict)]


@contextmanager
def _refusing_other_shapes(key: str) -> Iterator[None]:
    """Raises HistoryError naming `key` for a series that is none of numbers with labels."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError):
        raise HistoryError(f"{key}: the answer holds no series of numbers") from None


def _take(row: FloatArray, values: Sequence[Any], grid: HistoryGrid) -> None:
    for time_s, text in values:
        step = round((float(time_s) - grid.start_s) / grid.step_s) - 1
        value = float(text)
        if 0 <= step < len(row) and math.isfinite(value) and value >= 0.0:
            row[step] = value

"""The load of the past from whatever speaks Prometheus's HTTP API, by the live run's own query.

The configuration has the expression of `request_rate` and the label that tells the services apart;
here it is asked for at each step of the past, in pieces that such a server answers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from engine.adapters.load_history import MOST_STEPS, STEP_S
from engine.adapters.prometheus import SERVICE, PrometheusConfig, trusted
from engine.adapters.prometheus_history import series_in
from engine.config.secrets import revealed
from engine.config.strict import ConfigError, validated
from engine.prediction.event_learning import PastLoad
from engine.security.foreign_json import ForeignJsonError, parsed, words
from engine.security.outbound import BlockingOutboundTransport
from engine.security.tls import TlsError

STEPS_AT_ONCE = 10_000
"""Of one series; Prometheus itself refuses more than 11,000."""
TIMEOUT_S = 60.0
FIGURE = "request_rate"


def read(
    options: Mapping[str, Any], services: Sequence[str], from_s: float, until_s: float
) -> PastLoad:
    """The load between two times (epoch seconds); raises ConfigError, OSError.

    `options` are those of the metrics.
    """
    config = validated(PrometheusConfig, options, "metrics")
    expression = config.queries.get(FIGURE)
    if expression is None:
        raise ConfigError(f"metrics.queries.{FIGURE}: is missing; it is the load to learn from")
    start_s = math.floor(from_s / STEP_S) * STEP_S
    steps = math.ceil((until_s - start_s) / STEP_S)
    if not 0 < steps <= MOST_STEPS:
        raise ConfigError(f"days: {steps:,} steps of {STEP_S:g} s are not allowed (1 … 2,000,000)")
    labels = {config.names.get(name, name): k for k, name in enumerate(services)}
    load = np.full((len(services), steps), np.nan)
    try:
        verify = trusted(config)
    except TlsError as error:
        raise ConfigError(f"metrics.ca: {error}") from None
    with httpx.Client(
        base_url=config.url.get_secret_value().rstrip("/") + "/",
        headers=revealed(config.headers),
        timeout=TIMEOUT_S,
        trust_env=False,
        transport=BlockingOutboundTransport(to_self=True, verify=verify),
    ) as client:
        asked = (
            {label: expression.replace(SERVICE, label) for label in labels}
            if SERVICE in expression else {"": expression}
        )  # fmt: skip
        for of_label, query in asked.items():
            for first in range(0, steps, STEPS_AT_ONCE):
                last = min(first + STEPS_AT_ONCE, steps) - 1
                parameters = {
                    **revealed(config.parameters), "query": query, "step": f"{STEP_S:g}",
                    # A value at the end of a step is of the time before it.
                    "start": f"{start_s + (first + 1) * STEP_S:.0f}",
                    "end": f"{start_s + (last + 1) * STEP_S:.0f}",
                }  # fmt: skip
                for series in _series(client, parameters):
                    try:
                        label = of_label or str(series.get("metric", {}).get(config.label, ""))
                        if label in labels:
                            _take(load[labels[label]], series.get("values", ()), start_s)
                    except (TypeError, ValueError, AttributeError, OverflowError):
                        raise OSError(
                            "metrics.url: the answer holds no series of numbers"
                        ) from None
    return PastLoad(tuple(services), start_s, STEP_S, load)


def _series(client: httpx.Client, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    """The series of an answer; raises OSError for one that is none."""
    try:
        answer = client.post("api/v1/query_range", data=dict(parameters))
        document = parsed(answer.content)
    except httpx.HTTPError as error:
        raise OSError(f"metrics.url: cannot be asked: {error or type(error).__name__}") from None
    except ForeignJsonError as error:
        raise OSError(f"metrics.url: answered {answer.status_code} and {error}") from None
    if not isinstance(document, dict) or document.get("status") != "success":
        said = words(document.get("error"), 200) if isinstance(document, dict) else ""
        raise OSError(f"metrics.url: answered {answer.status_code}: {said}")
    try:
        return series_in(document)
    except ValueError as error:
        raise OSError(f"metrics.url: {error}") from None


def _take(row: np.ndarray, values: Sequence[Any], start_s: float) -> None:
    for time_s, text in values:
        step = round((float(time_s) - start_s) / STEP_S) - 1
        value = float(text)
        if 0 <= step < len(row) and math.isfinite(value) and value >= 0.0:
            row[step] = value

"""Windows of figures out of what comes in, with its delays, its losses and its ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from engine.config.strict import ConfigError, validated
from engine.ingest import intake
from engine.ingest.settings import SamplesConfig
from engine.ingest.sources import SamplesSource, received
from engine.model import SAMPLE_FIELDS, BootTime, ServiceSpec
from engine.ports.metrics import Reading
from tests.remote_write import STALE

CONFIG = Path(__file__).parents[4] / "conf" / "metrics" / "received.yaml"
NOW_S = 1_781_870_400.0
SPECS = tuple(
    ServiceSpec(name, 1, 10, 4, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)
    for name in ("api", "database")
)
OPTIONS: dict[str, Any] = {
    "figures": {
        "cpu": {"metric": "busy", "take": "rate", "over": {"metric": "slots"}},
        "request_rate": {"metric": "requests", "take": "rate"},
        "p50_s": {"metric": "seconds_bucket", "take": "quantile", "quantile": 0.5},
        "error_rate": {
            "metric": "answers", "where": {"outcome": "!=served"}, "take": "rate",
            "over": {"metric": "answers", "take": "rate"},
        },
        "queue_depth": {"metric": "queue"},
    },
    "scraped": {"metric": "up", "where": {"job": "workers"}, "take": "average"},
    "totals": {
        "requests": {"metric": "requests", "take": "rate"},
        "p50_s": {"metric": "seconds_bucket", "take": "quantile", "quantile": 0.5},
    },
    "first_served": {"metric": "first"},
    "keep": None,
}  # fmt: skip


def source(**changes: Any) -> SamplesSource:
    return SamplesSource(SPECS, 5.0, validated(SamplesConfig, {**OPTIONS, **changes}))


def take(
    into: SamplesSource, at_s: float, values: Mapping[str, float], came_s: float | None = None,
    **labels: str,
) -> None:  # fmt: skip
    """Samples by metric; `m{le=0.1}` is a bucket."""
    numbers = []
    for metric in values:
        name, _, bound = metric.rstrip("}").partition("{le=")
        own = {"__name__": name, **({"le": bound} if bound else {}), **labels}
        numbers.append(into.intake.number(tuple(sorted(own.items()))))
    into.intake.take(
        np.array(numbers), np.full(len(numbers), round(at_s * 1000.0)),
        np.array(list(values.values()), np.float64), at_s if came_s is None else came_s,
    )  # fmt: skip


def scrape(into: SamplesSource, at_s: float, instance: str, **changes: float) -> None:
    """What one instance of api shows, of 10 requests/s and half of its slots."""
    since = at_s - NOW_S
    values = {
        "up": 1.0, "slots": 4.0, "busy": 2.0 * since, "requests": 10.0 * since, "queue": 3.0,
        "seconds_bucket{le=0.1}": 5.0 * since, "seconds_bucket{le=+Inf}": 10.0 * since,
        "seconds_bucket{le=0.2}": 10.0 * since, **changes,
    }  # fmt: skip
    take(into, at_s, values, service="api", instance=instance, job="workers")
    take(into, at_s, {"answers": 10.0 * since}, service="api", instance=instance, outcome="served")


def last(reading: Reading, figure: str, service: str = "api") -> float:
    return float(reading.windows[service][figure][-1])


def test_each_scrape_becomes_one_sample_of_the_whole_service() -> None:
    made = source()
    for k in range(8):
        at_s = NOW_S + 5.0 * k
        scrape(made, at_s + 1.0, "a")
        scrape(made, at_s + 2.0, "b")
        reading = made.round(at_s + 5.0)
    window = reading.windows["api"]
    assert np.diff(window["time_s"]).tolist() == pytest.approx([5.0] * 7)
    assert window["time_s"][-1] == NOW_S + 37.0  # that of the newest scrape in it
    assert (last(reading, "cpu"), last(reading, "request_rate")) == pytest.approx((0.5, 20.0))
    assert (last(reading, "p50_s"), last(reading, "queue_depth")) == pytest.approx((0.1, 6.0))
    assert last(reading, "error_rate") == 0.0  # nothing has failed so far
    assert math.isnan(last(reading, "memory"))  # nobody said what it is made of
    assert len(reading.windows["database"]) == 0


def test_a_value_that_is_only_repeated_is_no_new_sample() -> None:
    made = source()
    scrape(made, NOW_S + 1.0, "a")
    lengths = [len(made.round(NOW_S + 5.0 * k).windows["api"]) for k in range(1, 8)]
    assert lengths == [1] * 7


def test_what_comes_late_is_caught_up_with() -> None:
    made = source()
    for k in range(6):
        scrape(made, NOW_S + 5.0 * k, "a")
    before = made.round(NOW_S + 26.0).windows["api"]
    assert before["request_rate"][-1] == pytest.approx(10.0)
    for k in range(6):
        since = 5.0 * k
        take(
            made, NOW_S + since, {"requests": 10.0 * since, "queue": 1.0}, NOW_S + 27.0,
            service="api", instance="b", job="workers",
        )  # fmt: skip
    after = made.round(NOW_S + 27.0).windows["api"]
    assert after["request_rate"][-3:].tolist() == pytest.approx([20.0] * 3)
    assert before["request_rate"][-1] == pytest.approx(10.0)  # what was handed out stays


def test_an_instance_that_ends_counts_no_more_and_one_that_is_lost_makes_sums_holes() -> None:
    made = source()
    for k in range(4):
        scrape(made, NOW_S + 5.0 * k, "a")
        scrape(made, NOW_S + 5.0 * k, "b")
    assert last(made.round(NOW_S + 16.0), "queue_depth") == 6.0
    scrape(made, NOW_S + 20.0, "a")
    ended = dict.fromkeys(("up", "slots", "busy", "requests", "queue"), STALE)
    take(made, NOW_S + 20.0, ended, service="api", instance="b", job="workers")
    reading = made.round(NOW_S + 21.0)
    assert (last(reading, "queue_depth"), last(reading, "request_rate")) == pytest.approx(
        (3.0, 10.0)
    )
    scrape(made, NOW_S + 25.0, "a")
    take(made, NOW_S + 25.0, {"up": 0.0}, service="api", instance="b", job="workers")
    reading = made.round(NOW_S + 26.0)
    assert math.isnan(last(reading, "queue_depth")) and math.isnan(last(reading, "request_rate"))
    assert last(reading, "cpu") == pytest.approx(0.5)  # a quotient of what is there


def test_what_does_not_come_is_told_after_a_while_in_words_that_stay() -> None:
    made = source()
    assert made.round(NOW_S).troubles == ()
    troubles = [made.round(NOW_S + 20.0 + k) for k in range(3)]
    assert len({reading.troubles for reading in troubles}) == 1
    assert any("nothing comes in" in text for text in troubles[0].troubles)
    assert set(troubles[0].silent) == {"api", "database"}
    assert 'service="api"' in troubles[0].silent["api"]
    for k in range(6, 12):
        scrape(made, NOW_S + 5.0 * k, "a")
        reading = made.round(NOW_S + 5.0 * k + 1.0)
    assert set(reading.silent) == {"database"}
    assert len(reading.troubles) == 1


def test_instances_have_figures_of_their_own() -> None:
    made = source()
    for k in range(3):
        scrape(made, NOW_S + 5.0 * k, "a")
        scrape(made, NOW_S + 5.0 * k, "b", queue=9.0)
    made.round(NOW_S + 11.0)
    by_name = {one.instance: one for one in made.instances()}
    assert set(by_name) == {"a", "b"}
    assert by_name["b"].figures[7] == 9.0 and by_name["a"].figures[7] == 3.0
    assert by_name["a"].figures[2] == pytest.approx(10.0)


def test_a_reading_has_the_figures_of_each_instance_anew_every_fifteen_seconds() -> None:
    made = source()
    for k in range(1, 9):
        scrape(made, NOW_S + 5.0 * k, "a")
        scrape(made, NOW_S + 5.0 * k, "b", queue=9.0)
        reading = made.round(NOW_S + 5.0 * k + 1.0)
        if k >= 3:
            own = reading.instances["api"]
            assert own.names == ("a", "b")
            queue = SAMPLE_FIELDS.index("queue_depth")
            assert own.samples[:, queue].tolist() == [3.0, 9.0]
            last = 1 + (k - 1) // 3 * 3
            assert own.samples[:, 0].tolist() == [NOW_S + 5.0 * last] * 2
    assert "database" not in reading.instances


def test_totals_are_what_counters_grew_by_since_the_record_began() -> None:
    made = source()
    for k in range(1, 13):
        scrape(made, NOW_S + 5.0 * k, "a")
        made.round(NOW_S + 5.0 * k + 1.0)
    began_s, middle_s = NOW_S + 5.0, NOW_S + 61.0
    first = asyncio.run(made.totals(began_s, middle_s))
    assert first["api"]["requests"] == pytest.approx(
        550.0
    )  # of what came before nothing is counted
    assert first["api"]["p50_s"] == pytest.approx(0.1)
    assert "requests" not in first["database"]
    # An instance that is new counts whole, one that began anew with what it has since.
    take(made, NOW_S + 65.0, {"requests": 40.0}, service="api", instance="new", job="workers")
    take(made, NOW_S + 65.0, {"requests": 7.0}, service="api", instance="a", job="workers")
    made.round(NOW_S + 66.0)
    second = asyncio.run(made.totals(middle_s, NOW_S + 66.0))
    assert second["api"]["requests"] == pytest.approx(47.0)
    assert asyncio.run(made.totals(began_s, middle_s))["api"]["requests"] == pytest.approx(597.0)


@pytest.mark.parametrize("batch", [1, intake.BATCH])
def test_totals_are_the_same_whatever_comes_between_two_rounds(
    monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(intake, "BATCH", batch)
    made = source()
    take(made, NOW_S, {"requests": 100.0}, service="api", instance="a")
    made.round(NOW_S + 1.0)
    for k, value in enumerate((110.0, 125.0, 5.0, 9.0)):  # it began anew at the third
        take(made, NOW_S + 5.0 * (k + 1), {"requests": value}, service="api", instance="a")
    made.round(NOW_S + 21.0)
    totals = asyncio.run(made.totals(NOW_S, NOW_S + 21.0))
    assert totals["api"]["requests"] == pytest.approx(10.0 + 15.0 + 5.0 + 4.0)


def test_when_instances_served_first_is_told() -> None:
    made = source()
    for instance, first_s in (("a", NOW_S + 3.0), ("b", NOW_S + 1.0), ("c", 0.0)):
        take(made, NOW_S + 5.0, {"first": first_s}, service="api", instance=instance)
    scrape(made, NOW_S + 5.0, "a")
    made.round(NOW_S + 6.0)
    firsts = asyncio.run(made.first_served(NOW_S, NOW_S + 60.0))
    assert firsts == {"api": [NOW_S + 1.0, NOW_S + 3.0], "database": []}


def test_a_place_that_another_series_gets_begins_anew() -> None:
    made = source(idle_s=60.0, ring_s=60.0)
    take(made, NOW_S, {"requests": 1000.0}, service="api", instance="old")
    made.round(NOW_S + 1.0)
    made.intake.forget_idle(NOW_S + 100.0, lambda _: None)
    assert made.intake.series == 0
    take(made, NOW_S + 200.0, {"requests": 5.0}, service="database", instance="new")
    made.round(NOW_S + 201.0)
    totals = asyncio.run(made.totals(NOW_S, NOW_S + 201.0))
    assert totals["database"]["requests"] == pytest.approx(5.0)
    assert totals["api"] == {"requests": 0.0} or "requests" not in totals["api"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"figures": {"cpus": {"metric": "m"}}}, "cpus"),
        ({"figures": {}}, "at least one of"),
        ({"figures": {"cpu": {"metric": "m", "take": "mean"}}}, "take"),
        ({"figures": {"cpu": {"metric": "m", "take": "quantile"}}}, "quantile"),
        ({"figures": {"cpu": {"metric": "m", "quantile": 0.5}}}, "quantile"),
        ({"figures": {"cpu": {"metric": "m", "where": {"a": "=~["}}}}, "regular expression"),
        ({"figures": {"cpu": {"metric": "", "take": "sum"}}}, "metric"),
        ({"series": 0}, "series"),
        ({"idle_s": 100.0, "ring_s": 200.0}, "idle_s"),
        ({"keep": {"every_s": 0.0}}, "every_s"),
        ({"bodymib": 3}, "bodymib"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_allowed(changes: dict[str, Any], said: str) -> None:
    options = {**yaml.safe_load(CONFIG.read_text()), **changes}
    del options["factory"]
    with pytest.raises(ConfigError, match=said):
        received(SPECS, 5.0, **options)

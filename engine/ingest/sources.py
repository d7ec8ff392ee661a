"""The metrics adapters over samples that come in: written to us, or scraped by us.

A round works each figure out at the last few times of the sample grid, so that what comes late is
caught up with, and a sample's time is that of the newest scrape in it: a value that is only
repeated is no new sample.  Values that are NaN, infinite or negative are holes, and so are sums
while a part of a service's targets does not answer, as with `engine.adapters.prometheus`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.adapters.prometheus_answers import (
    ENOUGH,
    OF_REQUESTS,
    PATIENCE_S,
    SUMS,
    listed,
    possible,
)
from engine.config.strict import ConfigError, validated
from engine.ingest import labels as label_sets
from engine.ingest.figures import Instant, added, at_time, in_order, taken, thinned
from engine.ingest.growth import Growth
from engine.ingest.intake import Intake
from engine.ingest.keeping import SampleKeeper
from engine.ingest.ranges import RangeQuery, SeriesRanges
from engine.ingest.segments import Sealing
from engine.ingest.settings import (
    FIGURES,
    FigureRule,
    ReceivedConfig,
    SamplesConfig,
    SelectionConfig,
)
from engine.ingest.watching import MemberArrays
from engine.model import SAMPLE_DTYPE, SAMPLE_FIELDS, InstanceFigures, ServiceSpec
from engine.ports.metrics import INSTANCES_S, MOST_INSTANCES, WINDOW, Reading

REPEATED = 4
"""Times of the grid that a round works out again, or as many as a sample stands for."""
QUIET_S = 15.0
"""After so long without anything at all it is told."""


@dataclass(frozen=True, slots=True)
class InstanceSample:
    """The newest figures of one instance: `figures` in the order of SAMPLE_FIELDS, without time."""

    service: str
    instance: str
    time_s: float
    figures: tuple[float, ...]


class SamplesSource:
    """Windows of each service's figures, out of an `Intake`."""

    def __init__(
        self, specs: Sequence[ServiceSpec], sample_s: float, config: SamplesConfig
    ) -> None:
        self.config = config
        self._services = tuple(spec.name for spec in specs)
        self._sample_s = sample_s
        self.intake = Intake(config, self._services)
        self._growth = Growth(config.totals, self.intake.watch)
        self._rows: list[dict[int, tuple[float, ...]]] = [{} for _ in specs]
        """By service: a sample at each time of the grid (ms)."""
        self._members: dict[str, MemberArrays] = {}
        self._version = -1
        self._begun_s = math.nan
        self._missing_s: dict[tuple[str, str], float] = {}
        self._said: dict[str, int] = {}
        self._newest: Instant | None = None
        self._since = np.zeros(0, np.int64)
        self._samples = in_order(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        self.keeper: SampleKeeper | None = None
        self._single_s = -math.inf
        self._by_instance: Mapping[str, InstanceFigures] = {}

    def keep_in(self, folder: Path, sealing: Sealing | None) -> None:
        """Keep samples in `folder`, sealed if there is a `sealing`; raises OSError, SealError."""
        if self.config.keep is not None:
            self.keeper = SampleKeeper(self.intake, self.config.keep, folder, sealing)

    async def read(self, now_s: float) -> Reading:
        """The windows as known at `now_s`."""
        return self.round(now_s)

    def round(self, now_s: float) -> Reading:
        """Work out what is new."""
        if math.isnan(self._begun_s):
            self._begun_s = now_s
        batches = self.intake.fresh()
        with self.intake.lock:
            self._look_at_members()
            since = np.array(self.intake.watch.since, np.int64)
        step_ms = round(self._sample_s * 1000.0)
        end_ms = math.floor(now_s * 1000.0 / step_ms) * step_ms
        lookback_ms = round(self.config.lookback_s * 1000.0)
        after_ms = end_ms - 2 * lookback_ms - REPEATED * step_ms
        count, samples = len(since), self._samples
        # What is the same series still.
        samples = samples.where(since[samples.places] == self._since[samples.places])
        self._since = since
        for batch in batches:
            samples = added(samples, *batch)
            self._growth.add(samples, now_s)
            samples = thinned(samples, after_ms, step_ms)
        self._growth.settle()
        for k in range(max(REPEATED, math.ceil(lookback_ms / step_ms)) - 1, -1, -1):
            time_ms = end_ms - k * step_ms
            seen = at_time(samples, count, time_ms, lookback_ms)
            figures, newest_ms, scraped = self._figures(seen)
            for service in range(len(self._services)):
                self._note(service, time_ms, int(newest_ms[service]), figures, scraped=scraped)
        self._newest = seen
        self._samples = thinned(samples, after_ms, step_ms)
        if self.keeper is not None:
            self.keeper.due(now_s)
        windows = {
            name: self._window(self._rows[k], end_ms, step_ms)
            for k, name in enumerate(self._services)
        }
        troubles, silent = self._amiss(now_s, figures, newest_ms, scraped)
        return Reading(windows, troubles, silent, self._single(now_s))

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        """What the counters grew by, by service and name."""
        by_name = self._growth.between(begin_s, end_s, len(self._services))
        return {
            service: {
                name: float(values[k])
                for name, values in by_name.items()
                if math.isfinite(values[k])
            }
            for k, service in enumerate(self._services)
        }

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        """When each instance that there is served its first request, by service."""
        config, seen = self.config.first_served, self._newest
        if config is None or seen is None:
            return {}
        members = self._members[repr(config)]
        values = seen.value[members.places]
        return {
            name: sorted(
                float(value) for value in values[members.services == k] if begin_s <= value <= end_s
            )
            for k, name in enumerate(self._services)
        }

    async def kept(
        self, service: str, figure: str, from_ms: int, to_ms: int, *, step_ms: int,
        skip: int = 0, most: int = 1_000_000,
    ) -> SeriesRanges:  # fmt: skip
        """Samples of the series that a figure of a service is made of, kept or in the ring.

        Both times are whole steps; see `RangeQuery`.  Raises KeyError for a figure that is made of
        nothing here, and OSError, SealError.
        """
        wanted = self.intake.watch.wanted(service, self.config.figures[figure])
        query = RangeQuery(
            from_ms, to_ms, step_ms, lambda raw: wanted(label_sets.read(raw)), skip, most
        )
        keeper = self.keeper
        if keeper is None:
            return await asyncio.to_thread(self.intake.ring, query)
        return await keeper.range(query)

    def instances(self) -> Iterable[InstanceSample]:
        """The newest figures of each instance."""
        if self._newest is None:
            return
        watch = self.intake.watch
        with self.intake.lock:
            names = {number: key for key, number in watch.instances.items()}
        count = 1 + max(names, default=-1)
        columns = [
            self._figure(self.config.figures.get(name), self._newest, "instances", count)
            for name in FIGURES
        ]
        newest_ms = self._newest_ms(self._newest, "instances", count)
        for number, (service, name) in sorted(names.items()):
            if newest_ms[number] > 0 and name:
                yield InstanceSample(
                    self._services[service], name, float(newest_ms[number]) / 1000.0,
                    tuple(float(column[number]) for column in columns),
                )  # fmt: skip

    def _single(self, now_s: float) -> Mapping[str, InstanceFigures]:
        """The same as a reading has them, worked out anew every `INSTANCES_S`."""
        if 0.0 <= now_s - self._single_s < INSTANCES_S:
            return self._by_instance
        self._single_s = now_s
        by_service: dict[str, list[InstanceSample]] = {}
        for one in self.instances():
            own = by_service.setdefault(one.service, [])
            if len(own) < MOST_INSTANCES:
                own.append(one)
        self._by_instance = {
            service: InstanceFigures(
                tuple(one.instance for one in own),
                np.array([(one.time_s, *one.figures) for one in own]),
            )
            for service, own in by_service.items()
        }
        return self._by_instance

    async def close(self) -> None:
        """Write what is not kept yet."""
        if self.keeper is not None:
            await asyncio.to_thread(self.keeper.close, max(self.intake.came_s, 0.0))
            self.keeper = None

    def _look_at_members(self) -> None:
        watch = self.intake.watch
        if self._version == watch.version:
            return
        self._version = watch.version
        self._members = {
            repr(config): watch.selection(config).members.arrays() for config in self._selections()
        }

    def _selections(self) -> Iterable[SelectionConfig]:
        for figure in self.config.figures.values():
            yield figure
            if figure.over is not None:
                yield figure.over
        for one in (self.config.scraped, self.config.first_served):
            if one is not None:
                yield one

    def _figures(
        self, seen: Instant
    ) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64], NDArray[np.float64]]:
        """Each figure by service, the time of its newest sample, and the share that answered."""
        count = len(self._services)
        figures = {
            name: self._figure(config, seen, "services", count)
            for name, config in self.config.figures.items()
        }
        scraped = np.ones(count)
        if self.config.scraped is not None:
            scraped = self._selected(self.config.scraped, seen, "services", count)
        return figures, self._newest_ms(seen, "services", count), scraped

    def _figure(
        self, config: FigureRule | None, seen: Instant, by: str, count: int
    ) -> NDArray[np.float64]:
        if config is None:
            return np.full(count, np.nan)
        value = self._selected(config, seen, by, count)
        if config.over is None:
            return value
        below = self._selected(config.over, seen, by, count)
        # Of a part that there is none of (no failures so far), 0 of what there is.
        value = np.where(np.isnan(value) & (below > 0.0), 0.0, value)
        with np.errstate(divide="ignore", invalid="ignore"):
            return value / below

    def _selected(
        self, config: SelectionConfig, seen: Instant, by: str, count: int
    ) -> NDArray[np.float64]:
        members = self._members[repr(config)]
        owners = members.services if by == "services" else members.instances
        return taken(config.take, config.quantile, members, seen, owners=owners, count=count)

    def _newest_ms(self, seen: Instant, by: str, count: int) -> NDArray[np.int64]:
        newest = np.zeros(count, np.int64)
        for config in self.config.figures.values():
            members = self._members[repr(config)]
            owners = members.services if by == "services" else members.instances
            np.maximum.at(newest, owners, seen.at_ms[members.places])
        return newest

    def _note(
        self, service: int, time_ms: int, newest_ms: int,
        figures: Mapping[str, NDArray[np.float64]], *, scraped: NDArray[np.float64],
    ) -> None:  # fmt: skip
        rows = self._rows[service]
        if newest_ms == 0:
            rows.pop(time_ms, None)
            return
        lost = scraped[service] < ENOUGH
        values = [
            float(figures[name][service]) if name in figures else math.nan for name in FIGURES
        ]
        rows[time_ms] = (
            newest_ms / 1000.0,
            *(
                math.nan if not possible(value) or (lost and name in SUMS) else value
                for name, value in zip(FIGURES, values, strict=True)
            ),
        )

    def _window(
        self, rows: dict[int, tuple[float, ...]], end_ms: int, step_ms: int
    ) -> NDArray[np.void]:
        """The newest rows, each scrape once: with what was known of it last."""
        for time_ms in [old for old in rows if old <= end_ms - WINDOW * step_ms or old > end_ms]:
            del rows[time_ms]
        by_time: dict[float, tuple[float, ...]] = {}
        for time_ms in sorted(rows):
            by_time.setdefault(rows[time_ms][0], rows[time_ms])
        table = np.array([by_time[time_s] for time_s in sorted(by_time)], np.float64)
        window: NDArray[np.void] = table.reshape(-1, len(SAMPLE_FIELDS)).view(SAMPLE_DTYPE)[:, 0]
        window.setflags(write=False)
        return window

    def _amiss(
        self, now_s: float, figures: Mapping[str, NDArray[np.float64]],
        newest_ms: NDArray[np.int64], scraped: NDArray[np.float64],
    ) -> tuple[tuple[str, ...], dict[str, str]]:  # fmt: skip
        """What is not as it should be, in words that stay the same as long as it is so."""
        troubles = list(self._of_source())
        if self.keeper is not None and self.keeper.trouble:
            troubles.append(self.keeper.trouble)
        since = max(self.intake.came_s, self._begun_s)
        if now_s - since > QUIET_S:
            troubles.append(self._nothing())
        missing: dict[tuple[str, str], str] = {}
        rate = figures.get("request_rate", np.full(len(self._services), np.nan))
        for k, name in enumerate(self._services):
            if newest_ms[k] == 0:
                metrics = sorted({config.metric for config in self.config.figures.values()})
                missing["", name] = (
                    f"{name}: nothing new of any figure; awaited: {listed(metrics[:3])} with "
                    f'{self.config.label}="{self.config.names.get(name, name)}"'
                )
                continue
            for figure, config in self.config.figures.items():
                if possible(figures[figure][k]) or (figure in OF_REQUESTS and not rate[k] > 0.0):
                    continue
                missing[figure, name] = f"{figure} of {name}: nothing usable of {config.metric}"
            if scraped[k] < ENOUGH:
                missing["scraped", name] = (
                    f"some targets of {name} do not answer; {' and '.join(SUMS)} are not used"
                )
        self._missing_s = {key: self._missing_s.get(key, now_s) for key in missing}
        due = {
            key: what for key, what in missing.items() if now_s - self._missing_s[key] >= PATIENCE_S
        }
        troubles.extend(due.values())
        refused = dict(self.intake.refused)
        troubles.extend(
            f"refused: {reason}"
            for reason, count in refused.items() if count > self._said.get(reason, 0)
        )  # fmt: skip
        self._said = refused
        return tuple(troubles), {name: what for (figure, name), what in due.items() if not figure}

    def _of_source(self) -> Iterable[str]:
        """Troubles that only the kind of source knows of."""
        return ()

    def _nothing(self) -> str:
        return "nothing comes in"


class ReceivedSource(SamplesSource):
    """Samples that senders write to the API of `engine serve`."""

    def __init__(
        self, specs: Sequence[ServiceSpec], sample_s: float, config: ReceivedConfig
    ) -> None:
        super().__init__(specs, sample_s, config)
        try:
            from engine.ingest.receiver import Receiver
        except ImportError as error:
            raise ConfigError(
                f"metrics: receiving needs {error.name}; install it, or take metrics=scrape"
            ) from None
        self.receiver = Receiver(config, self.intake)

    def _nothing(self) -> str:
        return "nobody writes to /api/v1/write; is this engine in the sender's remote_write?"


def received(specs: Sequence[ServiceSpec], sample_s: float, **options: Any) -> ReceivedSource:
    """The adapter that `metrics=received` names; raises ConfigError."""
    return ReceivedSource(specs, sample_s, validated(ReceivedConfig, options, "metrics"))

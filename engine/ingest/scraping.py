"""Pages of metrics that the engine asks for by itself, for who has no Prometheus.

Each target has a task of its own and a time-out, so one that is dead holds nobody up; they begin
spread over the interval, by their address.  As with Prometheus, each scrape also gives the sample
`up`, and a series that was on a page and is not on the next, or whose page does not come, is marked
as ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from pydantic import TypeAdapter, ValidationError

from engine.config.complaints import lines
from engine.config.secrets import revealed
from engine.config.strict import ConfigError, validated
from engine.ingest import exposition
from engine.ingest.exposition import PageError
from engine.ingest.labels import NAME, LabelError, checked
from engine.ingest.plain import Labels
from engine.ingest.rare import STALE
from engine.ingest.settings import ScrapedConfig, TargetConfig
from engine.ingest.sources import SamplesSource
from engine.model import ServiceSpec
from engine.ports.metrics import Reading
from engine.security.foreign_yaml import ForeignYamlError, parsed_yaml
from engine.security.outbound import OutboundTransport

ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
SHOWN = 5
"""Targets that a trouble names."""
REFUSED = -1


@dataclass(slots=True)
class ScrapeTarget:
    """One page: its address, what all of its samples are labelled with, and what it was last."""

    url: str
    labels: Mapping[str, str]
    numbers: dict[str, int] = field(default_factory=dict)
    """Series by their text on the page."""
    there: set[int] = field(default_factory=set)
    """Series of the newest page."""
    trouble: str = ""

    @property
    def key(self) -> tuple[str, tuple[tuple[str, str], ...]]:
        """What tells it from others."""
        return self.url, tuple(sorted(self.labels.items()))


class ScrapedSource(SamplesSource):
    """Asks the targets, from the first round on."""

    def __init__(
        self, specs: Sequence[ServiceSpec], sample_s: float, config: ScrapedConfig,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:  # fmt: skip
        super().__init__(specs, sample_s, config)
        self._every_s = sample_s
        self._scraped = config
        self._transport = transport
        self._targets: dict[tuple[str, tuple[tuple[str, str], ...]], ScrapeTarget] = {}
        self._tasks: dict[tuple[str, tuple[tuple[str, str], ...]], asyncio.Task[None]] = {}
        self._client: httpx.AsyncClient | None = None
        self._file_signature: tuple[int, int] | None = None
        self._of_file: list[TargetConfig] = []
        self._file_trouble = ""
        self._read_file()
        if self._file_trouble:
            raise ConfigError(self._file_trouble)

    async def read(self, now_s: float) -> Reading:
        """The windows as known at `now_s`; the targets are asked beside it."""
        self._read_file()
        self._follow()
        self.intake.forget_idle(now_s, self._forget)
        return self.round(now_s)

    async def close(self) -> None:
        """Ask no more."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()
        if self._client is not None:
            await self._client.aclose()
            self._client = None
        await super().close()

    def _follow(self) -> None:
        """Begin with targets that are new, and end with those that are no more."""
        if self._client is None:
            self._client = httpx.AsyncClient(
                timeout=self._scraped.timeout_s, trust_env=False,
                headers={"accept": ACCEPT, **revealed(self._scraped.headers)},
                transport=self._transport or OutboundTransport(
                    to_self=True, limits=httpx.Limits(max_connections=self._scraped.at_once)
                ),
            )  # fmt: skip
        wanted = {
            target.key: target
            for one in (*self._scraped.targets, *self._of_file) for url in one.urls
            for target in (ScrapeTarget(url, {"instance": urlsplit(url).netloc, **one.labels}),)
        }  # fmt: skip
        for key in [key for key in self._targets if key not in wanted]:
            self._tasks.pop(key).cancel()
            self._end(self._targets.pop(key), round(time.time() * 1000.0))
        for key, target in wanted.items():
            if key not in self._targets:
                self._targets[key] = target
                self._tasks[key] = asyncio.create_task(self._keep_asking(target))

    async def _keep_asking(self, target: ScrapeTarget) -> None:
        spread = zlib.crc32(target.url.encode()) / 2.0**32 * self._every_s
        await asyncio.sleep(min(spread, 0.2 * self._every_s))
        while True:
            begun_s = time.monotonic()
            await self._scrape(target)
            await asyncio.sleep(max(self._every_s - (time.monotonic() - begun_s), 0.05))

    async def _scrape(self, target: ScrapeTarget) -> None:
        """Ask once; whatever is the matter becomes `up` 0 and the target's trouble."""
        now_s = time.time()
        at_ms = round(now_s * 1000.0)
        try:
            async with asyncio.timeout(self._scraped.timeout_s):
                text, media = await self._page(target)
            samples = exposition.read(
                text, lambda series: self._number(target, series),
                openmetrics=media == "application/openmetrics-text",
                most=self._scraped.page_samples,
            )  # fmt: skip
        except (
            httpx.HTTPError, httpx.InvalidURL, TimeoutError, PageError, UnicodeDecodeError,
        ) as error:  # fmt: skip
            target.trouble = str(error) or "it does not answer in time"
            self._end(target, at_ms)
            self._say_up(target, 0.0, at_ms, now_s)
            return
        target.trouble = ""
        usable = [one for one in samples if one.series >= 0]
        if len(usable) < len(samples):
            self.intake.refuse("no room for another series", len(samples) - len(usable))
        there = {one.series for one in usable}
        gone = target.there - there
        target.there = there
        self._take(
            [*(one.series for one in usable), *gone],
            [*(one.value for one in usable), *(STALE for _ in gone)],
            [
                *(at_ms if one.at_ms is None else one.at_ms for one in usable),
                *(at_ms for _ in gone),
            ],
            now_s,
        )
        self._say_up(target, 1.0, at_ms, now_s)

    async def _page(self, target: ScrapeTarget) -> tuple[str, str]:
        """The text of a page and its media type; raises HTTPError, PageError."""
        assert self._client is not None
        most = int(self._scraped.page_mib * 1024 * 1024)
        async with self._client.stream("GET", target.url) as answer:
            if answer.status_code != 200:
                raise PageError(f"HTTP {answer.status_code}")
            parts: list[bytes] = []
            size = 0
            async for part in answer.aiter_bytes():
                size += len(part)
                if size > most:
                    raise PageError(f"it is larger than {self._scraped.page_mib:g} MiB")
                parts.append(part)
            media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
        return b"".join(parts).decode("utf-8"), media

    def _number(self, target: ScrapeTarget, series: str) -> int:
        number = target.numbers.get(series)
        if number is None:
            labels = dict(exposition.labels_of(series))
            # As Prometheus has it: what the page says for itself gives way, and is not lost.
            for name, value in target.labels.items():
                if name in labels:
                    labels[f"exported_{name}"] = labels[name]
                labels[name] = value
            number = self._numbered(labels)
            if number >= 0:
                target.numbers[series] = number
        return number

    def _numbered(self, labels: Mapping[str, str]) -> int:
        try:
            pairs = [(name.encode(), value.encode()) for name, value in labels.items()]
            checked_labels: Labels = checked(pairs)
        except (LabelError, UnicodeEncodeError) as error:
            raise PageError(str(error)) from None
        return self.intake.number(checked_labels)

    def _say_up(self, target: ScrapeTarget, value: float, at_ms: int, now_s: float) -> None:
        with contextlib.suppress(PageError):
            number = self._numbered({NAME: "up", **target.labels})
            self._take([number] if number >= 0 else [], [value], [at_ms], now_s)

    def _end(self, target: ScrapeTarget, at_ms: int) -> None:
        gone = sorted(target.there)
        target.there = set()
        self._take(gone, [STALE] * len(gone), [at_ms] * len(gone), at_ms / 1000.0)

    def _take(self, series: list[int], values: list[float], at_ms: list[int], now_s: float) -> None:
        if series:
            self.intake.take(
                np.array(series, np.int64), np.array(at_ms, np.int64), np.array(values), now_s
            )

    def _forget(self, gone: Any) -> None:
        ended = set(gone.tolist())
        for target in self._targets.values():
            target.numbers = {
                text: number for text, number in target.numbers.items() if number not in ended
            }

    def _of_source(self) -> Iterable[str]:
        if self._file_trouble:
            yield self._file_trouble
        down = [target for target in self._targets.values() if target.trouble]
        for target in down[:SHOWN]:
            yield f"{target.url}: {target.trouble}"
        if len(down) > SHOWN:
            yield "more targets do not answer"

    def _nothing(self) -> str:
        return "no target gives a sample"

    def _read_file(self) -> None:
        """The targets of the file, read again when it has changed; a broken one changes nothing."""
        path: Path | None = self._scraped.targets_file
        if path is None:
            return
        try:
            stat = path.stat()
            if self._file_signature == (stat.st_mtime_ns, stat.st_size):
                return
            raw = parsed_yaml(path.read_bytes())  # JSON is YAML too
            self._of_file = TypeAdapter(list[TargetConfig]).validate_python(raw)
            self._file_signature, self._file_trouble = (stat.st_mtime_ns, stat.st_size), ""
        except (OSError, ForeignYamlError) as error:
            self._file_trouble = f"metrics.targets_file: {path}: {error}"
        except ValidationError as error:
            said = lines(error, TargetConfig, "metrics.targets_file")
            self._file_trouble = f"metrics.targets_file: {path}: {'; '.join(said)}"


def scraped(specs: Sequence[ServiceSpec], sample_s: float, **options: Any) -> ScrapedSource:
    """The adapter that `metrics=scrape` names; raises ConfigError."""
    return ScrapedSource(specs, sample_s, validated(ScrapedConfig, options, "metrics"))

"""When something recurs: a cron expression in a time zone, and how long it lasts each time.

Cron's five fields are what everybody who operates anything can write, and `cronsim` reads them as
Debian's cron does, also where clocks are changed: what falls into the hour that is left out in
spring begins when that hour is over, and what falls into the hour that comes twice in autumn
begins once, the first time.  An expression that begins every hour or more often (its minute or
its hour begins with a star) goes by elapsed time.  How long it lasts is elapsed time too: ten
hours are ten hours, whatever the clocks do meanwhile.

One exception is cronsim's: where clocks move by half an hour (Lord Howe Island alone), steps of
hours (`15 */2 * * *`) may leave one beginning out on that night.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from functools import lru_cache
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import Field, field_validator

from engine.config.complaints import close
from engine.config.strict import Strict

DAY_S = 86_400.0
SAID = "minute hour day-of-month month day-of-week"


class Occurrence(NamedTuple):
    """From `begin_s` up to `end_s` (epoch seconds)."""

    begin_s: float
    end_s: float


class Recurrence(Strict):
    """The key `schedule` of a floor or a pause: when it holds."""

    cron: str = Field(min_length=1, max_length=200)
    """Minute, hour, day of the month, month, day of the week: `0 8 * * MON-FRI`."""
    time_zone: str
    """An IANA time zone, in which `cron` is meant."""
    duration_s: Annotated[float, Field(gt=0.0, le=604_800.0)]
    """How long it holds from each beginning on, elapsed seconds."""

    @field_validator("cron")
    @classmethod
    def _readable(cls, cron: str) -> str:
        if len(cron.split()) != 5:
            raise ValueError(f'"{cron}" is not allowed (five fields: {SAID})')
        try:
            first = next(CronSim(cron, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)), None)
        except CronSimError as error:
            reason = str(error).lower()
            raise ValueError(f'"{cron}" is not allowed ({reason}; fields: {SAID})') from None
        if first is None:
            raise ValueError(f'"{cron}" is not allowed (there is no such day)')
        return cron

    @field_validator("time_zone")
    @classmethod
    def _there(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            hint = close(name, sorted(available_timezones()))
            raise ValueError(
                f'"{name}" is not allowed (an IANA time zone, such as Europe/Rome){hint}'
            ) from None
        return name

    def __str__(self) -> str:
        return f'"{self.cron}" {self.time_zone}, for {self.duration_s / 3600.0:g} h'

    def occurrences(self, from_s: float, to_s: float) -> tuple[Occurrence, ...]:
        """When it holds, as far as that touches `from_s` … `to_s` (epoch seconds); rising.

        Those that touch or overlap are one, which ends as late as the beginnings before `to_s` say.
        """
        joined: list[Occurrence] = []
        for begin_s in self._begins(from_s - self.duration_s):
            if begin_s >= to_s:
                break
            end_s = begin_s + self.duration_s
            if joined and begin_s <= joined[-1].end_s:
                joined[-1] = Occurrence(joined[-1].begin_s, end_s)
            else:
                joined.append(Occurrence(begin_s, end_s))
        return tuple(joined)

    def at(self, now_s: float) -> Occurrence | None:
        """What holds at `now_s` (epoch seconds); its end may lie farther ahead than it says."""
        for occurrence in _of_day(self, math.floor(now_s / DAY_S)):
            if occurrence.begin_s <= now_s < occurrence.end_s:
                return occurrence
        return None

    def local(self, time_s: float) -> str:
        """`time_s` (epoch seconds) as the clocks of the time zone say it."""
        moment = dt.datetime.fromtimestamp(time_s, ZoneInfo(self.time_zone))
        return f"{moment:%a %Y-%m-%d %H:%M %Z}"

    def after(self, now_s: float, count: int) -> tuple[float, ...]:
        """The next `count` beginnings after `now_s` (epoch seconds)."""
        begins = self._begins(now_s)
        return tuple([begin_s for _, begin_s in zip(range(count), begins, strict=False)])

    def _begins(self, after_s: float) -> Iterator[float]:
        """Every beginning after `after_s`, rising."""
        zone = ZoneInfo(self.time_zone)
        begun_s = after_s
        for moment in CronSim(self.cron, dt.datetime.fromtimestamp(math.floor(after_s), zone)):
            # Where an hour comes twice, those of its first time may lie behind already.
            if moment.timestamp() > begun_s:
                begun_s = moment.timestamp()
                yield begun_s


@lru_cache(maxsize=1024)
def _of_day(recurrence: Recurrence, day: int) -> tuple[Occurrence, ...]:
    """The occurrences that touch a day of UTC, so that a step does not ask cron."""
    return recurrence.occurrences(day * DAY_S, (day + 1) * DAY_S)

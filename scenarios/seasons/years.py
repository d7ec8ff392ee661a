"""Years of weddings and their load: what forecasts learn from and are judged by.

A season is a calendar year; the last one is the target.  Everything is there twice, as in one day's
population: what was booked, and when that became known, and what really happened.  `Seasons.booked`
is the only way from the columns to a schedule and takes the time of asking, so that nobody sees a
booking before it was made or a cancellation before it was entered; `Seasons.until` gives the load
observed so far.

Columns, not objects: 850,000 weddings and their load in 5-minute bins take some 200 MB and seconds.

It is long because years of weddings and the load that they make are drawn in one pass.
"""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.model import Response, Schedule
from scenarios.seasons.config import SeasonsConfig
from scenarios.seasons.days import LEADS, Days, days
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import HOURS_PER_DAY, ROLES, DemandConfig, PopulationConfig
from scenarios.weddings.demand import background_rates, rate_table, response
from scenarios.weddings.drawing import TYPES, WeddingDraw, phase_offsets_s, shares_of
from scenarios.weddings.population import day_weight

DAY_S = 86_400
HOUR_S = 3600
BIN_S = 300
"""Width of the finest bins that the load is kept in."""

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SeasonWeddings:
    """All weddings, by the booked time of the ceremony (n weddings, rising).

    `day` (n,) is the local date as a row of `Seasons.days`; `ceremony_s` (n,) is booked, `actual_s`
    (n, phases + 1) is what happened, both whole seconds from `Seasons.start_s`.  `participants_*`
    (n, roles).  `booked_at_s` (n,) epoch seconds, inf: never entered.  `cancelled_at_s` (n,) epoch
    seconds, inf: not cancelled; `happens` is false for the cancelled ones.  `activity` (n,) is by
    how much the wedding's requests differ from those of one like it.
    """

    day: NDArray[np.int32]
    zone_id: NDArray[np.int8]
    type_id: NDArray[np.int8]
    ceremony_s: NDArray[np.int32]
    actual_s: NDArray[np.int32]
    participants_booked: NDArray[np.int32]
    participants_actual: NDArray[np.int32]
    booked_at_s: FloatArray
    cancelled_at_s: FloatArray
    happens: NDArray[np.bool_]
    activity: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.day)


@dataclass(frozen=True, slots=True, eq=False)
class Seasons:
    """The years, from `start_s` (epoch seconds, midnight UTC) on.

    `load` (services, bins) requests/s that users send to each of `services` in bins of `BIN_S`, as
    measured; calls between services come on top.  `offsets_s` (phases + 1,) are the booked phases
    relative to the ceremony.  `response` is what was known of the load per participant before the
    first day.  `years` are the seasons; the last is the target.
    """

    years: tuple[int, ...]
    zones: tuple[str, ...]
    phases: tuple[str, ...]
    roles: tuple[str, ...]
    offsets_s: NDArray[np.int32]
    services: tuple[str, ...]
    start_s: float
    days: Days
    weddings: SeasonWeddings
    load: NDArray[np.float32]
    response: Response
    major_types: NDArray[np.bool_]

    @property
    def end_s(self) -> float:
        """End of the last season, epoch seconds."""
        return self.start_s + BIN_S * self.load.shape[1]

    @property
    def target_s(self) -> float:
        """Start of the last season, epoch seconds."""
        return _midnight(dt.date(self.years[-1], 1, 1))

    def rows(self, from_s: float, until_s: float) -> slice:
        """The weddings whose booked ceremony is in [from_s, until_s), epoch seconds."""
        ceremony_s = self.weddings.ceremony_s
        low, high = np.searchsorted(ceremony_s, [from_s - self.start_s, until_s - self.start_s])
        return slice(int(low), int(high))

    def entered(
        self, at_s: float, from_s: float = -math.inf, until_s: float = math.inf
    ) -> NDArray[np.intp]:
        """Rows of the weddings in the schedule at `at_s`, of which a part is in [from_s, until_s).

        Entered by then, and not known by then to be cancelled; epoch seconds.
        """
        after_s = np.nextafter(
            from_s - self.offsets_s[-1], math.inf
        )  # one that ends then has passed
        near = self.rows(float(after_s), until_s - self.offsets_s[0])
        entered = self.weddings.booked_at_s[near] <= at_s
        entered &= self.weddings.cancelled_at_s[near] > at_s
        return near.start + np.flatnonzero(entered)

    def booked(self, at_s: float, from_s: float = -math.inf, until_s: float = math.inf) -> Schedule:
        """The schedule as known at `at_s`, of the weddings with a part in [from_s, until_s)."""
        rows = self.entered(at_s, from_s, until_s)
        weddings = self.weddings
        ceremony_s = weddings.ceremony_s[rows].astype(np.float64) + self.start_s
        return Schedule(
            phases=self.phases,
            roles=self.roles,
            phase_start_s=ceremony_s[:, None] + self.offsets_s[None, :],
            participants=weddings.participants_booked[rows].astype(np.float64),
            major=self.major_types[weddings.type_id[rows]],
        )

    def until(self, at_s: float, bin_s: int = HOUR_S) -> FloatArray:
        """The load observed by `at_s`, whole bins of `bin_s` only: (services, bins) requests/s."""
        per_bin, rest = divmod(bin_s, BIN_S)
        if rest or per_bin < 1:
            raise ValueError(f"bin_s: {bin_s} is not allowed (multiples of {BIN_S})")
        bins = int(min(max(at_s - self.start_s, 0.0), self.end_s - self.start_s) // bin_s)
        fine = self.load[:, : bins * per_bin].reshape(len(self.services), bins, per_bin)
        return fine.mean(axis=2, dtype=np.float64)

    def foreseen_severity(self, at_s: float, date: dt.date) -> FloatArray:
        """Severity of bad weather (zones,) on `date` as forecast at the midnight UTC before `at_s`.

        Dates further ahead than the forecast reaches have the long-term mean of all that passed by.
        """
        day = (date - self.days.dates[0]).days
        lead = day - math.floor((at_s - self.start_s) / DAY_S)
        if 0 <= lead < LEADS and 0 <= day < len(self.days.dates):
            return self.days.foreseen[day, lead]
        past = self.days.severity[: max(day - max(lead, 0), 0)]
        zones = len(self.zones)
        return past.mean(axis=0) if len(past) else np.zeros(zones)


def generate(
    config: SeasonsConfig, population: PopulationConfig, demand: DemandConfig, streams: StreamOf
) -> Seasons:
    """Draw the years.

    Each year is drawn from streams of its own ("seasons.<purpose>.<year>"), so further years leave
    the earlier ones as they are.  `population` gives days, types, phases and how the day differs
    from what was booked (its own date and size do not count), `demand` the load.  Raises ValueError
    where `demand` has a service or phase that the others do not know.
    """
    for key, named in (
        ("drift_per_year", config.drift_per_year),
        ("weather.sign", config.weather.sign),
    ):
        unknown = [service for service in named if service not in demand.services]
        if unknown:
            raise ValueError(
                f"seasons.{key}: {', '.join(unknown)} is not allowed ({', '.join(demand.services)})"
            )
    table = rate_table(demand, population.phase_names, demand.services)
    of_days = days(config, population, demand, streams)
    start_s = _midnight(of_days.dates[0])
    offsets_s = phase_offsets_s(population)
    per_day = _weddings_per_day(config, population, of_days)
    bins = len(of_days.dates) * DAY_S // BIN_S
    requests = np.zeros((len(demand.services), bins))
    offsets = _zone_offsets(population, of_days)
    blocks = []
    years = tuple(range(config.first_year, config.first_year + config.years))
    for year in years:
        of_year = _Year(
            config, population, of_days, offsets,
            phase_offsets_s=offsets_s, start_s=start_s, streams=streams, year=year,
        )  # fmt: skip
        block = of_year.draw(per_day)
        blocks.append(block)
        factor = np.exp(of_days.log_response[block.day, block.zone_id])
        factor *= block.activity[:, None]
        attendance = kernels.Attendance(
            block.actual_s, block.participants_actual, block.happens, factor
        )
        kernels.add_load(requests, attendance, table, BIN_S)
    weddings = _joined(blocks)
    load = requests / BIN_S + _background(config, population, demand, of_days, offsets=offsets)
    return Seasons(
        years=years,
        zones=tuple(population.time_zones),
        phases=population.phase_names,
        roles=ROLES,
        offsets_s=offsets_s,
        services=demand.services,
        start_s=start_s,
        days=of_days,
        weddings=weddings,
        load=_measured(load, demand, of_days, years, streams=streams),
        response=_prior(config, population, demand),
        major_types=np.array([population.types[kind].major for kind in TYPES]),
    )


def multiplied(seasons: Seasons, factor: float) -> Seasons:
    """The same seasons of a platform so many times as large.

    Each wedding that is drawn stands for `factor` of its like: its load, and what was known of it,
    count so often, and registered users with it.  The weddings stay those that are drawn.
    """
    return replace(
        seasons,
        load=seasons.load * np.float32(factor),
        response=replace(
            seasons.response,
            rates=seasons.response.rates * factor,
            background=seasons.response.background * factor,
        ),
    )


def users_scale(config: SeasonsConfig, population: PopulationConfig) -> float:
    """Registered users of these years over those of `demand.background`, before growth."""
    return config.drawn / population.simultaneous


def _prior(config: SeasonsConfig, population: PopulationConfig, demand: DemandConfig) -> Response:
    """The table as known before the first day, with the background of as many users."""
    scale = users_scale(config, population)
    table = response(demand, population, demand.services)
    return Response(
        services=table.services,
        rates=table.rates,
        background=table.background * scale,
        lateness_mean_s=table.lateness_mean_s,
        lateness_sd_s=table.lateness_sd_s,
        turnout=table.turnout,
        unbooked_share=table.unbooked_share,
        sigma=table.sigma,
    )


def _weddings_per_day(
    config: SeasonsConfig, population: PopulationConfig, of_days: Days
) -> FloatArray:
    """Expected weddings on each date (D,), scaled to `config.drawn`."""
    year = config.first_year + max(config.years - 2, 0)
    in_year = [i for i, date in enumerate(of_days.dates) if date.year == year]
    usual = {i: day_weight(population, of_days.dates[i]) for i in in_year}
    busiest = max(usual, key=usual.__getitem__)
    at_once = _peak_share(population, of_days.dates[busiest])
    scale = config.drawn / (at_once * usual[busiest] * of_days.growth[busiest])
    return of_days.expected * scale


def _peak_share(population: PopulationConfig, date: dt.date) -> float:
    """Largest share of the weddings of one date that are booked to be in progress at one minute."""
    change = np.zeros(4 * DAY_S // 60)
    noon = dt.datetime.combine(date, dt.time(12))
    for zone, in_zone in population.time_zones.items():
        offset = noon.replace(tzinfo=ZoneInfo(zone)).utcoffset() or dt.timedelta()
        for minute, at_minute in population.ceremony_start.items():
            at = minute + 2 * DAY_S // 60 - round(offset.total_seconds() / 60)
            change[at + population.phases[0].start_min] += in_zone * at_minute
            change[min(at + population.end_min, len(change) - 1)] -= in_zone * at_minute
    total = math.fsum(population.time_zones.values()) * math.fsum(
        population.ceremony_start.values()
    )
    return float(np.cumsum(change).max()) / total


def _zone_offsets(population: PopulationConfig, of_days: Days) -> NDArray[np.int32]:
    """Local time minus UTC at noon of each date (D, Z), seconds: clocks change before dawn."""
    zones = [ZoneInfo(name) for name in population.time_zones]

    def offset_s(date: dt.date, zone: ZoneInfo) -> float:
        noon = dt.datetime.combine(date, dt.time(12), zone)
        return (noon.utcoffset() or dt.timedelta()).total_seconds()

    rows = [[offset_s(date, zone) for zone in zones] for date in of_days.dates]
    return np.array(rows, dtype=np.int32)


class _Year:
    """Draws the weddings of one year."""

    def __init__(
        self,
        config: SeasonsConfig,
        population: PopulationConfig,
        of_days: Days,
        offsets: NDArray[np.int32],
        *,
        phase_offsets_s: NDArray[np.int32],
        start_s: float,
        streams: StreamOf,
        year: int,
    ) -> None:
        self._config = config
        self._population = population
        self._days = of_days
        self._offsets = offsets
        self._phase_offsets_s = phase_offsets_s
        self._start_s = start_s
        self._year = year
        self._count = streams(f"seasons.count.{year}")
        self._draw = WeddingDraw(population, lambda name: streams(f"seasons.{name}.{year}"))

    def draw(self, per_day: FloatArray) -> SeasonWeddings:
        """The weddings of the year, of which `per_day` (D,) are expected on each date."""
        population = self._population
        in_year = np.array([date.year == self._year for date in self._days.dates])
        counts = np.zeros(len(per_day), dtype=np.int64)
        counts[in_year] = self._count.poisson(per_day[in_year])
        day = np.repeat(np.arange(len(per_day), dtype=np.int32), counts)
        n = len(day)
        draw = self._draw
        zone_id = draw.pick("zone", population.time_zones.values(), n).astype(np.int8)
        type_id = draw.type_id(n)
        minutes = np.array(list(population.ceremony_start), dtype=np.int64)
        minute = minutes[draw.pick("time", population.ceremony_start.values(), n)]
        local_s = day.astype(np.int64) * DAY_S + 60 * minute
        ceremony_s = (local_s - self._offsets[day, zone_id]).astype(np.int32)
        order = np.argsort(ceremony_s, kind="stable")
        day, zone_id, type_id = day[order], zone_id[order], type_id[order]
        ceremony_s = ceremony_s[order]
        severity = self._days.severity[day, zone_id]
        weather = self._config.weather
        booked, come = draw.people(type_id, weather.stay_away * severity)
        actual_s = draw.times(ceremony_s)[1]
        late_s = np.rint(60.0 * weather.late_min * severity).astype(np.int32)
        booked_at_s, cancelled_at_s = self._entry_times(ceremony_s, type_id, severity)
        sigma = self._config.wedding_sigma
        activity = np.exp(sigma * draw.normal("activity", n) - sigma**2 / 2.0)
        return SeasonWeddings(
            day=day,
            zone_id=zone_id,
            type_id=type_id,
            ceremony_s=ceremony_s,
            actual_s=actual_s + late_s[:, None],
            participants_booked=booked,
            participants_actual=come,
            booked_at_s=booked_at_s,
            cancelled_at_s=cancelled_at_s,
            happens=np.isinf(cancelled_at_s),
            activity=activity.astype(np.float32),
        )

    def _entry_times(
        self, ceremony_s: NDArray[np.int32], type_id: NDArray[np.int8], severity: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """When each wedding and its cancellation was entered; epoch seconds, inf for never."""
        booking, actual, draw = self._config.booking, self._population.actual, self._draw
        n = len(ceremony_s)
        median_s = DAY_S * np.array([booking.median_days[kind] for kind in TYPES])
        lead_s = median_s[type_id] * np.exp(booking.sigma * draw.normal("lead", n))
        at_s = ceremony_s + self._start_s
        booked_at_s = at_s - lead_s
        cancelled_at_s = np.full(n, np.inf)
        early = draw.uniform("withdrawn", n) < booking.cancelled_share
        when = draw.uniform("withdrawn_when", n)
        cancelled_at_s[early] = booked_at_s[early] + when[early] * lead_s[early]
        late_share = actual.cancelled_share + self._config.weather.cancelled * severity
        late = (draw.uniform("cancelled", n) < late_share) & ~early
        notice_at_s = at_s + self._phase_offsets_s[0] - draw.notice_s(n)
        cancelled_at_s[late] = np.maximum(notice_at_s, booked_at_s)[late]
        never = draw.uniform("entered", n) < actual.unbooked_share
        booked_at_s[never] = np.inf
        return booked_at_s, cancelled_at_s


def _joined(blocks: list[SeasonWeddings]) -> SeasonWeddings:
    """The years behind each other, in order of the ceremony: New Year's Eve in Honolulu is last."""
    columns = {
        name: np.concatenate([getattr(block, name) for block in blocks])
        for name in SeasonWeddings.__slots__
    }
    order = np.argsort(columns["ceremony_s"], kind="stable")
    if np.any(order[1:] < order[:-1]):
        columns = {name: column[order] for name, column in columns.items()}
    for column in columns.values():
        column.flags.writeable = False
    return SeasonWeddings(**columns)


def _background(
    config: SeasonsConfig,
    population: PopulationConfig,
    demand: DemandConfig,
    of_days: Days,
    *,
    offsets: NDArray[np.int32],
) -> FloatArray:
    """Requests/s of everybody else (S, bins)."""
    shares = shares_of(population.time_zones.values())
    by_offset: dict[tuple[int, ...], FloatArray] = {}
    middles = np.arange(HOURS_PER_DAY) + 0.5
    hour = (np.arange(DAY_S // BIN_S) + 0.5) * BIN_S / HOUR_S
    scale = users_scale(config, population)
    daily = []
    for day, row in enumerate(offsets):
        key = tuple(row.tolist())
        if key not in by_offset:
            hourly = background_rates(demand, demand.services, shares, row)
            by_offset[key] = np.stack(
                [np.interp(hour, middles, column, period=HOURS_PER_DAY) for column in hourly.T]
            )
        factor = np.exp(of_days.log_response[day]).T @ shares
        daily.append(by_offset[key] * (scale * of_days.growth[day] * factor)[:, None])
    return np.concatenate(daily, axis=1)


def _measured(
    load: FloatArray,
    demand: DemandConfig,
    of_days: Days,
    years: tuple[int, ...],
    *,
    streams: StreamOf,
) -> NDArray[np.float32]:
    """The mean load with slow noise and counted as whole requests, year by year."""
    time_s = demand.noise_time_s
    # The mean over a bin of noise with this correlation time varies less than the noise itself.
    share = 2.0 * time_s / BIN_S * (1.0 - time_s / BIN_S * -math.expm1(-BIN_S / time_s))
    sd = demand.noise_sigma * math.sqrt(share)
    measured = np.empty(load.shape, dtype=np.float32)
    bins_per_day = DAY_S // BIN_S
    of_year = np.array([date.year for date in of_days.dates])
    for year in years:
        first, last = np.searchsorted(of_year, [year, year + 1]) * bins_per_day
        for row, service in enumerate(demand.services):
            noise_z = streams(f"seasons.noise.{service}.{year}").standard_normal(last - first)
            mean = load[row, first:last] * np.exp(sd * noise_z - sd**2 / 2.0)
            arrivals = streams(f"seasons.arrivals.{service}.{year}").poisson(mean * BIN_S)
            measured[row, first:last] = arrivals / BIN_S
    measured.flags.writeable = False
    return measured


def _midnight(date: dt.date) -> float:
    return dt.datetime.combine(date, dt.time(), tzinfo=dt.UTC).timestamp()

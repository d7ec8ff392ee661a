"""One wedding, and all weddings of a day: 24 hours of load, and what to scale by when.

What similar weddings made of their day is the forecast (`similarity`).  One wedding's spread is
that of its neighbours.  Over many weddings those differences even out and what is left is what they
share, the day itself: its spread is that of earlier days around the same kind of forecast.  Without
a history the demand table alone speaks, and confidence is 0.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import NormalDist
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import load_of_services
from engine.model import FloatArray, Response, ServiceSpec, Wedding, WeddingType
from engine.prediction.calibration import conformal_shift
from engine.prediction.forecaster import LEVELS, MOST_GUESTS
from engine.prediction.similarity import (
    CURVE_BEFORE_S,
    CURVE_BIN_S,
    CURVE_BINS,
    Codes,
    Neighbours,
    PastWeddings,
    Similar,
    WeddingTraits,
)
from engine.prediction.timeline import ScalingStep, at_accepted_risk, instances_needed, timeline
from engine.settings import EngineSettings

HOUR_S = 3600.0
HOURS = 24
SIZES = ((50, "small"), (100, "medium"), (250, "large"))
"""Size categories by guests; more is "very large"."""
PEAK_SHARE = 0.8
"""Hours with at least this share of the highest load are peak hours."""
OWN_SIGMA = 0.4
"""One wedding's load around that of its like, log-standard deviation: what evens out over many."""
FEWEST_ON_A_DAY = 20
FEWEST_DAYS = 15
MEDIAN = LEVELS.index(0.5)
_AIMS = np.array(LEVELS)
_SCORES = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
_KINDS = tuple(WeddingType)


@dataclass(frozen=True, slots=True, eq=False)
class BookedWeddings:
    """Weddings to forecast, column-wise: what a list of `Wedding` is, for 100,000 of them.

    `phase_start_s` (n, phases + 1) epoch seconds, booked; the last is the end.  `traits` by local
    date.
    """

    phase_start_s: FloatArray
    traits: WeddingTraits

    def __len__(self) -> int:
        return len(self.phase_start_s)


@dataclass(frozen=True, slots=True, eq=False)
class WeddingDay:
    """The forecast of 24 hours from `start_s` (epoch seconds) on.

    `quantiles` (S, HOURS, LEVELS) requests/s arriving at each of `services`, calls included, of the
    weddings and of `base`, everybody else.  `in_phase` (HOURS, phases) weddings in each of `phases`
    in the middle of the hour.  `peaks` are the peak hours by service, as pairs of first hour and
    hour after the last; `needed` (S, HOURS) instances and `steps` how to get there.  `similar` is
    how many close weddings of the past it rests on (the mean, for many).
    """

    services: tuple[str, ...]
    start_s: float
    weddings: int
    quantiles: FloatArray
    phases: tuple[str, ...]
    in_phase: FloatArray
    peaks: tuple[tuple[tuple[int, int], ...], ...]
    needed: FloatArray
    steps: tuple[ScalingStep, ...]
    similar: float
    confidence: float

    def phase_at(self, hour: int) -> str:
        """The phase that most weddings are in, "" when none is in progress."""
        row = self.in_phase[hour]
        return self.phases[int(row.argmax())] if row.max() > 0.0 else ""


def size_category(guests: int) -> str:
    """small, medium, large or very large."""
    return next((name for most, name in SIZES if guests <= most), "very large")


def booked(weddings: Sequence[Wedding], now_s: float) -> BookedWeddings:
    """The columns of `weddings`, checked.

    Raises ValueError, naming the wedding and the field, for an id that appears twice, a time zone
    that does not exist, negative or absurd numbers of people, times that do not rise, weddings with
    other numbers of phases and one that was over before `now_s`.
    """
    seen: set[str] = set()
    zones: dict[str, ZoneInfo] = {}
    for wedding in weddings:
        where = f'wedding "{wedding.id}"'
        if wedding.id in seen:
            raise ValueError(f"{where}: id: appears more than once")
        seen.add(wedding.id)
        if wedding.time_zone not in zones:
            zones[wedding.time_zone] = _zone(wedding.time_zone, where)
        for name, count in (("guests", wedding.guests), ("vendors", wedding.vendors)):
            if not 0 <= count <= MOST_GUESTS:
                raise ValueError(f"{where}: {name}: {count} is not allowed (0 … {MOST_GUESTS:,})")
        times = wedding.phase_start_s
        if len(times) < 2 or len(times) != len(weddings[0].phase_start_s):
            raise ValueError(f"{where}: phase_start_s: {len(times)} times are not allowed")
        rising = all(before < after for before, after in pairwise(times))
        if not (rising and math.isfinite(times[0]) and math.isfinite(times[-1])):
            raise ValueError(f"{where}: phase_start_s: the times have to rise")
        if times[-1] <= now_s:
            raise ValueError(
                f"{where}: date: was over at {_utc(times[-1])}, before now ({_utc(now_s)})"
            )
    phases = len(weddings[0].phase_start_s) if weddings else 2
    dates = [
        dt.datetime.fromtimestamp(wedding.phase_start_s[0], zones[wedding.time_zone])
        for wedding in weddings
    ]
    return BookedWeddings(
        np.array([wedding.phase_start_s for wedding in weddings]).reshape(-1, phases),
        WeddingTraits(
            type_id=np.array([_KINDS.index(w.type) for w in weddings], dtype=np.int64),
            guests=np.array([w.guests for w in weddings], dtype=np.float64),
            vendors=np.array([w.vendors for w in weddings], dtype=np.float64),
            weekday=np.array([date.weekday() for date in dates], dtype=np.int64),
            month=np.array([date.month for date in dates], dtype=np.int64),
        ),
    )


class WeddingDayModel:
    """Forecasts from `past` weddings; `response` is what is known without any of them."""

    def __init__(
        self,
        past: PastWeddings,
        response: Response,
        phases: tuple[str, ...],
        specs: Sequence[ServiceSpec],
        *,
        settings: EngineSettings,
    ) -> None:
        level, self._of_day, recent = _day_spread(past, response.sigma)
        # All at the level of the earlier ones: what has drifted since is put on top once.
        curves = past.curves.copy()
        curves[recent] /= np.exp(level)[None, :, None]
        self._similar = Similar(replace(past, curves=curves))
        self._response = response
        self._phases = phases
        self._specs = tuple(specs)
        self._settings = settings
        self._entered = past.services
        self._columns = [response.services.index(name) for name in past.services]

    def wedding(self, one: BookedWeddings, base: FloatArray | None = None) -> WeddingDay:
        """One wedding's day, from the full hour before it begins; `base` as for `day`."""
        start_s = math.floor(one.phase_start_s[0, 0] / HOUR_S) * HOUR_S - HOUR_S
        neighbours = self._similar.find(one.traits)
        if neighbours.rows.shape[1]:
            curves = self._similar.curve_quantiles(one.traits, neighbours, _AIMS)
            # What drifted since: the shift of recent days around the same kind of forecast.
            curves *= np.exp(self._of_day[:, None, [MEDIAN]])
        else:
            expected = self._by_table(one)[0]
            curves = expected[:, :, None] * np.exp(self._response.sigma * _SCORES)
        per_level = [
            _hourly(curves[None, :, :, k], one.phase_start_s[:, 0], start_s)
            for k in range(len(LEVELS))
        ]
        load = load_of_services(self._specs, self._entered, np.stack(per_level, axis=2))
        return self._result(one, load, base, start_s, neighbours=neighbours)

    def day(
        self, weddings: BookedWeddings, start_s: float, base: FloatArray | None = None
    ) -> WeddingDay:
        """All `weddings` together, for the 24 hours from `start_s`.

        `base` (S, HOURS) requests/s is everybody else's load.
        """
        traits = weddings.traits
        groups, of_group = _groups(traits)
        neighbours = self._similar.find(groups)
        if neighbours.rows.shape[1]:
            curves = self._similar.mean_curves(groups, neighbours)
            ratio = traits.people / groups.people[of_group]
        else:
            curves, of_group = self._by_table(weddings), np.arange(len(weddings))
            ratio = np.ones(len(weddings))
        begins, inverse = np.unique(weddings.phase_start_s[:, 0], return_inverse=True)
        weight = np.zeros((len(begins), len(curves)))
        np.add.at(weight, (inverse, of_group), ratio)
        by_begin = np.einsum("tg,gsb->tsb", weight, curves)
        mean = _hourly(by_begin, begins, start_s) / (1.0 - self._response.unbooked_share)
        drift = self._of_day[:, [MEDIAN]]
        own = OWN_SIGMA * _SCORES / math.sqrt(max(len(weddings), 1))
        spread = drift + np.sign(_SCORES) * np.hypot(self._of_day - drift, own)
        entering = mean[:, :, None] * np.exp(np.sort(spread, axis=1))[:, None, :]
        load = load_of_services(self._specs, self._entered, entering)
        some = len(of_group) and neighbours.rows.shape[1]
        averaged = Neighbours(
            neighbours.rows,
            neighbours.weight,
            neighbours.close[of_group] if some else np.zeros(1, dtype=np.int64),
            neighbours.confidence[of_group] if some else np.zeros(1),
        )
        return self._result(weddings, load, base, start_s, neighbours=averaged)

    def _by_table(self, weddings: BookedWeddings) -> FloatArray:
        """Load (n, services, CURVE_BINS) of the demand table, for people as booked."""
        begin = weddings.phase_start_s[:, :1] - CURVE_BEFORE_S
        edges = (weddings.phase_start_s - begin) / CURVE_BIN_S
        bins = np.arange(CURVE_BINS)
        traits = weddings.traits
        people = np.column_stack(
            (np.full(len(traits), 2.0), traits.guests, traits.vendors, np.zeros(len(traits)))
        )
        curves = np.zeros((len(weddings), len(self._columns), CURVE_BINS))
        for p in range(edges.shape[1] - 1):
            covered = np.clip(
                np.minimum(edges[:, p + 1, None], bins + 1) - np.maximum(edges[:, p, None], bins),
                0.0,
                1.0,
            )
            rates = people @ self._response.rates[:, p, self._columns] * self._response.turnout
            curves += rates[:, :, None] * covered[:, None, :]
        return curves

    def _result(
        self,
        weddings: BookedWeddings,
        load: FloatArray,
        base: FloatArray | None,
        start_s: float,
        *,
        neighbours: Neighbours,
    ) -> WeddingDay:
        total = load if base is None else load + base[:, :, None]
        likely = at_accepted_risk(total, self._specs, self._settings)
        needed = instances_needed(likely, total[:, :, MEDIAN], self._specs, self._settings)
        return WeddingDay(
            services=tuple(spec.name for spec in self._specs),
            start_s=start_s,
            weddings=len(weddings),
            quantiles=total,
            phases=self._phases,
            in_phase=_in_phase(weddings.phase_start_s, start_s, len(self._phases)),
            peaks=tuple(_peaks(row) for row in total[:, :, MEDIAN]),
            needed=needed,
            steps=timeline(needed, self._specs, start_s, self._settings),
            similar=float(neighbours.close.mean()) if len(neighbours.close) else 0.0,
            confidence=float(neighbours.confidence.mean()) if len(neighbours.confidence) else 0.0,
        )


def _day_spread(
    past: PastWeddings, sigma: float
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """How the days differ from their forecasts, and which weddings show it.

    The last third of the days is forecast from the weddings before.  The level (services,) and the
    quantiles (services, LEVELS) of a day's load around such a forecast are logarithmic; where there
    are too few days, `sigma` has to do.  (n,) marks the weddings of that third.
    """
    usual = np.tile(sigma * _SCORES, (len(past.services), 1))
    days, counts = np.unique(past.day, return_counts=True)
    days = days[counts >= FEWEST_ON_A_DAY]
    if len(days) < 3 * FEWEST_DAYS:
        return usual[:, MEDIAN], usual, np.zeros(len(past.day), dtype=np.bool_)
    first = days[-max(len(days) // 3, FEWEST_DAYS)]
    recent = past.day >= first
    early = np.flatnonzero(~recent)
    similar = Similar(
        PastWeddings(past.services, past.traits.taken(early), past.day[early], past.curves[early])
    )
    late = np.flatnonzero(recent & np.isin(past.day, days))
    traits = past.traits.taken(late)
    groups, of_group = _groups(traits)
    per_group = similar.mean_curves(groups, similar.find(groups)).sum(axis=2)
    expected = per_group[of_group] * (traits.people / groups.people[of_group])[:, None]
    came = past.curves[late].sum(axis=2, dtype=np.float64)
    index = np.unique(past.day[late], return_inverse=True)[1]
    for s in range(len(past.services)):
        ratio = np.bincount(index, came[:, s]) / np.bincount(index, expected[:, s])
        if np.all(np.isfinite(ratio)) and np.all(ratio > 0.0):
            usual[s] = conformal_shift(np.zeros((len(ratio), len(LEVELS))), np.log(ratio), _AIMS)
    return usual[:, MEDIAN], usual, recent


def _groups(traits: WeddingTraits) -> tuple[WeddingTraits, Codes]:
    """Weddings so alike that one search does for all of a group, and each wedding's group."""
    size = np.rint(np.log1p(traits.guests) / 0.05).astype(np.int64)
    helpers = np.rint(traits.vendors / 2.0).astype(np.int64)
    key = np.column_stack((traits.type_id, size, helpers, traits.weekday, traits.month))
    _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
    return traits.taken(first), index.reshape(-1).astype(np.int64)


def _hourly(curves: FloatArray, begins_s: FloatArray, start_s: float) -> FloatArray:
    """Mean load of each hour (services, HOURS) of curves (n, services, CURVE_BINS).

    `begins_s` (n,) is when each curve's wedding begins.
    """
    hours = np.zeros((curves.shape[1], HOURS))
    offsets = (begins_s - CURVE_BEFORE_S - start_s) / HOUR_S
    width = CURVE_BIN_S / HOUR_S
    for curve, offset in zip(curves, offsets.tolist(), strict=True):
        reached = np.concatenate((np.zeros((len(curve), 1)), np.cumsum(curve, axis=1)), axis=1)
        # Requests so far, at each full hour: linear within a bin.
        whole = np.arange(HOURS + 1)
        position = np.clip((whole - offset) / width, 0.0, CURVE_BINS)
        low = np.minimum(position.astype(np.int64), CURVE_BINS - 1)
        share = position - low
        at = reached[:, low] + share * (reached[:, low + 1] - reached[:, low])
        hours += np.diff(at, axis=1) * width
    return hours


def _in_phase(phase_start_s: FloatArray, start_s: float, phases: int) -> FloatArray:
    """Weddings in each phase in the middle of each hour (HOURS, phases)."""
    if not len(phase_start_s):
        return np.zeros((HOURS, phases))
    middles = start_s + HOUR_S * (np.arange(HOURS) + 0.5)
    begun = np.stack(
        [np.searchsorted(np.sort(column), middles, side="right") for column in phase_start_s.T],
        axis=1,
    )
    counts = (begun[:, :-1] - begun[:, 1:]).astype(np.float64)
    return counts[:, :phases]


def _peaks(load: FloatArray) -> tuple[tuple[int, int], ...]:
    """The hours with at least `PEAK_SHARE` of the highest load, joined."""
    if load.max() <= 0.0:
        return ()
    high = np.concatenate(([False], load >= PEAK_SHARE * load.max(), [False]))
    edges = np.flatnonzero(high[1:] != high[:-1]).tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def _zone(name: str, where: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f'{where}: time_zone: "{name}" is not an IANA time zone (such as America/New_York)'
        ) from None


def _utc(time_s: float) -> str:
    return dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M UTC")

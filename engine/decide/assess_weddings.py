"""The load to come: from the booked schedule, with its floor and its protection.

Where the calendar does not cover the present, or not the service, nothing is booked: the load is
taken to stay as it is observed, more or less, and whoever reads a decision is told.  Where nothing
tells what arrives either, nothing is known of what is to come (`Ahead.blind`), and nothing is taken
away.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from engine.decide.assess import arrival_rate
from engine.decide.observe import UNBOOKED, Seen
from engine.decide.recommend import wedding
from engine.decide.recommend.forecast import needed, step_discount
from engine.decide.recommend.wedding import WeddingAssessment
from engine.decide.sizing import Sizings
from engine.forecast import schedule
from engine.forecast.blend import ServiceBlend
from engine.forecast.schedule import Curve
from engine.memory import ResponseMemory
from engine.model import FloatArray, Forecast, Outlook
from engine.settings import EngineSettings

STAYS = "so the load is taken to stay as it is"


class Ahead(NamedTuple):
    """What is to come at one service.

    `need` and `discount` (bins,) are the instances needed along the curve and how much they may
    still grow in later steps.  `unbooked` says why the calendar does not count; empty if it does.
    """

    curve: Curve
    need: FloatArray
    discount: FloatArray
    weddings: WeddingAssessment
    forecasts: tuple[Forecast, ...]
    response: ResponseMemory
    unbooked: str
    blind: bool


def assess_weddings(
    seen: Sequence[Seen],
    outlook: Outlook,
    *,
    now_s: float,
    settings: EngineSettings,
    blends: Mapping[str, ServiceBlend],
) -> tuple[Ahead | None, ...]:
    """What is to come at each service; None where only the emergency path looks.

    What is booked is worked out for all services at once, as arrays: that takes a fifth of the time
    of one after the other.
    """
    unbooked = "" if outlook.covers(now_s) else _outside(outlook)
    ahead: dict[int, Ahead] = {}
    whole = [(place, one) for place, one in enumerate(seen) if one.whole]
    booked = [pair for pair in whole if not unbooked and pair[1].row != UNBOOKED]
    if booked:
        ahead |= _as_booked(booked, outlook, now_s=now_s, settings=settings, blends=blends)
    if len(booked) < len(whole):
        others = [pair for pair in whole if pair[0] not in ahead]
        ahead |= _as_it_is(others, outlook, settings=settings, unbooked=unbooked)
    return tuple([ahead.get(place) for place in range(len(seen))])


def _as_booked(
    those: Sequence[tuple[int, Seen]],
    outlook: Outlook,
    *,
    now_s: float,
    settings: EngineSettings,
    blends: Mapping[str, ServiceBlend],
) -> dict[int, Ahead]:
    """What is to come at services of which the calendar tells, by their place."""
    counts = [schedule.bins_to_come(outlook, now_s, one.traits.reach_s) for _, one in those]
    forecast = schedule.bins_to_come(outlook, now_s, schedule.HORIZONS_S[-1])
    curves = schedule.curves(
        [one.response for _, one in those],
        outlook,
        [one.row for _, one in those],
        now_s,
        count=max(forecast, *counts),
        settings=settings.forecast,
        blends=[blends.get(one.traits.spec.name) for _, one in those],
    )
    issued = [
        schedule.issue(
            one.response, outlook, curves.of(k, forecast), one.traits.spec.name, now_s=now_s
        )
        if schedule.is_due(one.response, now_s)
        else (one.response, ())
        for k, (_, one) in enumerate(those)
    ]
    weighed = _weighed([one for _, one in those], curves, counts, settings)
    return {
        place: Ahead(curve, need, discount, weddings, forecasts, response, "", False)
        for (place, _), (response, forecasts), (curve, need, discount, weddings) in zip(
            those, issued, weighed, strict=True
        )
    }


def _as_it_is(
    those: Sequence[tuple[int, Seen]], outlook: Outlook, *, settings: EngineSettings, unbooked: str
) -> dict[int, Ahead]:
    """What is to come at services of which the calendar tells nothing, by their place."""
    rates = [
        arrival_rate(one.view, one.traits.spec, one.service.ready, one.slowdown) for _, one in those
    ]
    counts = [schedule.bins_of(one.traits.reach_s, outlook.bin_s) for _, one in those]
    curves = schedule.persisting(
        [one.response for _, one in those],
        outlook,
        [rate if rate >= 0.0 else 0.0 for rate in rates],
        max(counts),
    )
    weighed = _weighed([one for _, one in those], curves, counts, settings)
    ahead = {}
    for (place, one), rate, (curve, need, discount, weddings) in zip(
        those, rates, weighed, strict=True
    ):
        why, blind = unbooked, not rate >= 0.0
        if one.row == UNBOOKED:
            why = f"the calendar says nothing of {one.traits.spec.name}, {STAYS}"
        if blind:
            weddings = weddings._replace(protected=one.service.desired)
        ahead[place] = Ahead(curve, need, discount, weddings, (), one.response, why, blind)
    return ahead


def _weighed(
    seen: Sequence[Seen], curves: Curve, counts: Sequence[int], settings: EngineSettings
) -> list[tuple[Curve, FloatArray, FloatArray, WeddingAssessment]]:
    """The curve of each service (`counts` of the bins), its need, its discount and its floors."""
    limits = settings.limits
    traits = [one.traits for one in seen]
    if any(own.spec.min_instances == 0 for own in traits):
        idle_s = [
            max(limits.idle_s, own.lead_s) if own.spec.min_instances == 0 else math.nan
            for own in traits
        ]
        curves = _worth_waking(curves, np.array(idle_s)[:, None])
    slowdowns = [one.slowdown for one in seen]
    sizings = tuple([one.traits.sizing.with_room_for(one.slowdown) for one in seen])
    need = needed(
        curves, Sizings.of(sizings), np.array(slowdowns)[:, None],
        _column(tuple([own.risk_z for own in traits])),
    )  # fmt: skip
    leads_s = [own.lead_s for own in traits]
    floors = wedding.assess_weddings(
        curves, sizings, slowdowns, leads_s, settings=settings.weddings
    )
    return [
        (
            curves.of(k, count),
            need[k, :count],
            step_discount(
                count, curves.bin_s, lead_s, limits.cooldown_out_s, step_out=limits.step_out
            ),
            floors[k],
        )
        for k, (count, lead_s) in enumerate(zip(counts, leads_s, strict=True))
    ]


@lru_cache(maxsize=64)
def _column(values: tuple[float, ...]) -> FloatArray:
    column = np.array(values)[:, None]
    column.setflags(write=False)
    return column


def _worth_waking(curves: Curve, idle_s: FloatArray) -> Curve:
    """The curves without the load of which fewer than one request is expected in `idle_s`.

    Between two such requests the service would fall asleep: each wakes it itself.  `idle_s`
    (services, 1) is NaN for one that never sleeps.
    """
    little = curves.median() * curves.booked * idle_s < 1.0
    return curves._replace(
        booked=np.where(little, 0.0, curves.booked), major=np.where(little, 0.0, curves.major)
    )


def _outside(outlook: Outlook) -> str:
    begin, end = (
        dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M")
        for time_s in (outlook.start_s, outlook.end_s)
    )
    return f"the calendar covers {begin} to {end} UTC only, {STAYS}"

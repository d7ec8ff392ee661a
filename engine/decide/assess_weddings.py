"""The load to come: from the booked schedule, with its floor and its protection.

Where the calendar does not cover the present, or not the service, nothing is booked: the load is
taken to stay as it is observed, more or less, and whoever reads a decision is told.  Where nothing
tells what arrives either, nothing is known of what is to come (`Ahead.blind`), and nothing is taken
away.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from engine.decide.assess import arrival_rate
from engine.decide.observe import UNBOOKED, Seen
from engine.decide.recommend import wedding
from engine.decide.recommend.forecast import needed, step_discount
from engine.decide.recommend.wedding import WeddingAssessment
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
    """What is to come at each service; None where only the emergency path looks."""
    unbooked = "" if outlook.covers(now_s) else _outside(outlook)
    return tuple(
        [
            _ahead(
                one,
                outlook,
                now_s=now_s,
                settings=settings,
                blend=blends.get(one.traits.spec.name),
                unbooked=unbooked,
            )
            if one.whole
            else None
            for one in seen
        ]
    )


def _ahead(
    seen: Seen,
    outlook: Outlook,
    *,
    now_s: float,
    settings: EngineSettings,
    blend: ServiceBlend | None,
    unbooked: str,
) -> Ahead:
    traits, response = seen.traits, seen.response
    blind = False
    forecasts: tuple[Forecast, ...] = ()
    if seen.row == UNBOOKED:
        unbooked = f"the calendar says nothing of {traits.spec.name}, {STAYS}"
    if unbooked:
        rate = arrival_rate(seen.view, traits.spec, seen.service.ready, seen.slowdown)
        blind = not rate >= 0.0
        curve = schedule.persisting(response, outlook, 0.0 if blind else rate, traits.reach_s)
    else:
        curve = schedule.curve(
            response, outlook, seen.row, now_s, traits.reach_s, settings.forecast, blend
        )
        response, forecasts = schedule.issue(
            response, outlook, seen.row, traits.spec.name, now_s, settings.forecast, blend
        )
    limits = settings.limits
    if traits.spec.min_instances == 0:
        curve = _worth_waking(curve, max(limits.idle_s, traits.lead_s))
    need = needed(curve, traits.sizing, seen.slowdown, traits.risk_z)
    discount = step_discount(
        len(curve.ahead_s), outlook.bin_s, traits.lead_s, limits.cooldown_out_s, limits.step_out
    )
    weddings = wedding.assess_weddings(
        curve, traits.sizing, seen.slowdown, traits.lead_s, settings.weddings
    )
    if blind:
        weddings = weddings._replace(protected=seen.service.desired)
    return Ahead(curve, need, discount, weddings, forecasts, response, unbooked, blind)


def _worth_waking(curve: Curve, idle_s: float) -> Curve:
    """The curve without the load of which fewer than one request is expected in `idle_s`.

    Between two such requests the service would fall asleep: each wakes it itself.
    """
    little = curve.rate(0.0) * idle_s < 1.0
    return curve._replace(
        booked=np.where(little, 0.0, curve.booked), major=np.where(little, 0.0, curve.major)
    )


def _outside(outlook: Outlook) -> str:
    begin, end = (
        dt.datetime.fromtimestamp(time_s, dt.UTC).strftime("%Y-%m-%d %H:%M")
        for time_s in (outlook.start_s, outlook.end_s)
    )
    return f"the calendar covers {begin} to {end} UTC only, {STAYS}"

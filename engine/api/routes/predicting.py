"""Seasons, days, plans: what takes longer, worked out in another process and kept."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from engine.api.access import Asker, Context, PlatformAsker, Writer
from engine.api.answers import CHANGING, answer, documented, fresh, moment
from engine.api.context import ApiContext, NotedChange
from engine.api.events import PLATFORM, EventKind
from engine.api.planning_documents import (
    WEDDING_TYPES,
    OptimisationDocument,
    PlanDocument,
    PreparationDocument,
    PreparationRequest,
    RecommendationsDocument,
    SeasonDocument,
    WeddingDayDocument,
)
from engine.api.predictions import AskedWedding
from engine.api.problems import FieldProblem, Problem, ProblemError, wrong
from engine.api.snapshot import EncodedText, encoded
from engine.config.complaints import close
from engine.config.recurrence import Recurrence
from engine.model import ManualFloor
from engine.ports.desk import Asked
from engine.prediction.season import SEASONS
from engine.security.roles import Permission

router = APIRouter(prefix="/api/scalability")

SLOW = (Problem.BUSY,)
DAY_S, HOUR_S = 86_400.0, 3_600.0
PART_H = 6
"""A day is prepared in parts of so many hours."""
MOST_GUESTS = 100_000

Date = Annotated[
    str, Query(max_length=10, description="YYYY-MM-DD (UTC); without it: tomorrow",
               examples=["2027-06-19"])
]  # fmt: skip


@router.get(
    "/predictions/wedding-season",
    operation_id="weddingSeason",
    summary="A season, week by week",
    response_model=SeasonDocument,
    responses=documented(*SLOW, validated=True),
)
async def wedding_season(
    request: Request,
    context: Context,
    _: PlatformAsker,
    year: Annotated[
        str, Query(max_length=4, description="Without it: this year", examples=["2027"])
    ] = "",
    *,
    season: Annotated[
        str, Query(max_length=10, description=", ".join(SEASONS), examples=["summer"])
    ] = "all",
) -> Response:
    """Weekly predictions, peak days, capacity, confidence, and the same weeks of years before."""
    if season not in SEASONS:
        raise wrong("season", season, ", ".join(SEASONS), close(season, list(SEASONS)))
    now_s = context.clock_s()
    if year and not (year.isascii() and year.isdigit() and len(year) == 4):
        raise wrong("year", year, "four digits")
    number = int(year) if year else dt.datetime.fromtimestamp(now_s, dt.UTC).year
    return answer(request, await context.predictor.ask("season", number, season, now_s=now_s))


class WeddingDayQuery(BaseModel):
    """A day of weddings, or one wedding if there is a `type`."""

    date: Date = ""
    type: str = Field("", max_length=20, description=f"One wedding: {', '.join(WEDDING_TYPES)}")
    guests: int = Field(100, ge=0, le=MOST_GUESTS, description="Of one wedding")
    vendors: int = Field(13, ge=0, le=MOST_GUESTS, description="Of one wedding")
    time: str = Field(
        "16:00", max_length=5, description="When one wedding begins, HH:MM in its zone"
    )
    zone: str = Field(
        "America/New_York", max_length=60, description="Of one wedding", examples=["Europe/Rome"]
    )


@router.get(
    "/predictions/wedding-day",
    operation_id="weddingDay",
    summary="A day of weddings, or one wedding, hour by hour",
    response_model=WeddingDayDocument,
    responses=documented(*SLOW, validated=True),
)
async def wedding_day(
    request: Request,
    context: Context,
    _: PlatformAsker,
    asked: Annotated[WeddingDayQuery, Query()],
) -> Response:
    """24 hours with quantiles, peaks, what to scale by when, and the confidence in it."""
    day, kind = _date(context, asked.date), asked.type
    now_s = context.clock_s()
    if not kind:
        return answer(request, await context.predictor.ask("day", day, now_s=now_s))
    if kind not in WEDDING_TYPES:
        raise wrong("type", kind, ", ".join(WEDDING_TYPES), close(kind, WEDDING_TYPES))
    try:
        dt.time.fromisoformat(asked.time)
    except ValueError:
        raise wrong("time", asked.time, "HH:MM") from None
    _check_zone(asked.zone)
    wedding = AskedWedding(
        day.isoformat(), asked.time, asked.zone, kind, asked.guests, vendors=asked.vendors
    )
    return answer(request, await context.predictor.ask("wedding", wedding, now_s=now_s))


@router.post(
    "/wedding-days/{date}/preparation",
    operation_id="prepareWeddingDay",
    summary="Let the capacity of a day stand ready",
    status_code=201,
    response_model=PreparationDocument,
    responses={
        **documented(*CHANGING, *SLOW),
        200: {"model": PreparationDocument, "description": "dry_run: what would stand"},
    },
)
async def prepare(
    context: Context, principal: Writer, date: str, asked: PreparationRequest
) -> Response:
    """Floors for each part of the day, as the prediction of it needs; they end with it."""
    day = _date(context, date)
    names = context.visible(principal)
    limited = principal.services is not None
    await context.check(principal, Permission.PREDICT, next(iter(names), "") if limited else "")
    for name in names:
        await context.check(principal, Permission.FLOOR, name, why=asked.why)
    text = await context.predictor.ask("day", day, now_s=context.clock_s())
    prediction = json.loads(text.content)
    start_s = dt.datetime.fromisoformat(prediction["start"]).timestamp()
    floors = _floors(context, prediction, start_s, names)
    if not asked.dry_run:
        changes = [
            NotedChange(
                Permission.FLOOR, floor.service, asked.why or f"prepared for {day}",
                after={"instances": floor.instances, "schedule": str(schedule)},
            )
            for floor, schedule in floors
        ]  # fmt: skip
        wanted = [
            Asked(replace(floor, requested_by=principal.name), schedule)
            for floor, schedule in floors
        ]
        await context.change_together(
            principal, changes,
            lambda audits: context.desk.ask_together(list(zip(wanted, audits, strict=True))),
        )  # fmt: skip
        context.board.events.publish(
            EventKind.REQUEST, PLATFORM,
            {"at_s": context.clock_s(), "kind": "prepare", "date": day.isoformat()},
        )  # fmt: skip
    content = {
        "date": day.isoformat(),
        "dry_run": asked.dry_run,
        "weddings": prediction["weddings"],
        "confidence": prediction["confidence"],
        "floors": [
            {
                "service": floor.service,
                "instances": floor.instances,
                "from_s": floor.expires_s - schedule.duration_s,
                "to_s": floor.expires_s,
            }
            for floor, schedule in floors
        ],
        "rollback_plan": "DELETE /api/scalability/floors/{service}",
    }
    return fresh(content, 200 if asked.dry_run else 201)


@router.get(
    "/plan",
    operation_id="plan",
    summary="What the months to come need, and what to buy",
    response_model=PlanDocument,
    responses=documented(*SLOW, validated=True),
)
async def plan(
    request: Request,
    context: Context,
    _: PlatformAsker,
    date: Date = "",
    *,
    months: Annotated[int, Query(ge=1, le=12)] = 12,
    risk: Annotated[float, Query(ge=0.003, le=0.5)] = 0.02,
) -> Response:
    """The content of `plan.json`, as `python -m twin plan` writes it."""
    return answer(request, await _plan(context, date, months, risk))


@router.get(
    "/season-optimisation",
    operation_id="seasonOptimisation",
    summary="The cheapest capacity of a season",
    response_model=OptimisationDocument,
    responses=documented(*SLOW, validated=True),
)
async def season_optimisation(
    request: Request,
    context: Context,
    _: PlatformAsker,
    date: Date = "",
    *,
    months: Annotated[int, Query(ge=1, le=12)] = 6,
    risk: Annotated[float, Query(ge=0.003, le=0.5)] = 0.02,
) -> Response:
    """What to reserve and between which counts each service should move, month by month."""
    text = await _plan(context, date, months, risk)
    return answer(request, encoded(_optimisation(json.loads(text.content))))


@router.get(
    "/recommendations",
    operation_id="recommendations",
    summary="What should be done",
    response_model=RecommendationsDocument,
    responses=documented(*SLOW, validated=True),
)
async def recommendations(
    request: Request,
    context: Context,
    principal: Asker,
    horizon: Annotated[str, Query(max_length=10, description="now or season")] = "now",
    *,
    date: Date = "",
    months: Annotated[int, Query(ge=1, le=12)] = 6,
    risk: Annotated[float, Query(ge=0.003, le=0.5)] = 0.02,
) -> Response:
    """`now`: what the newest steps wanted, taken or not; `season`: what to buy and to change."""
    if horizon not in ("now", "season"):
        raise wrong("horizon", horizon, "now, season")
    allowed = context.visible(principal)
    if horizon == "now":
        return answer(request, encoded(_now(context, allowed)))
    await context.check(principal, Permission.PREDICT, "")
    content = json.loads((await _plan(context, date, months, risk)).content)
    items = [
        {
            "kind": one["kind"],
            "service": one["service"],
            "before": one["before"],
            "after": one["after"],
            "reason": one["kind"],
            "taken": False,
            "why_not": "",
            "confidence": one["confidence"],
            "evidence": one["evidence"],
            "saving_usd": one["saving_usd"],
            "cost_usd": one["cost_usd"],
        }
        for one in content["recommendations"]
        if one["service"] in ("", *allowed)
    ]
    document = {"horizon": "season", "as_of": content["date"], "items": items}
    return answer(request, encoded(document))


def _now(context: ApiContext, allowed: tuple[str, ...]) -> dict[str, Any]:
    look = context.look()
    rows, _ = context.board.decisions.page(
        None, 500, lambda row: row["service"] in allowed and row["kind"] == "recommendation"
    )
    newest: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if look.time_s - row["time_s"] > HOUR_S:
            break
        newest.setdefault(
            (row["service"], row["reason"]),
            {
                "kind": "scale",
                "service": row["service"],
                "before": row["from_instances"],
                "after": row["to_instances"],
                "reason": row["reason"],
                "taken": row["outcome"] == "taken",
                "why_not": row["why"],
                "confidence": row["confidence"],
                "evidence": row["evidence"],
                "saving_usd": None,
                "cost_usd": None,
            },
        )
    return {"horizon": "now", "as_of": moment(look.time_s), "items": list(newest.values())}


async def _plan(context: ApiContext, date: str, months: int, risk: float) -> EncodedText:
    first = _date(context, date)
    return await context.predictor.ask("plan", first, months, risk)


def _optimisation(plan: Mapping[str, Any]) -> dict[str, Any]:
    chosen = plan["plan"]
    today = plan["alternatives"]["on_demand_usd"]
    return {
        "date": plan["date"],
        "months": plan["months"],
        "risk": plan["risk"],
        "total_usd": chosen["total_usd"],
        "reserved_usd": chosen["reserved_usd"],
        "on_demand_usd": chosen["on_demand_usd"],
        "saving_usd": today - chosen["total_usd"],
        "fits_the_quota": chosen["fits_the_quota"],
        "services": {
            name: {
                key: one[key]
                for key in ("size", "reserved", "minimum", "maximum", "reserved_usd",
                            "on_demand_usd")
            }
            for name, one in chosen["services"].items()
        },
    }  # fmt: skip


def _floors(
    context: ApiContext, prediction: Mapping[str, Any], start_s: float, names: tuple[str, ...]
) -> list[tuple[ManualFloor, Recurrence]]:
    """A floor for each part of the day that needs more than the least, ready at its beginning."""
    floors = []
    specs = context.board.specs
    for begin in range(0, 24, PART_H):
        hours = prediction["hours"][begin : begin + PART_H]
        at = dt.datetime.fromtimestamp(start_s + begin * HOUR_S, dt.UTC)
        schedule = Recurrence(
            cron=f"{at.minute} {at.hour} {at.day} {at.month} *", time_zone="UTC",
            duration_s=PART_H * HOUR_S,
        )  # fmt: skip
        for name in names:
            if name not in hours[0]["services"]:
                continue
            most = max(math.ceil(hour["services"][name]["instances"]) for hour in hours)
            most = min(most, specs[name].max_instances)
            if most > specs[name].min_instances:
                ends_s = start_s + (begin + PART_H) * HOUR_S
                floors.append((ManualFloor(name, most, ends_s), schedule))
    return floors


def _date(context: ApiContext, text: str) -> dt.date:
    if not text:
        tomorrow_s = context.clock_s() + DAY_S
        return dt.datetime.fromtimestamp(tomorrow_s, dt.UTC).date()
    try:
        date = dt.date.fromisoformat(text)
    except ValueError:
        raise wrong("date", text, "YYYY-MM-DD") from None
    if not dt.date(1975, 1, 1) <= date <= dt.date(2088, 1, 1) or text != date.isoformat():
        raise wrong("date", text, "1975-01-01 … 2088-01-01 as YYYY-MM-DD")
    return date


def _check_zone(zone: str) -> None:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        hint = close(zone, sorted(available_timezones()))
        detail = f'zone: "{zone}" is not allowed (an IANA time zone, such as Europe/Rome){hint}'
        raise ProblemError(
            Problem.INVALID, detail, fields=[FieldProblem("zone", detail, "an IANA time zone")]
        ) from None

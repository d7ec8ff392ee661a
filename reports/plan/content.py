"""What a capacity plan says, as data for the page and the text.

Everything is read from `plan.json`, so that the report can be made again at any time.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import rendering
from reports.errors import RecordError
from reports.plan import plots as planning_plots
from reports.tables import TextTable
from reports.wording import compact, count, percent, plural, roughly, usd

KINDS = {
    "reserve_instances": "reserve instances",
    "raise_quota": "raise the quota",
    "raise_min": "raise the minimum",
    "raise_max": "raise the maximum",
    "add_zone": "add a zone",
    "change_instance_size": "change the instance size",
}


@dataclass(frozen=True, slots=True)
class RecommendationLine:
    """A recommendation as a person reads it; `margin` is what it saves, or what else it is for."""

    margin: str
    what: str
    because: str
    facts: str


@dataclass(frozen=True, slots=True)
class PlanTexts:
    """The finished texts."""

    title: str
    eyebrow: str
    headline: str
    about: str
    figures: tuple[tuple[str, str, str], ...]
    recommendations: TextTable
    steps: tuple[RecommendationLine, ...]
    alternatives: TextTable
    limits: TextTable
    forecast: TextTable
    need: TextTable
    peak_days: TextTable
    ladder: TextTable
    checks: tuple[str, ...]
    notes: tuple[str, ...]
    command: str


def load(folder: Path) -> dict[str, Any]:
    """Read a plan; raises RecordError naming what is missing or malformed."""
    path = folder / "plan.json"
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    if not isinstance(content, dict) or content.get("kind") != "plan":
        raise RecordError(f"{path}: is no plan")
    return content


def render(folder: Path) -> dict[str, str]:
    """The pages of the plan in `folder`: name and text of each."""
    content = load(folder)
    texts = tell(content)
    page = rendering.page("plan", texts=texts, plots=planning_plots.draw(content))
    return {"report.html": page, "report.md": rendering.text("plan", texts=texts)}


def tell(content: dict[str, Any]) -> PlanTexts:
    """Say it."""
    months = content["months"]
    return PlanTexts(
        title="Capacity plan",
        eyebrow=f"{_month(months[0])} – {_month(months[-1])} · made on "
        f"{_day(content['date'])} · risk {roughly(content['risk'])} a month · "
        f"seed {content['seed']}",
        headline=_headline(content),
        about=f"{count(content['simultaneous'])} weddings at once at the busiest instant of the "
        "year before; prices "
        f"{content['pricing']}; figures over {count(content['paths'])} ways in which the season "
        "may go.",
        figures=tuple(_figures(content)),
        recommendations=_recommendations(content),
        steps=tuple(_steps(content)),
        alternatives=_alternatives(content),
        limits=_limits(content),
        forecast=_forecast(content),
        need=_need(content),
        peak_days=_peak_days(content),
        ladder=_ladder(content),
        checks=tuple(_checks(content)),
        notes=tuple(_notes(content)),
        command=content["command"],
    )


def _headline(content: dict[str, Any]) -> str:
    total = content["plan"]["total_usd"]
    on_demand = content["alternatives"]["on_demand_usd"]
    saved = 1.0 - total / on_demand if on_demand > 0.0 else 0.0
    text = f"{usd(total)} for {plural(content['horizon_months'], 'month')}"
    if saved > 0.0:
        text += f", {roughly(saved)} less than all on demand with today's instances"
    elif saved < 0.0:
        text += f", {roughly(-saved)} more than all on demand, which does not fit the limits"
    text += "."
    ladder = content["bottlenecks"]["ladder"]
    if ladder:
        first = ladder[0]
        expected = content["bottlenecks"]["expected_at_once"]
        text += f" {_opening(_what(first))} gives way first, at {compact(first['lost'])} weddings"
        text += f" at once; {compact(expected)} are expected."
    return text


def _figures(content: dict[str, Any]) -> Iterable[tuple[str, str, str]]:
    plan, forecast = content["plan"], content["forecast"]
    yield "plan", usd(plan["total_usd"]), f"of it reserved {usd(plan['reserved_usd'])}"
    yield (
        "all on demand",
        usd(content["alternatives"]["on_demand_usd"]),
        "today's instance sizes, same limits",
    )
    yield (
        "weddings at once",
        compact(content["bottlenecks"]["expected_at_once"]),
        f"growth {roughly(forecast['growth_per_year'])} a year",
    )
    quota = "no quota set" if content["quota"] is None else f"quota {count(content['quota'])}"
    yield "instances, all limits", count(plan["quota"]), quota


def _recommendations(content: dict[str, Any]) -> TextTable:
    rows = [
        (
            f"{KINDS[item['kind']]}: {item['service'] or 'all services'}",
            _change(item),
            _money(item["cost_usd"]),
            _money(item["saving_usd"], signed=True),
            roughly(item["confidence"]),
            _evidence(item, content),
        )
        for item in content["recommendations"]
    ]
    headings = ("what", "from → to", "cost", "saving", "confidence", "because")
    return TextTable(headings, tuple(rows), (False, True, True, True, True, False))


def _steps(content: dict[str, Any]) -> Iterable[RecommendationLine]:
    for item, row in zip(content["recommendations"], _recommendations(content).rows, strict=True):
        what, change, cost, saving, confidence, because = row
        facts = [f"costs {cost}"] if item["cost_usd"] else []
        facts.append(f"confidence {confidence}")
        margin = saving if item["saving_usd"] else "for the SLO"
        yield RecommendationLine(margin, f"{what}, {change}", because, " · ".join(facts))


def _money(value: float, *, signed: bool = False) -> str:
    return usd(value, signed=signed) if value else "–"


def _change(item: dict[str, Any]) -> str:
    if item["kind"] == "change_instance_size":
        return f"1 → {item['after']:g} ×"
    return f"{count(item['before'])} → {count(item['after'])}"


def _evidence(item: dict[str, Any], content: dict[str, Any]) -> str:
    figures = item["evidence"]
    match item["kind"]:
        case "reserve_instances":
            return (
                f"the last of them is needed {percent(figures['last_one_used_share_of_hours'])} "
                f"of the hours, the next {percent(figures['next_one_used_share_of_hours'])}; "
                f"a reservation pays above {percent(figures['break_even_share_of_hours'])}"
            )
        case "raise_quota":
            text = (
                f"the limits take {count(item['after'])}; "
                f"{percent(figures['exceeded_in_share_of_seasons'])} of the seasons need more "
                "than the quota"
            )
            if figures["fits_with_other_sizes"]:
                return f"{text}; other instance sizes fit into it, for more money"
            return f"{text}; no instance size fits into it"
        case "raise_min":
            return (
                f"{count(figures['reserved'])} are paid for anyway; below that the load would be "
                f"for {count(figures['hours_below'])} hours"
            )
        case "raise_max":
            month = _month(content["months"][round(figures["worst_month"])])
            return (
                f"{percent(figures['exceeded_in_share_of_seasons'])} of the seasons need more, "
                f"most often in {month} ({percent(figures['worst_month_exceeded_share'])})"
            )
        case "add_zone":
            return (
                f"what is kept to spare falls from {roughly(figures['spare_share_before'])} to "
                f"{roughly(figures['spare_share_after'])}"
            )
        case _:
            text = (
                f"{count(figures['slots_before'])} → {count(figures['slots_after'])} slots each, "
                f"at most {count(figures['most_instances_after'])} instances instead of "
                f"{count(figures['most_instances_before'])}"
            )
            if not figures["today_fits_the_limit"]:
                return f"{text}; today's do not fit the service's limit"
            return text if item["saving_usd"] > 0.0 else f"{text}, to fit into the quota"


def _alternatives(content: dict[str, Any]) -> TextTable:
    plan = content["plan"]["total_usd"]
    others = content["alternatives"]
    rows = [("this plan", usd(plan), "1")]
    for name, key in (
        ("all on demand, autoscaled", "on_demand_usd"),
        ("fixed fleet for the highest month, reserved", "static_reserved_usd"),
        ("fixed fleet for the highest month, on demand", "static_on_demand_usd"),
    ):
        ratio = f"{others[key] / plan:.3g}" if plan > 0.0 else "–"
        rows.append((name, usd(others[key]), ratio))
    return TextTable(("what", "cost", "× this plan"), tuple(rows), (False, True, True))


def _limits(content: dict[str, Any]) -> TextTable:
    rows = []
    for name, service in content["plan"]["services"].items():
        rows.append(
            (
                name,
                f"{service['size']:g} ×",
                count(service["reserved"]),
                _range(service["minimum"]),
                *(count(value) for value in service["maximum"]),
                usd(service["reserved_usd"] + sum(service["on_demand_usd"])),
            )
        )
    months = tuple(f"max {_month(name)[:3]}" for name in content["months"])
    headings = ("service", "size", "reserved", "min", *months, "cost")
    return TextTable(headings, tuple(rows), (False, *(True,) * (len(headings) - 1)))


def _forecast(content: dict[str, Any]) -> TextTable:
    rows = [
        (
            _month(month["month"]),
            _interval(month["weddings"]),
            roughly(month["booked"] / month["weddings"]["q50"])
            if month["weddings"]["q50"] > 0.0
            else "–",
            _interval(month["at_once"]),
            *(_interval(service["rate"]) for service in month["services"].values()),
        )
        for month in content["forecast"]["monthly"]
    ]
    services = tuple(f"{name}, 1/s" for name in content["plan"]["services"])
    headings = ("month", "weddings", "booked", "most at once", *services)
    return TextTable(headings, tuple(rows), (False, *(True,) * (len(headings) - 1)))


def _need(content: dict[str, Any]) -> TextTable:
    rows = [
        (
            _month(month["month"]),
            *(_interval(service["instances"], count) for service in month["services"].values()),
        )
        for month in content["forecast"]["monthly"]
    ]
    headings = ("month", *content["plan"]["services"])
    return TextTable(headings, tuple(rows), (False, *(True,) * (len(headings) - 1)))


def _peak_days(content: dict[str, Any]) -> TextTable:
    rows = [
        (
            f"{dt.date.fromisoformat(day['date']):%a} {_day(day['date'])}",
            _interval(day["weddings"]),
            roughly(day["booked"] / day["weddings"]["q50"]) if day["weddings"]["q50"] else "–",
        )
        for day in content["forecast"]["peak_days"]
    ]
    return TextTable(("day", "weddings", "booked"), tuple(rows), (False, True, True))


def _ladder(content: dict[str, Any]) -> TextTable:
    rows = [
        (
            _what(rung),
            _limit(rung),
            compact(rung["safe"]),
            compact(rung["lost"]),
            f"{compact(rung['lost_low'])} … {compact(rung['lost_high'])}",
        )
        for rung in content["bottlenecks"]["ladder"]
    ]
    headings = ("service", "limit", "reserve used up above", "SLO lost above", "10 – 90 % of days")
    return TextTable(headings, tuple(rows), (False, False, True, True, True))


def _checks(content: dict[str, Any]) -> Iterable[str]:
    bottlenecks = content["bottlenecks"]
    if not bottlenecks["checked"]:
        yield "Not checked in the twin (check=false)."
        return
    for check in bottlenecks["checks"]:
        name = _what(check)
        if check["below"] is None:
            yield f"{name}: not checked, {check['why_not']}."
            continue
        below, above = check["below"], check["above"]
        verdict = "Confirmed" if check["confirmed"] else "Not confirmed"
        yield (
            f"{verdict}: {name}, predicted at {count(check['predicted'])} weddings at once. With "
            f"{count(below['weddings'])} the twin {_saw(below, check['service'])}; with "
            f"{count(above['weddings'])} it {_saw(above, check['service'])}."
        )
    plan = bottlenecks["plan"]
    answer = plan["answer"]
    kept = "kept its SLO" if plan["kept"] else "missed its SLO"
    yield (
        f"The plan's own limits, on the busiest hours of the worst season that they are meant for "
        f"({_day(plan['date'])}, {count(answer['weddings'])} weddings at once, requests per person "
        + ", ".join(f"{name} × {value:.2f}" for name, value in plan["response"].items())
        + f"): the twin {kept}, {percent(answer['violation_ratio'])} of the users' requests were "
        "too slow or failed."
    )


def _saw(answer: dict[str, Any], service: str) -> str:
    first = answer["first_lost"]
    seen = answer["services"].get(service or first)
    if not first or (service and not seen["bad_minutes"]):
        return "kept the SLO in every minute"
    missed = f"missed it for {plural(seen['bad_minutes'], 'minute')} at {service or first}"
    return missed if first == service or not service else f"{missed}, after {first}"


def _notes(content: dict[str, Any]) -> Iterable[str]:
    yield (
        "The earlier seasons are drawn, not measured: growth, moving holidays, weather and "
        "bookings after conf/seasons. The forecast sees of them what a platform would know on the "
        "day of planning: weddings that took place, measured load, and the calendar so far."
    )
    worst = max(content["plan"]["exceeded"])
    yield (
        f"Limits are the lowest that suffice in all but {roughly(content['risk'])} of the ways "
        "that a month may go, all services together. On as many other ways, a limit was exceeded "
        f"in {roughly(sum(content['plan']['exceeded']) / len(content['plan']['exceeded']))} of "
        f"them on average, in {roughly(worst)} in the worst month."
    )
    yield (
        "A reserved instance pays off if it is needed for more hours than its price buys on "
        "demand; the base is the number of those. Sizes are chosen together, within the quota, by "
        "an integer programme solved to optimality."
    )
    yield (
        "Confidence is the share of the ways in which the recommendation turns out right, while "
        "prices that are assumptions range over what is plausible: it saved money, or the new "
        "limit sufficed all season; of a minimum, the share of the hours in which that many are "
        "needed anyway. What keeps the SLO has no saving. Adding a zone is not part of the plan's "
        "cost."
    )
    yield (
        "“Reserve used up”: the engine no longer gets all that it wants to have (a zone to spare, "
        "room for noise); the SLO is kept as long as nothing fails. People respond differently "
        "from day to day; the interval says by how much that moves the limit. The days in the "
        "twin respond as expected."
    )


def _opening(name: str) -> str:
    """A name at the beginning of a sentence: services are written as they are."""
    return f"T{name[1:]}" if name.startswith("the ") else name


def _what(rung: dict[str, Any]) -> str:
    return rung["service"] or ("the quota" if rung["limit"] == "quota" else "the budget")


def _limit(rung: dict[str, Any]) -> str:
    match rung["limit"]:
        case "quota":
            return f"quota of {count(rung['allowed'])} instances"
        case "budget":
            return f"{usd(rung['allowed'])} per hour"
        case "stateful":
            return f"stateful, at most {count(rung['allowed'])} instances"
        case _:
            return f"at most {count(rung['allowed'])} instances"


def _interval(quantiles: dict[str, float], shown: Any = compact) -> str:
    low, middle, high = (shown(quantiles[q]) for q in ("q10", "q50", "q90"))
    return middle if low == middle == high else f"{middle} ({low} … {high})"


def _range(values: list[float]) -> str:
    low, high = count(min(values)), count(max(values))
    return low if low == high else f"{low} … {high}"


def _month(name: str) -> str:
    return f"{dt.date.fromisoformat(f'{name}-01'):%b %Y}"


def _day(iso: str) -> str:
    date = dt.date.fromisoformat(iso)
    return f"{date.day} {date:%B %Y}"

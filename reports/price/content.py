"""What the prices of the rules say, as data for the page and the text.

Everything is read from `price.json`, so that the report can be made again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports import rendering
from reports.drawing.svg import Plot
from reports.errors import RecordError
from reports.price import plots
from reports.tables import TextTable
from reports.wording import GAP, NOTHING, count, moment, percent, plural, usd

VERDICTS: Mapping[str, str] = {
    "pays": "✓ pays",
    "costs": "○ costs, saves nothing here",
    "harms": "✗ does harm here",
    "trades": "± saves one, costs another",
    "nothing": "– makes no difference",
    "unsure": "? the seeds do not agree",
}
CONTESTANTS = ("clairvoyant", "clairvoyant_within_rules", "engine")
VIOLATION, MINUTES = "slo.violation_ratio", "slo.violation_minutes"
READY, REVERSALS = "prescaling.ready_share", "decision.reversals"


@dataclass(frozen=True, slots=True)
class PricedPlace:
    """One place: the contestants, the waterfall, each rule by itself and against its fault."""

    name: str
    anchor: str
    description: str
    summary: str
    plot: Plot
    contestants: TextTable
    rules: TextTable
    threats: TextTable | None


@dataclass(frozen=True, slots=True)
class PriceTexts:
    """The finished texts."""

    title: str
    eyebrow: str
    headline: str
    places: tuple[PricedPlace, ...]
    catalogue: TextTable
    notes: tuple[str, ...]
    command: str


def load(folder: Path) -> dict[str, Any]:
    """Read the prices; raises RecordError naming what is missing or malformed."""
    path = folder / "price.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except OSError as error:
        raise RecordError(f"{error.filename or path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error
    return content


def render(folder: Path) -> dict[str, str]:
    """The pages of the prices in `folder`: name and text of each."""
    texts = tell(load(folder))
    page = rendering.page("price", texts=texts)
    return {"report.html": page, "report.md": rendering.text("price", texts=texts)}


def tell(content: dict[str, Any]) -> PriceTexts:
    """Say it."""
    return PriceTexts(
        title="What the engine's rules cost and save",
        eyebrow=f"{plural(len(content['rules']), 'rule')} · "
        f"{plural(len(content['places']), 'place')} · {plural(content['seeds'], 'seed')} · "
        f"{moment(content['started_at'])}",
        headline=_headline(content),
        places=tuple(_place(place, number) for number, place in enumerate(content["places"], 1)),
        catalogue=_catalogue(content),
        notes=tuple(_notes(content)),
        command=content["command"],
    )


def _headline(content: dict[str, Any]) -> str:
    text = ""
    for place in content["places"]:
        ratios = place["ratios"]
        text += (
            f"{place['name']}: the engine pays {ratios['clairvoyant']['mean']:.3f} times what "
            f"clairvoyance costs, and {ratios['clairvoyant_within_rules']['mean']:.3f} times what "
            "clairvoyance within the same rules costs. "
        )
    if content["idle"]:
        verb = "cost and save" if len(content["idle"]) > 1 else "costs and saves"
        return f"{text}{_listed(content['idle'])} {verb} nothing anywhere."
    return f"{text}Each rule makes a difference somewhere."


def _place(place: dict[str, Any], number: int) -> PricedPlace:
    dearest = max(place["rules"], key=lambda name: place["rules"][name]["usd_a_day"]["mean"])
    price = place["rules"][dearest]
    summary = (
        f"The dearest rule by itself is {_name(dearest)}: "
        f"{usd(price['usd_a_day']['mean'], signed=True)} a day, "
        f"{_percent(price['share']['mean'])} of the bill."
    )
    return PricedPlace(
        name=place["name"],
        anchor=f"place-{number}",
        description=place["description"],
        summary=summary,
        plot=plots.waterfall(place, number),
        contestants=_contestants(place),
        rules=_rules(place["rules"]),
        threats=_threats(place["threats"]) if place["threats"] else None,
    )


def _contestants(place: dict[str, Any]) -> TextTable:
    rows = []
    for name in CONTESTANTS:
        own = place["contestants"][name]
        ratio = place["ratios"].get(name)
        rows.append(
            (
                _name(name) + ("" if name == "engine" else " (bound)"),
                _spread(own["usd_a_day"], usd),
                "" if ratio is None else _spread(ratio, lambda x: f"{x:.3f}"),
                _spread(own[VIOLATION], percent),
                _spread(own[MINUTES], lambda x: f"{x:.3g}"),
                _mean(own[READY], percent),
                _mean(own[REVERSALS], count),
            )
        )
    headings = (
        "contestant", "USD a day", "engine ÷ it", "SLO violations", "minutes of breach",
        "major events with all ready", "reversals",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, *(True,) * 6))


def _rules(rules: Mapping[str, Any]) -> TextTable:
    rows = [(_name(name), *_worth(one)) for name, one in rules.items()]
    headings = (
        "rule", "costs, USD a day", "of the bill", "saves violations, points", "minutes of breach",
        "readiness, points", "reversals",
    )  # fmt: skip
    return _with_ceremonies(headings, rows, rules)


def _threats(threats: Mapping[str, Any]) -> TextTable:
    rows = [
        (
            _name(name),
            VERDICTS[one["verdict"]],
            _share(one["share"]),
            f"{_mean(one['with'][VIOLATION], percent)} ← "
            f"{_mean(one['without'][VIOLATION], percent)}",
            _points(one["violations_saved"]),
            _spread(one["minutes_saved"], lambda x: f"{x:+.3g}"),
            _points(one["readiness_gained"]),
        )
        for name, one in threats.items()
    ]
    headings = (
        "rule", "where its fault comes true", "costs, of the bill",
        "violations with ← without", "saves, points", "minutes of breach", "readiness, points",
    )  # fmt: skip
    return _with_ceremonies(headings, rows, threats, left=2)


def _with_ceremonies(
    headings: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    worth: Mapping[str, Any],
    *,
    left: int = 1,
) -> TextTable:
    """The table, with the ceremonies that were not cut where a platform tells of any.

    Numbers begin in column `left`.
    """
    saved = [one.get("ceremonies_saved") for one in worth.values()]
    if any(one is not None for one in saved):
        headings = (*headings, "ceremonies kept whole, a day")
        rows = [
            (*row, _spread(one, lambda x: f"{x:+,.0f}"))
            for row, one in zip(rows, saved, strict=True)
        ]
    numbers = len(headings) - left
    return TextTable(headings, tuple(rows), (*(False,) * left, *(True,) * numbers))


def _worth(one: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        _usd(one["usd_a_day"]),
        _share(one["share"]),
        _points(one["violations_saved"]),
        _spread(one["minutes_saved"], lambda x: f"{x:+.3g}"),
        _points(one["readiness_gained"]),
        _spread(one["reversals_saved"], lambda x: f"{x:+.3g}"),
    )


def _catalogue(content: dict[str, Any]) -> TextTable:
    rows = []
    for name, rule in content["rules"].items():
        settings = [
            *(f"{key} = {value}" for key, value in rule["engine"].items()),
            *(f"{key} = {value} of each service" for key, value in rule["each_service"].items()),
        ]
        rows.append((_name(name), rule["says"], ", ".join(settings), rule["threat"]))
    headings = ("rule", "what it does", "turned off by", "protects against")
    return TextTable(headings, tuple(rows), (False,) * 4)


def _notes(content: dict[str, Any]) -> Iterable[str]:
    if content["seeds"] == 1:
        yield "One seed: there are no intervals, and verdicts are those of one day. Run more seeds."
    yield (
        "All variants meet the same weddings, arrivals, boots and faults with each seed; "
        "differences are taken seed by seed, intervals are 95 %."
    )
    yield (
        "By itself: the engine with all rules against the engine without this one. In the "
        "waterfall: on top of the rules above it, in that order, so that the steps add up; a rule "
        "that another one covers shows little by itself and more, or less, in its place."
    )
    yield (
        "The clairvoyant knows the load and each boot. The clairvoyant within the rules knows the "
        "same and keeps the spare zone, the ceiling, the floor, the protection, steps, rests, "
        "stabilisation and minima. Both know no faults, and are no bounds where one comes true."
    )
    yield (
        "A rule pays if it saves violations, minutes of breach, readiness, ceremonies or money and "
        "loses none of the first four: with each seed, or so that the interval of the mean "
        "excludes 0."
    )


def _usd(one: Mapping[str, Any]) -> str:
    return _spread(one, lambda value: usd(value, signed=True))


def _share(one: Mapping[str, Any]) -> str:
    return _spread(one, _percent)


def _percent(share: float) -> str:
    return f"{100.0 * share:+.2f}{GAP}%"


def _points(one: Mapping[str, Any] | None) -> str:
    """Percentage points; what no day's requests could show counts as nothing."""
    return _spread(one, lambda x: "0" if abs(100.0 * x) < 5e-6 else f"{100.0 * x:+.2g}")


def _mean(one: Mapping[str, Any] | None, shown: Any) -> str:
    return NOTHING if one is None else str(shown(one["mean"]))


def _spread(one: Mapping[str, Any] | None, shown: Any) -> str:
    if one is None:
        return NOTHING
    text, low, high = (
        None if one[key] is None else str(shown(one[key])).replace("-", "−")
        for key in ("mean", "low", "high")
    )
    assert text is not None
    if low is None or one["high"] == one["low"]:
        return text
    return text if low == high else f"{text}\n({low} … {high})"


def _name(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: list[str]) -> str:
    return ", ".join(_name(name) for name in names)

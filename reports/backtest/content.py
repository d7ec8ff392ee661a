"""What a backtest says, as data for the page and the text.

Everything is read from the backtest's files (`results.json`, `forecasts.parquet`), so that the
report can be made again at any time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from reports import rendering
from reports.backtest import plots as backtest_plots
from reports.backtest.plots import title_of
from reports.errors import RecordError
from reports.tables import TextTable
from reports.wording import GAP, NOTHING, moment

MARKS = {"better": "better", "same": "as good", "worse": "worse"}
PART_NAMES = {
    "all": "all", "event days": "days with events", "event hours": "event hours",
    "other hours": "other hours",
}  # fmt: skip
DAY_PARTS = ("all", "event days")


@dataclass(frozen=True, slots=True)
class BacktestTexts:
    """The finished texts."""

    title: str
    eyebrow: str
    headline: str
    overall: TextTable
    hours: TextTable | None
    pooled: TextTable
    cases: TextTable
    forecasters: TextTable
    skipped: TextTable | None
    notes: tuple[str, ...]
    command: str


def render(folder: Path) -> dict[str, str]:
    """The pages of the backtest in `folder`; raises RecordError for what is malformed."""
    content, forecasts = _load(folder)
    texts = tell(content)
    plots = backtest_plots.draw(content, forecasts)
    page = rendering.page("backtest", texts=texts, plots=plots)
    return {"report.html": page, "report.md": rendering.text("backtest", texts=texts)}


def tell(content: dict[str, Any]) -> BacktestTexts:
    """Say it."""
    cases = content["cases"]
    subject = "the twin's seasons" if content["source"] == "seasons" else content["name"]
    return BacktestTexts(
        title=f"Forecasts of {subject}, backtested",
        eyebrow=f"{len(cases)} series · seed {content['seed']} · {moment(content['started_at'])}",
        headline=_headline(content),
        overall=_overall(content),
        hours=_hours(content),
        pooled=_pooled(content),
        cases=_cases(cases),
        forecasters=_forecasters(cases),
        skipped=_skipped(content["skipped"]),
        notes=tuple(_notes(content)),
        command=content["command"],
    )


def _load(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    path = folder / "results.json"
    try:
        content = json.loads(path.read_text())
        return content, pd.read_parquet(folder / "forecasts.parquet")
    except OSError as error:
        raise RecordError(f"{error.filename or path}: {error.strerror}") from error
    except ValueError as error:
        raise RecordError(f"{path}: {error}") from error


def _headline(content: dict[str, Any]) -> str:
    cases = content["cases"]
    said = []
    for hours, own in content["overall"].items():
        if len(cases) == 1:
            scores = cases[0]["parts"]["all"][hours]
            figures, best = scores["forecasters"], scores["best_other"]
            other = f", {best} {_percent(figures[best]['wape'])}" if best else ""
            said.append(f"{hours} h ahead {_percent(figures[cases[0]['own']]['wape'])}{other}")
            continue
        verdicts = own["verdicts"]
        said.append(
            f"{hours} h ahead better on {verdicts['better']}, as good on {verdicts['same']} and "
            f"worse on {verdicts['worse']} of {own['cases']}"
        )
    lead = "WAPE, and that of the best other one" if len(cases) == 1 else "Against the best others"
    return f"{lead}: {'; '.join(said)}."


def _overall(content: dict[str, Any]) -> TextTable:
    rows = []
    for hours, own in content["overall"].items():
        verdicts = own["verdicts"]
        rows.append(
            (
                f"{hours} h",
                str(own["cases"]),
                str(own["lower_wape"]),
                str(verdicts["better"]),
                str(verdicts["same"]),
                str(verdicts["worse"]),
                _number(own["wape_over_best_other"], 3),
                _percent(own["coverage_80"]),
            )
        )
    headings = (
        "horizon", "series", "lower WAPE", "better", "as good", "worse", "WAPE over best other's",
        "in the 80 % interval",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, *(True,) * 7))


def _hours(content: dict[str, Any]) -> TextTable | None:
    """The own forecasts in event hours and in all others; None where there are no events."""
    rows = []
    for horizon, own in content["overall"].items():
        for part, figures in own.get("hours", {}).items():
            rows.append(
                (
                    f"{horizon} h",
                    PART_NAMES[part],
                    f"{figures['hours']:,.0f}",
                    _percent(figures["coverage_80"]),
                    _percent(figures["above_90"]),
                    _percent(figures["far_too_low"]),
                    _percent(figures["median_wape"]),
                )
            )
    headings = (
        "horizon", "which", "hours", "in the 80 % interval", "above the 90 % quantile",
        "more than 20 % too low", "WAPE",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, False, *(True,) * 5)) if rows else None


def _pooled(content: dict[str, Any]) -> TextTable:
    hours = list(content["overall"])
    names = list(dict.fromkeys(n for own in content["overall"].values() for n in own["pooled"]))
    rows = []
    for name in names:
        gaps = [content["overall"][hour]["pooled"].get(name) for hour in hours]
        rows.append((name, *(_interval(gap) for gap in gaps)))
    headings = ("against", *(f"{hour} h ahead, points (95 %)" for hour in hours))
    return TextTable(headings, tuple(rows), (False, *(True,) * len(hours)))


def _cases(cases: list[dict[str, Any]]) -> TextTable:
    rows = []
    for case in cases:
        for part, by_hours in case["parts"].items():
            if part not in DAY_PARTS:
                continue
            for hours, scores in by_hours.items():
                own = scores["forecasters"][case["own"]]
                best = scores["best_other"]
                other = scores["forecasters"].get(best, {})
                gap = scores["differences"].get(best)
                rows.append(
                    (
                        title_of(case),
                        PART_NAMES[part],
                        f"{hours} h",
                        _percent(own["wape"]),
                        f"{best} {_percent(other.get('wape'))}",
                        _interval(gap),
                        MARKS[scores["verdict"]],
                        _percent(own["coverage_80"]),
                        _number(own["mase"], 2),
                    )
                )
    headings = (
        "series", "days", "horizon", "WAPE", "best other", "difference, points (95 %)", "verdict",
        "in 80 %", "MASE",
    )  # fmt: skip
    return TextTable(
        headings, tuple(rows), (False, False, False, True, False, True, False, True, True)
    )


def _forecasters(cases: list[dict[str, Any]]) -> TextTable:
    """Everybody's figures; of many series the medians."""
    gathered: dict[tuple[str, str, float], list[dict[str, Any]]] = {}
    for case in cases:
        for part, by_hours in case["parts"].items():
            for hours, scores in by_hours.items():
                for name, figures in scores["forecasters"].items():
                    gathered.setdefault((part, name, float(hours)), []).append(figures)
    columns = (
        ("wape", _percent), ("mase", _two), ("pinball", _percent), ("coverage_50", _percent),
        ("coverage_80", _percent), ("coverage_95", _percent), ("width_50", _percent),
        ("width_80", _percent), ("width_95", _percent), ("peak_height", _percent),
        ("peak_time_h", _two), ("above_90", _percent), ("far_too_low", _percent),
    )  # fmt: skip
    rows = []
    for (part, name, hours), all_figures in gathered.items():
        cells = [shown(_median([each[key] for each in all_figures])) for key, shown in columns]
        rows.append((name, PART_NAMES[part], f"{hours:g} h", *cells))
    headings = (
        "forecaster", "hours", "horizon", "WAPE", "MASE", "pinball", "in 50 %", "in 80 %",
        "in 95 %", "width 50 %", "width 80 %", "width 95 %", "peak height", "peak time, h",
        "above 90 %", "20 % too low",
    )  # fmt: skip
    return TextTable(headings, tuple(rows), (False, False, False, *(True,) * 13))


def _skipped(skipped: list[dict[str, str]]) -> TextTable | None:
    rows = tuple((item["file"], item["why"]) for item in skipped)
    return TextTable(("file", "why"), rows, (False, False)) if rows else None


def _notes(content: dict[str, Any]) -> Iterable[str]:
    yield (
        "Rolling origin: each value is forecast from what was known so many hours before it; "
        "models are refitted on the way and never see a later value."
    )
    yield (
        "WAPE is the sum of absolute errors over the sum of values. The difference is own WAPE "
        "less that of the best other one, chosen in hindsight, with a 95 % interval from a "
        "bootstrap of whole days; better or worse means that the interval is clear of zero."
    )
    yield (
        "All series together: each divided by its mean value, days resampled in blocks of three; "
        "services of one day stay together."
    )
    yield (
        "Everybody's intervals come from their own earlier errors in the same way, those of the "
        "forecaster under test apart in event hours. Pinball and widths are shares of the mean "
        "value; peaks are those of each day."
    )
    if _hours(content) is not None:
        yield (
            "Event hours are those of the starts of events and the two hours after, of the seasons "
            "the 24 hours from 08:00 UTC on the busier half of the Saturdays of each test; too low "
            "by more than 20 % is the median forecast, as a share of what came."
        )
    if any(case["events"] for case in content["cases"]):
        yield "“short horizon, no calendar” is the same ensemble without the calendar."
    if content["source"] == "seasons":
        yield (
            "“schedule only” is the booked load as it stood then, with what was known of the "
            "response before the first season. A test is two weeks of each quarter unless asked "
            "otherwise."
        )
    yield f"It took {content['wall_s']:.0f} s."


def _interval(gap: dict[str, Any] | None) -> str:
    if gap is None or gap["mean"] is None:
        return NOTHING
    return " ".join(
        (f"{100 * gap['mean']:+.2f}", f"({100 * gap['low']:+.2f} … {100 * gap['high']:+.2f})")
    )


def _median(values: list[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return float(pd.Series(present).median()) if present else None


def _percent(share: float | None) -> str:
    if share is None:
        return NOTHING
    value = 100.0 * share
    return f"{value:,.{2 if abs(value) < 10.0 else 1}f}{GAP}%"


def _number(value: float | None, digits: int) -> str:
    return NOTHING if value is None else f"{value:.{digits}f}"


def _two(value: float | None) -> str:
    return _number(value, 2)

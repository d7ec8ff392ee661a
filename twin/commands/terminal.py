"""What a person at a terminal sees: a progress bar while it runs, a summary after it.

Both go to stderr, the bar only when that is a terminal; stdout is left to the record's folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from engine.record.schema.summary import (
    Detection,
    Interval,
    Outcome,
    Replications,
    Service,
    Summary,
    Threshold,
)

MOST_SKIPPED = 6


@contextlib.contextmanager
def progress(name: str, duration_s: float) -> Iterator[Callable[[float], None]]:
    """A progress bar over the simulated time; quiet in a pipe."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(name, total=duration_s)
        yield lambda done_s: bar.update(task, completed=done_s)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """Say what takes so long in the very first run."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status("loading kernels (the first run compiles them)"):
        yield


def show(summary: Summary, folder: Path) -> None:
    """The summary as tables, then where the report is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    slo, run = summary.slo, summary.simulation
    peak = summary.weddings.peak_simultaneous
    at_once = f"{peak:,} {summary.noun.many} at once, " if peak else ""
    state = " (interrupted: partial)" if summary.partial else ""
    console.print(
        f"\n[bold]{summary.scenario}[/bold], controller {summary.controller}, "
        f"seed {summary.seed}{state}: {at_once}"
        f"{summary.requests.peak_rate_per_s:,.0f} requests/s at the peak",
        highlight=False,
    )
    console.print(
        f"SLO violations {_shown(slo.violation_ratio, '.5%')}, "
        f"availability {_shown(slo.availability, '.4%')}, "
        f"cost {summary.cost.total_usd:,.2f} USD; {_shown(run.simulated_s, ',.0f')} s simulated in "
        f"{_shown(run.wall_s, '.1f')} s ({_shown(run.speedup, ',.0f')} times real time)",
        highlight=False,
    )
    console.print(_services(summary.services))
    if summary.replications is not None:
        console.print(_replications(summary.replications))
    if summary.detection is not None:
        for line in _detection(summary.detection):
            console.print(line, highlight=False)
    if summary.thresholds:
        console.print(_thresholds(summary.thresholds))
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _detection(detection: Detection) -> Iterator[str]:
    """What the monitor said, and of which faults."""
    yield (
        f"monitor: {detection.findings} findings, {detection.alarms} of them alarms, "
        f"{detection.false_alarms} false"
    )
    for name, fault in detection.faults.items():
        blamed = "blamed right" if fault.blamed_right else "not blamed right"
        how = f"noticed after {fault.after_s:.0f} s, {blamed}" if fault.noticed else "not noticed"
        yield f"  {name}: {how}"


def show_comparison(comparison: dict[str, Any], folder: Path) -> None:
    """Who did how well, then where the report is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    table = Table(box=None, pad_edge=False)
    table.add_column("controller")
    headings = ("violations", "minutes", "USD", "× clairvoyant", "× hpa", "actions", "reversals")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, own in comparison["figures"].items():
        ratios = [
            f"{pair['cost_ratio']['mean']:.3f}" if pair else ""
            for pair in (
                comparison["paired"][name].get(reference) for reference in ("clairvoyant", "hpa")
            )
        ]
        star = " *" if name in comparison["pareto"] else ""
        table.add_row(
            f"{name}{star}",
            f"{own['slo.violation_ratio']['mean']:.4%}",
            f"{own['slo.violation_minutes']['mean']:.1f}",
            f"{own['cost.total_usd']['mean']:,.0f}",
            *ratios,
            f"{own['decision.actions']['mean']:,.0f}",
            f"{own['decision.reversals']['mean']:,.0f}",
        )
    console.print(
        f"\n[bold]{comparison['scenario']}[/bold], seed {comparison['seed']}, "
        f"{comparison['replications']} replications; * nobody is both cheaper and better",
        highlight=False,
    )
    console.print(table)
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def show_price(content: dict[str, Any], folder: Path) -> None:
    """What each rule costs by itself, and whether it pays against its fault."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    for place in content["places"]:
        ratios = place["ratios"]
        console.print(
            f"\n[bold]{place['name']}[/bold]: the engine costs "
            f"{ratios['clairvoyant']['mean']:.3f} × the clairvoyant, "
            f"{ratios['clairvoyant_within_rules']['mean']:.3f} × the one within the rules",
            highlight=False,
        )
        table = Table(box=None, pad_edge=False)
        table.add_column("rule")
        for heading in ("USD a day", "share", "violations saved", "against its fault"):
            table.add_column(heading, justify="right")
        for name, one in place["rules"].items():
            threat = place["threats"].get(name)
            table.add_row(
                name,
                f"{one['usd_a_day']['mean']:+,.2f}",
                f"{one['share']['mean']:+.2%}",
                f"{one['violations_saved']['mean']:+.4%}",
                "" if threat is None else threat["verdict"],
            )
        console.print(table)
        for name, one in place["rules"].items():
            for where, own in (("", one), (" against its fault", place["threats"].get(name))):
                if own is not None and own["ceremonies_saved"] is not None:
                    console.print(
                        f"{name}{where}: {own['ceremonies_saved']['mean']:+,.0f} ceremonies a day "
                        f"kept whole for {own['usd_a_day']['mean']:+,.2f} USD",
                        highlight=False,
                        soft_wrap=True,
                    )
    if content["idle"]:
        console.print(f"cost and save nothing anywhere: {', '.join(content['idle'])}")
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def show_backtest(content: dict[str, Any], folder: Path) -> None:
    """How well the forecasts did, then where the report is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    table = Table(box=None, pad_edge=False)
    table.add_column("horizon")
    headings = ("series", "WAPE", "best other", "ratio", "better", "as good", "worse", "in 80 %")
    for heading in headings:
        table.add_column(heading, justify="right")
    owns = {case["own"] for case in content["cases"]}
    for hours, own in content["overall"].items():
        others = [value for name, value in own["median_wape"].items() if name not in owns]
        table.add_row(
            f"{hours} h",
            f"{own['cases']:,}",
            f"{own['own_median_wape']:.1%}",
            f"{min(others, default=float('nan')):.1%}",
            f"{own['wape_over_best_other']:.3f}",
            *(f"{own['verdicts'][key]:,}" for key in ("better", "same", "worse")),
            f"{own['coverage_80']:.1%}",
        )
    platform = f"{content['platform']}, " if content["platform"] else ""
    console.print(
        f"\n[bold]{content['name']}[/bold], {platform}seed {content['seed']}: WAPE is the "
        "median over the series; the rest compares with the best of the others on each series",
        highlight=False,
    )
    console.print(table)
    _show_hours(console, content)
    for item in content["skipped"][:MOST_SKIPPED]:
        console.print(f"left out: {item['file']}: {item['why']}", highlight=False, markup=False)
    more = len(content["skipped"]) - MOST_SKIPPED
    if more > 0:
        console.print(f"left out: {more} more, see results.json", highlight=False)
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def _show_hours(console: Console, content: dict[str, Any]) -> None:
    """The own forecasts in event hours and in all others, where there are events."""
    table = Table(box=None, pad_edge=False)
    table.add_column("horizon")
    table.add_column("which")
    for heading in ("hours", "in 80 %", "above 90 %", "20 % too low", "WAPE"):
        table.add_column(heading, justify="right")
    for horizon, own in content["overall"].items():
        for part, figures in own["hours"].items():
            table.add_row(
                f"{horizon} h",
                part,
                f"{figures['hours']:,.0f}",
                *(f"{figures[key]:.1%}" for key in ("coverage_80", "above_90", "far_too_low")),
                f"{figures['median_wape']:.1%}",
            )
    if table.row_count:
        console.print(table)


def show_plan(plan: dict[str, Any], folder: Path) -> None:
    """What to buy and what gives way first, then where the report is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    own, others = plan["plan"], plan["alternatives"]
    console.print(
        f"\n[bold]plan[/bold] for a platform of {plan['simultaneous']:,} weddings at once, from "
        f"{plan['date']}, {plan['horizon_months']} months, risk "
        f"{plan['risk']:.1%} a month: {own['total_usd']:,.0f} USD "
        f"(all on demand {others['on_demand_usd']:,.0f}, "
        f"fixed fleet {min(others['static_reserved_usd'], others['static_on_demand_usd']):,.0f})",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("service")
    for heading in ("size", "reserved", "min", "max", "USD"):
        table.add_column(heading, justify="right")
    for name, service in own["services"].items():
        table.add_row(
            name,
            f"{service['size']:g}",
            f"{service['reserved']:,}",
            f"{min(service['minimum']):,}",
            f"{max(service['maximum']):,}",
            f"{service['reserved_usd'] + sum(service['on_demand_usd']):,.0f}",
        )
    console.print(table)
    for rung in plan["bottlenecks"]["ladder"][:1]:
        console.print(
            f"gives way first: {rung['service'] or rung['limit']} at {rung['lost']:,.0f} weddings "
            f"at once ({plan['bottlenecks']['expected_at_once']:,.0f} expected)",
            highlight=False,
        )
    for check in plan["bottlenecks"].get("checks", ()):
        verdict = "confirmed" if check["confirmed"] else check["why_not"] or "not confirmed"
        console.print(f"the twin on {check['service'] or check['limit']}: {verdict}")
    console.print(f"report: {folder / 'report.html'}", highlight=False, soft_wrap=True)


def show_evidence(results: Mapping[str, Any], folder: Path) -> None:
    """Each claim's outcome, then where the page is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    table = Table(box=None, pad_edge=False)
    for heading in ("", "claim", "outcome", "result", "limit"):
        table.add_column(heading)
    for name, claim in results["claims"].items():
        figures = claim["figures"]
        table.add_row(
            name,
            claim["title"],
            claim["outcome"],
            "\n".join(f"{f['name']} {_shown(f['value'], '.4g')}" for f in figures)
            or claim["reason"],
            "\n".join(f"{f['operator']} {f['limit']:g}" for f in figures),
        )
    console.print(f"\n[bold]{results['verdict']}[/bold]", highlight=False)
    console.print(table)
    console.print(f"page: {folder / 'evidence.html'}", highlight=False, soft_wrap=True)


def show_errors(
    horizons_s: Sequence[float], errors: Mapping[str, Sequence[float]], path: Path
) -> None:
    """How far off the learned forecasts were on the days that they were learned from."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    table = Table(box=None, pad_edge=False)
    table.add_column("usual error (log-sd)")
    for horizon_s in horizons_s:
        table.add_column(f"{horizon_s / 60.0:.0f} min", justify="right")
    for name, own in errors.items():
        table.add_row(name, *(f"{error:.1%}" for error in own))
    console.print(table)
    console.print(f"use it: engine.forecast.artefact={path}", highlight=False, soft_wrap=True)


def _width() -> int | None:
    return None if Console(stderr=True).is_terminal else 110


def _shown(figure: float | None, form: str) -> str:
    return "–" if figure is None else format(figure, form)


def _services(services: Mapping[str, Service]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("service", no_wrap=True)
    headings = ("p50 ms", "p95 ms", "SLO ms", "cpu", "most", "inst-h", "USD", "short")
    for heading in headings:
        table.add_column(heading, justify="right")
    for name, own in services.items():
        table.add_row(
            name,
            _shown(None if own.p50_s is None else 1000 * own.p50_s, ",.0f"),
            _shown(None if own.p95_s is None else 1000 * own.p95_s, ",.0f"),
            f"{1000 * own.slo_p95_s:,.0f}",
            _shown(own.cpu_mean, ".0%"),
            f"{own.instances_max:,}",
            f"{own.instance_hours:,.0f}",
            f"{own.cost_usd:,.2f}",
            _shown(own.under_provisioned_share, ".2%"),
        )
    return table


def _replications(over: Replications) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in (f"over {over.count} replications", "mean", "95 % interval", "range"):
        table.add_column(heading, justify="left" if not table.columns else "right")
    for label, interval in {
        "SLO violation ratio": over.slo.get("violation_ratio"),
        "availability": over.slo.get("availability"),
        "cost, USD": over.cost.get("total_usd"),
        "actions": over.decision.get("actions"),
    }.items():
        if isinstance(interval, Interval):
            between = f"{_shown(interval.low, ',.6g')} … {_shown(interval.high, ',.6g')}"
            table.add_row(
                label,
                f"{interval.mean:,.6g}",
                "–" if interval.low is None else between,
                f"{interval.min:,.6g} … {interval.max:,.6g}",
            )
    return table


OUTCOMES: Mapping[Outcome, str] = {
    "passed": "[green]✓ passed[/green]",
    "failed": "[red]✗ FAILED[/red]",
    "not judged": "[yellow]○ not judged[/yellow]",
}


def _thresholds(thresholds: Sequence[Threshold]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("", "threshold", "value", "limit"):
        table.add_column(heading)
    for threshold in thresholds:
        value = "none" if threshold.value is None else f"{threshold.value:.6g}"
        table.add_row(
            OUTCOMES[threshold.outcome],
            threshold.metric,
            value,
            f"{threshold.operator} {threshold.limit:g}",
        )
    return table


def show_forecast(content: dict[str, Any], folder: Path) -> None:
    """What a forecast says, table by table, then where the report is."""
    console = Console(stderr=True, width=None if "COLUMNS" in os.environ else _width())
    # Soft: the first line, which says what for, stays one line at any width.
    console.print(f"\n[bold]{content['title']}[/bold]", highlight=False, soft_wrap=True)
    console.print(content["headline"], highlight=False, markup=False)
    for shown in content["tables"]:
        console.print(f"\n{shown['name']}", highlight=False, markup=False)
        table = Table(box=None, pad_edge=False)
        for heading, numeric in zip(shown["headings"], shown["numeric"], strict=True):
            table.add_column(heading, justify="right" if numeric else "left")
        for row in shown["rows"]:
            table.add_row(*row)
        console.print(table)
    for note in content["notes"]:
        # Soft: a path in it stays whole.
        console.print(f"- {note}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"report: {folder / 'report.html'}", highlight=False, markup=False, soft_wrap=True
    )

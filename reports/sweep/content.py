"""What a sweep gave: its runs in one table, and cost against violations of all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from reports import rendering
from reports.compare import plots as comparison_plots
from reports.errors import RecordError
from reports.tables import TextTable
from reports.wording import count, percent, plural, usd

SHOWN = {
    "slo.violation_ratio": ("SLO violations", percent),
    "slo.violation_minutes": ("violation minutes", lambda value: f"{value:.3g}"),
    "cost.total_usd": ("cost", usd),
    "decision.actions": ("actions", count),
}
MOST_ROWS = 500


def render(folder: Path) -> dict[str, str]:
    """The pages of the sweep in `folder`: name and text of each."""
    path = folder / "sweep.parquet"
    try:
        runs = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RecordError(f"{path}: {error}") from error
    varied = [
        name for name in runs.columns
        if name not in ("record", "experiment") and not _is_figure(runs[name])
        and runs[name].nunique() > 1
    ]  # fmt: skip
    runs = runs.sort_values([*varied, "cost.total_usd"], kind="stable")
    table = _table(runs.head(MOST_ROWS), varied)
    title = f"Sweep {folder.name}"
    lede = f"{plural(len(runs), 'run')} over {', '.join(varied) or 'one configuration'}."
    if len(runs) > MOST_ROWS:
        lede += f" The first {MOST_ROWS} are shown; sweep.csv has all."
    plot = comparison_plots.scatter(runs["cost.total_usd"], runs["slo.violation_ratio"])
    return {
        "report.html": rendering.page("sweep", title=title, lede=lede, table=table, plot=plot),
        "report.md": rendering.text("sweep", title=title, lede=lede, table=table),
    }


def _is_figure(column: pd.Series) -> bool:
    return not any(isinstance(value, str) for value in column)


def _table(runs: pd.DataFrame, varied: list[str]) -> TextTable:
    rows = [
        (
            *(str(row[name]) for name in varied),
            *(shown(row[figure]) for figure, (_, shown) in SHOWN.items()),
        )
        for row in _rows(runs)
    ]
    headings = (*varied, *(heading for heading, _ in SHOWN.values()))
    return TextTable(headings, tuple(rows), (*(False,) * len(varied), *(True,) * len(SHOWN)))


def _rows(runs: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in runs.to_dict("records")]

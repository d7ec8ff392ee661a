"""Reports: what a run record looks like to a person, to a pull request and to a build server.

    from reports import write
    write(Path("outputs/june_peak/20261124T030000Z-engine-1"))

adds `report.html`, `report.md` and `junit.xml` to the record's folder.  Everything is read from the
record's files, nothing from a running simulation or engine, so that a report can be made again at
any time (`python -m reports FOLDER`), also of a live run, and says the same each time.

Each kind of report has a folder here, whose `content.render(folder)` returns its pages.  All of
them draw with `drawing/`; the templates of their pages and Markdown texts are in `templates/`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

from reports.errors import RecordError

__all__ = [
    "RecordError",
    "prepare",
    "write",
    "write_backtest",
    "write_comparison",
    "write_evidence",
    "write_evidence_page",
    "write_forecast",
    "write_hindcast",
    "write_plan",
    "write_price",
    "write_sweep",
    "write_validation",
    "write_whatever",
]  # fmt: skip

MARKS = {
    "statement.json": "evidence",  # first: a bundle has a results.json and a plan.json too
    "comparison.json": "compare",
    "price.json": "price",
    "plan.json": "plan",
    "results.json": "backtest",
    "forecast.json": "forecast",
    "hindcast.json": "hindcast",
    "validation.json": "validation",
    "sweep.parquet": "sweep",
}
"""File by which a folder is known → the report that it gets."""


def write_whatever(folder: Path) -> Path:
    """Write the reports of `folder`, whatever it holds; returns the page.  Raises as `write`."""
    for name, report in MARKS.items():
        if (folder / name).is_file():
            _write(report, folder)
            return folder / ("evidence.html" if report == "evidence" else "report.html")
    write(folder)
    return folder / "report.html"


def write(folder: Path) -> None:
    """Write `report.html`, `report.md` and `junit.xml` into the run record `folder`.

    Raises RecordError when the record is incomplete or malformed, OSError when writing fails.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: is not a folder; give the folder of a run record")
    if not (folder / "summary.json").is_file():
        raise RecordError(f"{folder}/summary.json: is missing; give the folder of a run record")
    # Matplotlib and Jinja take most of a second to import: only who writes a report pays for them.
    from reports.load import plot as load_plot
    from reports.run import junit, page, plots, readiness_plot, reading, story

    run = reading.load(folder)
    texts = story.tell(run)
    load = None if run.load is None else load_plot.draw(run.load)
    _save(
        folder,
        {
            "report.html": page.page(texts, plots.draw(run), readiness_plot.draw(run), load),
            "report.md": page.text(texts),
            "junit.xml": junit.render(run.summary),
        },
    )


def prepare() -> None:
    """Have all at hand that `write` needs, for who has the time before there is a record."""
    from reports import rendering
    from reports.drawing import axes, svg
    from reports.load import plot as load_plot
    from reports.run import junit, page, plots, readiness_plot, reading, story

    del load_plot, junit, page, plots, readiness_plot, reading, story
    for name in ("report.html.j2", "report.md.j2"):
        rendering.template(name)
    figure, _ = axes.figure_of((100,), (0.0, 3600.0))
    svg.svg(figure, "nothing", "nothing")  # fonts come with the first figure


def write_comparison(folder: Path) -> None:
    """Write `report.html` and `report.md` into the comparison `folder`; raises as `write` does."""
    _write("compare", folder)


def write_price(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of the rules' prices; as `write`."""
    _write("price", folder)


def write_plan(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a plan; raises as `write` does."""
    _write("plan", folder)


def write_sweep(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a sweep; raises as `write` does."""
    _write("sweep", folder)


def write_validation(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a validation; raises as `write`."""
    _write("validation", folder)


def write_hindcast(folder: Path) -> None:
    """Write `report.html` and `report.md` into the hindcast `folder`; raises as `write` does."""
    _write("hindcast", folder)


def write_backtest(folder: Path) -> None:
    """Write `report.html` and `report.md` into the backtest `folder`; raises as `write` does."""
    _write("backtest", folder)


def write_forecast(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a forecast; raises as `write`."""
    _write("forecast", folder)


def write_evidence(folder: Path) -> None:
    """Write `evidence.html`, `evidence.md` and `junit.xml` into a bundle; raises as `write`."""
    _write("evidence", folder)


def write_evidence_page(folder: Path, day: str, out: Path) -> None:
    """Write the page of the bundle `folder`, as of `day` (ISO), to `out`; raises as `write`."""
    from reports.evidence import content as evidence

    out.write_bytes(evidence.page(folder, day).encode("utf-8", "replace"))


def _write(report: str, folder: Path) -> None:
    """Write what `reports.<report>.content` makes of `folder`."""
    content = importlib.import_module(f"reports.{report}.content")
    _save(folder, content.render(folder))


def _save(folder: Path, pages: Mapping[str, str]) -> None:
    for name, text in pages.items():
        # Half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark.
        (folder / name).write_bytes(text.encode("utf-8", "replace"))

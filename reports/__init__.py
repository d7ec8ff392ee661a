"""Reports: what a run record looks like to a person, to a pull request and to a build server.

    from reports import write
    write(Path("outputs/june_peak/20261124T030000Z-engine-1"))

adds `report.html`, `report.md` and `junit.xml` to the record's folder.  Everything is read from the
record's files, nothing from a running simulation or engine, so that a report can be made again at
any time (`python -m reports FOLDER`), also of a live run, and says the same each time.
"""

from __future__ import annotations

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
]  # fmt: skip


def write(folder: Path) -> None:
    """Write `report.html`, `report.md` and `junit.xml` into the run record `folder`.

    Raises RecordError when the record is incomplete or malformed, OSError when writing fails.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: is not a folder; give the folder of a run record")
    if not (folder / "summary.json").is_file():
        raise RecordError(f"{folder}/summary.json: is missing; give the folder of a run record")
    # Matplotlib and Jinja take most of a second to import: only who writes a report pays for them.
    from reports import html
    from reports.load import plot as load_plot
    from reports.run import junit, markdown, plots, readiness_plot, reading, story

    run = reading.load(folder)
    texts = story.tell(run)
    pages = {
        "report.html": html.render(
            texts,
            plots.draw(run),
            readiness_plot.draw(run),
            None if run.load is None else load_plot.draw(run.load),
        ),
        "report.md": markdown.render(texts),
        "junit.xml": junit.render(run.summary),
    }
    for name, text in pages.items():
        # Half a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark.
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def prepare() -> None:
    """Have all at hand that `write` needs, for who has the time before there is a record."""
    from reports import html
    from reports.load import plot as load_plot
    from reports.run import junit, markdown, plots, readiness_plot, reading, story

    del load_plot, junit, markdown, readiness_plot, reading, story
    html.template(html.TEMPLATE)
    figure, _ = plots.figure_of((100,), (0.0, 3600.0))
    plots.svg(figure, "nothing", "nothing")  # fonts come with the first figure


def write_comparison(folder: Path) -> None:
    """Write `report.html` and `report.md` into the comparison `folder`; raises as `write` does."""
    from reports.compare import content as comparison

    for name, text in comparison.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_price(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of the rules' prices; as `write`."""
    from reports.price import content as price

    for name, text in price.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_plan(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a plan; raises as `write` does."""
    from reports.plan import content as planning

    for name, text in planning.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_sweep(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a sweep; raises as `write` does."""
    from reports.sweep import content as sweep

    for name, text in sweep.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_validation(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a validation; raises as `write`."""
    from reports.validation import content as validation

    for name, text in validation.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_hindcast(folder: Path) -> None:
    """Write `report.html` and `report.md` into the hindcast `folder`; raises as `write` does."""
    from reports.hindcast import content as hindcast

    for name, text in hindcast.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_backtest(folder: Path) -> None:
    """Write `report.html` and `report.md` into the backtest `folder`; raises as `write` does."""
    from reports.backtest import content as backtest

    for name, text in backtest.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_forecast(folder: Path) -> None:
    """Write `report.html` and `report.md` into the `folder` of a forecast; raises as `write`."""
    from reports.forecast import content as forecast

    for name, text in forecast.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_evidence(folder: Path) -> None:
    """Write `evidence.html`, `evidence.md` and `junit.xml` into a bundle; raises as `write`."""
    from reports.evidence import content as evidence

    for name, text in evidence.render(folder).items():
        (folder / name).write_bytes(text.encode("utf-8", "replace"))


def write_evidence_page(folder: Path, day: str, out: Path) -> None:
    """Write the page of the bundle `folder`, as of `day` (ISO), to `out`; raises as `write`."""
    from reports.evidence import content as evidence

    out.write_bytes(evidence.page(folder, day).encode("utf-8", "replace"))

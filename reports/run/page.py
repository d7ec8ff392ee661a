"""`report.html` and `report.md`: the story of a run with its plots, and without them.

Texts of the record are escaped in both, so that a name with a pipe does not break a table and one
with an at-sign calls nobody.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports import rendering
from reports.drawing.svg import Plot
from reports.run.plots import Plots
from reports.run.services import ServiceStory
from reports.run.story import Story
from reports.wording import OUTCOMES


@dataclass(frozen=True, slots=True)
class Panel:
    """A service with its plot; without samples there is none."""

    story: ServiceStory
    plot: Plot | None
    anchor: str


def page(
    story: Story, plots: Plots, readiness: Plot | None = None, load: Plot | None = None
) -> str:
    """The page; `readiness` is the plot of prescaling, `load` that of a load test."""
    panels = [
        Panel(service, plots.services.get(service.name), f"service-{number}")
        for number, service in enumerate(story.services, 1)
    ]
    return rendering.page(
        "report", story=story, plots=plots, panels=panels, readiness=readiness, load=load
    )


def text(story: Story) -> str:
    """The same as GitHub-flavoured Markdown, to paste into a pull request."""
    return rendering.text("report", story=story, outcomes=OUTCOMES)

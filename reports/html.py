"""`report.html`: one file that needs nothing else, on any screen and on paper.

No script and no address in it: it opens offline, from a mail or a build server's artifacts, and
still does in ten years.  The template ships with the package.  Everything that comes from the
record passes through Jinja's autoescape; only the plots, drawn here, are markup.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from reports.run.plots import Plot, Plots
from reports.run.story import ServiceStory, Story

TEMPLATE = "report.html.j2"


@dataclass(frozen=True, slots=True)
class Panel:
    """A service with its plot; without samples there is none."""

    story: ServiceStory
    plot: Plot | None
    anchor: str


def render(
    story: Story, plots: Plots, readiness: Plot | None = None, load: Plot | None = None
) -> str:
    """The page as text; `readiness` is the plot of prescaling, `load` that of a load test."""
    panels = [
        Panel(service, plots.services.get(service.name), f"service-{number}")
        for number, service in enumerate(story.services, 1)
    ]
    return template(TEMPLATE).render(
        story=story, plots=plots, panels=panels, readiness=readiness, load=load
    )


@functools.cache
def template(name: str) -> Template:
    """One of the templates of this package."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["drawn"] = Markup  # for SVG that `reports.run.plots` made, nothing else
    return environment.get_template(name)

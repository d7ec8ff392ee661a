"""All plots of a run's report, over one time axis."""

from __future__ import annotations

from dataclasses import dataclass

from reports.drawing.style import look
from reports.drawing.svg import Plot
from reports.run.faults import faults
from reports.run.latency_plot import latency_plot
from reports.run.platform_plots import cost_plot, has_events, weddings_plot
from reports.run.reading import Record
from reports.run.replications_plot import replications_plot
from reports.run.service_plot import service_plot


@dataclass(frozen=True, slots=True)
class Plots:
    """All plots of a report; None where the record has nothing to draw."""

    weddings: Plot | None
    services: dict[str, Plot]
    replications: Plot | None
    latency: Plot | None
    cost: Plot | None


def draw(record: Record) -> Plots:
    """Draw everything that the record has data for."""
    marked = faults(record)
    with look():
        services = {
            name: service_plot(record, name, part, marked)
            for name, part in record.by_service()
            if len(part) > 1
        }
        return Plots(
            weddings=weddings_plot(record, marked) if has_events(record) else None,
            services=services,
            replications=replications_plot(record),
            latency=latency_plot(record),
            cost=cost_plot(record, marked) if services else None,
        )

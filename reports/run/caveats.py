"""What a run does not show, and how far its figures can be trusted."""

from __future__ import annotations

from collections.abc import Iterable

from engine.record.schema.summary import Summary
from reports import wording
from reports.drawing import thinning
from reports.run.occasions import drawn_events
from reports.run.reading import Record
from reports.wording import count, percent, seconds, words

UNVERIFIED_SHOWN = 0.01
"""Share of the samples beyond what the fluid is verified for that is worth a warning."""


_DRAWN = (
    "This is a simulation. The numbers of weddings rest on public figures, but how many "
    "requests people make is an assumption, and so are the services' times and prices."
)


_REPLAYED = (
    "This is a simulation. The load is a recorded one, of another service or another time: "
    "multiplied by one factor and split over the services by fixed shares, which are assumptions, "
    "as are the services' times and prices. Users come as they came then, however they are served."
)


def caveats(record: Record) -> Iterable[str]:
    """Everything that a reader should know before believing the figures."""
    summary = record.summary
    if summary.partial:
        yield "The run was interrupted: what came after is not in any figure here."
    if summary.foresight:
        yield (
            f"{summary.controller} is no controller but a bound: it knew the load and the boot "
            "times beforehand, which nobody can."
        )
    if summary.world == "twin":
        yield _REPLAYED if _is_replay(record) else _DRAWN
        if summary.resolution == "fluid":
            yield (
                "At the fluid resolution requests flow through queues in small steps of time "
                "instead of one by one: response times are quantiles of a queueing model, the "
                "instances of a service share its load evenly, and no single request can be "
                "followed."
            )
        elif summary.resolution == "hybrid":
            yield _hybrid(record)
        else:
            yield (
                f"At the {summary.resolution} resolution each service is a queue before its "
                "instances: the network, operating systems and uneven load between instances are "
                "not in it."
            )
    yield from _unverified(summary)
    if idle := [words(name) for name, fault in summary.faults.items() if not fault.fired]:
        yield (
            f"Warning: {', '.join(idle)} met nothing to spoil, so this run does not show how the "
            "platform takes it."
        )
    if summary.live is not None:
        yield from _live_caveats(summary)
    else:
        yield (
            f"It is one run with one seed ({summary.seed}). Another seed draws other "
            f"{drawn_events(summary)}arrivals and boot times: differences between controllers need "
            "several seeds."
        )
        yield (
            "“Needed” is known in hindsight only: the fewest instances that would have carried "
            "what arrived. Nobody could have followed it, with boot times of minutes."
        )
    yield "Costs are instance-hours alone: no traffic, storage, licences or people."
    yield (
        "Times to compute and the speed of the run are those of the machine that ran it; all other "
        "figures are the same on every run of this command."
        if summary.world == "twin"
        else "Times to compute are those of the machine that ran the controller."
    )
    conservation = summary.conservation
    if conservation.checked:
        worst = conservation.worst_relative_error
        yield (
            "Requests were counted in and out: arrived = served + failed + shed + timed out + "
            f"queued + in flight, with a relative error of at most {wording.figure(worst)}."
        )
    else:
        yield "This run did not check that no request was lost or counted twice."


def _live_caveats(summary: Summary) -> Iterable[str]:
    yield (
        "This ran on real instances, so some figures are missing: only a simulation knows how many "
        "instances were needed in hindsight, and what became of each single request."
    )
    yield (
        "Requests and response times are those that the metrics source gives for the services "
        "themselves. They do not include what users waited for on the way there."
    )
    yield "Weddings are the booked ones; how many really took place is not known here."
    yield "It is one run. Another one on the same stack differs; only several show by how much."
    troubles = summary.live.troubles if summary.live is not None else {}
    if troubles:
        listed = ", ".join(f"{words(name)} {count(times)}" for name, times in troubles.items())
        yield f"Troubles, and how often each occurred: {listed}."


def _unverified(summary: Summary) -> Iterable[str]:
    """A warning where the fluid was used beyond what it is verified for."""
    long = {
        name: service.unverified_share
        for name, service in summary.services.items()
        if (service.unverified_share or 0.0) > UNVERIFIED_SHOWN
    }
    if long:
        shares = ", ".join(f"{name} {percent(share)}" for name, share in long.items())
        yield (
            "Warning: with few slots, or few of them free, the fluid's response times are not "
            f"verified to 10 % at p95 (docs/background/fidelity.md). That was so for part of the "
            f"time: {shares}. Ask for resolution=request where these response times matter."
        )


def _hybrid(record: Record) -> str:
    """Which part of the platform was followed request by request."""
    asked = record.config.get("request")
    asked = asked if isinstance(asked, dict) else {}
    when = asked.get("at")
    window = "all the time" if when is None else f"for {asked.get('duration_s')} s from {when}"
    return (
        f"{asked.get('simulated')} of {asked.get('cells')} equal cells of users and instances were "
        f"followed request by request {window}; all else flowed through queues in small steps of "
        "time, and the figures are those of both parts together."
    )


def _is_replay(record: Record) -> bool:
    """Whether the load is a recorded trace."""
    return isinstance(record.config.get("trace"), dict)


def thinning_note(record: Record) -> str:
    """How much of the samples the plots show."""
    longest = max((len(part) for _, part in record.by_service()), default=0)
    if longest <= thinning.POINTS:
        return "Every sample is drawn. Times are UTC."
    start_s, end_s = record.span_s
    interval = seconds((end_s - start_s) / thinning.INTERVALS)
    half = seconds((end_s - start_s) / thinning.POINTS)
    return (
        f"Each line joins the lowest and the highest sample of every {interval}, so no spike is "
        f"lost; p95 is the highest of every {half}, forecasts are means. Times are UTC."
    )

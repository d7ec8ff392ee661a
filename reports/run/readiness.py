"""How ready the capacity was when the major events began, in words and tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from engine.record.schema.summary import Prescaling
from reports.run.reading import Record
from reports.wording import NOTHING, clock, count, percent, plural, roughly, seconds

GROUPS_SHOWN = 30


@dataclass(frozen=True, slots=True)
class ReadinessTexts:
    """What is said of it: a sentence, headings and cells of the two tables, and a note."""

    sentence: str
    services: tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
    groups: tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
    note: str


def tell(record: Record) -> ReadinessTexts | None:
    """The texts; None where no major event began."""
    prescaling, noun = record.summary.prescaling, record.summary.noun
    if prescaling is None or not prescaling.events:
        return None
    lead = seconds(prescaling.lead_s)
    groups = _groups(record.prescaling)
    shown = groups.nsmallest(GROUPS_SHOWN, "worst", keep="first").sort_values("at_s")
    rows = tuple(
        (
            clock(row["at_s"])[:5],
            count(row["events"]),
            row["service"],
            f"{count(row['ready'])} of {row['need']:,.1f}",
            _ratio(row["worst"]),
            percent(row["excess"]) if row["excess"] >= 0.0 else f"−{percent(-row['excess'])}",
        )
        for row in shown.to_dict("records")
    )
    kind = "" if prescaling.events == record.summary.weddings.total else "major "
    return ReadinessTexts(
        sentence=_sentence(
            prescaling, plural(prescaling.events, kind + noun.one, kind + noun.many), lead
        ),
        services=(
            (
                "service", "users wait", "ready at the start", f"floor stood {lead} before",
                "least ready ÷ needed", "above need",
            ),
            tuple(
                (
                    name,
                    "yes" if name in groups.attrs["waited_for"] else "no",
                    percent(own.ready_share),
                    percent(own.lead_ready_share),
                    _ratio(own.worst_ready_ratio),
                    NOTHING if own.excess_share is None else roughly(own.excess_share),
                )
                for name, own in prescaling.services.items()
            ),
        ),
        groups=(
            (
                "start (UTC)", noun.many, "least ready service", "ready of needed",
                "ready ÷ needed", "above need, by cost",
            ),
            rows,
        ),
        note=(
            "Those that begin in the same half hour are one group. Needed: the highest of the "
            "minute means, in hindsight, in the first five minutes. The least ready service is one "
            "of those that users wait for; above need counts all services. A spare zone is above "
            "need on purpose."
            + (
                f" Of {count(len(groups))} groups the {GROUPS_SHOWN} tightest are listed."
                if len(groups) > GROUPS_SHOWN
                else ""
            )
        ),
    )  # fmt: skip


def _sentence(prescaling: Prescaling, events: str, lead: str) -> str:
    text = (
        f"{events} began in {plural(prescaling.groups, 'group')}; for "
        f"{percent(prescaling.ready_share)} of them all services that users wait for had what was "
        "needed"
    )
    if prescaling.lead_ready_share is not None:
        text += f", and for {percent(prescaling.lead_ready_share)} the floor stood {lead} before"
    if prescaling.excess_share is not None:
        excess = roughly(prescaling.excess_share)
        text += f". What stood ready at their start cost {excess} above need"
    return f"{text}."


def _groups(table: pd.DataFrame) -> pd.DataFrame:
    """One row a group: the least ready service that users wait for, and the excess by cost."""
    frame = table.assign(
        ratio=table["ready"] / table["need"],
        usd_ready=table["ready"] * table["price_per_hour"],
        usd_need=table["need"] * table["price_per_hour"],
    )
    cost = frame.groupby("at_s")[["usd_ready", "usd_need"]].sum()
    waited = frame[frame["waited_for"].astype(bool)]
    tightest = (waited if len(waited) else frame).sort_values("ratio", kind="stable")
    tightest = tightest.drop_duplicates("at_s").set_index("at_s")
    excess = cost["usd_ready"] / cost["usd_need"].where(cost["usd_need"] > 0.0) - 1.0
    groups = tightest.assign(worst=tightest["ratio"], excess=excess.fillna(0.0)).reset_index()
    groups.attrs["waited_for"] = set(waited["service"])
    return groups


def _ratio(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.2f}"

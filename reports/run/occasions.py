"""What a run calls its events: weddings, matches, or none at all."""

from __future__ import annotations

from engine.record.schema.summary import Summary
from reports.wording import usd


def has_events(summary: Summary) -> bool:
    """Whether there was anything but load; a live run may not know how many events there were."""
    return summary.weddings.total != 0


def occasions(summary: Summary) -> str:
    """The events at the beginning of a heading; empty without any."""
    many = summary.noun.many
    return many[:1].upper() + many[1:] if has_events(summary) else ""


def cost_of_each(summary: Summary) -> str:
    """What one event cost; empty without any."""
    if not has_events(summary):
        return ""
    return f"{usd(summary.cost.per_wedding_usd)} a {summary.noun.one}"


def in_its_words(summary: Summary, text: str) -> str:
    """A text of the engine, in which events go by the name of this record's."""
    if summary.noun.one == "wedding":
        return text
    return text.replace("weddings", summary.noun.many).replace("wedding", summary.noun.one)


def drawn_events(summary: Summary) -> str:
    """The events that another seed draws; matches and the like are what they were."""
    return "weddings, " if summary.noun.one == "wedding" else ""

"""The faults of a run: from when to when, by which letter, and how they are marked in a plot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from engine.record.schema.events import Event
from reports import wording
from reports.drawing.legend import Key, swatch
from reports.drawing.style import DOTTED, INK, MUTED, YELLOW
from reports.run.reading import Record

NAMED_FAULTS = 3


_FAULT = swatch(
    f'<rect x="3" y="0" width="22" height="12" fill="{YELLOW}" fill-opacity="0.35"/>'
    f'<path d="M3 0 V12 M25 0 V12" stroke="{MUTED}" stroke-dasharray="1.5 2" fill="none"/>'
)


@dataclass(frozen=True, slots=True)
class MarkedFault:
    """A fault from its start to its end (epoch seconds), with the letter that marks it."""

    letter: str
    name: str
    what: str
    detail: str
    start_s: float
    end_s: float
    ended: bool


def faults(record: Record) -> tuple[MarkedFault, ...]:
    """The faults of the run in the order of their start; one that never ended lasts to the end."""
    _, last_s = record.span_s
    spans: list[tuple[Event, float, bool, str]] = []
    open_: dict[tuple[str, str], list[int]] = {}
    for event in sorted(record.events, key=lambda event: event.time_s):
        key = (event.name, event.service)
        if event.kind == "fault_started":
            open_.setdefault(key, []).append(len(spans))
            spans.append((event, max(last_s, event.time_s), False, ""))
        elif event.kind == "fault_ended" and open_.get(key):
            index = open_[key].pop(0)
            spans[index] = (spans[index][0], event.time_s, True, event.detail)
        elif event.kind == "fault_fired":
            spans.append((event, event.time_s, True, ""))
    return tuple(
        MarkedFault(
            letter=_letter(i),
            name=event.name or event.kind,
            what=event.what,
            detail="; ".join(text for text in (event.service, event.detail, effect) if text),
            start_s=event.time_s,
            end_s=end_s,
            ended=ended,
        )
        for i, (event, end_s, ended, effect) in enumerate(spans)
    )


def _letter(index: int) -> str:
    """A to Z, then AA, AB and so on."""
    last = chr(ord("A") + index % 26)
    return last if index < 26 else _letter(index // 26 - 1) + last


def mark_faults(
    panels: Sequence[Axes],
    marked: Sequence[MarkedFault],
    span_s: tuple[float, float],
    named: bool = True,
) -> None:
    """Shade each fault in all panels and label it by its letter; a few are named in the first."""
    middle_s = sum(span_s) / 2.0
    for i, fault in enumerate(marked):
        start_s, end_s = max(fault.start_s, span_s[0]), min(fault.end_s, span_s[1])
        if end_s < start_s:
            continue
        named_here = named and len(marked) <= NAMED_FAULTS
        for k, axes in enumerate(panels):
            axes.axvspan(start_s, end_s, color=YELLOW, alpha=0.28, linewidth=0, zorder=0)
            axes.axvline(start_s, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            if end_s > start_s:
                axes.axvline(end_s, color=MUTED, linewidth=0.8, linestyle=DOTTED, zorder=1)
            text = f"{fault.letter} {wording.words(fault.name)}" if named_here else fault.letter
            late = start_s > middle_s
            axes.annotate(
                text if k == 0 else fault.letter, (start_s, 1), xycoords=("data", "axes fraction"),
                xytext=(-3 if late else 3, (-26 if k == 1 else -4) - 15 * (i % 4)),
                textcoords="offset points",
                ha="right" if late else "left", va="top", fontsize=9, fontweight="bold", color=INK,
            )  # fmt: skip


def fault_keys(marked: Sequence[MarkedFault]) -> list[Key]:
    """The entries of a legend for the first eight faults."""
    keys = []
    for fault in marked[:8]:
        when = wording.clock(fault.start_s)[:5]
        if not fault.ended:
            when += " – the end"
        elif fault.end_s > fault.start_s:
            when += f" – {wording.clock(fault.end_s)[:5]}"
        keys.append(Key(f"fault {fault.letter}: {wording.words(fault.name)}, {when}", _FAULT))
    if len(marked) > 8:
        keys.append(Key(f"{len(marked) - 8} more faults: see the list of faults", _FAULT))
    return keys

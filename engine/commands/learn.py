r"""`python -m engine learn`: how bookings become load, from past bookings and the load that came.

    python -m engine learn load=past_load.csv out=events.json \
        bookings=csv bookings.options.path=past.csv

The bookings are those of the live configuration, read back as far as the load goes; the file that
comes of it is what `bookings.options.model` names.  What the model is wrong by, on a part of the
history that it has not seen, is said and kept in the file.  The last line on stdout is the file.
"""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.adapters import load_history
from engine.adapters.bookings.feed import Feed, schedule_of
from engine.adapters.bookings.known import Listing
from engine.commands.failing import failed
from engine.config import assignments, secrets
from engine.config.composition import composed
from engine.config.live import LiveConfig, handed, parse
from engine.config.load import build
from engine.config.strict import ConfigError
from engine.prediction import event_learning, event_model
from engine.prediction.event_learning import LearnedEvents, PastLoad

OWN = ("load", "out", "holdout", "days")
HOLDOUT = 0.25
PROMETHEUS, METRICS = "prometheus", "engine.adapters.prometheus:connect"
DAYS, MOST_DAYS = 365, 3660
DAY_S = 86_400.0


def run(arguments: Sequence[str]) -> int:
    """Learn and write the model; returns the exit code."""
    secrets.learn_arguments(arguments)
    try:
        given = assignments.read(arguments, OWN)
        if "days" in given.own and given.own.get("load") != PROMETHEUS:
            raise ConfigError(f"days: is for load={PROMETHEUS}; a file says how far it goes")
        for key in ("load", "out"):
            if key not in given.own:
                raise ConfigError(f"{key}: is missing; {key}=FILE")
        holdout = _share(given.own.get("holdout", str(HOLDOUT)))
        raw = composed(given.overrides, root="live", own=OWN)
        config = parse(raw)
        names = [spec.name for spec in config.platform.specs()]
        if given.own["load"] == PROMETHEUS:
            past = _asked(config, names, given.own.get("days", str(DAYS)))
        else:
            past = load_history.read(Path(given.own["load"]), names)
        learned, events = _learned(config, raw, past, holdout)
        out = Path(given.own["out"])
        event_model.write(learned.model, out, _figures(learned, events))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ConfigError, OSError) as error:
        return failed(error)
    _show(learned, events)
    print(out, flush=True)
    return 0


def _asked(config: LiveConfig, names: Sequence[str], days: str) -> PastLoad:
    """The load that the configured metrics had, over so many days until now."""
    from engine.adapters import load_prometheus

    if config.metrics.factory != METRICS:
        raise ConfigError(f"load: {PROMETHEUS} needs metrics={PROMETHEUS}")
    until_s = time.time()
    span = assignments.whole("days", days, 15, MOST_DAYS)
    return load_prometheus.read(config.metrics.options, names, until_s - span * DAY_S, until_s)


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0.05 <= share <= 0.5:
        raise ConfigError(f"holdout: {text} is not allowed (0.05 … 0.5)")
    return share


def _learned(
    config: LiveConfig, raw: dict[str, Any], past: PastLoad, holdout: float
) -> tuple[LearnedEvents, int]:
    """What was learned, and of how many events."""
    specs = config.platform.specs()
    now_s = time.time()
    feed: object = build(
        config.bookings.factory, specs, now_s, key="bookings.factory",
        options=handed(config, raw), options_key="bookings", methods=("outlook", "close"),
    )  # fmt: skip
    if not isinstance(feed, Feed):
        raise ConfigError(
            "bookings: have no past to learn from; choose bookings=csv, ics, postgres or http"
        )
    end_s = past.start_s + past.steps * past.step_s
    listing = asyncio.run(_history(feed, now_s, past.start_s - DAY_S))
    events = [
        one for one in listing.events
        if not one.cancelled and past.start_s - DAY_S < one.starts_s < end_s + DAY_S
    ]  # fmt: skip
    for row in listing.wrong[:3]:
        print(f"left out: {row.where}: {row.why}", file=sys.stderr)
    if not events:
        raise ConfigError("bookings: none of them is in the time of the load")
    try:
        learned = event_learning.learn(
            schedule_of(events, feed.model), past, feed.model, specs, held_out=holdout
        )
    except ValueError as error:
        raise ConfigError(f"load: {error}") from None
    return learned, len(events)


async def _history(feed: Feed, now_s: float, since_s: float) -> Listing:
    try:
        return await feed.history(now_s, since_s)
    finally:
        await feed.close()


def _figures(learned: LearnedEvents, events: int) -> dict[str, float | str]:
    figures: dict[str, float | str] = {
        "events": float(events),
        "days": learned.days,
        "held_out_days": learned.held_out_days,
    }
    for one in learned.errors:
        figures[f"{one.service}.wape"] = one.wape
        figures[f"{one.service}.bias"] = one.bias
        if math.isfinite(one.last_week):
            figures[f"{one.service}.last_week_wape"] = one.last_week
    return figures


def _show(learned: LearnedEvents, events: int) -> None:
    response = learned.model.response
    print(
        f"{events:,} events in {learned.days:.0f} days, the last {learned.held_out_days:.0f} of "
        f"them held out; events run {response.lateness_mean_s / 60.0:.0f} min late "
        f"(± {response.lateness_sd_s / 60.0:.0f}), sigma {response.sigma:.2f}",
        file=sys.stderr,
    )
    print(f"{'service':<16} {'WAPE':>7} {'bias':>7} {'last week':>9}", file=sys.stderr)
    for one in learned.errors:
        week = f"{one.last_week:9.1%}" if math.isfinite(one.last_week) else f"{'-':>9}"
        print(f"{one.service:<16} {one.wape:7.1%} {one.bias:+7.1%} {week}", file=sys.stderr)

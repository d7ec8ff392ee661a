"""The weddings of a date as they are expected to be booked, without drawing any.

Planning months ahead has no list of weddings yet, only how many there may be.  What one of them
brings on average follows exactly from the configuration: each combination of time zone, ceremony
time and type is one event, with its share of all weddings as its weight.
"""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from engine.model import FloatArray, Schedule
from scenarios.weddings.config import ROLES, PopulationConfig
from scenarios.weddings.drawing import TYPES, mean_count, phase_offsets_s


def typical_day(config: PopulationConfig, date: dt.date) -> tuple[Schedule, FloatArray]:
    """The kinds of wedding of `date` with the mean number of participants, and their shares.

    The shares (events,) add up to 1.
    """
    offsets_s = phase_offsets_s(config).astype(np.float64)
    people = [
        (
            2.0,
            mean_count(config.types[kind].guests),
            mean_count(config.types[kind].vendors),
            float(config.types[kind].planners),
        )
        for kind in TYPES
    ]
    starts_s, participants, shares, major = [], [], [], []
    for zone, in_zone in config.time_zones.items():
        for minute, at_minute in config.ceremony_start.items():
            local = dt.datetime.combine(
                date, dt.time(minute // 60, minute % 60), tzinfo=ZoneInfo(zone)
            )
            for kind, of_kind in zip(TYPES, people, strict=True):
                starts_s.append(local.timestamp())
                participants.append(of_kind)
                shares.append(in_zone * at_minute * config.types[kind].share)
                major.append(config.types[kind].major)
    weights = np.array(shares)
    schedule = Schedule(
        phases=config.phase_names,
        roles=ROLES,
        phase_start_s=np.array(starts_s)[:, None] + offsets_s[None, :],
        participants=np.array(participants),
        major=np.array(major),
    )
    return schedule, weights / weights.sum()

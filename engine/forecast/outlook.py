"""The booked schedule as load per service and time bin.

Events enter additively: a thousand overlapping weddings are the sum of their phases, not the
largest of them.  The sum is linear in the events, so a cancellation is taken out by subtracting
its own part (`EventLoad.minus`) and the 100,000 others need not be counted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import with_calls
from engine.model import FloatArray, Outlook, Response, Schedule, ServiceSpec

BIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Time bins: `bins` of `bin_s` seconds from `start_s` (epoch seconds)."""

    start_s: float
    bins: int
    bin_s: float = BIN_S


@dataclass(frozen=True, slots=True, eq=False)
class EventLoad:
    """Load of booked events as they would run on time, before lateness and background.

    `load` and `major_load` are (services, bins) requests/s entering each service; `events` and
    `major_events` (bins,) count those in progress, `in_phases` (phases, bins) those in each of the
    `phases`, `major_starts` (bins,) the major ones that begin.
    """

    load: FloatArray
    major_load: FloatArray
    events: FloatArray
    major_events: FloatArray
    phases: tuple[str, ...]
    in_phases: FloatArray
    major_starts: FloatArray

    def plus(self, other: EventLoad) -> EventLoad:
        """The load with the events of `other` too."""
        return EventLoad(
            self.load + other.load,
            self.major_load + other.major_load,
            self.events + other.events,
            self.major_events + other.major_events,
            self.phases,
            self.in_phases + other.in_phases,
            self.major_starts + other.major_starts,
        )

    def minus(self, other: EventLoad) -> EventLoad:
        """The load without the events of `other`."""
        return EventLoad(
            self.load - other.load,
            self.major_load - other.major_load,
            self.events - other.events,
            self.major_events - other.major_events,
            self.phases,
            self.in_phases - other.in_phases,
            self.major_starts - other.major_starts,
        )


def event_load(schedule: Schedule, response: Response, grid: Grid) -> EventLoad:
    """Sum the booked events of `schedule` over `grid`."""
    edges = _edges(schedule.phase_start_s, grid)
    people = np.ascontiguousarray(schedule.participants.T)
    load, events = _summed(edges, people, response, grid)
    major = schedule.major
    major_load, major_events = _summed(edges[:, major], people[:, major], response, grid)
    length = grid.bins + 1
    begun = np.array([np.bincount(edge, minlength=length) for edge in edges], dtype=np.float64)
    in_phases = np.cumsum(begun[:-1] - begun[1:], axis=1)[:, :-1]
    starts_s = schedule.phase_start_s[:, 0]
    starting = major & (starts_s >= grid.start_s)
    major_starts = np.bincount(_bins_of(starts_s[starting], grid), minlength=length)[:-1]
    return EventLoad(
        load, major_load, events, major_events, schedule.phases, in_phases,
        major_starts.astype(np.float64),
    )  # fmt: skip


def outlook(
    events: EventLoad,
    response: Response,
    specs: Sequence[ServiceSpec],
    grid: Grid,
    *,
    issued_s: float,
    base: FloatArray | None = None,
    noun: str = "weddings",
) -> Outlook:
    """What the booked events let expect at each service of `specs`, calls between them included.

    `base` (response's services, bins) is load without any event, requests/s, on top of the
    response's background; `noun` is what the events are called, in the plural.

    Events are expected to run as late as they usually do, a few to be missing from the schedule
    and a share of the guests not to come (`Response`).  Services that `response` does not know
    get load through calls only.  Raises ValueError when the calls form a cycle.
    """
    row_of = {name: i for i, name in enumerate(response.services)}
    centres_h = (grid.start_s + grid.bin_s * (np.arange(grid.bins) + 0.5)) / 3600.0 % 24.0
    middles_h = np.arange(24) + 0.5
    share = 1.0 / (1.0 - response.unbooked_share)
    load = np.zeros((len(specs), grid.bins))
    major_load = np.zeros_like(load)
    for i, spec in enumerate(specs):
        if spec.name in row_of:
            k = row_of[spec.name]
            load[i] = _late(events.load[k], response, grid) * share
            load[i] += np.interp(centres_h, middles_h, response.background[:, k], period=24.0)
            if base is not None:
                load[i] += base[k]
            major_load[i] = _late(events.major_load[k], response, grid) * share
    load, major_load = with_calls(specs, load), with_calls(specs, major_load)
    for array in (load, major_load):
        np.maximum(array, 0.0, out=array)
        array.setflags(write=False)
    return Outlook(
        issued_s=issued_s,
        start_s=grid.start_s,
        bin_s=grid.bin_s,
        services={spec.name: i for i, spec in enumerate(specs)},
        load=load,
        major_load=major_load,
        events=_late(events.events, response, grid),
        major_events=_late(events.major_events, response, grid),
        sigma=response.sigma,
        noun=noun,
        phases=events.phases,
        in_phases=np.array([_late(row, response, grid) for row in events.in_phases]),
        major_starts=events.major_starts,
    )


def entering(events: EventLoad, response: Response, grid: Grid) -> FloatArray:
    """What the booked events let expect from users, no calls: (services, bins) requests/s.

    As in `outlook`: events as late as usual, those that are missing added, and the background.
    """
    centres_h = (grid.start_s + grid.bin_s * (np.arange(grid.bins) + 0.5)) / 3600.0 % 24.0
    share = 1.0 / (1.0 - response.unbooked_share)
    rates = np.empty_like(events.load)
    for k, on_time in enumerate(events.load):
        usual = np.interp(centres_h, np.arange(24) + 0.5, response.background[:, k], period=24.0)
        rates[k] = np.maximum(_late(on_time, response, grid) * share + usual, 0.0)
    return rates


def _edges(phase_start_s: FloatArray, grid: Grid) -> NDArray[np.int64]:
    """The bin at whose beginning each phase starts, nearest: (phases + 1, events)."""
    position = np.array(phase_start_s.T, order="C", copy=True)  # it is changed in place
    position -= grid.start_s
    position /= grid.bin_s
    np.rint(position, out=position)
    np.clip(position, 0, grid.bins, out=position)
    return position.astype(np.int64)


def _bins_of(times_s: FloatArray, grid: Grid) -> NDArray[np.int64]:
    """The bin in which each time lies; `grid.bins` for those behind the last one."""
    bins = np.floor((times_s - grid.start_s) / grid.bin_s)
    return np.minimum(bins, grid.bins).astype(np.int64)


def _summed(
    edges: NDArray[np.int64], people: FloatArray, response: Response, grid: Grid
) -> tuple[FloatArray, FloatArray]:
    """Load (services, bins) and count (bins,) of events with `people` (roles, events)."""
    length = grid.bins + 1
    steps = np.zeros((len(response.services), length))
    entered = [s for s in range(len(response.services)) if response.rates[:, :, s].any()]
    table = response.rates[:, :, entered] * response.turnout
    # At the edge between two phases the load changes by the difference of their rates.
    change = np.diff(table, axis=1, prepend=0.0, append=0.0)
    for k in range(change.shape[1]):
        rates = change[:, k, :].T @ people
        for row, s in enumerate(entered):
            steps[s] += np.bincount(edges[k], rates[row], length)
    begun = np.bincount(edges[0], minlength=length)
    ended = np.bincount(edges[-1], minlength=length)
    count = np.cumsum(begun - ended)[:-1].astype(np.float64)
    return np.cumsum(steps, axis=1)[:, :-1], count


def _late(on_time: FloatArray, response: Response, grid: Grid) -> FloatArray:
    return lateness(on_time, response.lateness_mean_s, response.lateness_sd_s, grid.bin_s)


def lateness(on_time: FloatArray, mean_s: float, sd_s: float, bin_s: float) -> FloatArray:
    """Shift and spread a curve (bins,) by a lateness that is taken as normally distributed."""
    sd_bins = max(sd_s / bin_s, 1e-6)
    mean_bins = mean_s / bin_s
    reach = int(np.ceil(abs(mean_bins) + 4.0 * sd_bins)) + 1
    offsets = np.arange(-reach, reach + 1)
    kernel = np.exp(-0.5 * ((offsets - mean_bins) / sd_bins) ** 2)
    if kernel.sum() == 0.0:
        kernel[np.argmin(np.abs(offsets - mean_bins))] = 1.0
    kernel /= kernel.sum()
    padded = np.concatenate((np.full(reach, on_time[0]), on_time, np.full(reach, on_time[-1])))
    return np.convolve(padded, kernel, mode="valid")

"""How events become load, learned from past bookings and the load that came.

What enters a service is linear in people: so many requests a second for each person of a role in a
phase, on top of what is there at each hour of the day without any event.  So the rates are a least
squares fit with none below zero (Lawson & Hanson 1974), which leans a little to what was assumed:
guests and vendors come together, and what history cannot tell apart stays in the proportion that
the assumption has.  How late events run is the one thing that is not linear; it is tried out.

Calls between services are taken off what was measured first, since the outlook adds them again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.decide.callgraph import with_calls
from engine.forecast.outlook import Grid, event_load, lateness
from engine.model import FloatArray, Response, Schedule, ServiceSpec
from engine.prediction.event_model import HOURS, EventModel

LATE_MEANS_S = tuple(300.0 * k for k in range(-2, 13))
LATE_SDS_S = (60.0, 600.0, 1200.0)
LEAN = 1e-3
"""What the assumption weighs, beside what all steps of history do."""
LEAST_DAYS = 14.0
WEEK_S = 604_800.0
LEAST_SIGMA, MOST_SIGMA = 0.01, 1.5


@dataclass(frozen=True, slots=True, eq=False)
class PastLoad:
    """What arrived at each of `services` (services, steps), requests/s; NaN where it is not known.

    Step i is the mean over [start_s + i * step_s, start_s + (i + 1) * step_s).
    """

    services: tuple[str, ...]
    start_s: float
    step_s: float
    load: FloatArray

    @property
    def steps(self) -> int:
        """How many there are."""
        return int(self.load.shape[1])

    def part(self, first: int, last: int) -> PastLoad:
        """Some of the steps."""
        return replace(
            self, start_s=self.start_s + first * self.step_s, load=self.load[:, first:last]
        )


@dataclass(frozen=True, slots=True)
class HeldOutError:
    """How wrong the model was on what it had not seen, as shares of the load: WAPE and bias.

    `last_week` is the WAPE of the same time a week before; NaN where there is none.
    """

    service: str
    wape: float
    bias: float
    last_week: float


@dataclass(frozen=True, slots=True, eq=False)
class LearnedEvents:
    """The model of all history, and what one of its first part was wrong by on the rest."""

    model: EventModel
    errors: tuple[HeldOutError, ...]
    days: float
    held_out_days: float


def learn(
    schedule: Schedule,
    past: PastLoad,
    assumed: EventModel,
    specs: Sequence[ServiceSpec],
    *,
    held_out: float,
) -> LearnedEvents:
    """The model of `schedule`'s events, which came as `past` says; the last share is held out.

    Raises ValueError where history is too short, or has no load.
    """
    days = past.steps * past.step_s / 86_400.0
    split = round(past.steps * (1.0 - held_out))
    if split * past.step_s < LEAST_DAYS * 86_400.0:
        raise ValueError(
            f"there are {days:.0f} days, of which {held_out:.0%} are held out; "
            f"at least {LEAST_DAYS:.0f} have to be left to learn from"
        )
    if not np.nansum(past.load) > 0.0:
        raise ValueError("there is no load in it")
    names = [spec.name for spec in specs]
    whole = PastLoad(
        tuple(names), past.start_s, past.step_s,
        np.array([
            past.load[past.services.index(name)] if name in past.services
            else np.full(past.steps, np.nan) for name in names
        ]),
    )  # fmt: skip
    entering = _entering(specs, whole)
    people = _people(schedule, assumed, whole)
    first = _fitted(entering, people, whole, slice(0, split), assumed=assumed)
    errors = _errors(first, people, whole, specs, split=split)
    final = _fitted(entering, people, whole, slice(0, whole.steps), assumed=assumed)
    sigma = _sigma(first, people, whole, specs, split=split)
    response = replace(final.response(assumed, names), sigma=sigma)
    model = replace(assumed, usual=_usual(schedule, assumed), response=response)
    return LearnedEvents(model, errors, days, days * held_out)


@dataclass(frozen=True, slots=True, eq=False)
class _Fit:
    """`weights` (services, hours + roles * phases), and how late events run."""

    weights: FloatArray
    mean_s: float
    sd_s: float

    def response(self, assumed: EventModel, names: Sequence[str]) -> Response:
        shape = (len(names), len(assumed.roles), len(assumed.phases))
        rates = self.weights[:, HOURS:].reshape(shape).transpose(1, 2, 0)
        return Response(
            services=tuple(names),
            rates=np.ascontiguousarray(rates),
            background=np.ascontiguousarray(self.weights[:, :HOURS].T),
            lateness_mean_s=self.mean_s,
            lateness_sd_s=self.sd_s,
            turnout=1.0,  # both are in the rates: they are what one who is booked brings
            unbooked_share=0.0,
            sigma=1.0,
        )


def _entering(specs: Sequence[ServiceSpec], past: PastLoad) -> FloatArray:
    """What came from outside: what arrived, less the calls of those that call."""
    row = {spec.name: i for i, spec in enumerate(specs)}
    entering = past.load.copy()
    for i, spec in enumerate(specs):
        for call in spec.calls:
            entering[row[call.service]] -= call.per_request * np.nan_to_num(past.load[i])
    return entering  # where all of it is calls, it goes up and down around 0


def _people(schedule: Schedule, assumed: EventModel, past: PastLoad) -> FloatArray:
    """How many of each role are in each phase by the booked times: (roles * phases, steps)."""
    kinds = len(assumed.roles) * len(assumed.phases)
    one_each = np.zeros((len(assumed.roles), len(assumed.phases), kinds))
    for k in range(kinds):
        one_each[k // len(assumed.phases), k % len(assumed.phases), k] = 1.0
    counting = replace(
        assumed.response, services=tuple(map(str, range(kinds))), rates=one_each,
        background=np.zeros((HOURS, kinds)), turnout=1.0,
    )  # fmt: skip
    grid = Grid(past.start_s, past.steps, past.step_s)
    return event_load(schedule, counting, grid).load


def _fitted(
    entering: FloatArray, people: FloatArray, past: PastLoad, span: slice, *, assumed: EventModel
) -> _Fit:
    """The fit with the lateness that leaves the least, each service counting alike."""
    from scipy.optimize import nnls

    hours = _hours(past)[:, span]
    target = entering[:, span]
    measured = np.isfinite(target)
    size = np.where(measured, target, 0.0).sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    guess = assumed.response.rates.transpose(2, 0, 1).reshape(len(target), -1)
    best, least = None, np.inf
    for sd_s in LATE_SDS_S:
        for mean_s in LATE_MEANS_S:
            late = _late(people, past, mean_s, sd_s)[:, span]
            design = np.concatenate([hours, late])
            weights = np.zeros((len(target), len(design)))
            left = 0.0
            for k, values in enumerate(target):
                rows = measured[k]
                if not size[k] > 0.0:
                    continue
                x, y = design[:, rows], values[rows]
                gram, moment = x @ x.T, x @ y
                lean = LEAN * np.maximum(np.diag(gram)[HOURS:], 1e-9)
                scale = _scale(guess[k], gram[HOURS:, HOURS:], moment[HOURS:])
                gram[np.arange(HOURS, len(gram)), np.arange(HOURS, len(gram))] += lean
                moment[HOURS:] += lean * scale * guess[k]
                gram[np.diag_indices(HOURS)] += 1e-9 * len(y)
                root = np.linalg.cholesky(gram).T
                weights[k], _ = nnls(root, np.linalg.solve(root.T, moment))
                error = y - weights[k] @ x
                left += float(error @ error) / (len(y) * size[k] ** 2)
            if left < least:
                best, least = _Fit(weights, mean_s, sd_s), left
    assert best is not None
    return best


def _scale(guess: FloatArray, gram: FloatArray, moment: FloatArray) -> float:
    """How much of the assumption explains most by itself."""
    across = float(guess @ gram @ guess)
    return max(float(guess @ moment) / across, 0.0) if across > 0.0 else 0.0


def _hours(past: PastLoad) -> FloatArray:
    """The share of each hour of the day in each step, as the outlook goes between their middles."""
    middle_h = (past.start_s + past.step_s * (np.arange(past.steps) + 0.5)) / 3600.0 % 24.0
    position = middle_h - 0.5
    low = np.floor(position).astype(np.int64)
    share = position - low
    hours = np.zeros((HOURS, past.steps))
    columns = np.arange(past.steps)
    hours[low % HOURS, columns] += 1.0 - share
    hours[(low + 1) % HOURS, columns] += share
    return hours


def _late(people: FloatArray, past: PastLoad, mean_s: float, sd_s: float) -> FloatArray:
    return np.array([lateness(row, mean_s, sd_s, past.step_s) for row in people])


def _said(
    fit: _Fit, people: FloatArray, past: PastLoad, specs: Sequence[ServiceSpec]
) -> FloatArray:
    """What the fit says would arrive, calls included."""
    late = _late(people, past, fit.mean_s, fit.sd_s)
    return with_calls(specs, fit.weights @ np.concatenate([_hours(past), late]))


def _errors(
    fit: _Fit, people: FloatArray, past: PastLoad, specs: Sequence[ServiceSpec], *, split: int
) -> tuple[HeldOutError, ...]:
    said = _said(fit, people, past, specs)[:, split:]
    came = past.load[:, split:]
    back = round(WEEK_S / past.step_s)
    before = past.load[:, split - back : past.steps - back] if back <= split else came * np.nan
    errors = []
    for k, spec in enumerate(specs):
        measured = np.isfinite(came[k])
        total = float(came[k][measured].sum())
        if not total > 0.0:
            continue
        wrong = (said[k] - came[k])[measured]
        both = measured & np.isfinite(before[k])
        week = float(np.abs(before[k] - came[k])[both].sum()) / float(came[k][both].sum() or np.nan)
        errors.append(
            HeldOutError(
                spec.name, float(np.abs(wrong).sum()) / total, float(wrong.sum()) / total, week
            )
        )
    return tuple(errors)


def _sigma(
    fit: _Fit, people: FloatArray, past: PastLoad, specs: Sequence[ServiceSpec], *, split: int
) -> float:
    """Log-standard deviation of the truth around the model, on what it had not seen, by load."""
    said = _said(fit, people, past, specs)[:, split:]
    came = past.load[:, split:]
    use = np.isfinite(came) & (came > 0.0) & (said > 0.0)
    if not use.any():
        return MOST_SIGMA
    ratio = np.log(np.where(use, came, 1.0) / np.where(use, said, 1.0))
    weight = np.where(use, came / np.maximum(np.nanmean(came, axis=1, keepdims=True), 1e-12), 0.0)
    spread = float(np.sqrt((weight * ratio**2).sum() / weight.sum()))
    return min(max(spread, LEAST_SIGMA), MOST_SIGMA)


def _usual(schedule: Schedule, assumed: EventModel) -> tuple[float, ...]:
    """How many people of each role an event has on average."""
    if not len(schedule.participants):
        return assumed.usual
    return tuple(float(mean) for mean in schedule.participants.mean(axis=0))

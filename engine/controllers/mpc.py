"""A rival that plans: model-predictive control of each service's count, one optimisation a solve.

Every `sync_s` the load to come is forecast as the engine forecasts it, a plan of counts for the
bins to come is worked out that costs least, its first step is asked for, and the rest is forgotten:
at the next solve the plan is made anew from what is there then (*receding horizon*: Rawlings, Mayne
and Diehl, "Model Predictive Control", 2nd ed. 2017, ch. 1; for fleets of servers Lin, Wierman,
Andrew and Thereska, "Dynamic right-sizing for power-proportional data centers", INFOCOM 2011).  No
rule says how many instances a load needs: a missed request has a price, an instance has one, and
the plan is what they come to.

Let n_k be the count in bin k = 0 ... K - 1, each of b seconds.  The plan minimises

    sum over k of   p b n_k  +  c b M_k(min(n_k, ready_k))  +  a max(n_k - n_(k-1), 0)

- p is the price of an instance, c that of a missed request (`usd_per_missed_request`).
- M_k(n) are the requests a second that are expected to be missed, over the forecast's quantiles:
  the sum over z of w(z) r(z) L(n; r(z)), with the rate r(z) = median * exp(z sd) and w the standard
  normal weights of the scores z, half a deviation apart.  In one bin alone this is the newsvendor's
  problem (Arrow, Harris and Marschak, "Optimal inventory policy", Econometrica 1951).
- L(n; r) is the share that comes too late with n instances.  With d = n * slots - r h slots more
  than are busy (h: how long a request holds one), whoever has to wait does so for longer than the
  SLO leaves with the probability exp(-d * slack / (v h)), v = (1 + scv) / 2, and has to wait with
  1 / (1 + x Phi(x) / phi(x)), x = d / sqrt(v r h) (Halfin and Whitt 1981; v as in Allen and
  Cunneen, as in `engine.decide.sizing`).  Where d < 0 the queue grows: all are late, and what is
  left over is served in the place of as many that come later, so L = 1 - d / (r h).
- a is what an instance costs until it serves, D bins, and the wear of a change (`cost.flap_hours`):
  so nothing is given back now to be ordered again at once.

What is ordered now serves after D bins (boot at `forecast.boot_quantile`, and warm-up): before that
n can only fall, and no more than what is ready serves (`ready_k`: with what boots, evenly).  A step
out is at most `limits.step_out` of the count and rests for `cooldown_out_s`, a step in at most
`step_in` with `cooldown_in_s` between two, and min <= n_k <= max.

The plan is exact for whole instances: a dynamic programme backwards over (bin, count, bins of rest
left), in which the cheapest of the counts that one step reaches is the minimum of a sliding window,
so a bin costs O(counts * rest).  No linear programme does the same: L is not convex, nor is a rest.
Beyond `MOST_COUNTS` counts the grid is coarser, by less than half a per cent of a fleet.

It sees what the engine sees, by the engine's own functions: measurements, learned response,
slowdown, errors of its own forecasts, and the limits again where the step is asked for.  What it
has not: an emergency path, a zone to spare, floors and protection for major events, approvals, and
people's requests.

It is long because the controller is one file: mathematics, plan and settings.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers.asking import ask
from engine.decide.assess_weddings import Ahead, assess_weddings
from engine.decide.observe import Scope, Seen, observe
from engine.decide.rails.limits import limit, stabilised
from engine.decide.traits import Platform, traits
from engine.forecast.schedule import HORIZONS_S
from engine.memory import Memory, ServiceMemory, remember
from engine.memory_json import from_json, to_json
from engine.model import Action, FloatArray, Forecast, Observation, Plan, Reason, ServiceSpec
from engine.settings import EngineSettings, LimitSettings

Indices = NDArray[np.int64]

MOST_COUNTS = 256
SCORES = np.arange(-2.5, 4.01, 0.5)
WEIGHTS = np.array([NormalDist().pdf(z) for z in SCORES])
WEIGHTS /= WEIGHTS.sum()
NOBODY = 1e-8
"""A share of requests that is none."""
TIE_USD = 1e-9
"""A plan has to be cheaper by so much to be preferred to leaving things as they are."""


class MpcOptions(Strict):
    """`usd_per_missed_request` in USD; `horizon_s` beyond the lead time, and `sync_s`, seconds."""

    usd_per_missed_request: float = Field(default=0.0005, gt=0.0, le=1e6)
    horizon_s: float = Field(default=1800.0, ge=300.0, le=7200.0)
    sync_s: float = Field(default=15.0, gt=0.0, le=600.0)


class PlanningProblem(NamedTuple):
    """What the plan of one service is made of; the bins are `bin_s` long.

    `counts` (counts,) that may be had, rising, and the place `start` of what is there; `highest`
    and `lowest` (counts,) are the places that one step reaches.  `stage` (bins, counts) is what a
    bin costs with each count (USD), `rise` what one more instance costs until it serves (USD).
    `lead` is the first bin in which what is ordered now serves; `rest_out` says for how many bins a
    step out has to wait yet and `apart_out` how many lie between two, `rest_in` and `apart_in` the
    same of steps in.
    """

    counts: FloatArray
    start: int
    highest: Indices
    lowest: Indices
    stage: FloatArray
    rise: float
    lead: int
    rest_out: int
    apart_out: int
    rest_in: int
    apart_in: int


class SlotUse(NamedTuple):
    """How requests hold the slots of an instance, and how long they may wait for one."""

    slots: float
    """Of one instance."""
    held_s: float
    variability: float
    """(ca2 + cs2) / 2: by how much more than evenly they come and hold, 1 where both are random."""
    slack_s: float
    """What the SLO leaves beside the service."""


class Choices(NamedTuple):
    """The places that one step from each count reaches, `first` to `last` (counts,)."""

    first: Indices
    last: Indices


class Cheapest(NamedTuple):
    """What is cheapest so far from each count, in USD, and the place where it is (counts,)."""

    usd: FloatArray
    place: Indices


class Mpc:
    """Asks for the first step of the cheapest plan, each `sync_s`."""

    horizons_s = HORIZONS_S
    """How far ahead the forecasts are that its plans carry."""

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        self.settings = settings
        self.options = validated(MpcOptions, options, "controller.options")
        self.memory = Memory()
        self._platform = Platform((), ())

    def step(self, observation: Observation) -> Plan:
        """Plan anew when it is time; nothing happens between two solves.

        Raises ValueError for calls that form a cycle or name no service.
        """
        now_s, settings = observation.now_s, self.settings
        memory = remember(self.memory, observation, settings)
        if now_s < memory.next_cycle_s:
            self.memory = memory
            return Plan(cycle=False)
        specs = tuple([service.spec for service in observation.services])
        if specs != self._platform.specs:
            self._platform = traits(specs, settings)
        everything = Scope(True, frozenset(), frozenset(), {})
        seen = observe(
            everything, memory, observation, platform=self._platform, settings=settings, blends={}
        )
        ahead = assess_weddings(
            seen, observation.outlook, now_s=now_s, settings=settings, blends={}
        )
        services = dict(memory.services)
        actions: list[Action] = []
        forecasts: list[Forecast] = []
        for one, then in zip(seen, ahead, strict=True):
            if then is None:  # only where not all services are looked at
                continue
            own, action = self._planned(one, then, now_s)
            services[one.traits.spec.name] = own
            forecasts.extend(then.forecasts)
            if action is not None:
                actions.append(action)
        self.memory = memory._replace(next_cycle_s=now_s + self.options.sync_s, services=services)
        return Plan(actions=tuple(actions), forecasts=tuple(forecasts))

    def snapshot(self) -> str:
        """The memory as JSON."""
        return to_json(self.memory)

    def restore(self, snapshot: str) -> None:
        """Take over the memory of `snapshot`; raises ValueError when it is not one."""
        self.memory = from_json(snapshot)

    def _planned(self, one: Seen, then: Ahead, now_s: float) -> tuple[ServiceMemory, Action | None]:
        """What is remembered of a service after the solve, and the first step of its plan."""
        service, spec, limits = one.service, one.traits.spec, self.settings.limits
        own = one.memory._replace(
            response=then.response, slowdown=one.slowdown, asked_s=one.asked_s
        )
        desired = service.desired
        target = desired
        if not then.blind:
            target = first_step(
                planning_problem(
                    one, then, own, now_s, settings=self.settings, options=self.options
                )
            )
        if now_s - one.asked_s < limits.idle_s:  # whoever is asked does not fall asleep
            target = max(target, 1)
        if one.view.stale:  # silence is no calm
            target = max(target, desired)
        own = own._replace(targets=stabilised(own.targets, target, now_s, limits.stabilisation_s))
        if target < desired:
            target = min(own.targets[0][1], desired)
        if _little(spec, desired, target, limits):
            return own, None
        allowed = limit(
            spec, desired, target, Reason.FORECAST, memory=own, now_s=now_s, settings=limits
        ).target
        if allowed == desired:
            return own, None
        out = allowed > desired
        lead = min(then.curve.bins_within(one.traits.lead_s), len(then.curve.booked)) - 1
        rate = float(then.curve.booked[lead]) * math.exp(float(then.curve.correction[lead]))
        sd = float(then.curve.sd[lead])
        action = ask(
            service,
            allowed,
            now_s,
            reason=Reason.FORECAST,
            trigger_s=now_s,
            evidence={"planned": float(target), "rate": rate, "sd": sd},
            explanation=f"{spec.name}: {desired} → {allowed}, the first step of the cheapest plan "
            f"at {self.options.usd_per_missed_request:g} USD a missed request; about {rate:.0f} "
            f"requests/s (± {sd:.0%}) in {one.traits.lead_s / 60.0:.0f} min.",
        )
        own = own._replace(
            desired=allowed,
            last_out_s=now_s if out else own.last_out_s,
            last_in_s=own.last_in_s if out else now_s,
        )
        return own, action


def _little(spec: ServiceSpec, desired: int, target: int, limits: LimitSettings) -> bool:
    """Whether the change is too small a share of what is there to be worth a step."""
    if not spec.min_instances <= desired <= spec.max_instances:
        return False  # that is put right at once
    tolerance = limits.tolerance_out if target > desired else limits.tolerance_in
    return abs(target - desired) < tolerance * desired


def planning_problem(
    one: Seen,
    then: Ahead,
    own: ServiceMemory,
    now_s: float,
    *,
    settings: EngineSettings,
    options: MpcOptions,
) -> PlanningProblem:
    """What the plan of one service is made of, from what is seen and forecast of it."""
    spec, curve, limits = one.traits.spec, then.curve, settings.limits
    service, bin_s, lead_s = one.service, curve.bin_s, one.traits.lead_s
    lead = max(math.ceil(lead_s / bin_s), 1)
    bins = min(lead + math.ceil(options.horizon_s / bin_s), len(curve.booked))
    lead = min(lead, bins - 1)
    rates = np.exp(curve.correction[:bins]) * curve.booked[:bins]
    if one.view.queue_depth > 0.0:  # what waits is served by when what is ordered now serves
        rates[: lead + 1] += one.view.queue_depth / (bin_s * (lead + 1))
    scenarios = rates[:, None] * np.exp(curve.sd[:bins, None] * SCORES)
    held_s = spec.service_s * one.slowdown
    counts = _grid(one, scenarios * (held_s / spec.slots), options.usd_per_missed_request)
    variability = 0.5 * (1.0 + spec.service_scv)
    slack_s = max(1.0 - one.traits.sizing.held * one.slowdown, 0.0) * spec.slo_p95_s
    slot_use = SlotUse(float(spec.slots), held_s, variability, slack_s)
    stage = missed(scenarios, WEIGHTS, counts, slot_use)
    _serve_no_more_than(stage, counts, service.ready + service.booting * np.arange(lead) / lead)
    stage *= options.usd_per_missed_request * bin_s
    stage += spec.price_per_hour * bin_s / 3600.0 * counts
    until_serving_h = lead * bin_s / 3600.0
    rest_in_s = max(own.last_in_s + limits.cooldown_in_s, own.last_out_s + limits.flip_hold_s)
    highest, lowest = reach(counts, limits)
    return PlanningProblem(
        counts=counts,
        start=int(np.searchsorted(counts, service.desired).clip(0, len(counts) - 1)),
        highest=highest,
        lowest=lowest,
        stage=stage,
        rise=spec.price_per_hour * (until_serving_h + settings.cost.flap_hours),
        lead=lead,
        rest_out=_bins(own.last_out_s + limits.cooldown_out_s - now_s, bin_s),
        apart_out=_bins(limits.cooldown_out_s, bin_s),
        rest_in=_bins(rest_in_s - now_s, bin_s),
        apart_in=max(_bins(limits.cooldown_in_s, bin_s), 1),
    )


def first_step(plan: PlanningProblem) -> int:
    """The count that the cheapest plan asks for now."""
    falls_to, rises_to = _cheapest(plan)
    if falls_to != plan.start:
        return int(plan.counts[falls_to])
    return int(max(plan.counts[plan.start], plan.counts[rises_to]))


def _bins(time_s: float, bin_s: float) -> int:
    """Whole bins that `time_s` fills or begins; 0 for what is over, or never was."""
    return math.ceil(time_s / bin_s - 1e-9) if time_s > 0.0 else 0


def _grid(one: Seen, busy: FloatArray, usd_per_missed: float) -> FloatArray:
    """The counts that a cheapest plan may have, and what is there: whole, rising, evenly apart.

    `busy` (bins, scores) are the instances that each rate keeps busy.  No plan has more than keep
    nearly everybody within the SLO at the highest of the rates, nor, if even then one more instance
    pays, fewer than the lowest keeps busy.
    """
    spec, sizing = one.traits.spec, one.traits.sizing.with_room_for(one.slowdown)
    low, high = float(busy.min()), float(busy.max())
    room = min(4.0 * sizing.spread * math.sqrt(high), 3.0 * sizing.room)
    served_h = 3600.0 * spec.rate_per_instance / one.slowdown
    pays = usd_per_missed * served_h > spec.price_per_hour
    least = max(spec.min_instances, math.floor(low) if pays else 0)
    least = min(least, one.service.desired, spec.max_instances)
    most = max(min(math.ceil(high + room) + 1, spec.max_instances), one.service.desired, least)
    apart = max(math.ceil((most - least) / (MOST_COUNTS - 1)), 1)
    # what is there is one of them
    first = one.service.desired - (one.service.desired - least) // apart * apart
    counts = np.arange(first, most + apart, apart, dtype=np.float64)
    return np.clip(counts, None, max(spec.max_instances, one.service.desired))


def _serve_no_more_than(stage: FloatArray, counts: FloatArray, ready: FloatArray) -> None:
    """In the first bins, `ready` (lead,) serve, however many are paid for."""
    lead, bins = len(ready), np.arange(len(ready))
    place = np.interp(ready, counts, np.arange(len(counts), dtype=np.float64))
    before = place.astype(np.int64)
    after = np.minimum(before + 1, len(counts) - 1)
    least = stage[bins, before]
    least += (place - before) * (stage[bins, after] - least)
    stage[:lead] = np.where(counts > ready[:, None], least[:, None], stage[:lead])


def reach(counts: FloatArray, limits: LimitSettings) -> tuple[Indices, Indices]:
    """The highest and the lowest place one step away from each count, the next one at least.

    As `engine.decide.rails.limits.step_bounds` has it, for all counts at once.
    """
    highest = np.maximum(counts + 1.0, np.floor(counts * (1.0 + limits.step_out) + 1e-9))
    lowest = np.minimum(counts - 1.0, np.ceil(counts * (1.0 - limits.step_in) - 1e-9))
    places = np.arange(len(counts))
    up = np.searchsorted(counts, highest, side="right") - 1
    up = np.minimum(np.maximum(up, places + 1), len(counts) - 1)
    down = np.maximum(np.minimum(np.searchsorted(counts, lowest), places - 1), 0)
    return up, down


@njit(cache=True)
def missed(
    rates: FloatArray, weights: FloatArray, counts: FloatArray, slot_use: SlotUse
) -> FloatArray:
    """Requests a second that are expected to be missed, M_k(n): (bins, counts).

    `rates` (bins, scores) have the `weights` (scores,), and `counts` (counts,) rise.
    """
    slots, held_s, variability, slack_s = slot_use
    bins, places = len(rates), len(counts)
    result = np.zeros((bins, places))
    constant, slope = np.zeros(places + 1), np.zeros(places + 1)
    decay = slack_s / (variability * held_s)
    for k in range(bins):
        constant[:] = 0.0
        slope[:] = 0.0
        for q in range(rates.shape[1]):
            busy, weight = rates[k, q] * held_s, weights[q] * rates[k, q]
            if not busy > 0.0:
                continue
            spread = math.sqrt(busy * variability)
            first = np.searchsorted(counts, busy / slots)
            constant[first] += 2.0 * weight
            slope[first] += weight * slots / busy
            for i in range(first, places):
                spare = counts[i] * slots - busy
                share = _waits(spare / spread) * math.exp(-decay * spare)
                if share < NOBODY:
                    break
                result[k, i] += weight * share
        above, along = 0.0, 0.0
        for i in range(places - 1, -1, -1):  # the queue grows with all counts below `first`
            above += constant[i + 1]
            along += slope[i + 1]
            result[k, i] += above - along * counts[i]
    return result


@njit(cache=True)
def _waits(x: float) -> float:
    """Share of the requests that wait, with `x` deviations more slots than are busy, x >= 0."""
    density = math.exp(-0.5 * x * x) / math.sqrt(2.0 * math.pi)
    below = 1.0 - 0.5 * math.erfc(x / math.sqrt(2.0))
    return density / (density + x * below)


@njit(cache=True)
def _cheapest(plan: PlanningProblem) -> tuple[int, int]:
    """Where the cheapest plan falls to now, and what it has in the bin `lead`.

    Backwards: `here[r, i]` is the cost from bin k on with count i in it and r bins to rest,
    `after[r, i]` that from the end of the bin before on, when the count may change.
    """
    stage, lead, apart_out = plan.stage, plan.lead, plan.apart_out
    bins, places = stage.shape
    rest_out = min(plan.rest_out, apart_out)
    after = np.zeros((apart_out + 1, places))
    here = np.zeros((apart_out + 1, places))
    goes_to = np.zeros((lead + 1, places), np.int64)
    aside = np.zeros(places, np.int64)
    places_themselves = np.arange(places)
    falling = Choices(plan.lowest, np.maximum(places_themselves - 1, 0))
    rising = Choices(np.minimum(places_themselves + 1, places - 1), plan.highest)
    free, price = np.zeros(places), plan.rise * plan.counts
    for k in range(bins - 1, -1, -1):
        falls = k >= plan.rest_in and (k - plan.rest_in) % plan.apart_in == 0
        for r in range(apart_out + 1):
            # the rest counts from when a step is asked for, and that is `lead` bins before
            here[r] = stage[k] + after[r if k < lead else max(r - 1, 0)]
        for r in range(apart_out + 1):
            goes = aside
            if k <= lead and r == rest_out:
                goes = goes_to[k]
            goes[:] = places_themselves
            after[r] = here[r]
            if falls:
                _step(here[r], falling, free, Cheapest(after[r], goes))
            if k >= lead and r == 0:
                _step(here[apart_out], rising, price, Cheapest(after[r], goes))
    falls_to = goes_to[0, plan.start]
    place = falls_to
    for k in range(1, lead + 1):
        place = goes_to[k, place]
    return falls_to, place


@njit(cache=True)
def _step(values: FloatArray, choices: Choices, price: FloatArray, so_far: Cheapest) -> None:
    """Go from each count i to the best of the choices, if that is cheaper than what is so far.

    `values` (counts,) are the costs there (USD), `price` (counts,) what the instances cost besides
    until they serve: the difference of two counts is what the step costs.
    """
    best = np.empty(len(values), np.int64)
    line = values + price
    _window(line, choices.first, choices.last, best)
    for i in range(len(values)):
        cost = line[best[i]] - price[i]
        if cost < so_far.usd[i] - TIE_USD:
            so_far.usd[i] = cost
            so_far.place[i] = best[i]


@njit(cache=True)
def _window(values: FloatArray, first: Indices, last: Indices, best: Indices) -> None:
    """Put into `best` where the smallest of `values` from `first` to `last` is.

    Both rise, so each value enters and leaves the queue of ascending minima once.
    """
    queue = np.empty(len(values), np.int64)
    head, tail, entered = 0, 0, first[0]
    for i in range(len(best)):
        while entered <= last[i]:
            while tail > head and values[queue[tail - 1]] > values[entered]:
                tail -= 1
            queue[tail] = entered
            tail += 1
            entered += 1
        while queue[head] < first[i] and head < tail - 1:
            head += 1
        best[i] = queue[head]

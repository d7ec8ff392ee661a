"""From the notes of a run to the figures of `summary.json` (`engine.record.schema`).

`violation_ratio` is the share of user-facing requests (attempts, retries included) that failed,
were shed, timed out or were served slower than their service's SLO.  A violation minute is one in
which that share is above 1 %.  Under- and over-provisioned shares are the time shares of SPEC's
elasticity metrics (`twin.elasticity`): how long fewer, or more, instances were ready than needed.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping

import numpy as np

from engine.model import FloatArray, Reason
from engine.record.figures import (
    carried_out,
    decision_figures,
    forecaster_figures,
    horizons,
    prediction_figures,
    reversals,
)
from engine.record.readiness import InstancesOverTime, Readiness, figures, readiness
from engine.record.schema.paths import RunScope
from engine.record.schema.summary import (
    Ceremonies,
    Conservation,
    Cost,
    Elasticity,
    Figures,
    Fired,
    Service,
    Slo,
    UserRequests,
    Weddings,
)
from twin.compare.elasticity import NAMES, elasticity, longest_run
from twin.queues.port import TRUTH_FIELDS
from twin.queues.validity import outside_share
from twin.runs.detection import detection
from twin.world.world import World

VIOLATION_MINUTE = 0.01
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
BAD = ("failed", "shed", "timed_out", "slow")


def summarise(world: World) -> Figures:
    """Everything in the summary that follows from the simulation alone."""
    samples = world.platform.samples
    truth = world.platform.truth[:, :samples]
    turns = reversals(carried_out(world.recorder.decisions))
    return Figures(
        weddings=_weddings(world),
        requests=_requests(world, truth),
        slo=_slo(world, truth),
        services={
            spec.name: _service(world, i, truth[i], turns) for i, spec in enumerate(world.specs)
        },
        cost=bill(world),
        elasticity=_elasticity(world, truth),
        ceremonies=_ceremonies(world),
        decision=decision_figures(
            world.recorder.decisions, world.recorder.steps, world.recorder.compute_s
        ),
        prediction=prediction_figures(
            world.recorder.issued,
            truth[:, :, T["arrived"]] / world.recorder.interval_s,
            world.start_s,
            world.recorder.interval_s,
        ),
        forecaster=forecaster_figures(world.controller, world.config.engine),
        prescaling=figures(prescaling(world), world.config.engine.weddings.lead_s),
        faults={
            fault.name: Fired(kind=fault.kind, fired=world.recorder.fired.get(fault.name, 0))
            for fault in world.config.faults.values()
        },
        detection=detection(world),
        conservation=Conservation(
            checked=True, worst_relative_error=float(world.platform.conservation_error())
        ),
    )


def scope(world: World) -> RunScope:
    """What is known of the run before it: which figures its summary can have."""
    config = world.config
    return RunScope(
        world="twin",
        services=tuple(spec.name for spec in world.specs),
        resolution=config.resolution,
        horizons=horizons(world.controller),
        faults=tuple(fault.name for fault in config.faults.values()),
        reasons=tuple(Reason),
        replicated=config.replications > 1,
    )


def asked(world: World) -> dict[str, float]:
    """Requests that each service got, by the path that limits on its figures look at."""
    arrived = world.platform.truth[:, : world.platform.samples, T["arrived"]].sum(axis=1)
    return {
        f"services.{spec.name}.requests": float(arrived[i]) for i, spec in enumerate(world.specs)
    }


def prescaling(world: World) -> list[Readiness]:
    """How ready each service was when each group of major events began."""
    samples = world.platform.samples
    counts = InstancesOverTime(
        world.start_s,
        world.recorder.interval_s,
        world.recorder.counts[:, :samples, 1],
        world.platform.truth[:, :samples, T["needed"]],
        world.recorder.floors[:, :samples],
    )
    lead_s = world.config.engine.weddings.lead_s
    return readiness(world.specs, counts, world.script.awaited_s, lead_s)


def _weddings(world: World) -> Weddings:
    until = max(int(world.now_s), 1)
    in_progress = world.load.demand.in_progress[:until]
    peak_at = int(in_progress.argmax())
    return Weddings(
        total=world.script.events,
        peak_simultaneous=int(in_progress[peak_at]),
        peak_at=dt.datetime.fromtimestamp(world.start_s + peak_at, dt.UTC).isoformat(),
    )


def user_facing(world: World) -> list[int]:
    """Rows of the services at which users enter."""
    return [i for i, spec in enumerate(world.specs) if spec.user_facing]


def _requests(world: World, truth: FloatArray) -> UserRequests:
    facing = truth[user_facing(world)]
    rate = facing[..., T["arrived"]].sum(axis=0) / world.recorder.interval_s
    sums = facing.sum(axis=(0, 1))
    counts = {
        name: round(float(sums[T[name]]))
        for name in ("served", "failed", "shed", "timed_out", "retried")
    }
    return UserRequests(
        total=round(float(sums[T["arrived"]])),
        peak_rate_per_s=float(rate.max(initial=0.0)),
        **counts,
    )


def _slo(world: World, truth: FloatArray) -> Slo:
    facing = truth[user_facing(world)].sum(axis=0)
    bad = sum(facing[:, T[name]] for name in BAD)
    done = done_requests(facing)
    per_minute = max(round(60 / world.recorder.interval_s), 1)
    minutes = len(facing) // per_minute * per_minute
    shape = (-1, per_minute)
    bad_minutes = bad[:minutes].reshape(shape).sum(axis=1)
    done_minutes = done[:minutes].reshape(shape).sum(axis=1)
    lost = sum(float(facing[:, T[name]].sum()) for name in BAD[:3])
    violated = bad_minutes > VIOLATION_MINUTE * done_minutes
    return Slo(
        violation_ratio=_share(float(bad.sum()), float(done.sum())),
        violation_minutes=int(np.count_nonzero(violated)),
        longest_violation_s=60.0 * longest_run(violated.tolist()),
        availability=1.0 - _share(lost, float(done.sum())),
    )


def done_requests(truth: FloatArray) -> FloatArray:
    """Requests that ended, whichever way: the columns summed, shape (...,)."""
    columns = [T[name] for name in ("served", "failed", "shed", "timed_out")]
    done: FloatArray = truth[..., columns].sum(axis=-1)
    return done


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 0.0


def _service(world: World, i: int, truth: FloatArray, turns: Mapping[str, int]) -> Service:
    spec = world.specs[i]
    samples = len(truth)
    cpu = world.platform.metrics[i, :samples, 1]
    measured = bool(np.isfinite(cpu).any())
    ready = world.recorder.counts[i, :samples, 1]
    needed = truth[:, T["needed"]]
    fleet = world.fleets[spec.name]
    hours = fleet.instance_seconds(world.now_s) / 3600.0
    warm_usd = None if fleet.warm is None else fleet.warm.usd(world.now_s)
    p50_s, p95_s, p99_s = world.platform.response_quantiles(i, (0.5, 0.95, 0.99))
    bad = sum(float(truth[:, T[name]].sum()) for name in BAD)
    return Service(
        p50_s=p50_s,
        p95_s=p95_s,
        p99_s=p99_s,
        slo_p95_s=spec.slo_p95_s,
        cpu_mean=float(np.nanmean(cpu)) if measured else 0.0,
        cpu_max=float(np.nanmax(cpu)) if measured else 0.0,
        instances_max=int(world.recorder.counts[i, :samples, 1:].sum(axis=1).max(initial=0)),
        instance_hours=hours,
        cost_usd=hours * spec.price_per_hour + (warm_usd or 0.0),
        warm_usd=warm_usd,
        violation_ratio=_share(bad, float(done_requests(truth).sum())),
        under_provisioned_share=float(np.mean(ready < needed)) if samples else 0.0,
        over_provisioned_share=float(np.mean(ready > needed)) if samples else 0.0,
        reversals=turns.get(spec.name, 0),
        unverified_share=(
            0.0
            if world.config.resolution == "request"
            else outside_share(ready.astype(np.float64) * spec.slots, cpu)
        ),
    )


def bill(world: World) -> Cost:
    """What all instances cost from launch to end, their boots and drains too, in USD.

    What is held warm is among it.
    """
    total = sum(
        fleet.instance_seconds(world.now_s) / 3600.0 * fleet.spec.price_per_hour
        for fleet in world.fleets.values()
    )
    pools = [fleet.warm for fleet in world.fleets.values() if fleet.warm is not None]
    warm_usd = math.fsum(pool.usd(world.now_s) for pool in pools)
    return Cost(
        total_usd=total + warm_usd,
        per_wedding_usd=_share(total + warm_usd, float(world.script.events)),
        warm_usd=warm_usd if pools else None,
    )


def _ceremonies(world: World) -> Ceremonies | None:
    """What became of those on instances; None where no service carries any."""
    carrying = [
        (fleet, fleet.carried) for fleet in world.fleets.values() if fleet.carried is not None
    ]
    if not carrying:
        return None
    hours = [
        carried.held_s(fleet.history()["ended_s"], world.now_s) / 3600.0
        for fleet, carried in carrying
    ]
    prices = [fleet.spec.price_per_hour for fleet, _ in carrying]
    return Ceremonies(
        carried=sum(carried.begun for _, carried in carrying),
        cut=sum(carried.cut for _, carried in carrying),
        lost=sum(carried.lost for _, carried in carrying),
        held_hours=math.fsum(hours),
        held_usd=math.fsum(np.multiply(hours, prices).tolist()),
    )


def _elasticity(world: World, truth: FloatArray) -> Elasticity:
    """SPEC's metrics, as means over the services."""
    samples = truth.shape[1]
    per_minute = max(round(60 / world.recorder.interval_s), 1)
    each = [
        elasticity(
            world.recorder.counts[i, :samples, 1].astype(np.float64),
            np.maximum(truth[i, :, T["needed"]], spec.min_instances),
            per_minute,
        )
        for i, spec in enumerate(world.specs)
    ]
    return Elasticity(**{name: math.fsum(one[name] for one in each) / len(each) for name in NAMES})

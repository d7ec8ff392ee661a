"""Kubernetes' HorizontalPodAutoscaler, algorithm only: from pods and metrics to a replica count.

Written from the description of the algorithm in the Kubernetes documentation ("Horizontal Pod
Autoscaling", "Algorithm details") and from its defaults, down to where it rounds: quantities are
whole milli-units, utilisation is a whole percentage, both truncated.  All state is in `HpaMemory`;
times are seconds, ages are differences of them.  It is one algorithm, in one place to be read
beside the documentation, and so longer than most modules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

MOST_REPLICAS = 2**31 - 1
MOST_MILLI = 2**63 - 1


class PodPhase(StrEnum):
    """Of a pod's life."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


class Policy(StrEnum):
    """Which of several rate policies counts: the one that changes most, least, or none at all."""

    MAX = "Max"
    MIN = "Min"
    DISABLED = "Disabled"


class MetricError(Exception):
    """A metric cannot propose a count; `reason` is that of the condition ScalingActive."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Sample:
    """A pod's usage (milli-units, one entry a container), averaged over `window_s` up to `at_s`."""

    usage_m: tuple[int, ...]
    at_s: float
    window_s: float

    def of(self, container: int | None) -> int:
        """Usage of one container, or of the whole pod."""
        return sum(self.usage_m) if container is None else self.usage_m[container]


@dataclass(frozen=True, slots=True)
class Pod:
    """`count` pods that cannot be told apart.

    `ready` None: no such condition yet.  `requests_m` has one entry a container, None where no
    request is set.
    """

    name: str
    phase: PodPhase = PodPhase.RUNNING
    deleted: bool = False
    start_s: float | None = 0.0
    ready: bool | None = True
    transition_s: float = 0.0
    requests_m: tuple[int | None, ...] = (1000,)
    count: int = 1

    def request_m(self, container: int | None) -> int:
        """The request of one container, or of the pod; raises MetricError if there is none."""
        wanted = self.requests_m if container is None else (self.requests_m[container],)
        total = 0
        for request in wanted:
            if request is None:
                raise MetricError(
                    "FailedGetResourceMetric", f"missing request for cpu of {self.name}"
                )
            total += request
        return total


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a ratio may be from 1 without anything being done."""

    down: float = 0.1
    up: float = 0.1

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is close enough to 1."""
        return 1.0 - self.down <= ratio <= 1.0 + self.up


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `value` pods or per cent of change within `period_s`."""

    percent: bool
    value: int
    period_s: float


@dataclass(frozen=True, slots=True)
class Rules:
    """One direction of `behavior`."""

    stabilization_s: float
    policies: tuple[Rate, ...]
    select: Policy = Policy.MAX


DEFAULT_UP = Rules(0.0, (Rate(False, 4, 15.0), Rate(True, 100, 15.0)))
DEFAULT_DOWN = Rules(300.0, (Rate(True, 100, 15.0),))


@dataclass(frozen=True, slots=True)
class Behavior:
    """`spec.behavior`, with Kubernetes' defaults where nothing is given."""

    up: Rules = DEFAULT_UP
    down: Rules = DEFAULT_DOWN


@dataclass(frozen=True, slots=True)
class ManagerFlags:
    """Flags of the controller manager, with their defaults."""

    tolerance: Tolerance = Tolerance()
    cpu_initialization_s: float = 300.0
    initial_readiness_s: float = 30.0
    downscale_stabilization_s: float = 300.0
    scale_up_factor: float = 2.0
    scale_up_minimum: float = 4.0


@dataclass(frozen=True, slots=True)
class Groups:
    """Names of pods by what their metrics are worth, and how many are ready."""

    ready: int
    unready: frozenset[str]
    missing: frozenset[str]
    ignored: frozenset[str]


def group(
    pods: Iterable[Pod],
    samples: Mapping[str, Sample],
    cpu: bool,
    settings: ManagerFlags,
    *,
    now_s: float,
) -> Groups:
    """Sort pods into those whose samples count, whose do not yet, that have none, and the rest."""
    ready, unready, missing, ignored = 0, set(), set(), set()
    for pod in pods:
        if pod.deleted or pod.phase is PodPhase.FAILED:
            ignored.add(pod.name)
        elif pod.phase is PodPhase.PENDING:
            unready.add(pod.name)
        elif pod.name not in samples:
            missing.add(pod.name)
        elif cpu and _too_young(pod, samples[pod.name], settings, now_s):
            unready.add(pod.name)
        else:
            ready += pod.count
    return Groups(ready, frozenset(unready), frozenset(missing), frozenset(ignored))


def _too_young(pod: Pod, sample: Sample, settings: ManagerFlags, now_s: float) -> bool:
    """Whether a pod's CPU usage is that of its start, not of its work."""
    if pod.ready is None or pod.start_s is None:
        return True
    if pod.start_s + settings.cpu_initialization_s > now_s:
        return not pod.ready or sample.at_s < pod.transition_s + sample.window_s
    return not pod.ready and pod.start_s + settings.initial_readiness_s > pod.transition_s


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a metric wants.

    `usage_m` is the average usage of a pod, or the metric's value; `utilization` in per cent, where
    the target is one.
    """

    replicas: int
    usage_m: int
    utilization: int | None = None


class _Usage:
    """Usage of pods against a target, as totals over identical pods."""

    def __init__(self, pods: Sequence[Pod], target: int, container: int | None, per_cent: bool):
        self.counts = {pod.name: pod.count for pod in pods}
        self.requests = {pod.name: pod.request_m(container) for pod in pods} if per_cent else {}
        self.target = target
        self.per_cent = per_cent

    def ratio(self, usage: Mapping[str, int]) -> tuple[float, int, int | None]:
        """Usage over target, average usage, and utilisation; raises MetricError for no pod."""
        measured = self.requests if self.per_cent else usage
        names = [name for name in usage if name in measured]
        number = sum(self.counts.get(name, 1) for name in names)
        total = sum(usage[name] * self.counts.get(name, 1) for name in names)
        if not self.per_cent:
            average = total // number
            return average / self.target, average, None
        requested = sum(self.requests[name] * self.counts[name] for name in names)
        if requested == 0:
            raise MetricError("FailedGetResourceMetric", "no metrics returned matched known pods")
        utilization = total * 100 // requested
        return utilization / self.target, total // number, utilization

    def missing_m(self, name: str) -> int:
        """What a pod without a sample is taken to use when the others use too little."""
        if self.per_cent:
            return self.requests[name] * max(100, self.target) // 100
        return self.target


def from_pods(
    pods: Sequence[Pod],
    samples: Mapping[str, Sample],
    current: int,
    target: int,
    *,
    settings: ManagerFlags,
    now_s: float,
    utilization: bool,
    container: int | None = None,
) -> Proposal:
    """Replicas for a resource's utilisation (`target` in per cent) or a metric of each pod (milli).

    Samples without a pod count as ready ones of a metric, and not at all for a resource.  Raises
    MetricError if no sample can be used.
    """
    groups = group(pods, samples, utilization, settings, now_s=now_s)
    left_out = groups.ignored | groups.unready
    usage = {name: sample.of(container) for name, sample in samples.items() if name not in left_out}
    if not usage:
        reason = "FailedGetResourceMetric" if utilization else "FailedGetPodsMetric"
        raise MetricError(reason, "did not receive metrics for targeted pods")
    against = _Usage(pods, target, container, utilization)
    ratio, average, percentage = against.ratio(usage)
    tolerance = settings.tolerance
    fill_unready = bool(groups.unready) and ratio > 1.0
    if not groups.missing and not fill_unready:
        replicas = current if tolerance.holds(ratio) else _up(ratio * groups.ready)
        return Proposal(replicas, average, percentage)
    # What is not known is taken to speak against the change: it uses much when the rest wants
    # fewer, and nothing when the rest wants more.
    for name in groups.missing:
        if ratio < 1.0:
            usage[name] = against.missing_m(name)
        elif ratio > 1.0:
            usage[name] = 0
    if fill_unready:
        usage.update(dict.fromkeys(groups.unready, 0))
    filled, _, _ = against.ratio(usage)
    crossed = (ratio - 1.0) * (filled - 1.0) < 0.0
    if tolerance.holds(filled) or crossed:
        return Proposal(current, average, percentage)
    replicas = _up(filled * sum(against.counts.get(name, 1) for name in usage))
    against_it = replicas > current if filled < 1.0 else replicas < current
    return Proposal(current if against_it else replicas, average, percentage)


def from_value(
    values_m: Sequence[int],
    pods: Sequence[Pod],
    current: int,
    target_m: int,
    *,
    settings: ManagerFlags,
) -> Proposal:
    """Replicas for the value of an object or an external metric (the sum of its series)."""
    usage = min(sum(values_m), MOST_MILLI)
    ratio = usage / target_m
    if current == 0:
        return Proposal(_up(ratio), usage)
    if settings.tolerance.holds(ratio):
        return Proposal(current, usage)
    ready = sum(pod.count for pod in pods if pod.phase is PodPhase.RUNNING and pod.ready)
    return Proposal(_up(ratio * ready), usage)


def from_average(
    values_m: Sequence[int], status_replicas: int, target_m: int, settings: ManagerFlags
) -> Proposal:
    """Replicas for an object or external metric with a target for each pod."""
    usage = min(sum(values_m), MOST_MILLI)
    replicas = status_replicas
    if not settings.tolerance.holds(usage / (target_m * max(status_replicas, 1))):
        replicas = _up(usage / target_m)
    return Proposal(replicas, -(-usage // max(status_replicas, 1)))


def _up(value: float) -> int:
    return min(math.ceil(value), MOST_REPLICAS)


@dataclass(slots=True)
class ScaleEvent:
    """A change of the count at `at_s`."""

    change: int
    at_s: float
    outdated: bool = False


@dataclass(slots=True)
class HpaMemory:
    """What the controller remembers of one HorizontalPodAutoscaler: never more than minutes.

    `log` holds (recommended count, time), None before the first look.
    """

    log: list[tuple[int, float]] | None = None
    ups: list[ScaleEvent] = field(default_factory=list)
    downs: list[ScaleEvent] = field(default_factory=list)


def remember(log: list[tuple[int, float]], desired: int, now_s: float, keep_s: float) -> None:
    """Add a recommendation, in the place of the last one older than `keep_s` if there is one."""
    old = [i for i, (_, at_s) in enumerate(log) if at_s < now_s - keep_s]
    if old:
        log[old[-1]] = (desired, now_s)
    else:
        log.append((desired, now_s))


def stabilize(log: list[tuple[int, float]], desired: int, now_s: float, window_s: float) -> int:
    """The highest recommendation of the window; `desired` is remembered."""
    recent = [count for count, at_s in log if at_s >= now_s - window_s]
    remember(log, desired, now_s, window_s)
    return max([desired, *recent])


def stabilize_by(
    log: list[tuple[int, float]], current: int, desired: int, now_s: float, *, behavior: Behavior
) -> int:
    """Up to the lowest of the one window, down to the highest of the other."""
    up_s, down_s = behavior.up.stabilization_s, behavior.down.stabilization_s
    up = min([desired, *(count for count, at_s in log if at_s > now_s - up_s)])
    down = max([desired, *(count for count, at_s in log if at_s > now_s - down_s)])
    remember(log, desired, now_s, max(up_s, down_s))
    return min(max(current, up), down)


def clamp(
    current: int, desired: int, lowest: int, highest: int, *, settings: ManagerFlags
) -> tuple[int, str]:
    """The count that may be asked for without `behavior`, and the reason of ScalingLimited."""
    limit = int(max(settings.scale_up_factor * current, settings.scale_up_minimum))
    if desired < lowest:
        return lowest, "TooFewReplicas"
    if desired > min(limit, highest):
        return min(limit, highest), "ScaleUpLimit" if limit < highest else "TooManyReplicas"
    return desired, "DesiredWithinRange"


def clamp_by(
    current: int,
    desired: int,
    lowest: int,
    highest: int,
    *,
    behavior: Behavior,
    memory: HpaMemory,
    now_s: float,
) -> tuple[int, str]:
    """The count that `behavior` allows, and the reason of ScalingLimited."""
    if desired > current:
        limit = max(rate_limit(current, behavior.up, memory, now_s, up=True), current)
        if desired > min(limit, highest):
            return min(limit, highest), "ScaleUpLimit" if limit < highest else "TooManyReplicas"
    elif desired < current:
        limit = min(rate_limit(current, behavior.down, memory, now_s, up=False), current)
        if desired < max(limit, lowest):
            return max(limit, lowest), "ScaleDownLimit" if limit > lowest else "TooFewReplicas"
    return desired, "DesiredWithinRange"


def rate_limit(current: int, rules: Rules, memory: HpaMemory, now_s: float, *, up: bool) -> int:
    """How far the policies let the count go."""
    if rules.select is Policy.DISABLED:
        return current
    limits = []
    for policy in rules.policies:
        added = change_within(memory.ups, policy.period_s, now_s)
        removed = change_within(memory.downs, policy.period_s, now_s)
        start = current - added + removed
        if up:
            more = start * policy.value / 100.0 if policy.percent else policy.value
            limits.append(math.ceil(start + more))
        elif policy.percent:
            limits.append(int(start * (1.0 - policy.value / 100.0)))
        else:
            limits.append(start - policy.value)
    widest = rules.select is Policy.MAX
    return max(limits) if widest == up else min(limits)


def change_within(events: Iterable[ScaleEvent], period_s: float, now_s: float) -> int:
    """Sum of the changes younger than the period."""
    return sum(event.change for event in events if event.at_s > now_s - period_s)


def store(events: list[ScaleEvent], change: int, policies: Sequence[Rate], now_s: float) -> None:
    """Remember a change as long as the longest period, in the place of one that is too old."""
    longest_s = max(policy.period_s for policy in policies)
    old = None
    for i, event in enumerate(events):
        if event.at_s < now_s - longest_s:
            event.outdated = True
            old = i
    if old is None:
        events.append(ScaleEvent(change, now_s))
    else:
        events[old] = ScaleEvent(change, now_s)


@dataclass(frozen=True, slots=True)
class ScaleTarget:
    """The scaled resource as its status says, and the HorizontalPodAutoscaler's bounds."""

    spec_replicas: int
    lowest: int
    highest: int
    behavior: Behavior | None = None


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The count to set, and the reasons of the three conditions (those that were set)."""

    replicas: int
    reasons: Mapping[str, str]
    failed: bool = False


def reconcile(
    target: ScaleTarget,
    proposals: Sequence[Proposal | MetricError],
    memory: HpaMemory,
    settings: ManagerFlags,
    *,
    now_s: float,
) -> Reconciled:
    """One sync of the controller; `proposals` has one entry a metric, in their order."""
    current = target.spec_replicas
    if memory.log is None:
        memory.log = [(current, now_s)]
    reasons = {"AbleToScale": "SucceededGetScale"}
    if current == 0 and target.lowest != 0:
        return Reconciled(0, reasons | {"ScalingActive": "ScalingDisabled"})
    if current > target.highest or current < target.lowest:
        desired = min(max(current, target.lowest), target.highest)
    else:
        errors = [metric for metric in proposals if isinstance(metric, MetricError)]
        wanted = [metric.replicas for metric in proposals if isinstance(metric, Proposal)]
        if errors and (not wanted or max(wanted) < current):
            return Reconciled(current, reasons | {"ScalingActive": errors[0].reason}, failed=True)
        reasons["ScalingActive"] = "ValidMetricFound"
        desired = _normalize(target, max(wanted), memory, settings, now_s=now_s, reasons=reasons)
    if desired != current:
        reasons["AbleToScale"] = "SucceededRescale"
        if target.behavior is not None:
            up = desired > current
            rules = target.behavior.up if up else target.behavior.down
            events = memory.ups if up else memory.downs
            store(events, abs(desired - current), rules.policies, now_s)
    return Reconciled(desired, reasons)


def _normalize(
    target: ScaleTarget,
    desired: int,
    memory: HpaMemory,
    settings: ManagerFlags,
    *,
    now_s: float,
    reasons: dict[str, str],
) -> int:
    assert memory.log is not None
    current, behavior = target.spec_replicas, target.behavior
    if behavior is None:
        stable = stabilize(memory.log, desired, now_s, settings.downscale_stabilization_s)
    else:
        stable = stabilize_by(memory.log, current, desired, now_s, behavior=behavior)
    reasons["AbleToScale"] = "ReadyForNewScale"
    if stable != desired:
        up = behavior is not None and desired >= current
        reasons["AbleToScale"] = "ScaleUpStabilized" if up else "ScaleDownStabilized"
    if behavior is None:
        allowed, why = clamp(current, stable, target.lowest, target.highest, settings=settings)
    else:
        allowed, why = clamp_by(
            current,
            stable,
            target.lowest,
            target.highest,
            behavior=behavior,
            memory=memory,
            now_s=now_s,
        )
    reasons["ScalingLimited"] = why
    return allowed

"""What is likely behind the symptoms: evidence weighed along the call graph.

Each service is weighed for what can go wrong with it itself: it works more slowly than it did, it
calls others more often, more comes than is booked, its instances are gone or do not come.  What a
service passes on is not its own doing: its slowness counts only as far as none of the services that
it waits for is slow itself, its calls are the caller's doing, and a surge belongs to where users
enter.  Signs at callees and callers of a finding's service count less the farther they are away.

Who went wrong first (`engine.monitoring.lags`) weighs as well: it links services of which nobody
has written down that they have to do with each other, and decides between those that are linked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.monitoring.findings import Cause, CauseKind, FindingKind, Symptom
from engine.monitoring.lags import Leads
from engine.monitoring.picture import (
    CALLS,
    CPU,
    ERRORS,
    FAILURES,
    LOAD,
    RESPONSE,
    WORK,
    Picture,
    or_zero,
)

FAR = 3.0
"""Fewer spreads from what is usual are no evidence."""
MOST = 20.0
"""More spreads than this say no more."""
CONTRADICTED = 2.0
"""A surge by e^2 that leaves the slots as they were is no surge."""
PASSED_ON = 0.7
"""What a sign weighs at a service one call away."""
WENT_FIRST = 0.5
"""What who went wrong first weighs more, and who did later less, at r = 1."""
MOST_CAUSES = 3
FULL = 0.95
"""From this utilisation on, slots are full: what arrives beyond is not served."""
MOST_FAILING = 0.99
"""A larger share of failed requests says nothing more of the work of the others."""
OF_CALLEES = 0.5
"""Callees that fail so large a share of their requests, of the own share, are why they fail."""

_WORDS = {
    CauseKind.LOAD: "more arrives at {} than is booked",
    CauseKind.SLOWNESS: "requests to {} take longer than they did",
    CauseKind.CALLS: "{} calls others more often than it did",
    CauseKind.INSTANCES: "{} has lost instances, or they restart",
    CauseKind.INSTANCE: "an instance of {} differs from the others",
    CauseKind.STARTS: "instances of {} that were asked for do not come",
    CauseKind.METRICS: "samples of {} do not come, or contradict one another",
}


class CallGraph:
    """Who waits for whom, and how near: weights fall by `PASSED_ON` a call."""

    def __init__(self, specs: Sequence[ServiceSpec]) -> None:
        self.names = tuple(spec.name for spec in specs)
        row = {name: i for i, name in enumerate(self.names)}
        size = len(specs)
        self.waits = np.zeros((size, size), dtype=np.bool_)
        """[caller, callee], calls in time alone."""
        self.calls = np.zeros((size, size), dtype=np.bool_)
        """The same with those that nobody waits for."""
        for i, spec in enumerate(specs):
            for call in spec.calls:
                self.calls[i, row[call.service]] = True
                self.waits[i, row[call.service]] = not call.asynchronous
        self.entered = np.array([s.user_facing for s in specs]) | ~self.calls.any(axis=0)
        """Where load comes in that no other service sends."""
        self.near = _nearness(self.calls | self.calls.T)
        self.below = _nearness(self.waits) > 0.0
        """[caller, callee] over any number of calls in time; each is below itself."""

    def callers_of(self, name: str) -> frozenset[str]:
        """Whoever waits for `name`, over any number of calls; nobody for an unknown name."""
        if name not in self.names:
            return frozenset()
        column = self.below[:, self.names.index(name)]
        return frozenset(n for n, above in zip(self.names, column, strict=True) if above) - {name}


def causes(
    graph: CallGraph, picture: Picture, symptoms: Sequence[Symptom], leads: Leads
) -> dict[str, tuple[Cause, ...]]:
    """The likely causes of what is wrong with each service that has a symptom, best first."""
    evidence = _evidence(graph, picture, symptoms)
    of_services: dict[str, tuple[Cause, ...]] = {}
    for name in {symptom.service for symptom in symptoms}:
        i = graph.names.index(name)
        weighed = [
            (weight * near, graph.names[j], kind)
            for (j, kind), weight in evidence.items()
            if (near := _nearness_of(graph, leads, i, j)) > 0.0
        ]
        total = sum(weight for weight, _, _ in weighed)
        if total <= 0.0:
            of_services[name] = (
                Cause(name, CauseKind.UNKNOWN, 1.0, "nothing in the figures says why"),
            )
            continue
        weighed.sort(key=lambda entry: (-entry[0], entry[1], entry[2]))
        of_services[name] = tuple(
            Cause(service, kind, weight / total, _said(kind, service, name, picture, leads=leads))
            for weight, service, kind in weighed[:MOST_CAUSES]
        )
    return of_services


def _nearness_of(graph: CallGraph, leads: Leads, at: int, sign: int) -> float:
    """What a sign at the service of row `sign` weighs for what is wrong at that of row `at`."""
    if at == sign:  # its own doing the less, the more clearly another one led
        led = max((lead.r for (later, _), lead in leads.items() if later == at), default=0.0)
        return 1.0 / (1.0 + WENT_FIRST * led)
    near = float(graph.near[at, sign])
    if (lead := leads.get((at, sign))) is not None:
        near = max(near, PASSED_ON * lead.r) * (1.0 + WENT_FIRST * lead.r)
    if (lead := leads.get((sign, at))) is not None:
        near /= 1.0 + WENT_FIRST * lead.r
    return near


def _said(kind: CauseKind, service: str, at: str, picture: Picture, *, leads: Leads) -> str:
    """In words: what is behind what is wrong at the service `at`."""
    names = picture.traits.names
    row = names.index(service)
    lead = leads.get((names.index(at), row))
    first = f", {lead.lag_s:.0f} s before {at} departed from what is usual" if lead else ""
    if kind is CauseKind.LOAD and not picture.z[row, LOAD] > 0.0:
        return f"less arrives at {service} than is booked{first}"
    return _WORDS[kind].format(service) + first


def _evidence(
    graph: CallGraph, picture: Picture, symptoms: Sequence[Symptom]
) -> dict[tuple[int, CauseKind], float]:
    """What speaks for each service and kind of cause; a weight that is missing is 0."""
    far = np.clip(or_zero(picture.z), -MOST, MOST)
    evidence = _Evidence()
    _of_slowness(graph, far, _slow_work(graph, picture), evidence)
    _of_arrivals(graph, picture, far, evidence)
    slow = {s.service for s in symptoms if _is_slow_instance(s)}
    for symptom in symptoms:
        row = graph.names.index(symptom.service)
        if len(slow) > 1 and _is_slow_instance(symptom):
            # One instance of each of several services: what they share is slow, as a zone is.
            evidence.add(row, CauseKind.SLOWNESS, SPEAKS_FOR[symptom.kind][1])
            continue
        if symptom.kind in SPEAKS_FOR:
            evidence.add(row, *SPEAKS_FOR[symptom.kind])
        if symptom.kind is FindingKind.INSTANCE_DIFFERS:
            # Then the service is slow because that instance is.
            evidence.weights.pop((row, CauseKind.SLOWNESS), None)
    return evidence.weights


def _is_slow_instance(symptom: Symptom) -> bool:
    return symptom.kind is FindingKind.INSTANCE_DIFFERS and symptom.figure in ("cpu", "p95_s")


SPEAKS_FOR: Mapping[FindingKind, tuple[CauseKind, float]] = {
    FindingKind.INSTANCES_LOST: (CauseKind.INSTANCES, 2.0 * MOST),
    FindingKind.RESTARTING: (CauseKind.INSTANCES, MOST),
    FindingKind.INSTANCE_DIFFERS: (CauseKind.INSTANCE, 2.0 * MOST),
    FindingKind.CAPACITY_MISSING: (CauseKind.STARTS, MOST),
    FindingKind.NO_SAMPLES: (CauseKind.METRICS, 2.0 * MOST),
    FindingKind.WILD_SAMPLES: (CauseKind.METRICS, 2.0 * MOST),
    FindingKind.SILENCE: (CauseKind.LOAD, MOST),
}
"""What a symptom is evidence of by itself, and how much."""


class _Evidence:
    """Weights by row and kind of cause."""

    def __init__(self) -> None:
        self.weights: dict[tuple[int, CauseKind], float] = {}

    def add(self, row: int, kind: CauseKind, weight: float) -> None:
        if weight > 0.0:
            self.weights[row, kind] = self.weights.get((row, kind), 0.0) + weight


def _slow_work(graph: CallGraph, picture: Picture) -> FloatArray:
    """How far beyond what is usual the work of a request is, in its spreads (services,).

    Full slots cannot get fuller, and callers come again for what failed: the more arrives, the less
    work each request seems to be.  There the work is that of the requests that were served, unless
    they fail because what the service waits for fails.  In a surge those are as many as ever.
    """
    failing = np.clip(or_zero(picture.column(ERRORS)), 0.0, MOST_FAILING)
    theirs = np.where(graph.waits, failing, 0.0).max(axis=1, initial=0.0)
    own = (picture.column(CPU) >= FULL) & (theirs < OF_CALLEES * failing)
    served = np.where(own, -np.log1p(-failing) / picture.scale[:, WORK], 0.0)
    slow: FloatArray = _beyond(np.clip(or_zero(picture.z[:, WORK] + served), -MOST, MOST))
    return slow


def _of_slowness(graph: CallGraph, far: FloatArray, slow: FloatArray, evidence: _Evidence) -> None:
    """Work that takes longer than usual; a service that waits for a slow one is slow as well."""
    for i in range(len(graph.names)):
        below = graph.below[i].copy()
        below[i] = False
        own = slow[i] - 1.5 * float(slow[below].max(initial=0.0))
        evidence.add(i, CauseKind.SLOWNESS, own)
        if slow[i] > 0.0:
            evidence.add(i, CauseKind.SLOWNESS, 0.25 * _beyond(far[i : i + 1, RESPONSE])[0])
            evidence.add(i, CauseKind.SLOWNESS, 0.5 * _beyond(far[i : i + 1, FAILURES])[0])


def _of_arrivals(graph: CallGraph, picture: Picture, far: FloatArray, evidence: _Evidence) -> None:
    """More or less that arrives, more calls for the same, and figures that contradict."""
    many = _beyond(far[:, CALLS])
    # Less reaches a callee when its callers are slow or fail: that is no cause of its own.
    surge = _beyond(np.where(graph.entered, np.abs(far[:, LOAD]), far[:, LOAD]))
    departure = or_zero(picture.residuals - picture.centre)
    # Much more arrives and nothing is busier: that is a figure that is wrong.
    wrong = (departure[:, LOAD] > CONTRADICTED) & (departure[:, WORK] < -CONTRADICTED)
    for i in np.flatnonzero(wrong).tolist():
        evidence.add(i, CauseKind.METRICS, 3.0 * MOST)
        surge[i] = 0.0
    if wrong.any():  # what was made of its arrivals is wrong as well
        many = many * ~(wrong | (graph.calls.T @ wrong))
    for callee in np.flatnonzero(many > 0.0).tolist():
        callers = np.flatnonzero(graph.calls[:, callee]).tolist()
        share = picture.traits.calls[callee] * or_zero(picture.figures[:, 3])
        whole = float(share.sum())
        for caller in callers:
            part = float(share[caller]) / whole if whole > 0.0 else 1.0 / len(callers)
            evidence.add(caller, CauseKind.CALLS, 2.0 * float(many[callee]) * part)
    for i in range(len(graph.names)):
        above = graph.calls[:, i]
        # What comes from callers, who have a surge themselves or call more often, is theirs.
        theirs = max(float(surge[above].max(initial=0.0)), float(many[i]))
        evidence.add(i, CauseKind.LOAD, float(surge[i]) - 1.5 * theirs)


def _beyond(z: FloatArray) -> FloatArray:
    beyond: FloatArray = np.maximum(z - FAR, 0.0)
    return beyond


def _nearness(adjacent: np.ndarray) -> FloatArray:
    """`PASSED_ON` to the number of calls between each pair, 0 where there is no way."""
    size = len(adjacent)
    near = np.eye(size)
    reached = np.eye(size, dtype=np.bool_)
    for distance in range(1, size):
        reached = (reached.astype(np.intp) @ adjacent.astype(np.intp)) > 0
        near = np.maximum(near, PASSED_ON**distance * reached)
    return near

"""Notices on their way, in simulated worlds: engines are killed, writes fail, connections break.

In each world something goes wrong now and then; the stage that is scored is the live engine's
(`engine.monitoring.beside`), over a store that may fail, with receivers that may be cut off, may
take a notice without their answer arriving, and know what they have had by its id.  *Lost* is a
notice that was kept and that a receiver has not got when all is well again for a while; *twice* is
an incident of which a receiver was told the beginning under two ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np

from engine.model import Observation, Outlook, ServiceSpec
from engine.monitoring.alerts.machine import AlertNotice, Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import UNKEPT_S, Delivery, MonitorStage
from engine.monitoring.findings import (
    Cause,
    CauseKind,
    Finding,
    FindingKind,
    Findings,
    Severity,
    Symptom,
)
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings

STEP_S = 5.0
STEPS, CALM_STEPS = 240, 60
START_S = 1_781_870_400.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """What came of one world."""

    notices: int
    """Notices that were kept, for each receiver."""
    sent: int
    """How often something arrived, what arrived again included."""
    lost: int
    twice: int
    crashes: int


class _Story(Monitor):
    """A monitor whose findings are written down: only what becomes of them is looked at here."""

    def __init__(self, specs: tuple[ServiceSpec, ...], findings: dict[float, Findings]) -> None:
        super().__init__(specs, MonitorSettings())
        self._story = findings

    def step(
        self,
        windows: object,
        outlook: object,
        now_s: float,
        scope: object = None,
        *,
        instances: object = None,
    ) -> Findings:
        """What was written down for now."""
        del windows, outlook, scope, instances
        return self._story[now_s]

    def snapshot(self) -> str:
        """Nothing is learned."""
        return "{}"

    def restore(self, snapshot: str) -> None:
        """Nothing was."""


def world(specs: tuple[ServiceSpec, ...], seed: int, kept_share: float = 1.0) -> Delivered:
    """One world; with a `kept_share` below 1 the store forgets what it said it had kept."""
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 43])))
    story = _story(specs, rng)
    settings = AlertSettings(group_wait_s=10.0, repeat_s=300.0, resolve_after_s=30.0)
    monitor = _Story(specs, story)  # it remembers nothing, so each life may have the same

    def engine() -> MonitorStage:
        return MonitorStage(monitor, Alerts(specs, settings))

    crash, write_fails, cut, answer_lost = rng.uniform([0.0, 0.0, 0.1, 0.0], [0.1, 0.5, 0.9, 0.5])
    stage, stored = engine(), engine().snapshot(START_S)
    kept: set[tuple[str, AlertNotice]] = set()
    had: dict[tuple[str, str], AlertNotice] = {}
    sent = 0
    began: dict[tuple[str, str], set[str]] = {}
    crashes = 0

    def arrived(delivery: Delivery) -> None:
        nonlocal sent
        sent += 1
        # What it has had under this id it takes for the same.
        had.setdefault((delivery.receiver, delivery.notice.id), delivery.notice)
        if delivery.notice.kind is NoticeKind.TRIGGERED:
            key = (delivery.receiver, delivery.notice.key)
            began.setdefault(key, set()).add(delivery.notice.id)

    for now_s, observation in _steps(specs):
        calm = now_s >= START_S + STEP_S * STEPS
        stage.turn(observation, now_s)
        if calm or rng.random() >= write_fails:
            text = stage.snapshot(now_s)
            if rng.random() < kept_share:
                stored = text
            kept |= {(one.receiver, one.notice) for one in stage.waiting}
            if calm or rng.random() >= crash:
                stage.kept(text)
            else:  # killed between the write and its knowing so
                stage, crashes = engine(), crashes + 1
                stage.restore(stored)
        for delivery in stage.due(now_s):
            if not calm and rng.random() < cut:
                continue
            arrived(delivery)
            if calm or rng.random() >= answer_lost:
                stage.taken(delivery)
        if not calm and rng.random() < crash:
            stage, crashes = engine(), crashes + 1
            stage.restore(stored)
    return Delivered(
        notices=len(kept),
        sent=sent,
        lost=sum(had.get((receiver, notice.id)) != notice for receiver, notice in kept),
        twice=sum(len(ids) > 1 for ids in began.values()),
        crashes=crashes,
    )


TOGETHER = 100
"""Worlds of one task."""


class DeliveryTask(NamedTuple):
    """Worlds from the seed `first` on, `worlds` of them, of a platform of `specs`."""

    specs: tuple[ServiceSpec, ...]
    first: int
    worlds: int


def tasks(specs: tuple[ServiceSpec, ...], seed: int, count: int) -> list[DeliveryTask]:
    """`count` worlds in tasks."""
    return [
        DeliveryTask(specs, seed + k, min(TOGETHER, count - k)) for k in range(0, count, TOGETHER)
    ]


def done(task: DeliveryTask) -> Delivered:
    """The worlds of a task, added up."""
    made = [world(task.specs, task.first + k) for k in range(task.worlds)]
    return Delivered(*(sum(getattr(one, each.name) for one in made) for each in fields(Delivered)))


LENGTH = STEPS + CALM_STEPS + int(UNKEPT_S / STEP_S)


def _steps(specs: tuple[ServiceSpec, ...]) -> Iterable[tuple[float, Observation]]:
    nothing = np.zeros((len(specs), 1))
    services = {spec.name: row for row, spec in enumerate(specs)}
    bins = np.zeros(1)
    for k in range(LENGTH):
        now_s = START_S + STEP_S * k
        outlook = Outlook(now_s, START_S, 1e6, services, nothing, nothing, bins, bins, 0.1)
        yield now_s, Observation(now_s, (), outlook)


def _story(specs: tuple[ServiceSpec, ...], rng: np.random.Generator) -> dict[float, Findings]:
    """Findings of each step: a few that begin and end, all over when it is calm."""
    spans = []
    for number in range(int(rng.integers(1, 6))):
        begin = int(rng.integers(1, STEPS - 20))
        end = min(begin + int(rng.integers(3, 80)), STEPS)
        spans.append((begin, end, _finding(specs, number, begin, rng)))
    story = {}
    for k in range(LENGTH):
        now_s = START_S + STEP_S * k
        story[now_s] = Findings(
            now_s,
            lasting=tuple(f for begin, end, f in spans if begin <= k < end),
            began=tuple(f for begin, _, f in spans if begin == k),
            ended=tuple(f for _, end, f in spans if end == k),
        )
    return story


def _finding(
    specs: tuple[ServiceSpec, ...], number: int, begin: int, rng: np.random.Generator
) -> Finding:
    service = specs[int(rng.integers(len(specs)))].name
    severity = Severity.CRITICAL if rng.random() < 0.5 else Severity.WARNING
    at_s = START_S + STEP_S * begin
    kind = FindingKind.RESPONSE_TIME
    symptom = Symptom(service, kind, severity, "limits", "p95_s", 3.0, at_s, 0.9, limit=1.0)
    return Finding(
        f"{service}-{number}", service, kind, severity, symptom, at_s, at_s, 0.0, 0.0,
        (Cause(service, CauseKind.SLOWNESS, 1.0, "slow"),), "look",
    )  # fmt: skip

"""The monitor beside a live engine: a failure of it is a trouble, and never one of the engine.

It looks at what the engine sees, before the engine decides; nothing of it goes into a decision.
What it has to say is in the events (the record, the log, the stream), in the history of the store,
and in the notices that `deliver` sends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from engine.model import InstanceFigures, Observation
from engine.monitoring.beside import Delivery, MonitorStage, News, finding_document
from engine.monitoring.findings import Finding
from engine.ports.notices import NoticeSender
from engine.ports.store import Requests, RowKind
from engine.runtime.cycle import Cycle
from engine.runtime.patience import Patience, PortError, words

MONITOR = "monitor"
"""The source of its troubles."""
SEND_S = 10.0
"""For a receiver to take a notice."""
AGAIN_S, LONGEST_S = 2.0, 60.0
"""Until it is tried again, twice as long each time, up to the longest."""


class LiveMonitor:
    """Drives a stage from within the shell."""

    def __init__(self, stage: MonitorStage) -> None:
        self.stage = stage
        self.has_news = False
        """Whether something is to be kept that a restart should not forget."""
        self.troubles: dict[str, str] = {}
        """Why receivers take nothing, by their names."""

    def begin(self, now_s: float, cycle: Cycle) -> None:
        """Take over what was remembered; what cannot be read is a trouble, and it begins anew."""
        if cycle.beside:
            self._try(now_s, cycle, lambda: self.stage.restore(cycle.beside))

    def turn(
        self,
        now_s: float,
        observation: Observation | None,
        requests: Requests | None,
        cycle: Cycle,
        *,
        instances: Mapping[str, InstanceFigures] | None = None,
    ) -> None:
        """Look, and note what is new; `requests` are all that stand (None: nobody knows).

        `instances` are the newest figures of single ones.
        """
        answers = None if requests is None else requests.alert_answers
        sessions = None if requests is None else requests.sessions

        def look() -> None:
            news = self.stage.turn(observation, now_s, answers, sessions, instances=instances)
            self.has_news = self.has_news or bool(news)
            self._note(news, now_s, cycle)
            early = self.stage.monitor.settings.early_step
            if (finding := early.asked_by(news.began)) is not None:
                cycle.hasten(now_s, early.apart_s, finding.service, _said(finding))

        if self._try(now_s, cycle, look):
            why = [f"{name}: {text}" for name, text in sorted(self.troubles.items())]
            if unwatched := self.stage.unwatched():
                why.append(f"no monitoring session watches {', '.join(unwatched)}")
            cycle.troubles.are(now_s, MONITOR, why)

    def remember(self, now_s: float, cycle: Cycle) -> str:
        """Put what it remembers beside the engine's memory; returns it."""

        def write() -> None:
            cycle.beside = self.stage.snapshot(now_s)

        self._try(now_s, cycle, write)
        return cycle.beside

    def kept(self, carried: str) -> None:
        """The store has what `remember` returned."""
        if carried:
            self.stage.kept(carried)
        self.has_news = False

    def shown(self) -> dict[str, Any]:
        """What whoever asks is shown."""
        return {**self.stage.shown(), "receivers": dict(self.troubles)}

    def _try(self, now_s: float, cycle: Cycle, do: Callable[[], None]) -> bool:
        try:
            do()
        except Exception as error:  # rules and detectors may be anybody's
            cycle.troubles.are(now_s, MONITOR, [words(error)])
            return False
        return True

    def _note(self, news: News, now_s: float, cycle: Cycle) -> None:
        for state, findings in (("began", news.began), ("ended", news.ended)):
            for finding in findings:
                cycle.note(
                    now_s, f"finding_{state}", finding.service, finding.id, detail=_said(finding)
                )
                content = {**finding_document(finding), "state": state}
                cycle.outbox.noted(RowKind.FINDING, f"{finding.id}/{state}", now_s, content)
        for notice in news.notices:
            service = notice.key.partition("/")[0]
            text = f"{notice.severity} to {', '.join(notice.receivers)}: {notice.words}"
            cycle.note(now_s, f"alert_{notice.kind}", service, notice.id, detail=text)
            cycle.outbox.noted(
                RowKind.NOTICE, notice.id, now_s,
                {"key": notice.key, "kind": notice.kind.value, "severity": notice.severity.value,
                 "receivers": list(notice.receivers), "words": notice.words},
            )  # fmt: skip


def _said(finding: Finding) -> str:
    cause = finding.causes[0]
    return f"{finding.severity} {finding.kind}: {finding.recommendation} ({cause.words})"


async def deliver(
    watch: LiveMonitor, senders: Mapping[str, NoticeSender], now_s: Callable[[], float]
) -> NoReturn:
    """Send what is due, each receiver at its own pace, until it is cancelled."""
    async with asyncio.TaskGroup() as group:
        for name, sender in senders.items():
            group.create_task(_deliver_to(watch, name, sender, now_s))
    raise AssertionError("receivers are served for ever")


async def _deliver_to(
    watch: LiveMonitor, name: str, sender: NoticeSender, now_s: Callable[[], float]
) -> None:
    patience, again_s = Patience[None](SEND_S), AGAIN_S
    try:
        while True:
            due = next((one for one in watch.stage.due(now_s()) if one.receiver == name), None)
            if due is None:
                await asyncio.sleep(0.25)
            elif await _sent(watch, due, sender, patience):
                again_s = AGAIN_S
            else:
                await asyncio.sleep(again_s)
                again_s = min(2.0 * again_s, LONGEST_S)
    finally:
        await sender.close()


async def _sent(
    watch: LiveMonitor, delivery: Delivery, sender: NoticeSender, patience: Patience[None]
) -> bool:
    try:
        await patience.call(
            lambda: sender.send(delivery.notice), lambda _: watch.stage.taken(delivery)
        )
    except PortError as error:
        watch.troubles[delivery.receiver] = f"{len(watch.stage.waiting)} notices wait: {error}"
        return False
    watch.troubles.pop(delivery.receiver, None)
    watch.stage.taken(delivery)
    watch.has_news = True
    return True

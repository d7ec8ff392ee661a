"""The monitor: a pure stage beside the engine's, that says what is wrong, since when and why.

`step` takes what the engine sees (services with their windows, the booked outlook, the time) and
returns findings.  It reads no clock, does no I/O, draws nothing at random that is not seeded, and
its memory is a frozen value that is replaced once, at the end: a step that raises has changed
nothing, and a monitor that was restored from a snapshot says the same as the one that wrote it.
The same code runs beside the engine in production and in the twin, where faults are the truth that
it is scored against.

A look has three parts.  *Picture*: the newest figures, and how far each is from what is usual once
the booked load is taken out of it.  *Symptoms*: what the rules and the detectors see wrong in it.
*Findings*: symptoms followed over time.  One begins with its first symptom and ends when none was
seen for a while in samples that did come: no data never ends anything.

Look, glance and findings share one memory that is replaced as a whole: so it is one long module.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from engine.config.load import build
from engine.config.strict import ConfigError
from engine.model import FloatArray, InstanceFigures, Outlook, ServiceObservation, ServiceSpec
from engine.monitoring import memory as memories
from engine.monitoring.causes import FAR, CallGraph, causes
from engine.monitoring.findings import (
    CATALOGUE,
    Cause,
    CauseKind,
    Finding,
    FindingKind,
    Findings,
    Symptom,
)
from engine.monitoring.glance import COLUMNS, MOST_DESIRED, MOST_READY, Bands, Glances
from engine.monitoring.lags import leads
from engine.monitoring.memory import Lasting, MonitorMemory
from engine.monitoring.peers import PeerFigures
from engine.monitoring.picture import (
    EARLY_OR_LATE_S,
    RESIDUALS,
    WORK,
    Detector,
    Picture,
    Watched,
    booked,
    by_name,
    medians,
    newest_rows,
    or_zero,
    residuals_of,
    wild,
    within,
)
from engine.monitoring.rules import rules
from engine.monitoring.rules.instances import OddInstances
from engine.monitoring.sessions import LookScope
from engine.monitoring.settings import MonitorSettings, WatcherConfig

_OURS = "engine.monitoring."
INSTANCES = "instances"
"""The rule that looks at single instances."""
SILENCE = "silence"
"""The rule that looks for silence."""
MOST_ELAPSED_S = 240.0
"""A look stands for no longer than this, whatever went by since the last."""
MINUTE_S = 60.0
NEWEST_S = 25.0
"""The newest three samples are of about so long."""
CAUSES_S = 600.0
"""For so long after it was last seen a loss is a cause of what comes now."""
JUMP = 0.1
"""Where so large a share of the instances came or went within the newest samples, these do not say
of how many they speak."""
ALWAYS = frozenset({
    FindingKind.CPU, FindingKind.MEMORY, FindingKind.RESPONSE_TIME, FindingKind.ERRORS,
    FindingKind.QUEUE_GROWTH, FindingKind.SILENCE, FindingKind.NO_SAMPLES, FindingKind.BURN_RATE,
    FindingKind.INSTANCES_LOST, FindingKind.CAPACITY_MISSING, FindingKind.RESTARTING,
    FindingKind.PROMISE_BROKEN, FindingKind.INSTANCE_DIFFERS, FindingKind.WILD_SAMPLES,
    FindingKind.LIVE_UPDATES_STALLED, FindingKind.UPLOADS_FAILING, FindingKind.OWN,
})  # fmt: skip
"""What is said also before the monitor has learned what is usual."""
BLIND = frozenset({
    FindingKind.NO_SAMPLES, FindingKind.INSTANCES_LOST, FindingKind.CAPACITY_MISSING,
    FindingKind.RESTARTING,
})  # fmt: skip
"""What is seen without samples, and so also ends without them."""
LEADS = BLIND | {FindingKind.INSTANCE_DIFFERS}
"""What leads to others, and is still behind these when it is not looked at for a while."""


class Monitor:
    """Watches `specs`; raises ValueError, or ConfigError naming the key, for wrong settings.

    Detectors are those of `settings.detectors`, each made by its factory of the specs and its
    options.
    """

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        settings: MonitorSettings,
        key: str = "monitor",
    ) -> None:
        settings.check([spec.name for spec in specs], key)
        self.settings = settings
        self.specs = tuple(specs)
        self._watched = Watched.of(self.specs)
        self._graph = CallGraph(self.specs)
        self._detectors: dict[str, Detector] = dict(rules(self.specs, settings))
        odd = self._detectors[INSTANCES]
        assert isinstance(odd, OddInstances)
        self._odd = odd
        for name, config in settings.detectors.items():
            at = f"{key}.detectors.{name}"
            if name in self._detectors:
                raise ValueError(f"{at}: is the name of a rule")
            self._detectors[name] = _made(config, self.specs, at)
        # What a detector of somebody's own would say, no glance can know.
        self._may_glance = all(
            type(own).__module__.startswith(_OURS) for own in self._detectors.values()
        )
        self._glances = Glances(self.specs, settings)
        self._bands: tuple[FloatArray, Bands] | None = None
        self._rows: tuple[Mapping[str, int], NDArray[np.intp]] | None = None
        self._empty = MonitorMemory.begin(
            len(self.specs),
            len(COLUMNS),
            {name: own.begin() for name, own in self._detectors.items()},
        )
        self.memory = self._empty

    @property
    def graph(self) -> CallGraph:
        """Who calls whom."""
        return self._graph

    def step(
        self,
        windows: Sequence[ServiceObservation],
        outlook: Outlook,
        now_s: float,
        scope: LookScope | None = None,
        *,
        instances: Mapping[str, InstanceFigures] | None = None,
    ) -> Findings:
        """What is wrong at `now_s` (epoch seconds).

        `windows` are the services with the newest samples of each and their counts of instances;
        one that is missing was not seen.  Raises ValueError for a service that is not watched.
        `scope` says of what is spoken (None: of everything): what is not due stays as it was, and
        what nobody watches any more ends.  `instances` are figures of single instances, by service;
        None where they are not measured or not due (every `instances.every_s` of the settings).
        """
        memory = self.memory
        peers = self._peers(instances, now_s)
        if self._is_calm(memory, windows, now_s) and self._are_alike(peers, now_s):
            return Findings(now_s)
        if now_s < memory.last_s:
            memory = memory.turned_back(memory.last_s + self.settings.every_s - now_s)
        picture, memory = self._look(memory, windows, outlook, now_s)
        picture = picture._replace(peers=peers)
        symptoms: list[Symptom] = []
        detectors = {}
        for name, detector in self._detectors.items():
            detectors[name], seen = detector.look(memory.detectors[name], picture)
            symptoms += seen
        settled = memory.learned_s >= self.settings.settle_s
        symptoms = [s for s in symptoms if settled or s.kind in ALWAYS]
        memory = memory._replace(detectors=detectors, bands=self._glances.bands(picture))
        findings, memory = self._followed(memory, picture, symptoms, windows, scope=scope)
        self.memory = memory
        return findings

    def snapshot(self) -> str:
        """Everything it remembers, as JSON: restored from it, the next findings are the same."""
        return memories.to_json(self.memory, self._watched.names)

    def restore(self, snapshot: str) -> None:
        """Take over a memory that `snapshot` wrote; raises ValueError for any other text."""
        self.memory = memories.from_json(snapshot, self._watched.names, self._empty)

    def usual(self) -> dict[str, dict[str, tuple[float, float]]]:
        """The baseline: centre and spread of each residual of each service, as of the last look."""
        centre, scale, _ = self.memory.usual
        return {
            name: {
                residual: (float(centre[i, k]), float(scale[i, k]))
                for k, residual in enumerate(RESIDUALS)
                if not math.isnan(centre[i, k])
            }
            for i, name in enumerate(self._watched.names)
        }

    def _is_calm(
        self, memory: MonitorMemory, windows: Sequence[ServiceObservation], now_s: float
    ) -> bool:
        """Whether a glance is enough: nothing lasts, and nothing is unusual."""
        if not self._may_glance or memory.lasting:
            return False
        if not 0.0 <= now_s - memory.last_s < self.settings.calm_s:
            return False
        if memory.detectors[SILENCE]["few_s"].any():  # the next samples say whether it was chance
            return False
        if self._bands is None or self._bands[0] is not memory.bands:
            self._bands = (memory.bands, memory.bands.tolist())
        more = self._glances.calm(windows, self._bands[1], now_s)
        if more is None:
            return False
        if more:
            bands = memory.bands.copy()
            for row, desired, ready in more:
                bands[row, MOST_DESIRED], bands[row, MOST_READY] = desired, ready
            self.memory = memory._replace(bands=bands)
        return True

    def _peers(
        self, instances: Mapping[str, InstanceFigures] | None, now_s: float
    ) -> PeerFigures | None:
        """Single instances of which there is a fresh sample."""
        if not instances:
            return None
        oldest_s = now_s - self.settings.stale_after_s
        return PeerFigures.of(self._watched.names, instances, oldest_s, now_s)

    def _are_alike(self, peers: PeerFigures | None, now_s: float) -> bool:
        """Whether nobody is the odd one, as far as a glance shows; who may be is remembered."""
        if peers is None:
            return True
        detectors = self.memory.detectors
        after, symptoms = self._odd.among(detectors[INSTANCES], peers, now_s)
        if symptoms:
            return False
        if after is not detectors[INSTANCES]:
            self.memory = self.memory._replace(detectors={**detectors, INSTANCES: after})
        return True

    def _look(
        self,
        memory: MonitorMemory,
        windows: Sequence[ServiceObservation],
        outlook: Outlook,
        now_s: float,
    ) -> tuple[Picture, MonitorMemory]:
        """What is there to be seen, and the memory with what of it is to be learned."""
        watched, every_s = self._watched, self.settings.every_s
        services = by_name(watched, windows)
        rows = newest_rows([None if s is None else s.window for s in services], now_s)
        figures = medians(rows, watched.most)
        times = rows[:, :, 0]
        newest_s = np.where(np.isnan(times[:, -1]), -np.inf, times[:, -1])
        evidence_s = np.where(np.isnan(times[:, 1]), newest_s, times[:, 1])
        sampled_s = np.maximum(memory.sampled_s, newest_s)
        renewed = newest_s > memory.sampled_s
        fresh = newest_s >= now_s - self.settings.stale_after_s
        figures[~fresh] = np.nan
        present = np.array([service is not None for service in services])
        ready = np.array([math.nan if s is None else float(s.ready) for s in services])
        desired = np.array([math.nan if s is None else float(s.desired) for s in services])
        booting = np.array([0.0 if s is None else float(s.booting) for s in services])

        counts = np.empty_like(memory.counts)
        counts[:, :-1] = memory.counts[:, 1:]
        counts[:, -1, 0], counts[:, -1, 1] = ready, desired
        looked_s = np.concatenate((memory.looked_s[1:], (now_s,)))
        # The samples lie before the counts of now; how many were ready then, they speak of.
        then = np.searchsorted(looked_s, or_zero(times[:, 1]))
        at = np.minimum(then, len(looked_s) - 1)
        ready_then = counts[np.arange(len(at)), at, 0]
        ready_then = np.where(np.isnan(ready_then), ready, ready_then)
        recent = counts[:, _since(looked_s, now_s - NEWEST_S) :, 0]
        moved = np.fmax.reduce(recent, axis=1) - np.fmin.reduce(recent, axis=1)
        ready_then = np.where(moved > JUMP * np.maximum(ready, 1.0), np.nan, ready_then)
        minute = counts[:, _since(looked_s, now_s - MINUTE_S) :]
        gone = np.fmax.reduce(minute[:, :, 0], axis=1) - ready
        # What was asked for less stays asked for, though more was since: that boots yet.
        wanted = minute[:, :, 1]
        asked = np.fmax.reduce(np.fmax.accumulate(wanted, axis=1) - wanted, axis=1)
        asked = np.fmax(asked, memory.bands[:, MOST_DESIRED] - desired)
        lost = or_zero(np.maximum(gone - asked, 0.0))
        fell = or_zero(np.maximum(memory.bands[:, MOST_READY] - ready - or_zero(asked), 0.0))

        # The median of three samples is that of the one in the middle.
        middle_s = float(evidence_s.max()) if fresh.any() else now_s
        expected, rise = booked(outlook, self._outlook_rows(outlook), middle_s)
        against = expected
        if not self.settings.calendar:
            # Nothing is booked; arrivals are compared with themselves alone.
            expected, rise = np.full_like(expected, np.nan), np.zeros_like(rise)
            against = np.ones_like(expected)
        spacing_s = within(or_zero(times[:, 2] - times[:, 1]), 1.0, MOST_ELAPSED_S)
        residuals, chance = residuals_of(
            watched, figures, ready_then, against, ready=ready, rise=rise, spacing_s=spacing_s
        )
        elapsed_s = every_s if memory.last_s == memories.NEVER else now_s - memory.last_s
        elapsed_s = min(max(elapsed_s, 0.0), MOST_ELAPSED_S)
        usual = memory.usual
        spread = usual.spread(chance)
        z = (residuals - usual.centre) / spread
        learnable = np.where(renewed[:, None], residuals, np.nan)
        picture = Picture(
            now_s=now_s,
            elapsed_s=elapsed_s,
            traits=watched,
            figures=figures,
            sampled_s=sampled_s,
            evidence_s=evidence_s,
            spacing_s=spacing_s,
            fresh=fresh,
            renewed=renewed,
            wild=wild(rows, watched.most) & renewed,
            present=present,
            ready=ready,
            desired=desired,
            booting=booting,
            lost=lost,
            fell=fell,
            expected=expected,
            against=against,
            rise=rise,
            least=np.minimum(expected, expected * np.exp(-2.0 * EARLY_OR_LATE_S * rise)),
            events=_at(outlook, outlook.events, now_s),
            wedding_day=self._is_wedding_day(outlook, now_s),
            wedding_day_soon=self._is_wedding_day(outlook, now_s + self.settings.calm_s),
            residuals=residuals,
            centre=usual.centre,
            scale=spread,
            z=z,
        )
        after = usual.after(learnable, elapsed_s) if elapsed_s > 0.0 else usual
        return picture, memory._replace(
            last_s=now_s,
            learned_s=memory.learned_s + (elapsed_s if renewed.any() else 0.0),
            usual=after,
            counts=counts,
            looked_s=looked_s,
            sampled_s=sampled_s,
        )

    def _followed(
        self,
        memory: MonitorMemory,
        picture: Picture,
        symptoms: Sequence[Symptom],
        windows: Sequence[ServiceObservation],
        *,
        scope: LookScope | None,
    ) -> tuple[Findings, MonitorMemory]:
        """The findings after this look's symptoms, and the memory with them."""
        silent = frozenset(
            name
            for name, fresh in zip(self._watched.names, picture.fresh, strict=True)
            if not fresh and (scope is None or name in scope.watched)
        )
        if not symptoms and not memory.lasting:
            return Findings(picture.now_s, silent=silent), memory
        worst: dict[str, Symptom] = {}
        for symptom in symptoms:
            if scope is not None and not scope.is_due(symptom.service, symptom.kind):
                continue
            key = f"{symptom.service}/{symptom.watcher}/{symptom.kind}/{_of_what(symptom)}"
            if key not in worst or symptom.severity.rank > worst[key].severity.rank:
                worst[key] = symptom
        likely: Mapping[str, tuple[Cause, ...]] = {}
        # To look for causes is most of the work, and what lasts for long has them.
        if any(_asks_why(memory.lasting.get(key), picture.now_s) for key in worst):
            likely = self._causes(memory, picture, symptoms, windows)
        lasting, began = dict(memory.lasting), []
        number = memory.findings
        for key, symptom in worst.items():
            before = lasting.get(key)
            if before is None:
                number += 1
                finding = self._finding(symptom, picture, likely[symptom.service], number)
                began.append(finding)
            else:
                better = likely[symptom.service] if _asks_why(before, picture.now_s) else ()
                finding = self._gone_on(before.finding, symptom, picture, better)
            lasting[key] = Lasting(finding, picture.now_s)
        ended = []
        for key, own in memory.lasting.items():
            if key in worst:
                continue
            still = self._still(own, picture.now_s, silent, scope)
            if still is None:
                ended.append(lasting.pop(key).finding)
            else:
                lasting[key] = still
        return Findings(
            picture.now_s,
            lasting=tuple(own.finding for own in lasting.values()),
            began=tuple(began),
            ended=tuple(ended),
            silent=silent,
        ), memory._replace(lasting=lasting, findings=number)

    def _causes(
        self,
        memory: MonitorMemory,
        picture: Picture,
        symptoms: Sequence[Symptom],
        windows: Sequence[ServiceObservation],
    ) -> Mapping[str, tuple[Cause, ...]]:
        """What is likely behind the symptoms of each service."""
        # What was lost a minute ago is still behind what it leads to now.
        earlier = [
            own.finding.symptom
            for own in memory.lasting.values()
            if own.finding.kind in LEADS and picture.now_s - own.seen_s <= CAUSES_S
            if not any(now.service == own.finding.service and now.kind in LEADS for now in symptoms)
        ]
        departing = _departing(picture, symptoms)
        first = leads(by_name(self._watched, windows), picture.now_s, departing)
        likely = causes(self._graph, picture, [*symptoms, *earlier], first)
        for own in memory.lasting.values():
            if own.finding.service in likely and _cannot_be_seen(own.finding.causes[0], picture):
                likely[own.finding.service] = own.finding.causes
        return likely

    def _still(
        self, own: Lasting, now_s: float, silent: frozenset[str], scope: LookScope | None
    ) -> Lasting | None:
        """A finding without a symptom now: None once it is over."""
        service, kind = own.finding.service, own.finding.kind
        if scope is not None and not scope.is_watched(service, kind):
            return None
        if scope is not None and not scope.is_due(service, kind):
            return own
        if service in silent and kind not in BLIND:
            return own._replace(seen_s=now_s)  # no data is no recovery
        return None if now_s - own.seen_s >= self.settings.clear_s else own

    def _finding(
        self, symptom: Symptom, picture: Picture, likely: tuple[Cause, ...], number: int
    ) -> Finding:
        return Finding(
            id=f"{symptom.service}-{symptom.kind}-{number}",
            service=symptom.service,
            kind=symptom.kind,
            severity=symptom.severity,
            symptom=symptom,
            since_s=min(symptom.since_s, picture.now_s),
            noticed_s=picture.now_s,
            weddings=picture.events,
            guests=picture.events * self.settings.events.mean_guests,
            causes=likely,
            recommendation=_advice(symptom, likely),
        )

    def _gone_on(
        self, finding: Finding, symptom: Symptom, picture: Picture, likely: tuple[Cause, ...]
    ) -> Finding:
        """The finding with its newest symptom, and with `likely` causes where these are better."""
        named = finding.causes[0]
        better = bool(likely) and likely[0].kind is not CauseKind.UNKNOWN
        better = better and (named.kind is CauseKind.UNKNOWN or likely[0].weight >= named.weight)
        chosen = likely if better else finding.causes
        worse = symptom.severity.rank > finding.severity.rank
        return replace(
            finding,
            severity=symptom.severity if worse else finding.severity,
            symptom=symptom,
            weddings=max(finding.weddings, picture.events),
            guests=max(finding.guests, picture.events * self.settings.events.mean_guests),
            causes=chosen,
            recommendation=_advice(symptom, chosen) if better else finding.recommendation,
        )

    def _is_wedding_day(self, outlook: Outlook, time_s: float) -> bool:
        """Whether major events are booked to be in progress at `time_s`."""
        least = self.settings.wedding_day.major_events
        return self.settings.calendar and _at(outlook, outlook.major_events, time_s) >= least

    def _outlook_rows(self, outlook: Outlook) -> NDArray[np.intp]:
        """The row of each watched service in the outlook, -1 where there is none."""
        if self._rows is None or self._rows[0] != outlook.services:
            rows = [outlook.services.get(name, -1) for name in self._watched.names]
            self._rows = (outlook.services, np.array(rows, dtype=np.intp))
        return self._rows[1]


def _cannot_be_seen(cause: Cause, picture: Picture) -> bool:
    """Whether a service that was slow could be so still, and nothing in this look would show it.

    While instances come and go nobody can say how long the work of a request takes.
    """
    names = picture.traits.names
    if cause.kind is not CauseKind.SLOWNESS or cause.service not in names:
        return False
    return bool(np.isnan(picture.residuals[names.index(cause.service), WORK]))


def _made(config: WatcherConfig, specs: Sequence[ServiceSpec], key: str) -> Detector:
    """The detector of `config`; raises ConfigError naming the key, whatever its factory raises."""
    try:
        detector: Detector = build(
            config.factory,
            specs,
            key=f"{key}.factory",
            options=config.options,
            options_key=f"{key}.options",
            methods=("begin", "look"),
        )
    except ConfigError:
        raise
    except Exception as error:  # somebody's own code may raise anything
        raise ConfigError(f"{key}: {config.factory} raised {error!r} when made") from error
    return detector


def _asks_why(own: Lasting | None, now_s: float) -> bool:
    """Whether a finding with a symptom now may get causes: one that begins, or has none, or is new.

    The causes of one that lasts stay the best that were named in its first minute: later ones are
    of what it led to.
    """
    if own is None or own.finding.causes[0].kind is CauseKind.UNKNOWN:
        return True
    return now_s - own.finding.noticed_s <= MINUTE_S


def _departing(picture: Picture, symptoms: Sequence[Symptom]) -> list[int]:
    """The rows of services far from what is usual, or with a symptom; the farthest first."""
    far = np.abs(or_zero(picture.z)).max(axis=1)
    for symptom in symptoms:
        row = picture.traits.names.index(symptom.service)
        far[row] = max(far[row], FAR)
    rows = np.flatnonzero(far >= FAR)
    return [int(row) for row in rows[np.argsort(-far[rows], kind="stable")]]


def _since(looked_s: FloatArray, from_s: float) -> int:
    """The first look whose counts held at `from_s` or later: nothing changes between looks."""
    return max(int(np.searchsorted(looked_s, from_s, side="right")) - 1, 0)


def _at(outlook: Outlook, events: FloatArray, time_s: float) -> float:
    """What of `events` (bins,) is in progress at `time_s`; NaN where the calendar ends."""
    if not outlook.covers(time_s):
        return math.nan
    return float(events[int((time_s - outlook.start_s) / outlook.bin_s)])


def _of_what(symptom: Symptom) -> str:
    """What tells apart symptoms of one kind: the figure, for rules that look at several."""
    return symptom.figure if symptom.kind in (FindingKind.SATURATION_AHEAD, FindingKind.OWN) else ""


def _advice(symptom: Symptom, likely: Sequence[Cause]) -> str:
    """What to do: the kind's own advice, and where to look first."""
    advice = symptom.words if symptom.kind is FindingKind.OWN else CATALOGUE[symptom.kind].advice
    first = likely[0]
    if first.kind is CauseKind.UNKNOWN or first.service == symptom.service:
        return advice
    return f"{advice} Look at {first.service} first: {first.words}."

"""What must hold in every world, whatever goes wrong in it.

Safety is looked at in each step, from the outside: what the leading engine was shown and what it
wants, what the cloud carried out, what the queues and the fleets hold.  Liveness is looked at in
the end, when the faults have been over for a while.  None of it uses the engine's own reading of
its observation, except the wedding floors that it publishes in its plans.

It is long because it is the list of all that must hold, read as one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.decide.rails.take_back import VANISHED
from engine.model import (
    Action,
    Category,
    Direction,
    Observation,
    Plan,
    Quantity,
    Reason,
    ServiceObservation,
    ServiceSpec,
    Status,
)
from engine.ports.lease import Fence
from scenarios.faults.kinds.clock_step import ClockStep
from scenarios.faults.kinds.engine_kill import EngineKill
from scenarios.faults.kinds.schedule_late import ScheduleLate
from scenarios.faults.kinds.schedule_wrong import ScheduleWrong
from twin.hunt.live import LOOK_S, WRITE_S, HuntedShell
from twin.queues.requests import RequestPlatform
from twin.runs import summary
from twin.world.cloud import Write
from twin.world.fleet import RETRY_S, InstancePhase
from twin.world.world import CONSERVED, World

SLOW_EVERY = 12
"""The costlier checks are made in each so many steps."""

LITTLE = 1e-6
BILL = 1e-9
BOOT_Z = 5.0
"""Standard score of the longest boot that is allowed for: one in 3 million is longer."""

LONGEST_RESPONSE_S = 3600.0
"""A longer one was not measured: its caller is long gone."""

LONGEST_STEP_S = 60.0
"""So long after it was due a step is decided at the latest, whatever its ports do."""

CALM_S = 480.0
"""So long after the faults the queues have to be short again."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold, `at_s` seconds into the run."""

    invariant: str
    at_s: float
    detail: str


class Invariants:
    """Watches one world; `violations` fills as it runs, `finish` adds what shows in the end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violations: list[Violation] = []
        self._settings = world.config.engine
        self._budget = world.config.budget.budget()
        self._known_s = 0.0
        """As of when the bookings were known at the step before."""
        self._sent_s: dict[str, float] = {}
        self._last_sent: dict[str, tuple[int, float]] = {}
        self._approved: set[str] = set()
        self._failed: set[str] = set()
        self._steps = 0
        self._decided_s = 0.0
        """When the step that is looked at was due, by the world's clock."""
        self._rise_s = dict.fromkeys(world.fleets, -math.inf)
        self._fall_s = dict.fromkeys(world.fleets, -math.inf)
        self._written_s = dict.fromkeys(world.fleets, -math.inf)
        self._invented_s: list[float] = []
        """Times of samples that are none, by the engine's clock."""
        self._none_ready: dict[int, tuple[float, float, float]] = {}
        self._edges_s = self._clock_edges()
        self._wanted = {name: fleet.desired for name, fleet in world.fleets.items()}
        self._done: set[str] = set()
        self._fence = Fence(1)
        world.shell.watchers.append(self._stepped)
        world.infrastructure.watchers.append(self._written)

    def finish(self) -> None:
        """Look at what can only be judged when the run is over."""
        for name, fleet in self.world.fleets.items():
            if fleet.desired != self._wanted[name]:
                self._broken("one leader's writes", f"{name}: {fleet.desired} are desired")
        self._bill()
        self._little()
        self._slow_checks()
        self._recovered()

    def _broken(self, invariant: str, detail: str) -> None:
        self.violations.append(Violation(invariant, self.world.env.now, detail))

    # --- each step

    def _stepped(self, observation: Observation, plan: Plan) -> None:
        self._steps += 1
        shell = self.world.shell
        # To the millisecond: epoch seconds have no more digits for what is smaller.
        due_s = observation.now_s - self.world.start_s - shell.clock_error_s
        self._decided_s = round(due_s, 3)
        if abs(self._decided_s - self.world.env.now) > LONGEST_STEP_S:
            # The engine has not noticed yet that its clock was set.
            self._decided_s = self.world.env.now
        self._seen_no_earlier(observation)
        self._failed.update(r.decision_id for r in observation.results if r.status is Status.FAILED)
        self._approved.update(a.decision_id for a in observation.approvals if a.approved)
        services = {service.spec.name: service for service in observation.services}
        if self._settings.mode == "recommend_only" and plan.actions:
            self._broken("recommend only", f"{plan.actions[0].decision_id} was to be executed")
        for action in plan.actions:
            self._action(action, services[action.service], observation, plan)
        if self._steps % SLOW_EVERY == 0:
            self._slow_checks()
        else:
            self._nothing_from_nowhere()

    def _action(
        self, action: Action, service: ServiceObservation, observation: Observation, plan: Plan
    ) -> None:
        spec, now_s = service.spec, self._decided_s
        what = f"{spec.name} {action.from_instances} → {action.to_instances} ({action.reason})"
        before_s = self._sent_s.get(action.decision_id)
        if before_s is not None and not self._died(before_s):
            self._broken("one decision, one id", f"{what}: {action.decision_id} was sent before")
        self._sent_s[action.decision_id] = now_s
        if action.quantity is Quantity.WARM:
            self._held_warm(action, observation, what)
            return
        self._last_sent[spec.name] = (action.to_instances, now_s)
        if not spec.min_instances <= action.to_instances <= spec.max_instances:
            self._broken(
                "min and max", f"{what}: {spec.min_instances} … {spec.max_instances} are allowed"
            )
        if not action.explanation or not 0.0 <= action.confidence <= 1.0:
            self._broken("explained", f"{what}: confidence {action.confidence}")
        if action.category is Category.NEEDS_APPROVAL and action.decision_id not in self._approved:
            self._broken("approval", f"{what}: nobody approved it")
        self._step_size(action, service, what)
        self._paused(action, observation, what)
        if action.to_instances < action.from_instances:
            self._scale_in(action, service, observation, plan, what=what)
        self._rest(action, what)

    def _held_warm(self, action: Action, observation: Observation, what: str) -> None:
        """What is to be held warm is within the offer, explained, and not paused."""
        offer = self.world.fleets[action.service].spec.warm
        most = 0 if offer is None else offer.most
        if not 0 <= action.to_instances <= most:
            self._broken("held warm", f"{what}: 0 … {most} are offered")
        if not action.explanation or not 0.0 <= action.confidence <= 1.0:
            self._broken("explained", f"{what}: confidence {action.confidence}")
        self._paused(action, observation, what)

    def _died(self, at_s: float) -> bool:
        """Whether the engine was killed before it could send, or keep, what it decided then."""
        if any(memory_s <= at_s <= when_s for when_s, memory_s in self.world.shell.restarts):
            return True
        return any(
            event["what"] == "engine_kill" and event["time_s"] == self.world.start_s + at_s
            for event in self.world.recorder.events
        )

    def _step_size(self, action: Action, service: ServiceObservation, what: str) -> None:
        if action.reason is Reason.EMERGENCY:
            return
        limits, current = self._settings.limits, action.from_instances
        base = max(current, service.spec.min_instances)
        most = max(base + 1, math.floor(base * (1.0 + limits.step_out) + 1e-9))
        least = min(current - 1, math.ceil(current * (1.0 - limits.step_in) - 1e-9))
        least = min(least, service.spec.max_instances)
        if not least <= action.to_instances <= most:
            self._broken("step limit", f"{what}: {least} … {most} are allowed")

    def _rest(self, action: Action, what: str) -> None:
        """Cooldown in the same direction, and before a step back in after one out."""
        now_s, name, limits = self._decided_s, action.service, self._settings.limits
        out = action.to_instances > action.from_instances
        if action.reason not in (Reason.EMERGENCY, Reason.ROLLBACK, Reason.BOUNDS):
            rests = [(self._rise_s[name], limits.cooldown_out_s)]
            if not out:
                rests = [
                    (self._fall_s[name], limits.cooldown_in_s),
                    (self._rise_s[name], limits.flip_hold_s),
                ]
            for since_s, rest_s in rests:
                early_s = since_s + rest_s - now_s
                unheard = since_s <= now_s - self._settings.verify.answer_s and self._unseen(name)
                unheard |= since_s > now_s  # one that had failed, as it was told
                if early_s > 1e-6 and not unheard and not self._forgot(since_s, now_s, out=out):
                    self._broken("cooldown", f"{what}: {early_s:.0f} s too early")

    def _unseen(self, service: str) -> bool:
        """Whether the last command for it was carried out after the engine had looked.

        One that nothing had been heard of for so long counts as lost, and is sent again; the
        count that it was decided on keeps it from counting twice.
        """
        return self._written_s[service] > self._decided_s

    def _forgot(self, since_s: float, until_s: float, *, out: bool) -> bool:
        """Whether the engine cannot know of a step at `since_s`: another clock, or no memory of it.

        After a restart it knows a step from the count, if that has not changed back since; of a
        step in it is told nothing by that, so then it takes nothing away for a while.
        """
        if any(since_s - 1.0 <= edge_s <= until_s + 1.0 for edge_s in self._edges_s):
            return True
        return any(
            since_s <= at_s <= until_s and (memory_s < 0.0 or (out and memory_s <= since_s))
            for at_s, memory_s in self.world.shell.restarts
        )

    def _paused(self, action: Action, observation: Observation, what: str) -> None:
        direction = Direction.OUT if action.to_instances > action.from_instances else Direction.IN
        inside = (
            self.world.config.platform.services[action.service].min_instances
            <= action.from_instances
            <= self.world.config.platform.services[action.service].max_instances
        )
        pauses = [
            pause
            for pause in observation.pauses
            if pause.service in ("", action.service) and observation.now_s < pause.expires_s
        ]
        if not inside or any(pause.pinned is not None for pause in pauses):
            return
        if any(pause.direction in (Direction.ALL, direction) for pause in pauses):
            self._broken("paused", f"{what}: scaling {direction} is paused")

    def _scale_in(
        self,
        action: Action,
        service: ServiceObservation,
        observation: Observation,
        plan: Plan,
        *,
        what: str,
    ) -> None:
        if action.reason is Reason.EMERGENCY:
            self._broken("emergencies only grow", what)
        if action.reason in (Reason.MANUAL, Reason.BOUNDS):
            return
        fresh = _fresh(service.window, observation.now_s, self._settings.stale_after_s)
        if len(fresh) == 0:
            self._broken("no scale-in in a data gap", what)
        elif action.reason is not Reason.ROLLBACK:
            answered_s = fresh["p95_s"][~(fresh["p95_s"] > LONGEST_RESPONSE_S)]
            p95_s, failed = _median(answered_s), _median(fresh["error_rate"])
            if p95_s > service.spec.slo_p95_s or failed > 0.01:
                self._broken(
                    "no scale-in in a breach", f"{what}: p95 {p95_s:.3g} s, {failed:.1%} failed"
                )
        if action.to_instances == 0 and action.reason is not Reason.ROLLBACK:
            self._idle(service, observation.now_s, what)
        floor = min(plan.floors.get(action.service, 0), action.from_instances)
        if action.to_instances < floor:
            self._broken("wedding floor", f"{what}: the floor is {floor}")

    def _idle(self, service: ServiceObservation, now_s: float, what: str) -> None:
        """Nobody asked for it as far as its samples reach back within the time that it waits."""
        window = service.window
        recent = window[window["time_s"] > now_s - self._settings.limits.idle_s]
        if (recent["request_rate"] > 0.0).any() or (recent["queue_depth"] > 0.0).any():
            self._broken("no sleep while it is asked for", what)

    def _within_budget(self, rising: ServiceSpec) -> None:
        """What is desired once `rising` has more stays within what it needs more of."""
        count = sum(self._wanted.values())
        usd = sum(self._wanted[spec.name] * spec.price_per_hour for spec in self.world.specs)
        dearer = rising.price_per_hour > 0.0 and usd > self._budget.usd_per_hour + 1e-6
        if dearer or count > self._budget.instances + 1e-9:
            self._broken(
                "budget and quota",
                f"{rising.name}: {count} instances for {usd:.2f} USD/h, allowed are "
                f"{self._budget.instances:g} and {self._budget.usd_per_hour:g}",
            )

    def _seen_no_earlier(self, observation: Observation) -> None:
        """No sample before its delivery, no booking before the feed knows it."""
        world = self.world
        now_s = world.env.now
        for telemetry, service in zip(world.telemetry, observation.services, strict=True):
            if len(service.window) == 0:
                continue
            told_s = service.window["time_s"]
            told_s = told_s[~np.isin(told_s, self._invented_s)]
            if len(told_s) == 0:
                continue
            sampled_s = float(told_s[-1]) - world.start_s
            k = round(sampled_s / world.config.telemetry.interval_s) - 1
            if telemetry.delivered_s[k] > now_s or sampled_s > now_s:
                self._broken("nothing from the future", f"{service.spec.name}: sample {k}")
        known_s = observation.outlook.issued_s - world.start_s
        # What was known before the feed fell behind stays known.
        fresh, self._known_s = known_s != self._known_s, known_s
        if fresh and known_s > now_s - world.feed.delay_s + 1e-6:
            self._broken("nothing from the future", f"bookings as of {known_s:.0f} s")

    # --- the queues and the fleets

    def _slow_checks(self) -> None:
        world = self.world
        error = world.platform.conservation_error()
        if error > CONSERVED:
            self._broken("conservation", f"relative error {error:.2g}")
        for i, (name, fleet) in enumerate(world.fleets.items()):
            phases = fleet.phases()
            counted = tuple(int(np.count_nonzero(phases == phase)) for phase in InstancePhase)[:3]
            if counted != (fleet.booting, fleet.ready, fleet.draining):
                self._broken("instances are counted once", f"{name}: {counted}")
            lives = fleet.history()
            serving = phases == InstancePhase.READY
            early = serving & ~(lives["ready_s"] <= world.env.now)
            if early.any():
                self._broken("ready before serving", f"{name}: {int(early.sum())} instances")
            if world.platform.ready(i) != fleet.ready:
                self._broken(
                    "served by ready instances only",
                    f"{name}: {world.platform.ready(i):g} serve, {fleet.ready} are ready",
                )
        self._nothing_from_nowhere()

    def _nothing_from_nowhere(self) -> None:
        """Without a ready instance nothing is served but what was in service before."""
        fleets, now_s = list(self.world.fleets.values()), self.world.env.now
        without = [i for i, fleet in enumerate(fleets) if fleet.ready == 0]
        if not without and not self._none_ready:
            return
        totals = self.world.platform.totals()
        now: dict[int, tuple[float, float, float]] = {}
        for i in without:
            served, in_flight = float(totals[i, 2]), float(totals[i, 8])
            before = self._none_ready.get(i)
            if before is not None:
                # One may have been ready for a moment between two looks.
                ready_s = fleets[i].history()["ready_s"]
                if ((ready_s > before[2]) & (ready_s <= now_s)).any():
                    before = None
            if before is not None and served - before[0] > before[1] * (1.0 + 1e-9) + 1e-6:
                self._broken(
                    "served by ready instances only",
                    f"{self.world.specs[i].name}: {served - before[0]:.3g} served, none is ready",
                )
            now[i] = (served, in_flight, now_s)
        self._none_ready = now

    # --- what the cloud carried out

    def _written(self, write: Write) -> None:
        """The cloud carries a command out, just now."""
        action, name = write.action, write.action.service
        if action.decision_id in self._done:
            self._broken("a replayed command changes nothing", action.decision_id)
        self._done.add(action.decision_id)
        if write.fence < self._fence or write.fence != self.world.infrastructure.fence:
            self._broken("one leader's writes", f"fence {write.fence} wrote after {self._fence}")
        self._fence = write.fence
        if write.before != self._wanted[name]:
            self._broken(
                "one leader's writes",
                f"{name} was {self._wanted[name]}, the write saw {write.before}",
            )
        self._wanted[name] = action.to_instances
        # What the engine was told had failed it can only notice now.
        asked_s = self._sent_s.get(action.decision_id, math.inf)
        if asked_s == math.inf:
            # Neither did it: somebody else decided it.
            self._broken("only what the leader decided", f"{name}: {action.decision_id}")
            asked_s = self.world.env.now
        if action.decision_id in self._failed:
            asked_s = self.world.env.now
            same, sent_s = self._last_sent[name]
            if same == action.to_instances:
                asked_s = sent_s  # it had asked for the same again, and takes this for that
        self._written_s[name] = self.world.env.now
        if action.to_instances > write.before:
            self._rise_s[name] = asked_s
            self._within_budget(self.world.fleets[name].spec)
        elif VANISHED not in action.evidence:
            self._fall_s[name] = asked_s

    def _bill(self) -> None:
        """The bill from the life of every instance, against what is reported and was sampled."""
        usd = 0.0
        world = self.world
        interval_s = world.config.telemetry.interval_s
        until_s = world.now_s
        for i, (name, fleet) in enumerate(world.fleets.items()):
            lives = fleet.history()
            exact = fleet.instance_seconds(until_s)
            ends = np.minimum(lives["ended_s"], until_s)
            by_hand = math.fsum((ends - np.minimum(lives["launched_s"], until_s)).tolist())
            usd += by_hand / 3600.0 * fleet.spec.price_per_hour
            usd += 0.0 if fleet.warm is None else fleet.warm.usd(until_s)
            if abs(exact - by_hand) > BILL * max(exact, 1.0):
                self._broken("bill", f"{name}: {exact} against {by_hand} instance-seconds")
            sampled = float(world.recorder.counts[i, :, 1:].sum()) * interval_s
            if abs(sampled - exact) > 2.0 * interval_s * len(lives["ended_s"]):
                self._broken("bill", f"{name}: {exact} against {sampled:.0f} sampled")
        billed = summary.bill(world).total_usd
        if abs(billed - usd) > BILL * max(usd, 1.0):
            self._broken("bill", f"{billed} USD are billed, the instances cost {usd}")

    def _little(self) -> None:
        platform = self.world.platform
        if isinstance(platform, RequestPlatform) and platform.little_error() > LITTLE:
            self._broken("Little's law", f"relative error {platform.little_error():.2g}")

    # --- when the faults are over

    def _recovered(self) -> None:
        world, now_s = self.world, self.world.env.now
        healed_s = self._healed_s()
        for i, (name, fleet) in enumerate(world.fleets.items()):
            spec = fleet.spec
            boot_s = spec.boot.quantile_s(BOOT_Z) + spec.warmup_s
            settle_s = RETRY_S + world.config.infrastructure.replace_after_s + boot_s
            settle_s += world.config.infrastructure.accept_s
            # Boots that a fault spoiled take as long as they take; all others are done by now.
            lives, phases = fleet.history(), fleet.phases()
            booting = phases == InstancePhase.BOOTING
            spoiled = booting & (lives["launched_s"] <= healed_s + RETRY_S)
            last_s = max(self._rise_s[name], self._fall_s[name], healed_s)
            if now_s - last_s > settle_s:
                actual = fleet.ready + int(np.count_nonzero(spoiled))
                if actual != fleet.desired:
                    self._broken(
                        "desired = actual", f"{name}: {fleet.desired} desired, {actual} there"
                    )
            if now_s - healed_s > CALM_S + boot_s and self._could_recover(name):
                per_sample = world.config.telemetry.interval_s
                samples = round(180.0 / per_sample)
                queued = world.platform.truth[i, :, 7][-samples:]
                if float(queued.min()) > max(fleet.ready, 1) * spec.slots:
                    self._broken(
                        "the queues drain",
                        f"{name}: never less than {queued.min():.0f} requests waited in the last "
                        f"180 s, {fleet.ready} instances are ready",
                    )

    def _healed_s(self) -> float:
        """When the last fault was over, and with it what it had left behind."""
        last_s = 0.0
        for event in self.world.recorder.events:
            if event["kind"] in ("fault_started", "fault_ended"):
                last_s = max(last_s, event["time_s"] - self.world.start_s)
        for fault in self.world.config.faults.values():
            last_s += getattr(fault, "late_s", 0.0)
            if isinstance(fault, EngineKill):
                last_s += fault.down_s
        return last_s

    def _could_recover(self, name: str) -> bool:
        """Whether nothing that people set keeps the engine from giving the service enough."""
        config, world = self.world.config, self.world
        settings, fleet = config.engine, world.fleets[name]
        legal_but_unwise = (
            settings.mode != "act"
            or settings.limits.cooldown_out_s > 300.0
            or settings.limits.step_out < 0.2
            or settings.emergency.most_at_once < 1.5
            or settings.emergency.target_utilisation > 0.9
            or settings.emergency.queue_per_slot > 1.0
            or settings.emergency.again > 1.5
            or settings.verify.hold_s > 900.0
            or settings.cycle_s > 30.0
            or settings.stale_after_s < 30.0
        )
        people = (
            bool(config.operator.pauses or config.operator.scales) or config.approval != "automatic"
        )
        bound = math.isfinite(self._budget.instances) or math.isfinite(self._budget.usd_per_hour)
        full = any(fleet.desired >= fleet.spec.max_instances for fleet in world.fleets.values())
        blind = (
            config.telemetry.loss > 0.05 or config.telemetry.nan > 0.05
            or config.telemetry.lag_s > 10.0
        )  # fmt: skip
        slow = config.infrastructure.accept_s > 15.0
        misled = any(
            isinstance(fault, (ScheduleWrong, ScheduleLate)) for fault in config.faults.values()
        )
        unfinished = fleet.ready < fleet.desired
        return not (
            legal_but_unwise or people or bound or full or blind or slow or misled or unfinished
        )

    def _clock_edges(self) -> list[float]:
        """Times at which the engine's clock jumps."""
        edges: list[float] = []
        for fault in self.world.config.faults.values():
            if isinstance(fault, ClockStep) and not isinstance(fault.at, str):
                edges += [fault.at, fault.at + fault.duration_s]
        return edges


class LiveInvariants(Invariants):
    """What has to hold of the asyncio shell as well: it goes on, and tells what is wrong."""

    def __init__(self, world: World, shell: HuntedShell) -> None:
        super().__init__(world)
        self.shell = shell
        self._invented_s = shell.invented_s
        self._given: dict[str, float] = {}
        for fault in shell.faults:
            if fault.port == "clock":  # and when it can be asked again, it may have been set
                self._edges_s += [fault.at, fault.at + fault.duration_s]
        shell.watchers.append(self._answered_once)

    def finish(self) -> None:
        """Look at what can only be judged when the run is over."""
        super().finish()
        self._went_on()
        self._troubles_ended()
        for decision in self.shell.unkept:
            self._broken("a command is kept before it is given", decision)

    def _answered_once(self, observation: Observation, _: Plan) -> None:
        """An answer is given again only to an engine that was put back to an older memory."""
        for approval in observation.approvals:
            before_s = self._given.get(approval.decision_id)
            if before_s is not None and not any(
                before_s <= at_s for at_s, _ in self.shell.restarts
            ):
                self._broken("an answer counts once", approval.decision_id)
            self._given[approval.decision_id] = self.world.env.now

    def _went_on(self) -> None:
        for error in self.shell.ended:
            self._broken("the engine goes on", f"it ended with {error}")
        interval_s = self.world.config.telemetry.interval_s
        silent_s = self.world.now_s - self.shell.last_step_s
        allowed_s = 3.0 * interval_s + LOOK_S + WRITE_S
        if self._over_for() > allowed_s and silent_s > allowed_s:
            self._broken("the engine goes on", f"no step for {silent_s:.0f} s")

    def _troubles_ended(self) -> None:
        for event in self.world.recorder.events:
            if (event["kind"], event["name"]) == ("trouble_started", "engine"):
                self._broken("the shell foresees", event["detail"])
        interval_s = self.world.config.telemetry.interval_s
        # What is only written now and then shows only then that it works again.
        if self._over_for() > 4.0 * (interval_s + self.world.config.engine.cycle_s) + 60.0:
            troubles = self.shell.engines[-1].cycle.troubles.all
            if troubles:
                self._broken("troubles end", f"{troubles}")

    def _over_for(self) -> float:
        """For how long the faults have been over."""
        return self.world.now_s - self._healed_s()


def _fresh(window: np.ndarray, now_s: float, stale_after_s: float) -> np.ndarray:
    """The newest three different samples that are not too old, newest last.

    Where three samples take longer than `stale_after_s`, they may be that old.
    """
    recent = window[-20:]
    recent = recent[recent["time_s"] <= now_s]
    _, rows = np.unique(recent["time_s"], return_index=True)
    recent = recent[rows]
    gaps_s = np.sort(np.diff(recent["time_s"][-5:]))
    spacing_s = float(gaps_s[(len(gaps_s) - 1) // 2]) if len(gaps_s) > 1 else 0.0
    oldest_s = now_s - max(stale_after_s, 3.0 * min(spacing_s, 120.0))
    return recent[recent["time_s"] >= oldest_s][-3:]


def _median(values: np.ndarray) -> float:
    good = values[np.isfinite(values) & (values >= 0.0)]
    return float(np.median(good)) if len(good) else math.nan

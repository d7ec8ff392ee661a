"""The reconciler: one observation in, one plan out.

`Autoscaler.step` reads as its phases, top to bottom.  It is level-triggered like a Kubernetes
controller: each cycle compares what is desired with what is observed, so a lost action, a restart
or a duplicate is mended by the next cycle and needs no special case.  Between the full cycles
(15 s) a step looks only at the newest sample (5 s) for an emergency.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from statistics import NormalDist

from engine.decide.approve import answered, category, is_same_question, still_right
from engine.decide.assess import assess, learn_slowdown
from engine.decide.callgraph import call_order, critical_services
from engine.decide.case import Case, Constants, Draft, PassedOn
from engine.decide.explain import explain
from engine.decide.rails.limits import Purse, limit, stabilised
from engine.decide.rails.scale_in import scale_in
from engine.decide.recommend import manual, wedding
from engine.decide.recommend.emergency import drowning, emergency, passed_on, unserved_rate
from engine.decide.recommend.forecast import forecast, lead_time_s, needed, step_discount
from engine.decide.recommend.reactive import reactive
from engine.decide.sizing import sizing
from engine.decide.verify import compare, start_watch, take_results, verify
from engine.decide.view import view
from engine.forecast import schedule
from engine.forecast.blend import Blend
from engine.memory import AutoscalerState, Sent, ServiceMemory
from engine.model import (
    Action,
    Approval,
    Category,
    Declined,
    Observation,
    Plan,
    Reason,
    Recommendation,
    Rollback,
    ServiceObservation,
    ServiceSpec,
)
from engine.settings import EngineSettings

ASLEEP_S = 60.0
"""Without a step for longer the engine was down, and does not know what happened meanwhile."""

URGENT = (Reason.EMERGENCY, Reason.ROLLBACK, Reason.MANUAL)


class Autoscaler:
    """The wedding-aware scaling engine."""

    def __init__(
        self, settings: EngineSettings | None = None, blend: Blend | None = None, refused: str = ""
    ) -> None:
        self.settings = settings or EngineSettings()
        self.blend = blend
        """The learned forecaster; None: the schedule alone."""
        self.refused = refused
        """Why the model that was asked for is not used; empty if none was, or it is."""
        self._blends = {} if blend is None else blend.services
        self.state = AutoscalerState()
        self._constants: dict[str, Constants] = {}
        self._specs: tuple[ServiceSpec, ...] = ()
        self._order: tuple[int, ...] = ()

    def step(self, observation: Observation) -> Plan:
        """Decide what to do at `observation.now_s`; changes only its own memory."""
        now_s = observation.now_s
        draft = Draft()
        self._know(observation.services)
        if now_s < self.state.last_step_s:
            self.state.turn_back(self.state.last_step_s + self.settings.sample_s - now_s)
        elif now_s > self.state.last_step_s + max(ASLEEP_S, 3.0 * self.settings.cycle_s):
            self.state.wake_up(now_s)
        self.state.last_step_s = now_s
        full = now_s >= self.state.next_cycle_s
        purse = Purse.after(observation.services, observation.budget, self.state.services)
        results = {result.decision_id: result for result in observation.results}
        approvals = {answer.decision_id: answer for answer in observation.approvals}
        for index in self._order:
            service = observation.services[index]
            memory = self.state.services[service.spec.name]
            if results:
                take_results(memory, results)
            compare(memory, service.desired, now_s, self.settings.verify)
            called = service.spec.name in draft.passed_on
            # What is approved is looked at afresh: it may be some time since it was asked for.
            answer = memory.pending is not None and memory.pending.decision_id in approvals
            alarming = full or called or self._alarming(service, memory)
            if not alarming and not answer:
                continue
            case = self._observe(service, memory, observation)
            whole = full or answer
            if whole:
                self._verify(case, now_s)
                self._assess_weddings(case, observation, draft)
                self._recommend(case, observation, draft)
            self._look_for_emergency(case, now_s, draft)
            self._optimise_and_limit(case, observation, purse, draft, whole)
            self._approve(case, observation, approvals, purse, draft)
        if full:
            self.state.next_cycle_s = now_s + self.settings.cycle_s - 1e-6
        return Plan(
            actions=tuple(draft.actions),
            awaiting=tuple(draft.awaiting),
            dry=tuple(draft.dry),
            taken=tuple(draft.taken),
            declined=tuple(draft.declined),
            forecasts=tuple(draft.forecasts),
            floors=draft.floors,
            next_step_s=now_s + self.settings.sample_s,
            cycle=full,
        )

    def snapshot(self) -> str:
        """The memory as JSON."""
        return self.state.to_json()

    def restore(self, snapshot: str) -> None:
        """Take over the memory of `snapshot`; raises ValueError when it is not one."""
        self.state = AutoscalerState.from_json(snapshot)
        self._specs = ()

    def _know(self, services: tuple[ServiceObservation, ...]) -> None:
        """Work out once what follows from the specifications."""
        specs = tuple([service.spec for service in services])
        if specs == self._specs:
            return
        critical = critical_services(specs)
        # Callers first: what a drowning caller will pass on reaches its callees in the same step.
        self._order = call_order(specs)
        limits, weddings = self.settings.limits, self.settings.weddings
        for spec in specs:
            lead_s = lead_time_s(spec, self.settings.forecast)
            # Far enough for the protection, and for eight more steps after the lead time.
            reach_s = max(weddings.lead_s, weddings.protection_s, self.settings.cost.window_s)
            reach_s = max(reach_s + lead_s, lead_s + 8.0 * limits.cooldown_s)
            waited_for = spec.name in critical
            size = sizing(spec, self.settings.capacity, critical=waited_for)
            risks = self.settings.forecast
            risk = risks.risk if waited_for else risks.risk_deferred
            risk_z = NormalDist().inv_cdf(1.0 - risk)
            self._constants[spec.name] = Constants(size, risk_z, lead_s, reach_s)
            self.state.services.setdefault(spec.name, ServiceMemory())
        self._specs = specs

    def _alarming(self, service: ServiceObservation, memory: ServiceMemory) -> bool:
        """Whether the newest sample, not seen before, looks like an emergency."""
        if len(service.window) == 0:
            return False
        row = service.window[-1].item()
        if not row[0] > memory.last_seen_s:
            return False
        memory.last_seen_s = row[0]
        return drowning(row, service.spec, service.ready, self.settings.emergency)

    def _observe(
        self, service: ServiceObservation, memory: ServiceMemory, observation: Observation
    ) -> Case:
        """Phases 1 and 2, observe and analyse: samples, thresholds, the response learned."""
        seen = view(service, observation.now_s, self.settings.stale_after_s)
        memory.last_seen_s = max(memory.last_seen_s, seen.newest_s)
        name = service.spec.name
        row = observation.outlook.services[name]
        if not seen.stale:
            learn_slowdown(memory.response, service.spec, service.ready, seen)
            if seen.request_rate > 0.0:
                schedule.observe(
                    memory.response,
                    observation.outlook,
                    row,
                    seen.request_rate,
                    seen.newest_s,
                    self.settings.forecast,
                    self._blends.get(name),
                )
        assessment = assess(service, seen)
        return Case(
            service, service.spec, memory, self._constants[name], row, seen, assessment,
            target=service.desired,
        )  # fmt: skip

    def _verify(self, case: Case, now_s: float) -> None:
        """Phase 0: judge the last step, and want it undone if it made things worse."""
        verdict = verify(
            case.service, case.memory, case.view, case.assessment, now_s, self.settings.verify
        )
        if verdict is not None and verdict.rollback is not None:
            case.recommendations.append(verdict.rollback)
            case.undoes = verdict.watch

    def _assess_weddings(self, case: Case, observation: Observation, draft: Draft) -> None:
        """Phase 3: the load to come from the booked schedule, its floor and its protection."""
        outlook, now_s = observation.outlook, observation.now_s
        response = case.memory.response
        constants = case.constants
        case.curve = schedule.curve(
            response, outlook, case.row, now_s, constants.reach_s, self.settings.forecast,
            self._blends.get(case.spec.name),
        )  # fmt: skip
        case.need = needed(case.curve, constants.sizing, response.slowdown, constants.risk_z)
        limits = self.settings.limits
        case.discount = step_discount(
            len(case.curve.ahead_s), outlook.bin_s, constants.lead_s, limits.cooldown_s,
            limits.step_out,
        )  # fmt: skip
        case.weddings = wedding.assess_weddings(
            case.curve, constants.sizing, response.slowdown, constants.lead_s,
            self.settings.weddings,
        )  # fmt: skip
        draft.floors[case.spec.name] = case.weddings.floor
        draft.forecasts.extend(
            schedule.issue(
                response, outlook, case.row, case.spec.name, now_s, self.settings.forecast,
                self._blends.get(case.spec.name),
            )
        )  # fmt: skip

    def _recommend(self, case: Case, observation: Observation, draft: Draft) -> None:
        """Phase 4: every rule has its say; the highest count wins, unless a step is undone."""
        now_s, spec, wanted = observation.now_s, case.spec, case.recommendations
        assert case.curve is not None and case.need is not None and case.discount is not None
        confidence = wedding.confidence_of(float(case.curve.sd[0]))
        fallback = self.settings.fallback_of(spec.name)
        if case.view.stale:
            case.notes = f"metrics are stale ({case.view.age}), fallback {fallback.mode}"
            confidence *= 0.5
            wanted.extend(manual.static_fallback(spec, fallback, case.view.age_s, now_s))
        else:
            wanted.extend(reactive(case.service, case.view, case.assessment))
        if not case.view.stale or fallback.mode == "outlook":
            wanted.append(forecast(spec, case.curve, case.need, case.discount, confidence, now_s))
            if case.weddings.floor > 0:
                wanted.append(wedding.wedding_floor(spec, case.weddings, confidence, now_s))
        if observation.floors:
            wanted.extend(manual.manual(spec, observation.floors, now_s))
        undo = next((r for r in wanted if r.reason is Reason.ROLLBACK), None)
        if undo is not None and undo.target < case.service.desired:
            case.chosen = undo
        elif wanted:
            case.chosen = max(wanted, key=_by_target)
        for recommendation in wanted:
            if recommendation is not case.chosen and recommendation.target > case.service.desired:
                draft.declined.append(
                    Declined(recommendation, f"{_name(case.chosen)} asks for as much or more")
                )

    def _look_for_emergency(self, case: Case, now_s: float, draft: Draft) -> None:
        """The emergency path, on every sample: also keeps the latch against scale-in."""
        if case.view.stale:
            return
        settings, size = self.settings.emergency, case.constants.sizing
        service, slowdown = case.service, case.memory.response.slowdown
        found = emergency(service, case.view, size, slowdown, settings)
        if found is not None:
            extra = unserved_rate(service, case.view, slowdown)
            for call in case.spec.calls:
                passed = draft.passed_on.setdefault(call.service, PassedOn(0.0, found.trigger_s))
                passed.rate += call.per_request * extra
        else:
            called = draft.passed_on.get(case.spec.name)
            if called is not None and called.rate > 0.0:
                found = passed_on(
                    service, case.view, size, slowdown, called.rate, called.trigger_s, settings
                )
        if found is None:
            return
        again = case.memory.calm_from_s > now_s
        case.memory.calm_from_s = now_s + settings.calm_s
        asked, sent = service.desired, case.memory.sent
        if sent is not None and not sent.accepted and now_s < sent.sent_s + self.settings.cycle_s:
            asked = max(asked, sent.to_instances)  # on its way
        enough = asked * (settings.again if again else 1.0)
        if found.target > enough:
            case.chosen = found
            case.recommendations.append(found)

    def _optimise_and_limit(
        self,
        case: Case,
        observation: Observation,
        purse: Purse,
        draft: Draft,
        full: bool,
    ) -> None:
        """Phase 5, first half: the cheapest safe target, cut to what may be done now."""
        spec, memory, now_s = case.spec, case.memory, observation.now_s
        current = case.service.desired
        chosen = case.chosen
        if chosen is None:
            # Even without a wish, a count outside its min and max is put right.
            if full:
                case.target = min(max(current, spec.min_instances), spec.max_instances)
            return
        target = chosen.target
        pauses = (
            ()
            if not observation.pauses
            else manual.pauses_in_force(spec, observation.pauses, now_s)
        )
        pin = manual.pinned(pauses)
        if pin is not None:
            target, chosen = pin, _pinned(spec, pin, now_s)
        elif full:
            highest = stabilised(memory, target, now_s, self.settings.limits.stabilisation_s)
            if target < current and chosen.reason is Reason.ROLLBACK:
                # A step that did harm is undone at once, but not below what is booked.
                target = min(max(target, case.weddings.protected, case.weddings.floor), current)
            elif target < current:
                target, chosen = scale_in(case, chosen, highest, now_s, draft, self.settings.cost)
        case.chosen = chosen
        moves = target != current and pin is None
        if moves and manual.is_paused(pauses, out=target > current):
            draft.declined.append(Declined(chosen, "scaling in this direction is paused"))
            return
        inside = spec.min_instances <= current <= spec.max_instances
        if inside and (target == current or self._not_worth_it(current, target, chosen.reason)):
            return
        limited = limit(spec, current, target, chosen.reason, memory, now_s, self.settings.limits)
        afforded = purse.afford(spec, current, limited.target)
        why = "; ".join(text for text in (limited.why, afforded.why) if text)
        case.target = afforded.target
        if why and chosen.target != current:
            draft.declined.append(Declined(chosen, why))
            case.notes = "; ".join(text for text in (case.notes, why) if text)

    def _not_worth_it(self, current: int, target: int, reason: Reason) -> bool:
        limits = self.settings.limits
        tolerance = limits.tolerance_out if target > current else limits.tolerance_in
        return reason not in URGENT and abs(target - current) < tolerance * current

    def _approve(
        self,
        case: Case,
        observation: Observation,
        approvals: Mapping[str, Approval],
        purse: Purse,
        draft: Draft,
    ) -> None:
        """Phases 5 and 6: who lets it pass; then the action with all that explains it."""
        now_s, memory = observation.now_s, case.memory
        approved = answered(memory, approvals, now_s)
        current = case.service.desired
        if approved is not None:
            released = still_right(approved, case.spec, current, case.target, purse)
            if released is not None:
                self._execute(case, released, draft, now_s)
                return
            if case.chosen is not None:
                draft.declined.append(Declined(case.chosen, "approved, but no longer right"))
        if case.chosen is None or case.target == current:
            return
        action = self._action(case, case.chosen, observation)
        if self.settings.mode == "recommend_only":
            draft.dry.append(action)
            return
        if action.category is Category.NEEDS_APPROVAL:
            pending = memory.pending
            if pending is not None and is_same_question(pending, action.to_instances):
                return
            memory.pending = action
            memory.pending_until_s = now_s + self.settings.approval.expires_s
            draft.awaiting.append(action)
            return
        self._execute(case, action, draft, now_s)

    def _execute(self, case: Case, action: Action, draft: Draft, now_s: float) -> None:
        memory = case.memory
        out = action.to_instances > action.from_instances
        if out:
            rest_s, memory.last_out_s = memory.last_out_s, now_s
        else:
            rest_s, memory.last_in_s = memory.last_in_s, now_s
        before, highest = memory.sent, action.to_instances
        if before is not None and not before.accepted:
            highest = max(highest, before.highest)
            if (before.to_instances > before.from_instances) == out:
                rest_s = before.rest_s
        memory.sent = Sent(
            action.decision_id, action.from_instances, action.to_instances, highest, now_s, rest_s,
            undoes=case.undoes if action.reason is Reason.ROLLBACK else None,
        )  # fmt: skip
        memory.pending = None
        if action.reason is not Reason.ROLLBACK:
            start_watch(memory, action, case.view, healthy=not case.assessment.breach)
        draft.actions.append(action)
        if case.chosen is not None:
            draft.taken.append(case.chosen)

    def _decision_id(self, service: str, current: int, target: int, now_s: float) -> str:
        """The same decision has the same id wherever it is made: it is the idempotency key.

        The count of decisions is for a clock that was set back: a time may come twice.
        """
        self.state.decisions += 1
        text = f"{service}|{current}|{target}|{now_s:.3f}|{self.state.decisions}"
        return f"{service}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"

    def _action(self, case: Case, chosen: Recommendation, observation: Observation) -> Action:
        spec, now_s = case.spec, observation.now_s
        current, target = case.service.desired, case.target
        cost_per_hour = (target - current) * spec.price_per_hour
        ahead_s = chosen.evidence.get("ahead_s", case.constants.lead_s)
        behind = wedding.context(observation.outlook, now_s + ahead_s)
        verify_settings = self.settings.verify
        return Action(
            decision_id=self._decision_id(spec.name, current, target, now_s),
            service=spec.name,
            from_instances=current,
            to_instances=target,
            reason=chosen.reason,
            category=category(
                chosen.reason, target - current, cost_per_hour, chosen.confidence,
                self.settings.approval,
            ),
            confidence=chosen.confidence,
            cost_per_hour=cost_per_hour,
            rollback=Rollback(current, now_s + verify_settings.settle_s + verify_settings.watch_s),
            weddings=behind,
            evidence=chosen.evidence,
            trigger_s=chosen.trigger_s,
            decided_s=now_s,
            explanation=explain(
                spec.name, current, target, chosen.reason, chosen.evidence, behind, case.notes,
                observation.outlook.noun,
            ),
        )  # fmt: skip


def _by_target(recommendation: Recommendation) -> int:
    return recommendation.target


def _name(recommendation: Recommendation | None) -> str:
    return recommendation.reason.value.replace("_", " ") if recommendation else "nothing"


def _pinned(spec: ServiceSpec, count: int, now_s: float) -> Recommendation:
    evidence = {"pinned": float(count)}
    return Recommendation(spec.name, count, Reason.MANUAL, evidence, 1.0, now_s)

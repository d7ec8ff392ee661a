"""The reconciler: one observation in, one plan out.

`Autoscaler.step` reads as its phases, top to bottom.  Each is a function over all services at once,
from values to frozen values, so what services share (budget, quota, the call graph) is decided on
purpose and not by the order of a loop.  The memory is replaced once, at the end: a step that raises
has changed nothing.

It is level-triggered like a Kubernetes controller: each cycle compares what is desired with what is
observed, so a lost action, a restart or a duplicate is mended by the next cycle and needs no
special case.  Between the full cycles (15 s) a step looks only at the newest samples (5 s), for an
emergency.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.decide.after import Course, after
from engine.decide.allocate import allocate, purse
from engine.decide.approvals import final_answers
from engine.decide.approve import approve
from engine.decide.assess_weddings import assess_weddings
from engine.decide.insure import insure
from engine.decide.observe import Scope, due, observe
from engine.decide.recommend.own import loaded
from engine.decide.restraints import restrain
from engine.decide.traits import Platform, traits
from engine.decide.verify import verify
from engine.decide.wishes import emergencies, recommend
from engine.forecast.blend import Blend
from engine.forecast.schedule import HORIZONS_S
from engine.memory import Memory, remember
from engine.memory_json import from_json, to_json
from engine.model import Action, Observation, Plan
from engine.settings import EngineSettings


class Autoscaler:
    """The wedding-aware scaling engine."""

    horizons_s = HORIZONS_S
    """How far ahead the forecasts are that its plans carry."""

    def __init__(
        self, settings: EngineSettings | None = None, blend: Blend | None = None, refused: str = ""
    ) -> None:
        self.settings = settings or EngineSettings()
        self.blend = blend
        """The learned forecaster; None: the schedule alone."""
        self.refused = refused
        """Why the model that was asked for is not used; empty if none was, or it is."""
        self.memory = Memory()
        self._rules = loaded(self.settings.rules)
        self._blends = {} if blend is None else blend.services
        self._platform = Platform((), ())

    def step(self, observation: Observation) -> Plan:
        """Decide what to do at `observation.now_s`; changes only its own memory, at its end.

        Raises ValueError for calls that form a cycle or name no service.
        """
        now_s, settings, blends = observation.now_s, self.settings, self._blends
        platform = self._traits(observation)
        approvals = final_answers(observation.approvals)
        memory = remember(self.memory, observation, settings)
        scope = due(memory, observation, approvals, settings)
        if scope.quiet:
            self.memory = memory._replace(newest_s={**memory.newest_s, **scope.newest_s})
            return Plan(cycle=False)
        seen = observe(
            scope, memory, observation, platform=platform, settings=settings, blends=blends
        )
        verdicts = verify(seen, now_s, settings.verify)
        ahead = assess_weddings(
            seen, observation.outlook, now_s=now_s, settings=settings, blends=blends
        )
        ruled = recommend(
            seen, ahead, verdicts, observation=observation, settings=settings, rules=self._rules
        )
        wishes = emergencies(seen, ruled, now_s, settings)
        allowed = restrain(
            seen, ahead, wishes, pauses=observation.pauses, now_s=now_s, settings=settings
        )
        rest = purse(observation.services, observation.budget, memory.services, now_s)
        granted = allocate(
            seen, allowed, approvals, rest=rest, now_s=now_s, settings=settings.approval
        )
        decided = approve(
            seen,
            allowed,
            granted,
            approvals,
            observation=observation,
            decisions=memory.decisions,
            settings=settings,
        )
        insured = insure(
            seen, ahead, wishes, granted, rest=rest, observation=observation, settings=settings
        )
        courses = tuple(map(Course, seen, verdicts, ahead, wishes, allowed, decided))
        self.memory = after(memory, scope, courses, settings)
        return _plan(scope, courses, insured, acts=settings.mode == "act")

    def snapshot(self) -> str:
        """The memory as JSON."""
        return to_json(self.memory)

    def restore(self, snapshot: str) -> None:
        """Take over the memory of `snapshot`; raises ValueError when it is not one."""
        self.memory = from_json(snapshot)

    def _traits(self, observation: Observation) -> Platform:
        """What follows from the specifications, worked out when they change."""
        specs = tuple([service.spec for service in observation.services])
        if specs != self._platform.specs:
            self._platform = traits(specs, self.settings)
        return self._platform


def _plan(
    scope: Scope, courses: Sequence[Course], insured: tuple[Action, ...], *, acts: bool
) -> Plan:
    """What is decided, as those who carry it out and keep the record want it."""
    decided = [course.decided for course in courses]
    whole = [(course.seen, course.ahead) for course in courses if course.ahead is not None]
    return Plan(
        actions=(
            *[d.action for d in decided if d.action is not None],
            *(insured if acts else ()),
        ),
        awaiting=tuple([d.question for d in decided if d.question is not None]),
        dry=(*[d.dry for d in decided if d.dry is not None], *(() if acts else insured)),
        taken=tuple([d.taken for d in decided if d.taken is not None]),
        declined=tuple([declined for d in decided for declined in d.declined]),
        forecasts=tuple([f for _, ahead in whole for f in ahead.forecasts]),
        floors={seen.traits.spec.name: ahead.weddings.floor for seen, ahead in whole},
        cycle=scope.full,
    )

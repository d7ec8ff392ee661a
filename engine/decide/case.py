"""What passes from phase to phase of a step: a service's case, and the plan in the making."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.decide.assess import Assessment
from engine.decide.recommend.forecast import Need
from engine.decide.recommend.wedding import WeddingAssessment
from engine.decide.sizing import Sizing
from engine.decide.view import View
from engine.forecast.schedule import Curve
from engine.memory import ServiceMemory, Watch
from engine.model import (
    Action,
    Declined,
    FloatArray,
    Forecast,
    Recommendation,
    ServiceObservation,
    ServiceSpec,
)


@dataclass(frozen=True, slots=True)
class Constants:
    """What follows from a service's specification and the settings alone."""

    sizing: Sizing
    risk_z: float
    lead_s: float
    reach_s: float


@dataclass(slots=True, eq=False)
class Case:
    """One service on its way through the phases of one step."""

    service: ServiceObservation
    spec: ServiceSpec
    memory: ServiceMemory
    constants: Constants
    row: int
    view: View
    assessment: Assessment
    curve: Curve | None = None
    need: Need | None = None
    discount: FloatArray | None = None
    weddings: WeddingAssessment = field(default_factory=lambda: WeddingAssessment(0, 0, 0.0))
    recommendations: list[Recommendation] = field(default_factory=list)
    chosen: Recommendation | None = None
    undoes: Watch | None = None
    target: int = 0
    notes: str = ""


@dataclass(slots=True)
class PassedOn:
    """Load (1/s) that drowning callers will pass on to a service, and since when they drown."""

    rate: float
    trigger_s: float


@dataclass(slots=True)
class Draft:
    """A plan in the making."""

    actions: list[Action] = field(default_factory=list)
    awaiting: list[Action] = field(default_factory=list)
    dry: list[Action] = field(default_factory=list)
    taken: list[Recommendation] = field(default_factory=list)
    declined: list[Declined] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)
    floors: dict[str, int] = field(default_factory=dict)
    passed_on: dict[str, PassedOn] = field(default_factory=dict)

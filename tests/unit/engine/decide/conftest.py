"""What the phases hand to one another, with one literal for what a test is about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.decide.assess import assess
from engine.decide.assess_weddings import Ahead
from engine.decide.figures import FiguresThere, figures
from engine.decide.observe import Seen
from engine.decide.recommend.wedding import WeddingAssessment
from engine.decide.sizing import Sizing
from engine.decide.traits import Traits
from engine.decide.view import View, view
from engine.forecast.schedule import Curve
from engine.memory import ResponseMemory, ServiceMemory
from engine.model import Reason, Recommendation, ServiceObservation
from tests.unit.engine.conftest import NOW_S, make_service

SIMPLE = Sizing(instances_per_rate=0.01, spread=0.0, utilisation=0.8, zones=1)
"""An instance serves 100 requests a second and may be 80 % busy; no allowance for chance."""


def viewed(window: np.ndarray, now_s: float = NOW_S) -> View:
    return view(make_service(window=window), now_s, 45.0)


def wish_of(target: int, reason: Reason = Reason.CPU, **changes: object) -> Recommendation:
    figures: dict[str, object] = {
        "service": "api",
        "target": target,
        "reason": reason,
        "evidence": {"cpu": 0.9},
        "confidence": 0.8,
        "trigger_s": NOW_S - 3.0,
    }
    return Recommendation(**(figures | changes))  # type: ignore[arg-type]


def seen_of(
    service: ServiceObservation | None = None,
    *,
    memory: ServiceMemory | None = None,
    waited_for: bool = True,
    alarm: Recommendation | None = None,
    whole: bool = True,
    measured: FiguresThere | None = None,
    slowdown: float = 1.0,
    asked_s: float = NOW_S,
) -> Seen:
    """A service as the first phase hands it on: 140 s to boot, and `SIMPLE` to size."""
    service = service or make_service()
    looked = view(service, NOW_S, 45.0)
    return Seen(
        service=service,
        traits=Traits(
            place=0,
            spec=service.spec,
            waited_for=waited_for,
            sizing=SIMPLE,
            risk_z=0.0,
            lead_s=140.0,
            reach_s=7340.0,
        ),
        memory=memory or ServiceMemory(),
        row=0,
        view=looked,
        assessment=assess(service, looked),
        figures=figures({}, service.window, looked, NOW_S) if measured is None else measured,
        response=ResponseMemory(),
        slowdown=slowdown,
        whole=whole,
        alarm=alarm,
        asked_s=asked_s,
    )


def curve_of(
    booked: Sequence[float] | np.ndarray,
    *,
    major: Sequence[float] | np.ndarray | None = None,
    sd: float = 0.0,
    correction: float = 0.0,
) -> Curve:
    """Bins of one minute, the first of which began a minute ago."""
    rates = np.asarray(booked, dtype=np.float64)
    return Curve(
        ahead_s=60.0 * (np.arange(len(rates)) - 1.0),
        correction=np.full(len(rates), correction),
        sd=np.full(len(rates), sd),
        booked=rates,
        major=np.zeros(len(rates)) if major is None else np.asarray(major, dtype=np.float64),
        bin_s=60.0,
    )


def alone(curve: Curve) -> Curve:
    """The curve as that of one service among one."""
    figures = (curve.correction, curve.sd, curve.booked, curve.major)
    return Curve(curve.ahead_s, *(figure[None] for figure in figures), bin_s=curve.bin_s)


def ahead_of(
    need: Sequence[float] | np.ndarray | float = 4.0,
    *,
    floor: int = 0,
    protected: int = 0,
    unbooked: str = "",
    blind: bool = False,
    sd: float = 0.0,
) -> Ahead:
    """Two hours and a half in which `need` instances are needed."""
    count = np.full(150, need) if isinstance(need, float) else np.asarray(need, dtype=np.float64)
    return Ahead(
        curve=curve_of(80.0 * count, sd=sd),
        need=count,
        discount=np.ones(len(count)),
        weddings=WeddingAssessment(floor=floor, protected=protected, major_rate=100.0 * floor),
        forecasts=(),
        response=ResponseMemory(),
        unbooked=unbooked,
        blind=blind,
    )

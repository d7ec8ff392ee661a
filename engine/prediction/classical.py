"""The classical models that a forecast has to beat, and any single expert as a forecaster.

Holt-Winters and an automatically chosen exponential smoothing, as textbooks have them: fitted to
squared errors one step ahead, on the logarithmic scale, with a season of a day.  `AutoEts` takes
the form with the least corrected Akaike criterion (Hyndman et al. 2008, ch. 7).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction import smoothing
from engine.prediction.experts import Before, Expert, Last, WeekTimesRatio
from engine.prediction.forecaster import IntArray
from engine.prediction.learned import ridge, weekend
from engine.prediction.past import SeriesPast, prepare, usual
from engine.prediction.smoothing import Smoothing

HOUR_S = 3600.0
TIMETABLE_RIDGE = 1.0
HOLT_WINTERS = (("alpha", "beta", "gamma"),)
ETS_FORMS = (
    ("alpha",),
    ("alpha", "beta"),
    ("alpha", "beta", "phi"),
    ("alpha", "gamma"),
    ("alpha", "beta", "gamma"),
    ("alpha", "beta", "phi", "gamma"),
)


@dataclass(slots=True)
class Classical:
    """Exponential smoothing in the one of `forms` that fits best."""

    name: str
    forms: tuple[tuple[str, ...], ...]
    _lead: int = 1
    _model: Smoothing | None = field(default=None)

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Fit each form to the errors one step ahead and take the best."""
        self._lead = lead
        best = math.inf
        for names in self.forms:
            if "gamma" in names and len(past.z) < 2 * past.seasons[0]:
                continue
            model, criterion = _fitted(past.z, names, past.seasons)
            if criterion < best:
                best, self._model = criterion, model
        if self._model is None:
            raise ValueError(f"{len(past.z)} steps are too few for {self.name}")

    def track(self, past: SeriesPast) -> FloatArray:
        """Run along the whole past with the weights of the last fit."""
        assert self._model is not None
        return past.back(self._model.track(past.z, past.columns[:, :0], self._lead))


@dataclass(slots=True)
class Timetable:
    """The calendar alone: what was usual at that hour and in that stretch of an event.

    It never looks at the latest values, as a schedule that was drawn up beforehand does not.
    """

    name: str = "schedule only"
    _lead: int = 1
    _model: FloatArray = field(default_factory=lambda: np.zeros(0))

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Regress the series on hours, weekends and events."""
        self._lead = lead
        self._model = ridge(self._design(past)[: len(past.z)], past.z, TIMETABLE_RIDGE)

    def track(self, past: SeriesPast) -> FloatArray:
        """What the calendar says of the step that is asked for."""
        rows = self._design(past)[self._lead : self._lead + len(past.z)]
        return past.back(rows @ self._model)

    def _design(self, past: SeriesPast) -> FloatArray:
        hour = (past.times_s // HOUR_S).astype(np.int64) % 24
        parts = [np.ones((len(hour), 1)), np.eye(24)[hour], weekend(past.times_s), past.columns]
        return np.hstack(parts)


class Single:
    """One expert on its own as a forecaster."""

    def __init__(self, name: str, leads: Sequence[int], make: Callable[[], Expert]) -> None:
        self._name = name
        self._leads = tuple(leads)
        self._make = make
        self._experts: list[Expert] = []
        self._unit = 1.0

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return self._name

    @property
    def leads(self) -> tuple[int, ...]:
        """For how many steps ahead it forecasts."""
        return self._leads

    def fit(self, series: Series, until: int, calendar: Calendar) -> None:
        """Fit one expert for each lead."""
        self._unit = usual(series.values[:until])
        past = prepare(series, until, calendar, max(self._leads), unit=self._unit)
        self._experts = [self._make() for _ in self._leads]
        for expert, lead in zip(self._experts, self._leads, strict=True):
            expert.fit(past, lead)

    def predict(self, series: Series, origins: IntArray, calendar: Calendar) -> FloatArray:
        """Medians (origins, leads)."""
        past = prepare(series, int(origins.max()), calendar, max(self._leads), unit=self._unit)
        tracks = [expert.track(past)[origins - 1] for expert in self._experts]
        return np.column_stack(tracks)


def baselines(leads: Sequence[int]) -> list[Single]:
    """Everything that a forecast without a calendar is compared with."""
    kinds: dict[str, Callable[[], Expert]] = {
        "last value": Last,
        "seasonal naive": lambda: Before(1),
        "last week": lambda: Before(7),
        "last week x ratio": lambda: WeekTimesRatio(3),
        "Holt-Winters": lambda: Classical("Holt-Winters", HOLT_WINTERS),
        "AutoETS": lambda: Classical("AutoETS", ETS_FORMS),
    }
    return [Single(name, leads, make) for name, make in kinds.items()]


def schedule_only(leads: Sequence[int]) -> Single:
    """What a forecast with a calendar is compared with, too."""
    return Single("schedule only", leads, Timetable)


def _fitted(
    z: FloatArray, names: tuple[str, ...], seasons: tuple[int, int]
) -> tuple[Smoothing, float]:
    """The model with the least squared errors, and its corrected Akaike criterion."""
    begin = max(len(z) - max(smoothing.MOST_STEPS, 8 * seasons[1]), 0)
    y = z[begin:]
    states = smoothing.first(y, names, seasons)

    def error(x: FloatArray) -> float:
        return math.log(smoothing.mean_square(y, smoothing.weights_of(x, names), states) + 1e-12)

    weights = smoothing.weights_of(smoothing.minimum(error, names), names)
    count = int(np.isfinite(y).sum())
    parameters = len(names) + 2 + (seasons[0] - 1 if "gamma" in names else 0)
    if count - parameters - 1 <= 0:
        criterion = math.inf
    else:
        likelihood = count * math.log(smoothing.mean_square(y, weights, states) + 1e-12)
        criterion = likelihood + 2.0 * parameters * count / (count - parameters - 1)
    return Smoothing(begin, weights, states, np.zeros(0)), criterion

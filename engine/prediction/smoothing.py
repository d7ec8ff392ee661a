"""Exponential smoothing, fitted for the lead that is asked for, with known events as regressors.

Textbook smoothing fits its weights to errors one step ahead and hopes that they do for later steps;
here each lead has weights of its own, fitted to the errors at that lead and robustly, since what
matters is the absolute error.  Known events (`effects`) enter as regressors: their effect is
estimated from the innovations of series and regressors (generalised least squares, as in Hyndman et
al. 2008, ch. 9), so that a slow rise of the level is not taken for an effect of the events.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from engine.model import FloatArray
from engine.prediction.smoothing_kernels import innovations, loss, smooth

START = {"alpha": -1.0, "beta": -4.0, "phi": 2.0, "gamma": -2.0, "omega": -2.0, "rho": 0.3}
SECOND_START_ALPHA = 1.5
LOCAL = ("alpha", "beta", "phi", "rho")
DAILY = ("alpha", "gamma", "rho")
WEEKLY = ("alpha", "gamma", "omega", "rho")
MOST_STEPS = 2016
"""How far back a fit looks at least: three months of hours (or eight weeks, if that is longer)."""
RIDGE = 10.0
ROUNDS = 2


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """Where the recursion begins: a level, and its seasons (m1,) and (m2,)."""

    level: float
    season: FloatArray
    second: FloatArray

    def copied(self) -> tuple[float, FloatArray, FloatArray]:
        """As the compiled loops take them, which change the seasons."""
        return self.level, self.season.copy(), self.second.copy()


@dataclass(frozen=True, slots=True, eq=False)
class Smoothing:
    """A fitted model: begins at step `begin` of its series; `effects` (columns,) of the events."""

    begin: int
    weights: FloatArray
    states: States
    effects: FloatArray

    def track(self, y: FloatArray, columns: FloatArray, lead: int) -> FloatArray:
        """What was expected `lead` steps after each step of `y` (steps,); NaN before `begin`.

        `columns` (at least steps + lead, columns) are the events' regressors.
        """
        expected = np.full(len(y), np.nan)
        ahead = np.empty((len(y) - self.begin, 1))
        effect = columns @ self.effects
        rest = y[self.begin :] - effect[self.begin : len(y)]
        _run(rest, self.weights, self.states, np.array([float(lead)]), out=ahead)
        expected[self.begin :] = ahead[:, 0]
        return expected + effect[lead : lead + len(y)]


def fit(
    y: FloatArray,
    columns: FloatArray,
    names: tuple[str, ...],
    lead: int,
    *,
    seasons: tuple[int, int],
) -> Smoothing:
    """Fit the weights `names` to the errors `lead` steps ahead, and the events' effects.

    `seasons` are the lengths of a day and a week, in steps.  Raises ValueError when `y` is shorter
    than two seasons of the longest kind that is asked for.
    """
    day, week = seasons
    longest = week if "omega" in names else day if "gamma" in names else 2
    if len(y) < 2 * longest:
        raise ValueError(f"{len(y)} steps are too few, two seasons of {longest} are needed")
    begin = max(len(y) - max(MOST_STEPS, 8 * week), 0)
    y, columns = y[begin:], columns[begin : len(y)]
    effects = np.zeros(columns.shape[1])
    used = np.flatnonzero(np.any(columns != 0.0, axis=0))
    rounds = ROUNDS if len(used) else 1
    weights = first_states = None
    for _ in range(rounds):
        rest = y - columns @ effects
        first_states = first(rest, names, seasons)
        weights = tuned(rest, first_states, names, lead, near=weights)
        if len(used):
            near = weights if lead == 1 else tuned(rest, first_states, names, 1, near=None)
            effects[used] = _effects(y, columns[:, used], near, first_states, before=effects[used])
    assert weights is not None
    assert first_states is not None
    rest = y - columns @ effects
    return Smoothing(begin, weights, first(rest, names, seasons), effects)


def first(y: FloatArray, names: tuple[str, ...], seasons: tuple[int, int]) -> States:
    """First states: means over the first seasons."""
    day, week = seasons
    none = np.zeros(1)
    if "gamma" not in names:
        return States(_mean(y[: max(day, 2)]), none, none)
    if "omega" not in names:
        level, season = _profile(y[: 3 * day], day)
        return States(level, season, none)
    level, of_week = _profile(y[: 2 * week], week)
    daily = of_week.reshape(-1, day).mean(axis=0) if week % day == 0 else np.zeros(day)
    return States(level, daily, of_week - np.resize(daily, week))


def tuned(
    y: FloatArray,
    states: States,
    names: tuple[str, ...],
    lead: int,
    *,
    near: FloatArray | None,
) -> FloatArray:
    """The weights with the least error `lead` steps ahead, looked for from two starts."""
    steps = np.diff(y[np.isfinite(y)])
    knee = max(float(np.median(np.abs(steps))) if len(steps) else 0.0, 1e-6)

    def error(x: FloatArray) -> float:
        return float(loss(y, weights_of(x, names), states.copied(), (lead, knee)))

    return weights_of(minimum(error, names, restart=near is None), names)


def mean_square(y: FloatArray, weights: FloatArray, states: States) -> float:
    """Mean squared error one step ahead, after the first season."""
    return _run(y, weights, states, np.zeros(0), out=np.zeros((0, 0)))


def minimum(
    error: Callable[[FloatArray], float], names: tuple[str, ...], *, restart: bool = True
) -> FloatArray:
    """Where `error` of the free parameters is least (Nelder-Mead from fixed starts)."""
    best = None
    for alpha in (START["alpha"], SECOND_START_ALPHA)[: 2 if restart else 1]:
        start = np.array([alpha if name == "alpha" else START[name] for name in names])
        options = {"maxiter": 60 * len(names), "xatol": 0.02, "fatol": 1e-7}
        optimum = minimize(error, start, method="Nelder-Mead", options=options)
        if best is None or optimum.fun < best.fun:
            best = optimum
    assert best is not None
    return np.asarray(best.x, dtype=np.float64)


def weights_of(x: FloatArray, names: tuple[str, ...]) -> FloatArray:
    """Free parameters as weights within their bounds."""
    weights = np.array([0.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    free = [min(max(float(value), -30.0), 30.0) for value in x]
    share = {name: 1.0 / (1.0 + math.exp(-v)) for name, v in zip(names, free, strict=True)}
    alpha = weights[0] = share["alpha"]
    if "beta" in share:
        weights[1] = alpha * share["beta"]
    if "phi" in share:
        weights[2] = 0.8 + 0.198 * share["phi"]
    if "gamma" in share:
        weights[3] = (1.0 - alpha) * share["gamma"]
    if "omega" in share:
        weights[4] = (1.0 - alpha) * share["omega"]
    if "rho" in share:
        weights[5] = 0.99 * math.tanh(free[names.index("rho")])
    return weights


def _effects(
    y: FloatArray, columns: FloatArray, weights: FloatArray, states: States, *, before: FloatArray
) -> FloatArray:
    """Ridge regression of innovations on innovations, outliers counted less (Huber's weights)."""
    zero = States(0.0, np.zeros_like(states.season), np.zeros_like(states.second))
    target = _innovations(y, weights, states)
    parts = [_innovations(np.ascontiguousarray(part), weights, zero) for part in columns.T]
    there = np.isfinite(target)
    there[: len(states.season)] = False
    design, wanted = np.column_stack(parts)[there], target[there]
    effects = before
    for _ in range(2):
        miss = np.abs(wanted - design @ effects)
        spread = 1.4826 * float(np.median(miss)) + 1e-9
        weighted = design * (1.0 / np.maximum(1.0, miss / (2.0 * spread)))[:, None]
        penalty = RIDGE * spread**2 * np.eye(design.shape[1])
        solved = np.linalg.solve(weighted.T @ design + penalty, weighted.T @ wanted)
        effects = np.asarray(solved, dtype=np.float64)
    return effects


def _innovations(y: FloatArray, weights: FloatArray, states: States) -> FloatArray:
    errors: FloatArray = innovations(y, weights, states.copied())
    return errors


def _run(
    y: FloatArray, weights: FloatArray, states: States, leads: FloatArray, *, out: FloatArray
) -> float:
    return float(smooth(y, weights, states.copied(), (leads, out)))


def _mean(y: FloatArray) -> float:
    there = y[np.isfinite(y)]
    return float(there.mean()) if len(there) else 0.0


def _profile(y: FloatArray, period: int) -> tuple[float, FloatArray]:
    """Level, and what each position of the period departs from it; without values: nothing."""
    level = _mean(y)
    season = np.zeros(period)
    for position in range(period):
        here = y[position::period]
        here = here[np.isfinite(here)]
        if len(here):
            season[position] = here.mean() - level
    return level, season

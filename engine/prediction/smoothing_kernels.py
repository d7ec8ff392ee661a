"""The recursion of exponential smoothing, compiled.

One loop serves simple, trended, damped, seasonal and double-seasonal smoothing: what a model does
not have stands at zero.  `weights` are always alpha (level), beta (trend), phi (damping), gamma
(season), omega (second season) and rho (autocorrelation of the errors; Taylor 2003).  `season`
(m1,) and `second` (m2,) hold the states before the first value and are changed, `states` is the
level and these two, as a plain tuple: numba looks through one four times as fast as through a
record.  A missing value (NaN) teaches nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.model import FloatArray

States = tuple[float, FloatArray, FloatArray]
"""Level, `season` and `second`."""


@njit(cache=True)
def smooth(
    y: FloatArray, weights: FloatArray, states: States, ahead: tuple[FloatArray, FloatArray]
) -> float:
    """Run along `y` and return the mean squared error one step ahead, after the first season.

    `ahead` is `leads` and `forecasts` (steps, leads), which gets for each step what was expected
    `leads` steps later, from the values up to this one.
    """
    level, season, second = states
    leads, forecasts = ahead
    alpha, beta, phi, gamma, omega, rho = weights
    m1, m2 = len(season), len(second)
    trend, error = 0.0, 0.0
    total, count = 0.0, 0
    for t in range(len(y)):
        i, k = t % m1, t % m2
        residual = y[t] - (level + phi * trend + season[i] + second[k])
        if np.isnan(residual):
            level += phi * trend
            trend *= phi
            error *= rho
        else:
            if t >= m1:
                total += (residual - rho * error) ** 2
                count += 1
            level += phi * trend + alpha * residual
            trend = phi * trend + beta * residual
            season[i] += gamma * residual
            second[k] += omega * residual
            error = residual
        for n in range(len(leads)):
            lead = int(leads[n])
            drift = float(lead)
            if phi < 1.0:
                drift = phi * (1.0 - phi**lead) / (1.0 - phi)
            forecasts[t, n] = (
                level
                + drift * trend
                + season[(t + lead) % m1]
                + second[(t + lead) % m2]
                + rho**lead * error
            )
    return total / max(count, 1)


@njit(cache=True)
def loss(y: FloatArray, weights: FloatArray, states: States, judged: tuple[int, float]) -> float:
    """Mean error some steps ahead, after the first season: squared below a knee, then linear.

    `judged` is how many steps ahead, and the knee.
    """
    level, season, second = states
    ahead, knee = judged
    alpha, beta, phi, gamma, omega, rho = weights
    m1, m2 = len(season), len(second)
    drift = float(ahead)
    if phi < 1.0:
        drift = phi * (1.0 - phi**ahead) / (1.0 - phi)
    fading = rho**ahead
    trend, error = 0.0, 0.0
    total, count = 0.0, 0
    for t in range(len(y) - ahead):
        i, k = t % m1, t % m2
        residual = y[t] - (level + phi * trend + season[i] + second[k])
        if np.isnan(residual):
            level += phi * trend
            trend *= phi
            error *= rho
        else:
            level += phi * trend + alpha * residual
            trend = phi * trend + beta * residual
            season[i] += gamma * residual
            second[k] += omega * residual
            error = residual
        if t >= m1:
            expected = level + drift * trend + season[(t + ahead) % m1] + second[(t + ahead) % m2]
            miss = abs(y[t + ahead] - expected - fading * error)
            if not np.isnan(miss):
                total += miss * miss / (2.0 * knee) if miss < knee else miss - 0.5 * knee
                count += 1
    return total / max(count, 1)


@njit(cache=True)
def innovations(y: FloatArray, weights: FloatArray, states: States) -> FloatArray:
    """What was not expected one step before: (steps,), NaN where nothing was measured.

    Linear in `y` and the first states, so that the effect of a regressor can be estimated from the
    innovations of both.
    """
    level, season, second = states
    alpha, beta, phi, gamma, omega, rho = weights
    m1, m2 = len(season), len(second)
    trend, error = 0.0, 0.0
    errors = np.empty(len(y))
    for t in range(len(y)):
        i, k = t % m1, t % m2
        residual = y[t] - (level + phi * trend + season[i] + second[k])
        errors[t] = residual - rho * error
        if np.isnan(residual):
            level += phi * trend
            trend *= phi
            error *= rho
        else:
            level += phi * trend + alpha * residual
            trend = phi * trend + beta * residual
            season[i] += gamma * residual
            second[k] += omega * residual
            error = residual
    return errors

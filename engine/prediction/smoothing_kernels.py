"""The recursion of exponential smoothing, compiled.

One loop serves simple, trended, damped, seasonal and double-seasonal smoothing: what a model does
not have stands at zero.  `weights` are always alpha (level), beta (trend), phi (damping), gamma
(season), omega (second season) and rho (autocorrelation of the errors; Taylor 2003).  `season`
(m1,) and `second` (m2,) hold the states before the first value and are changed.  A missing value
(NaN) teaches nothing.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.model import FloatArray


@njit(cache=True)
def smooth(
    y: FloatArray,
    weights: FloatArray,
    level: float,
    season: FloatArray,
    second: FloatArray,
    leads: FloatArray,
    forecasts: FloatArray,
) -> float:
    """Run along `y` and return the mean squared error one step ahead, after the first season.

    `forecasts` (steps, leads) gets for each step what was expected `leads` steps later, from the
    values up to this one.
    """
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
            ahead = int(leads[n])
            drift = float(ahead)
            if phi < 1.0:
                drift = phi * (1.0 - phi**ahead) / (1.0 - phi)
            forecasts[t, n] = (
                level
                + drift * trend
                + season[(t + ahead) % m1]
                + second[(t + ahead) % m2]
                + rho**ahead * error
            )
    return total / max(count, 1)


@njit(cache=True)
def loss(
    y: FloatArray,
    weights: FloatArray,
    level: float,
    season: FloatArray,
    second: FloatArray,
    ahead: int,
    knee: float,
) -> float:
    """Mean error `ahead` steps ahead, after the first season: squared below `knee`, then linear."""
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
def innovations(
    y: FloatArray,
    weights: FloatArray,
    level: float,
    season: FloatArray,
    second: FloatArray,
) -> FloatArray:
    """What was not expected one step before: (steps,), NaN where nothing was measured.

    Linear in `y` and the first states, so that the effect of a regressor can be estimated from the
    innovations of both.
    """
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

"""How long responses take: a gamma variate, plus zero or an exponential wait, plus a fixed shift.

The sum of a gamma and an exponential variate is tabulated once per service as the logarithm of its
survival function, on a grid of response times and of mean waits, so that shares of 1e-8 are as
exact as shares of one half.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.model import FloatArray
from twin.queues.kernels.compiling import allocating, entry, kernel

# Grid of the survival tables: response times (s) and, relative to the mean response, waits.
X_POINTS = 512
LN_X0 = math.log(1e-4)
D_LN_X = (math.log(400.0) - LN_X0) / (X_POINTS - 1)
W_ROWS = 97  # row 0: no wait
LN_W0 = math.log(1e-2)
D_LN_W = (math.log(2e2) - LN_W0) / (W_ROWS - 2)
LN_FLOOR = -690.0  # of a survival function: below, it counts as this


class Wait(NamedTuple):
    """What is added to the bare response."""

    probability: float
    """Of a stochastic wait."""
    mean_s: float
    """Of that wait, given that there is one; exponential."""
    shift_s: float
    """The fluid wait of the backlog, the same for all."""


class Between(NamedTuple):
    """A place between two rows of a table."""

    below: int
    share: float
    """How far it is to the next row (0-1)."""


@kernel
def row_of(wait_s: float, mean_s: float) -> Between:
    """The place of a mean wait in the table of a service with a mean response of `mean_s`."""
    if wait_s <= 0.0:
        return Between(0, 0.0)
    place = (math.log(wait_s / mean_s) - LN_W0) / D_LN_W
    if place < 0.0:
        return Between(0, wait_s / mean_s / math.exp(LN_W0))
    row = min(int(place), W_ROWS - 3)
    return Between(row + 1, min(place - row, 1.0))


@kernel
def survival(table: FloatArray, row: Between, x_s: float) -> float:
    """P(base response + exponential wait > x_s), between two rows of `table` (W_ROWS, X_POINTS)."""
    below, above = row
    if x_s <= 0.0:
        return 1.0
    place = (math.log(x_s) - LN_X0) / D_LN_X
    if place < 0.0:
        low = table[below, 0] * (1.0 - above)
        if above > 0.0:
            low += table[below + 1, 0] * above
        return 1.0 + (math.exp(low) - 1.0) * x_s / math.exp(LN_X0)
    column = min(int(place), X_POINTS - 2)
    right = place - column
    value = table[below, column] + right * (table[below, column + 1] - table[below, column])
    if above > 0.0:
        other = table[below + 1, column] + right * (
            table[below + 1, column + 1] - table[below + 1, column]
        )
        value += above * (other - value)
    return math.exp(value)


@kernel
def slower(table: FloatArray, mean_s: float, x_s: float, wait: Wait) -> float:
    """Share of the responses above `x_s`; `table` (W_ROWS, X_POINTS), `mean_s` of the bare one."""
    share = 0.0
    if wait.probability < 1.0:
        share += (1.0 - wait.probability) * survival(table, Between(0, 0.0), x_s - wait.shift_s)
    if wait.probability > 0.0:
        row = row_of(wait.mean_s, mean_s)
        share += wait.probability * survival(table, row, x_s - wait.shift_s)
    return share


@allocating
def survival_curve(
    table: FloatArray, mean_s: float, x_s: FloatArray, wait: tuple[float, float]
) -> FloatArray:
    """P(response > x) for each of `x_s` (n,), with a stochastic wait and no backlog.

    `wait` is its probability and its mean in seconds, given that there is one.
    """
    shares = np.empty(x_s.size)
    for k in range(x_s.size):
        shares[k] = slower(table, mean_s, x_s[k], Wait(wait[0], wait[1], 0.0))
    return shares


@entry
def log_gamma_survival(shape: float, x: float) -> float:
    """Natural logarithm of P(X > x) for a gamma variate of scale 1, without underflow.

    Power series below shape + 1, continued fraction above (NIST Digital Library of Mathematical
    Functions, 8.7.1 and 8.9.2).
    """
    if x <= 0.0:
        return 0.0
    front = shape * math.log(x) - x - math.lgamma(shape)
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        k = shape
        while abs(term) > 1e-16 * abs(total):
            k += 1.0
            term *= x / k
            total += term
        return math.log1p(-min(total * math.exp(front), 1.0 - 1e-16))
    b = x + 1.0 - shape
    c = 1e300
    d = 1.0 / b
    fraction = d
    for k in range(1, 100_000):
        a = -k * (k - shape)
        b += 2.0
        d = a * d + b
        d = 1.0 / (d if abs(d) > 1e-300 else 1e-300)
        c = b + a / c
        if abs(c) < 1e-300:
            c = 1e-300
        change = d * c
        fraction *= change
        if abs(change - 1.0) < 1e-15:
            break
    return front + math.log(fraction)


@entry
def fill_table(table: FloatArray, shape: float, scale_s: float) -> None:
    """Log survival of Gamma(shape, scale_s) + Exp(w) on the grid, into `table` (W_ROWS, X_POINTS).

    The survival S of the sum obeys S' = (G - S) / w with G the gamma's own; between two grid
    points G is log-linear to within 1e-3, for which the equation has the exact solution used here.
    """
    mean_s = shape * scale_s
    for column in range(X_POINTS):
        x_s = math.exp(LN_X0 + column * D_LN_X)
        table[0, column] = max(log_gamma_survival(shape, x_s / scale_s), LN_FLOOR)
    for row in range(1, W_ROWS):
        wait_s = mean_s * math.exp(LN_W0 + (row - 1) * D_LN_W)
        value = 1.0
        left_s = 0.0
        left_log = 0.0
        for column in range(X_POINTS):
            right_s = math.exp(LN_X0 + column * D_LN_X)
            right_log = table[0, column]
            width = right_s - left_s
            decay = math.exp(-width / wait_s)
            rate = 1.0 / wait_s - (left_log - right_log) / width
            exponent = rate * width
            if abs(exponent) < 1e-9:
                inflow = math.exp(left_log) * decay * width / wait_s
            elif exponent > 0.0:
                inflow = -math.exp(right_log) * math.expm1(-exponent) / (rate * wait_s)
            else:
                inflow = math.exp(left_log) * decay * math.expm1(exponent) / (rate * wait_s)
            value = min(value * decay + inflow, 1.0)
            table[row, column] = max(math.log(value), LN_FLOOR) if value > 0.0 else LN_FLOOR
            left_s = right_s
            left_log = right_log

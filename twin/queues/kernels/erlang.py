"""The probability that a request waits although there is capacity for it."""

from __future__ import annotations

import math

from twin.queues.kernels.compiling import entry


@entry
def waiting_probability(servers: float, rho: float) -> float:
    """Erlang's C formula: probability that an arrival waits, `servers` >= 1, utilisation `rho`.

    The corrected diffusion form of Janssen, van Leeuwaarden & Zwart, "Refining square-root safety
    staffing by expanding Erlang C", Operations Research 59 (2011), which refines Halfin & Whitt,
    Operations Research 29 (1981):
    1 / C = rho + gamma (Phi(alpha)/phi(alpha) + 2/(3 sqrt(c)) + r / (12 c phi(alpha))), with
    gamma = (1 - rho) sqrt(c) and alpha^2 = -2 c (1 - rho + ln rho).  Stirling's remainder puts r
    between 0 and 1 (the bounds of Janssen et al.); with r = 1/2 the result is within 0.8 % of the
    exact value for all c >= 1 and 0.3 <= rho < 1.  Below 1e-12 it is given as 0.
    """
    if rho >= 1.0:
        return 1.0
    spare = 1.0 - rho
    if rho <= 0.0 or servers * spare * spare > 50.0:
        return 0.0
    exponent = -servers * (spare + math.log(rho))
    if exponent > 26.0:
        return 0.0
    alpha = math.sqrt(2.0 * max(exponent, 0.0))
    density = 0.3989422804014327 * math.exp(-exponent)
    below = 0.5 * math.erfc(-0.7071067811865476 * alpha)
    root = math.sqrt(servers)
    bracket = below / density + 2.0 / (3.0 * root) + 0.5 / (12.0 * servers * density)
    return 1.0 / (rho + spare * root * bracket)

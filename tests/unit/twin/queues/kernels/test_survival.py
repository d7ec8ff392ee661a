"""The tables of response times against SciPy's distributions."""

import math

import numpy as np
import pytest
from scipy import stats

from twin.queues.kernels import survival


@pytest.mark.parametrize("scv", [0.3, 1.0, 2.5])
def test_tail_without_waiting_is_the_gamma_distributions(scv):
    x_s = np.geomspace(0.01, 2.0, 60)
    distribution = stats.gamma(1.0 / scv, scale=0.04 * scv)
    exact = distribution.sf(x_s)
    table = np.empty((survival.W_ROWS, survival.X_POINTS))
    survival.fill_table(table, 1.0 / scv, 0.04 * scv)
    shares = survival.survival_curve(table, 0.04, x_s, (0.0, 0.0))
    kept = exact > 1e-12
    np.testing.assert_allclose(shares[kept], exact[kept], rtol=0.01)
    for x, share in zip(x_s, exact, strict=True):
        log_share = survival.log_gamma_survival(1.0 / scv, x / (0.04 * scv))
        if share > 1e-300:
            assert math.exp(log_share) == pytest.approx(share, rel=1e-11)


@pytest.mark.parametrize("scv", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("wait_s", [0.0005, 0.004, 0.04, 0.3])
def test_tail_with_waiting_is_the_convolution(scv, wait_s):
    x_s = np.geomspace(0.02, 3.0, 25)
    shape, scale_s = 1.0 / scv, 0.04 * scv
    table = np.empty((survival.W_ROWS, survival.X_POINTS))
    survival.fill_table(table, shape, scale_s)
    shares = survival.survival_curve(table, 0.04, x_s, (1.0, wait_s))
    exact = np.empty(x_s.size)
    for k, x in enumerate(x_s):
        # density of the gamma times the exponential's tail, even in the gamma's own quantiles
        edges_s = np.concatenate([[0.0], np.geomspace(1e-12, x, 20_001)])
        mass = -np.diff(stats.gamma.sf(edges_s, shape, scale=scale_s))
        middle_s = 0.5 * (edges_s[1:] + edges_s[:-1])
        exact[k] = stats.gamma.sf(x, shape, scale=scale_s)
        exact[k] += (mass * np.exp(-(x - middle_s) / wait_s)).sum()
    kept = exact > 1e-8
    np.testing.assert_allclose(shares[kept], exact[kept], rtol=0.03)

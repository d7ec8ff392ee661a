"""The probability of waiting against the exact formula."""

import pytest

from twin.queues.kernels.erlang import waiting_probability
from twin.queues.reference import erlang_c


@pytest.mark.parametrize("servers", [1, 2, 5, 16, 64, 250, 1000])
@pytest.mark.parametrize("rho", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_probability_of_waiting_is_erlangs(servers, rho):
    exact = erlang_c(servers, rho)
    assert waiting_probability(servers, rho) == pytest.approx(exact, rel=0.008, abs=1e-11)

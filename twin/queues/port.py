"""What the rest of the twin may ask of the simulated services, whatever their resolution.

The world's SimPy processes (fleet, faults, telemetry, controller) change a service only at whole
seconds and only through the verbs below; between two such moments nothing outside can touch a
service, so a whole stretch of ticks runs in one compiled call.  That is what lets a day of some
10^10 requests pass in under a second.  `FluidPlatform` is one implementation, `RequestPlatform`
with every single request another: callers see only this protocol.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.config.platform import PlatformConfig
from engine.model import FloatArray, ServiceSpec

TRUTH_FIELDS = (
    "arrived",
    "retried",
    "served",
    "failed",
    "shed",
    "timed_out",
    "slow",
    "queued",
    "in_flight",
    "needed",
)
"""Last axis of `SimulatedPlatform.truth`: counts within the sample (`retried` is part of `arrived`;
`slow` is part of `served`: slower than the SLO's p95 limit), requests waiting and in service at its
end, and the smallest instance count that would have carried the sample's arrivals within the SLO.
"""


@dataclass(frozen=True, slots=True)
class ClientBehaviour:
    """How those who send requests to one service wait, give up and try again.

    A request that has waited `timeout_s` for a slot is given up (rounded up to whole seconds).
    Of the attempts that failed, were shed or timed out, `retry_share` come again, at most
    `max_retries` times each, after `backoff_s` doubled with each attempt and spread uniformly
    over 0.5 to 1.5 times that.  What would make more than `queue_limit_per_slot` requests wait for
    each slot is shed on arrival; a service without instances still queues for one.  Calls from
    other services time out and are shed likewise but are not repeated by themselves: the failure
    is passed up to the client who caused them.
    """

    timeout_s: float = 10.0
    max_retries: int = 2
    retry_share: float = 0.8
    backoff_s: float = 1.0
    queue_limit_per_slot: float = 50.0

    def __post_init__(self) -> None:
        allowed = (
            ("timeout_s", self.timeout_s, 1.0, 600.0),
            ("max_retries", self.max_retries, 0, 8),
            ("retry_share", self.retry_share, 0.0, 1.0),
            ("backoff_s", self.backoff_s, 0.0, 60.0),
            ("queue_limit_per_slot", self.queue_limit_per_slot, 0.0, 1e9),
        )
        for name, value, low, high in allowed:
            if not low <= value <= high:
                raise ValueError(f"{name}: {value} is not allowed ({low:g} … {high:g})")


def clients_of(platform: PlatformConfig) -> dict[str, ClientBehaviour]:
    """How the clients of each service behave, as the platform file says."""
    return {
        name: ClientBehaviour(**service.client.model_dump())
        for name, service in platform.services.items()
    }


class SimulatedPlatform(Protocol):
    """The simulated services between two events of the world.

    Times are whole seconds since the start of the simulated window, services are indices into the
    list that the platform was built with.
    """

    metrics: FloatArray
    """(services, samples, 9), last axis `engine.model.SAMPLE_FIELDS`: as telemetry emits it."""

    truth: FloatArray
    """(services, samples, 10), last axis `TRUTH_FIELDS`: what really happened."""

    @property
    def now_s(self) -> int:
        """How far the services have been advanced."""
        ...

    @property
    def samples(self) -> int:
        """How many samples of `metrics` and `truth` are complete."""
        ...

    def advance(self, until_s: int) -> None:
        """Simulate the whole ticks up to `until_s`, with what is ready now."""
        ...

    def set_ready(self, service: int, instances: int, crashed: int = 0) -> None:
        """From now on `instances` of the service can start requests.

        Of those ready before, `crashed` are gone and what they were serving has failed; whatever
        else is fewer drains: it finishes what it serves.
        """
        ...

    def set_slowdown(self, service: int, factor: float) -> None:
        """From now on each request holds its slot `factor` times as long as specified."""
        ...

    def set_calls(self, service: int, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified."""
        ...

    def ready(self, service: int) -> float:
        """Instances that can start requests now, as the queues have it."""
        ...

    def totals(self) -> FloatArray:
        """Shape (services, 9): the first nine of `TRUTH_FIELDS` over the run so far."""
        ...

    def conservation_error(self) -> float:
        """Largest |arrived - all outcomes and stocks| / arrived over the services."""
        ...

    def response_quantiles(self, service: int, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        """Response time in seconds, over all requests that the service answered so far."""
        ...


def by_service(
    services: Sequence[ServiceSpec], clients: ClientBehaviour | Mapping[str, ClientBehaviour]
) -> tuple[ClientBehaviour, ...]:
    """The clients of each service; raises ValueError naming the services without any."""
    if isinstance(clients, ClientBehaviour):
        return (clients,) * len(services)
    missing = [spec.name for spec in services if spec.name not in clients]
    if missing:
        raise ValueError(f"clients: no behaviour is given for {', '.join(missing)}")
    return tuple(clients[spec.name] for spec in services)


def check_calls_factor(factor: float) -> None:
    """Raise ValueError for a factor that `SimulatedPlatform.set_calls` does not take."""
    if not 0.0 <= factor <= 1000.0:
        raise ValueError(f"factor: {factor} is not allowed (0 … 1000)")

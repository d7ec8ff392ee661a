"""The twin's data plane: what happens to requests between two events of the simulated world.

`port` says what the world may ask of it, `fluid` answers with amounts instead of single requests,
`kernels` holds the compiled model and its sources, `requests` follows every single request with the
event loop of `request_kernels`, `response` the part of it that does not depend
on congestion and the count of instances that a load needs.
"""

from twin.queues.fluid import HISTOGRAM_EDGES_S, FluidPlatform
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour, Platform
from twin.queues.requests import RequestPlatform
from twin.queues.response import needed_curve, needed_instances

__all__ = [
    "HISTOGRAM_EDGES_S",
    "TRUTH_FIELDS",
    "ClientBehaviour",
    "FluidPlatform",
    "Platform",
    "RequestPlatform",
    "needed_curve",
    "needed_instances",
]

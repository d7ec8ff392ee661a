"""The ports of one engine, handed on together."""

from __future__ import annotations

from typing import NamedTuple

from engine.ports.bookings import Bookings
from engine.ports.infrastructure import Infrastructure
from engine.ports.lease import Lease
from engine.ports.metrics import MetricsSource
from engine.ports.notifier import Notifier
from engine.ports.store import Store


class Ports(NamedTuple):
    """Where an engine looks, writes, remembers and leads, and whom it tells."""

    metrics: MetricsSource
    infrastructure: Infrastructure
    bookings: Bookings
    store: Store
    lease: Lease
    notifier: Notifier

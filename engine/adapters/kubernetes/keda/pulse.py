"""That the engine is there: a Lease that it renews after each step, and the scalers read.

It is no lock: who leads is settled elsewhere, and each count that is written carries its fence.
It only says since when nobody has decided, so that a scaler can refuse to answer for an engine
that is gone.  Clocks differ, so what counts is when the scaler saw the Lease move, by its own
monotonic clock; the stamp in it is for a scaler that has just begun.
"""

from __future__ import annotations

import datetime as dt
import os
import socket
import time
from typing import Any

from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.settings import KedaConfig
from engine.adapters.kubernetes.workloads import at
from engine.ports.lease import Fence

API, KIND = "coordination.k8s.io/v1", "Lease"
OFTEN_S = 5.0
"""The Lease is renewed no oftener, unless silence is to be noticed sooner."""
SHARE = 4
"""So many times it is renewed, and read, before silence is noticed."""


def path_of(namespace: str, name: str = "") -> str:
    """The path of the Lease, or of all."""
    return f"/apis/{API}/namespaces/{namespace}/leases{f'/{name}' if name else ''}"


class Pulse:
    """Renews the Lease; of the engine."""

    def __init__(self, api: Api, namespace: str, config: KedaConfig) -> None:
        self._api = api
        self._namespace = namespace
        self._name = config.lease
        self._every_s = min(OFTEN_S, config.silent_s / SHARE)
        self._beaten_s = float("-inf")

    async def beat(self, fence: Fence) -> None:
        """Say that the engine under `fence` has just decided; raises ApiError."""
        now_s = time.monotonic()
        if now_s - self._beaten_s < self._every_s:
            return
        path = path_of(self._namespace, self._name)
        spec = {
            "holderIdentity": f"{socket.gethostname()}-{os.getpid()}",
            "leaseTransitions": int(fence),
            "renewTime": stamp(dt.datetime.now(dt.UTC)),
        }
        try:
            there = at(await self._api.get(path), "/spec/leaseTransitions")
        except ApiError as error:
            if error.status != 404:
                raise
            meta = {"name": self._name, "namespace": self._namespace}
            await self._api.post(path_of(self._namespace), _lease(meta, spec))
        else:
            if isinstance(there, int) and there > fence:
                raise ApiError(f"fence {fence} is over, {there} leads")
            test = {"op": "test", "path": "/spec/leaseTransitions", "value": there}
            change = [
                {"op": "add", "path": f"/spec/{name}", "value": value}
                for name, value in spec.items()
            ]
            await self._api.patch(path, [test, *change])
        self._beaten_s = now_s


class Ear:
    """Hears the Lease: since when the engine has said nothing; of a scaler."""

    def __init__(self) -> None:
        self.heard_s = float("-inf")
        """When it said something last (monotonic)."""
        self._last: object = None

    def hear(self, lease: dict[str, Any], now_s: float, utc: dt.datetime) -> None:
        """Take a look at the Lease."""
        renewed = at(lease, "/spec/renewTime")
        if renewed is None or renewed == self._last:
            return
        first, self._last = self._last is None, renewed
        self.heard_s = now_s - (_age_s(str(renewed), utc) if first else 0.0)


def stamp(moment: dt.datetime) -> str:
    """A time as Kubernetes writes it where it counts microseconds."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _age_s(renewed: str, utc: dt.datetime) -> float:
    try:
        then = dt.datetime.fromisoformat(renewed)
        return max(0.0, (utc - then).total_seconds())
    except (TypeError, ValueError):  # what is no time says nothing of when
        return float("inf")


def _lease(meta: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": KIND, "metadata": meta, "spec": spec}

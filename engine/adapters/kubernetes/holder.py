"""Who has a Lease of a cluster, asked from beside the engines that want it."""

from __future__ import annotations

import asyncio
import datetime as dt
import errno
from typing import NamedTuple

from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.keda.pulse import path_of
from engine.adapters.kubernetes.lease import RENEW_S, TTL_S
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.kubernetes.workloads import at
from engine.adapters.lease_place import LeasePlace
from engine.config.strict import ConfigError


class _Look(NamedTuple):
    """The Lease at one moment; `age_s` since its last renewal, by this machine's clock."""

    holder: str
    age_s: float
    version: str


NOBODY = _Look("", 0.0, "")


def holder_of(place: LeasePlace) -> str:
    """Who has the Lease, "" if nobody; raises OSError where the cluster does not say.

    A lead whose last renewal is old by this machine's clock may be one whose holder's clock is set
    otherwise: then it is waited for the next renewal, as long as a lead lasts.
    """
    try:
        config = KubernetesConfig.of(place.options)
        return asyncio.run(_holder_of(place.name, config))
    except (AccessError, ConfigError, ApiError) as error:
        raise OSError(
            errno.EHOSTUNREACH, f"who has the Lease {place.name} is not said: {error}"
        ) from None


async def _holder_of(name: str, config: KubernetesConfig) -> str:
    access = access_of(config)
    api = Api(access, config.timeout_s)
    path = path_of(access.namespace, name)
    try:
        first = await _look(api, path)
        if not first.holder or first.age_s < TTL_S:
            return first.holder
        for _ in range(round(TTL_S / RENEW_S) + 1):
            await asyncio.sleep(RENEW_S)
            newer = await _look(api, path)
            if newer.version != first.version:
                return newer.holder
        return ""
    finally:
        await api.close()


async def _look(api: Api, path: str) -> _Look:
    try:
        lease = await api.get(path)
    except ApiError as error:
        if error.status == 404:
            return NOBODY
        raise
    try:
        then = dt.datetime.fromisoformat(str(at(lease, "/spec/renewTime")))
        age_s = abs((dt.datetime.now(dt.UTC) - then).total_seconds())
    except (TypeError, ValueError):
        age_s = float("inf")
    holder = str(at(lease, "/spec/holderIdentity") or "")
    return _Look(holder, age_s, str(at(lease, "/metadata/resourceVersion") or ""))

"""Everything that there is of the workloads, with how old it is.

Each look asks the database: the workloads' own objects are read without a version, which the API
server answers from there or not at all.  Pods come from a watch, which may have gone deaf without
a word.  The objects say how many pods are ready, so a look confirms the watch, or finds that it
disagrees: if nothing has confirmed the pods of a service for `stale_s`, they are listed anew, and
if that fails nobody guesses.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.owners import HPAS, SCALED_OBJECTS, Owner, autoscalers
from engine.adapters.kubernetes.pods import (
    PodCounts,
    PodState,
    SeenPod,
    Selector,
    counted,
    seen,
    selector,
    selector_of_text,
    zone,
)
from engine.adapters.kubernetes.reflector import Reflector
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.kubernetes.workloads import KubeObject, at

ONE_BY_ONE = 8
"""So many workloads of a kind and namespace are read one by one; more of them with one list."""


@dataclass(frozen=True, slots=True)
class SeenWorkload:
    """One service: its object (None: there is none), its pods, and since when that holds.

    `age_s` is since when the pods are known to be so; the object is as of now.
    """

    body: Mapping[str, Any] | None
    pods: PodCounts
    age_s: float


class Looker:
    """Looks at the workloads of `targets`, by service."""

    def __init__(
        self, api: Api, config: KubernetesConfig, targets: Mapping[str, KubeObject]
    ) -> None:
        self._api = api
        self._config = config
        self._targets = targets
        self.pods = {
            namespace: Reflector[SeenPod](
                api, f"/api/v1/namespaces/{namespace}/pods", seen, config.watch_s
            )
            for namespace in sorted({t.namespace for t in targets.values()})
        }
        self.nodes: Reflector[tuple[str, str]] | None = None
        if config.zones:
            self.nodes = Reflector(api, "/api/v1/nodes", _name_and_zone, config.watch_s)
        self._selectors: dict[str, Selector] = {}
        self._confirmed_s: dict[str, float] = {}

    async def look(self) -> dict[str, SeenWorkload]:
        """All of them; raises ApiError when that cannot be had."""
        patience_s = self._config.timeout_s
        if self.nodes is not None:
            self.nodes.start()
        reading = asyncio.create_task(self.objects())
        try:
            await asyncio.gather(*(watch.listed(patience_s) for watch in self.pods.values()))
            objects = await reading
        finally:
            reading.cancel()
        await self._learn_selectors(objects)
        now_s = time.monotonic()
        counts = self._counted()
        stale = set()
        for name, target in self._targets.items():
            if _agrees(objects.get(name), counts[name]):
                self._confirmed_s[name] = now_s
            elif now_s - self._known_s(name) > self._config.stale_s:
                stale.add(target.namespace)
        if stale:
            await asyncio.gather(*(self.pods[namespace].recheck() for namespace in sorted(stale)))
            counts = self._counted()
        return {
            name: SeenWorkload(
                objects.get(name),
                counts[name],
                max(0.0, time.monotonic() - self._known_s(name)),
            )
            for name in self._targets
        }

    async def objects(self) -> dict[str, Mapping[str, Any]]:
        """The workloads' objects, without those that are not there; raises ApiError."""
        together: dict[str, list[str]] = defaultdict(list)
        for name, target in self._targets.items():
            together[target.collection].append(name)
        asked = []
        for names in together.values():
            if len(names) > ONE_BY_ONE:
                asked.append(self._listed(names))
            else:
                asked.extend(self._read(name) for name in names)
        objects: dict[str, Mapping[str, Any]] = {}
        for part in await asyncio.gather(*asked):
            objects.update(part)
        return objects

    async def autoscalers(self) -> list[Owner]:
        """All HPAs and ScaledObjects in the workloads' namespaces; raises ApiError."""
        owners: list[Owner] = []
        for namespace in self.pods:
            for api, plural, kind in (HPAS, SCALED_OBJECTS):
                path = f"/apis/{api}/namespaces/{namespace}/{plural}"
                try:
                    listed = await self._api.get(path)
                except ApiError as error:
                    if error.status == 404 and kind == SCALED_OBJECTS[2]:
                        continue  # there is no KEDA
                    raise
                owners += autoscalers(listed.get("items") or (), kind)
        return owners

    def troubles(self) -> tuple[str, ...]:
        """What is wrong with the watches while the counts are right all the same."""
        watches: Iterable[Reflector[Any]] = self.pods.values()
        if self.nodes is not None:
            watches = (*watches, self.nodes)
        return tuple(f"watch of {w.path}: {w.trouble}" for w in watches if w.trouble)

    def zones(self) -> dict[str, str]:
        """Each node's zone, "" where it has no label."""
        return dict(self.nodes.objects.values()) if self.nodes is not None else {}

    async def close(self) -> None:
        """Stop watching."""
        await asyncio.gather(*(reflector.close() for reflector in self.pods.values()))
        if self.nodes is not None:
            await self.nodes.close()

    async def _read(self, name: str) -> dict[str, Mapping[str, Any]]:
        try:
            return {name: await self._api.get(self._targets[name].path)}
        except ApiError as error:
            if error.status == 404:
                return {}
            raise

    async def _listed(self, names: list[str]) -> dict[str, Mapping[str, Any]]:
        answer = await self._api.get(self._targets[names[0]].collection)
        by_name = {str(at(o, "/metadata/name")): o for o in answer.get("items") or ()}
        there = {name: by_name.get(self._targets[name].name) for name in names}
        return {name: body for name, body in there.items() if body is not None}

    async def _learn_selectors(self, objects: Mapping[str, Mapping[str, Any]]) -> None:
        for name, body in objects.items():
            raw = at(body, "/spec/selector")
            if isinstance(raw, Mapping) and {"matchLabels", "matchExpressions"} & raw.keys():
                self._selectors[name] = selector(raw)
            elif name not in self._selectors:
                scale = await self._api.get(f"{self._targets[name].path}/scale")
                text = at(scale, "/status/selector")
                if not text:
                    raise ApiError(f"{self._targets[name].title}: its scale has no selector")
                self._selectors[name] = selector_of_text(str(text))

    def _counted(self) -> dict[str, PodCounts]:
        zones = self.zones()
        by_service: dict[str, list[SeenPod]] = {name: [] for name in self._targets}
        by_pair: dict[tuple[str, str, str], list[str]] = defaultdict(list)
        others: dict[str, list[str]] = defaultdict(list)
        for name, chosen in self._selectors.items():
            namespace = self._targets[name].namespace
            if chosen.equal:
                by_pair[(namespace, *next(iter(chosen.equal.items())))].append(name)
            else:
                others[namespace].append(name)
        for namespace, reflector in self.pods.items():
            for pod in reflector.objects.values():
                near = [n for pair in pod.labels.items() for n in by_pair[(namespace, *pair)]]
                for name in (*near, *others[namespace]):
                    if self._selectors[name].takes(pod.labels):
                        by_service[name].append(pod)
        return {name: counted(pods, zones) for name, pods in by_service.items()}

    def _known_s(self, name: str) -> float:
        heard_s = self.pods[self._targets[name].namespace].heard_s
        return max(heard_s, self._confirmed_s.get(name, heard_s))


def _agrees(body: Mapping[str, Any] | None, pods: PodCounts) -> bool:
    """Whether the object's own status, which comes by another way, says what the watch says."""
    if body is None:
        return not pods.states
    ready = at(body, "/status/readyReplicas") or 0
    there = at(body, "/status/replicas") or 0
    alive = sum(n for state, n in pods.states.items() if state is not PodState.TERMINATING)
    return bool(ready == pods[PodState.READY] and there == alive)


def _name_and_zone(node: dict[str, Any]) -> tuple[str, str] | None:
    name = at(node, "/metadata/name")
    return (str(name), zone(node)) if name else None

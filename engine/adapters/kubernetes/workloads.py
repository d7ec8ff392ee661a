"""A workload as the engine needs it: its count, what the engine wrote on it, and the next patch.

What has to be kept for a decision to count once stands on the object that it changes, and changes
with it: JSON Patch tests the count and the engine's own annotations, and sets all of them, or
nothing.  So there is no moment at which a command is half done, whoever is killed then, and two
engines cannot both have their way.  The object's `resourceVersion` is no such test: it moves with
each pod that becomes ready.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.settings import PLURALS, WorkloadConfig

FENCE, SET, DECISIONS, OWN_FLOOR = (
    "wedtwin/fence", "wedtwin/set", "wedtwin/decisions", "wedtwin/floor-before",
)  # fmt: skip
"""Annotations: the newest fence, the count that the last decision set, the ids of the last
decisions (newest first), and the floor that stood before the engine's first."""
REMEMBERED = 50
"""Decisions of a workload that are remembered; ids hold no spaces."""


@dataclass(frozen=True, slots=True)
class KubeObject:
    """An object with a count in it.

    `pointer` is where, `absent` what it means if it is not there, `most` where the object's own
    limit for it is ("": none).  `floor`: the count is the least that somebody else may set.
    `published`: it stands in the annotation alone, and somebody else does what it says.
    """

    kind: str
    api: str
    namespace: str
    plural: str
    name: str
    pointer: str = "/spec/replicas"
    absent: int = 1
    most: str = ""
    floor: bool = False
    published: bool = False

    @property
    def collection(self) -> str:
        """The path of all objects of the kind in the namespace."""
        root = "/api/" if "/" not in self.api else "/apis/"
        return f"{root}{self.api}/namespaces/{self.namespace}/{self.plural}"

    @property
    def path(self) -> str:
        """The path of the object."""
        return f"{self.collection}/{self.name}"

    @property
    def title(self) -> str:
        """The object, for people."""
        return f"{self.kind} {self.namespace}/{self.name}"


def target(config: WorkloadConfig, namespace: str) -> KubeObject:
    """The workload that is meant."""
    api, plural, kind = PLURALS.get(
        config.kind.lower(), (config.api, config.plural, config.kind)
    )  # fmt: skip
    return KubeObject(
        kind, api, config.namespace or namespace, plural, config.name, config.replicas
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class WrittenCount:
    """What stands on an object: its count, and what the engine wrote there.

    `set` is what the last decision set, None before there was one; `writer` is who changed the
    count last, as the object itself says, "" if it does not.
    """

    count: int
    is_there: bool
    fence: int
    set: int | None
    decisions: tuple[str, ...]
    annotations: Mapping[str, str] | None
    uid: str
    writer: str
    most: int | None
    own_floor: int | None

    @property
    def is_changed(self) -> bool:
        """Whether somebody else has changed the count since the last decision."""
        return self.set is not None and self.set != self.count


def read(body: Mapping[str, Any], target: KubeObject) -> WrittenCount:
    """What stands on an object; raises ValueError for what is no count."""
    meta = body.get("metadata") or {}
    annotations = meta.get("annotations")
    given = annotations or {}
    count = _number(given.get(SET)) if target.published else at(body, target.pointer)
    if count is not None and (type(count) is not int or count < 0):
        raise ValueError(f"{target.title}: {target.pointer} is {count!r:.40}, which is no count")
    most = at(body, target.most) if target.most else None
    return WrittenCount(
        count=target.absent if count is None else count,
        is_there=count is not None,
        fence=_number(given.get(FENCE)) or 0,
        set=_number(given.get(SET)),
        decisions=tuple(str(given.get(DECISIONS, "")).split()),
        annotations=annotations,
        uid=str(meta.get("uid", "")),
        writer=_writer(meta, target.pointer),
        most=most if type(most) is int else None,
        own_floor=_number(given.get(OWN_FLOOR)),
    )


def change(
    record: WrittenCount, target: KubeObject, decision: str, count: int, *, fence: int
) -> list[Any]:
    """The JSON Patch that carries a decision out, on top of `record` or not at all.

    Without a decision ("") it only says that what there is is wanted.
    """
    operations: list[dict[str, Any]] = []
    if not target.published:
        there = record.count if record.is_there else None
        operations.append({"op": "test", "path": target.pointer, "value": there})
    kept = " ".join([*([decision] if decision else ()), *record.decisions][:REMEMBERED])
    written = {FENCE: str(fence), SET: str(count), DECISIONS: kept}
    if target.floor and record.own_floor is None:
        written[OWN_FLOOR] = str(record.count)
    if record.annotations is None:
        operations += [
            {"op": "test", "path": "/metadata/annotations", "value": None},
            {"op": "add", "path": "/metadata/annotations", "value": written},
        ]
    else:
        operations += [
            {
                "op": "test",
                "path": f"/metadata/annotations/{_escaped(name)}",
                "value": record.annotations.get(name),
            }
            for name in (FENCE, DECISIONS, *([SET] if target.published else ()))
        ]
        operations += [
            {"op": "add", "path": f"/metadata/annotations/{_escaped(name)}", "value": value}
            for name, value in written.items()
        ]
    if not target.published:  # "add" replaces what is there
        operations.append({"op": "add", "path": target.pointer, "value": count})
    return operations


def at(body: Mapping[str, Any], pointer: str) -> object:
    """What a pointer of plain keys leads to, None if nothing is there."""
    here: object = body
    for key in pointer.strip("/").split("/"):
        here = here.get(key) if isinstance(here, Mapping) else None
    return here


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _number(text: object) -> int | None:
    try:
        return int(str(text))
    except ValueError:
        return None


def _writer(meta: Mapping[str, Any], pointer: str) -> str:
    """Who set the field last, by the API server's own account."""
    owners = []
    for entry in meta.get("managedFields") or ():
        here: object = entry.get("fieldsV1")
        for key in pointer.strip("/").split("/"):
            here = here.get(f"f:{key}") if isinstance(here, Mapping) else None
        if here is not None:
            through = f" through {entry['subresource']}" if entry.get("subresource") else ""
            owners.append((str(entry.get("time", "")), f"{entry.get('manager', '')}{through}"))
    return max(owners)[1] if owners else ""

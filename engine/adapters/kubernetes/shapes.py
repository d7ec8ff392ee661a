"""The shape that objects of Kubernetes have, as far as this package reads them.

A real API server answers with no other.  A proxy, a broken aggregated API or a webhook may, and
then the answer is refused as a whole at the border, in words, instead of somewhere within.
Source: Kubernetes API conventions (metadata, spec and status are objects; lists have items).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Shape = Mapping[str, Any] | Sequence[Any]
"""A mapping of keys to shapes, or a list with the shape of each of its elements."""

_LABELS: Shape = {}
_SELECTOR: Shape = {"matchLabels": {}, "matchExpressions": [{}]}
_METADATA: Shape = {
    "annotations": {}, "labels": _LABELS, "ownerReferences": [{}], "managedFields": [{}],
}  # fmt: skip
_POD: Mapping[str, Any] = {
    "containers": [{"resources": {"requests": {}, "limits": {}}}],
    "nodeSelector": {},
}  # fmt: skip
OBJECT: Shape = {
    "metadata": _METADATA,
    "spec": {
        **_POD,
        "selector": _SELECTOR,
        "template": {"metadata": _METADATA, "spec": _POD},
        "scaleTargetRef": {},
        "metrics": [{}],
        "triggers": [{"metadata": {}}],
        "advanced": {},
    },
    "status": {"conditions": [{}], "containerStatuses": [{"state": {}}]},
}


ANY_OBJECT: Shape = {"metadata": _METADATA}
"""What is certain of an object of a resource that anybody may have defined."""
OF_KUBERNETES = ("/api/v1/", "/apis/apps/", "/apis/autoscaling/", "/apis/keda.sh/")


def complaint(path: str, body: Mapping[str, Any]) -> str:
    """What of the object, or of the list of objects, at `path` has another shape; "" if nothing."""
    if body.get("kind") == "Status":  # its status is a word
        return ""
    shape = OBJECT if path.startswith(OF_KUBERNETES) else ANY_OBJECT
    return _amiss(body, shape, "") or _amiss(body, {"items": [shape]}, "")


def _amiss(value: object, shape: Shape, where: str) -> str:
    if value is None:
        return ""
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            return f"{where} is no object"
        within = ((value.get(key), one, f"{where}.{key}") for key, one in shape.items())
        return next((why for given in within if (why := _amiss(*given))), "")
    if not isinstance(value, list):
        return f"{where} is no list"
    (of_each,) = shape
    for number, one in enumerate(value):
        if one is None:
            return f"{where}[{number}] is no object"
        if why := _amiss(one, of_each, f"{where}[{number}]"):
            return why
    return ""

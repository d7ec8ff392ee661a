"""The calls of KEDA's external scaler, and their messages.

The interface is that of `externalscaler.proto` of KEDA 2.21 (Apache License 2.0, The KEDA Authors):
the names and numbers below are its, and are all that there is to it.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "externalscaler"
SERVICE = f"{PACKAGE}.ExternalScaler"

_Field = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
_TEXT, _FLAG, _WHOLE, _FLOAT = (
    _Field.TYPE_STRING, _Field.TYPE_BOOL, _Field.TYPE_INT64, _Field.TYPE_DOUBLE,
)  # fmt: skip

MESSAGES: dict[str, tuple[tuple[str, Any, bool], ...]] = {
    "ScaledObjectRef": (
        ("name", _TEXT, False), ("namespace", _TEXT, False), ("scalerMetadata", "map", True),
    ),
    "IsActiveResponse": (("result", _FLAG, False),),
    "GetMetricSpecResponse": (("metricSpecs", "MetricSpec", True),),
    "MetricSpec": (
        ("metricName", _TEXT, False), ("targetSize", _WHOLE, False),
        ("targetSizeFloat", _FLOAT, False),
    ),
    "GetMetricsRequest": (
        ("scaledObjectRef", "ScaledObjectRef", False), ("metricName", _TEXT, False),
    ),
    "GetMetricsResponse": (("metricValues", "MetricValue", True),),
    "MetricValue": (
        ("metricName", _TEXT, False), ("metricValue", _WHOLE, False),
        ("metricValueFloat", _FLOAT, False),
    ),
}  # fmt: skip
"""By message, its fields in the order of their numbers: name, kind, and whether there are many."""

CALLS = {
    "IsActive": ("ScaledObjectRef", "IsActiveResponse", False),
    "StreamIsActive": ("ScaledObjectRef", "IsActiveResponse", True),
    "GetMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", False),
    "GetMetrics": ("GetMetricsRequest", "GetMetricsResponse", False),
    "StreamMetricSpec": ("ScaledObjectRef", "GetMetricSpecResponse", True),
}
"""By call: what is sent, what is answered, and whether the answer is a stream."""


def _file() -> descriptor_pb2.FileDescriptorProto:
    made = descriptor_pb2.FileDescriptorProto(
        name="externalscaler.proto", package=PACKAGE, syntax="proto3"
    )
    for title, fields in MESSAGES.items():
        message = made.message_type.add(name=title)
        for number, (name, kind, many) in enumerate(fields, start=1):
            one = message.field.add(name=name, number=number, label=_MANY if many else _ONE)
            if kind == "map":
                entry = f"{name[0].upper()}{name[1:]}Entry"
                inner = message.nested_type.add(name=entry)
                inner.options.map_entry = True
                for key, place in (("key", 1), ("value", 2)):
                    inner.field.add(name=key, number=place, label=_ONE, type=_TEXT)
                one.type, one.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{title}.{entry}"
            elif isinstance(kind, str):
                one.type, one.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            else:
                one.type = kind
    return made


def _classes() -> dict[str, Any]:
    pool = descriptor_pool.DescriptorPool()  # its own: somebody else may have KEDA's file too
    pool.Add(_file())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in MESSAGES
    }


CLASSES = _classes()
"""By message, its class."""

"""The scaler: KEDA's calls over gRPC, answered from what stands in the cluster.

Nothing in it decides or remembers, so any number of them answer the same, and KEDA, which asks one
after the other where a name has several addresses, may ask any.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import structlog

from engine.adapters.kubernetes.keda import answers, contract
from engine.adapters.kubernetes.keda.answers import ScalerCaller, ScalerRefusal, WantedNow
from engine.adapters.kubernetes.settings import KedaConfig
from engine.adapters.kubernetes.workloads import KubeObject
from engine.config.api import TlsConfig

LONGEST = 65_536
"""Bytes of a message; KEDA's have some hundred."""
AT_ONCE = 10_000
"""Calls under way, streams included; KEDA has two streams for each ScaledObject."""
GRACE_S = 0.5
"""For calls under way, at the end."""

_log = structlog.stdlib.get_logger(__name__)


class Scaler:
    """The five calls; `standing` says what is to be gone by, and `changed` waits for news of it."""

    def __init__(
        self,
        targets: Mapping[str, KubeObject],
        standing: Callable[[], WantedNow],
        changed: Callable[[], asyncio.Event],
    ) -> None:
        self._targets = targets
        self._standing = standing
        self._changed = changed
        self._refused: dict[tuple[str, str, str], str] = {}

    def handlers(self) -> grpc.GenericRpcHandler:
        """All calls, for a server."""
        made = {}
        for name, (asked, answered, streams) in contract.CALLS.items():
            kind = (
                grpc.unary_stream_rpc_method_handler
                if streams
                else grpc.unary_unary_rpc_method_handler
            )
            made[name] = kind(
                getattr(self, name),
                request_deserializer=contract.CLASSES[asked].FromString,
                response_serializer=contract.CLASSES[answered].SerializeToString,
            )
        return grpc.method_handlers_generic_handler(contract.SERVICE, made)

    async def IsActive(self, reference: Any, context: Any) -> Any:
        """Whether any instance is wanted."""
        async with self._refusing("IsActive", reference, context):
            count = answers.wanted(_asked(reference), self._targets, self._standing())
            return contract.CLASSES["IsActiveResponse"](result=count > 0)

    async def StreamIsActive(self, reference: Any, context: Any) -> AsyncIterator[Any]:
        """The same now and whenever it changes; says nothing while there is nothing to say."""
        last: bool | None = None
        asked = _asked(reference)
        while True:
            changed = self._changed()
            async with self._refusing("StreamIsActive", reference, context):
                answers.service_of(asked, self._targets)
            with contextlib.suppress(ScalerRefusal):
                active = answers.wanted(asked, self._targets, self._standing()) > 0
                if active != last:
                    last = active
                    yield contract.CLASSES["IsActiveResponse"](result=active)
            await changed.wait()

    async def GetMetricSpec(self, reference: Any, context: Any) -> Any:
        """The metric's name and target, whatever else is known."""
        async with self._refusing("GetMetricSpec", reference, context):
            return _specs(answers.service_of(_asked(reference), self._targets))

    async def StreamMetricSpec(self, reference: Any, context: Any) -> AsyncIterator[Any]:
        """The same, once: it never changes."""
        async with self._refusing("StreamMetricSpec", reference, context):
            specs = _specs(answers.service_of(_asked(reference), self._targets))
        yield specs
        await asyncio.Event().wait()  # until KEDA or the server ends it

    async def GetMetrics(self, request: Any, context: Any) -> Any:
        """How many instances are wanted."""
        reference = request.scaledObjectRef
        async with self._refusing("GetMetrics", reference, context):
            name = request.metricName
            count = answers.wanted(_asked(reference), self._targets, self._standing(), name)
            value = contract.CLASSES["MetricValue"](
                metricName=name, metricValue=count, metricValueFloat=float(count)
            )
            return contract.CLASSES["GetMetricsResponse"](metricValues=[value])

    @contextlib.asynccontextmanager
    async def _refusing(self, call: str, reference: Any, context: Any) -> AsyncIterator[None]:
        """What is refused inside becomes the call's status, and is logged when it is news."""
        key = (call, reference.namespace[:80], reference.name[:80])
        try:
            yield
        except ScalerRefusal as refusal:
            said = str(refusal)
            if key not in self._refused and len(self._refused) < AT_ONCE:
                _log.warning(f"{call} of {key[1]}/{key[2]} is refused: {said}")
                self._refused[key] = said
            await context.abort(getattr(grpc.StatusCode, refusal.code.value), said)
        else:
            if self._refused.pop(key, None) is not None:
                _log.info(f"{call} of {key[1]}/{key[2]} is answered again")


async def listening(scaler: Scaler, config: KedaConfig) -> grpc.aio.Server:
    """A server that takes calls; raises ValueError for what keeps it from that."""
    server = grpc.aio.server(
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", LONGEST),
            ("grpc.max_concurrent_streams", AT_ONCE),
        ],
        maximum_concurrent_rpcs=AT_ONCE,
    )
    server.add_generic_rpc_handlers((scaler.handlers(),))
    credentials = None if config.tls is None else credentials_of(config.tls)
    try:
        if credentials is None:
            server.add_insecure_port(config.listen)
        else:
            server.add_secure_port(config.listen, credentials)
        await server.start()
    except RuntimeError as error:
        raise ValueError(
            f"infrastructure.options.keda.listen: {config.listen} cannot be listened on ({error})"
        ) from None
    return server


def credentials_of(tls: TlsConfig) -> grpc.ServerCredentials:
    """The server's certificate, read again when a file of it was renewed; raises ValueError."""
    _checked(tls)
    seen: list[tuple[int, ...]] = [_stamps(tls)]

    def renewed() -> grpc.ServerCertificateConfiguration | None:
        try:
            stamps = _stamps(tls)
            if stamps == seen[0]:
                return None
            _checked(tls)
            made = _configuration(tls)
        except (OSError, ValueError) as error:
            _log.warning(f"the scaler keeps its certificate: {error}")
            return None
        seen[0] = stamps
        return made

    return grpc.dynamic_ssl_server_credentials(
        _configuration(tls), renewed, require_client_authentication=tls.clients is not None
    )


def _configuration(tls: TlsConfig) -> grpc.ServerCertificateConfiguration:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    clients = None if tls.clients is None else tls.clients.read_bytes()
    return grpc.ssl_server_certificate_configuration([pair], root_certificates=clients)


def _checked(tls: TlsConfig) -> None:
    import ssl

    under = "infrastructure.options.keda.tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        for path in (tls.certificate, tls.key):
            path.read_bytes()
        context.load_cert_chain(tls.certificate, tls.key)
    except OSError as error:  # an SSLError is one
        raise ValueError(f"{under}.certificate: {tls.certificate}, {tls.key}: {error}") from None
    if tls.clients is not None:
        try:
            context.load_verify_locations(tls.clients)
        except OSError as error:
            raise ValueError(f"{under}.clients: {tls.clients}: {error}") from None


def _stamps(tls: TlsConfig) -> tuple[int, ...]:
    paths: tuple[Path, ...] = (tls.certificate, tls.key)
    if tls.clients is not None:
        paths = (*paths, tls.clients)
    return tuple(path.stat().st_mtime_ns for path in paths)


def _asked(reference: Any) -> ScalerCaller:
    return ScalerCaller(reference.name, reference.namespace, reference.scalerMetadata)


def _specs(service: str) -> Any:
    spec = contract.CLASSES["MetricSpec"](
        metricName=answers.metric_name(service),
        targetSize=answers.TARGET,
        targetSizeFloat=float(answers.TARGET),
    )
    return contract.CLASSES["GetMetricSpecResponse"](metricSpecs=[spec])

"""The scaler as KEDA meets it: real gRPC on the loopback interface, without KEDA.

How the count gets into the cluster is in tests/integration/kubernetes/test_published.py.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme

from engine.adapters.kubernetes.keda import contract
from engine.adapters.kubernetes.keda.answers import WantedNow
from engine.adapters.kubernetes.keda.scaled_objects import PublishedCount
from engine.adapters.kubernetes.keda.server import Scaler, listening
from engine.adapters.kubernetes.settings import KedaConfig, WorkloadConfig
from engine.adapters.kubernetes.workloads import target
from twin.staging.ports import free_ports

TARGETS = {name: target(WorkloadConfig(name=name), "shop") for name in ("api", "chat")}
GONE = "the engine was last heard 75 s ago, silent_s is 60"


def published(wanted: int | None, name: str = "api", workload: str = "api") -> PublishedCount:
    return PublishedCount("shop", name, "Deployment", workload, ("api",), wanted)


def standing(*objects: PublishedCount, trouble: str = "") -> WantedNow:
    return WantedNow({(one.namespace, one.name): one for one in objects}, trouble)


class Bench:
    """A scaler that takes calls, and a client of it that only knows bytes or our messages."""

    def __init__(self, now: WantedNow) -> None:
        self.now = now
        self.news = asyncio.Event()
        self.address = f"127.0.0.1:{free_ports(1)[0]}"
        self.channel: Any = None

    def say(self, now: WantedNow) -> None:
        """Something else stands there."""
        self.now = now
        self.news.set()
        self.news = asyncio.Event()

    def call(self, name: str, *, raw: bool = False) -> Any:
        """One of the five."""
        asked, answered, streams = contract.CALLS[name]
        kind = self.channel.unary_stream if streams else self.channel.unary_unary
        return kind(
            f"/externalscaler.ExternalScaler/{name}",
            request_serializer=None if raw else contract.CLASSES[asked].SerializeToString,
            response_deserializer=None if raw else contract.CLASSES[answered].FromString,
        )


@asynccontextmanager
async def bench(now: WantedNow, **options: Any) -> AsyncIterator[Bench]:
    made = Bench(now)
    scaler = Scaler(TARGETS, lambda: made.now, lambda: made.news)
    server = await listening(scaler, KedaConfig(listen=made.address, **options))
    try:
        if "tls" not in options:
            made.channel = grpc.aio.insecure_channel(made.address)
        yield made
    finally:
        if made.channel is not None:
            await made.channel.close()
        await server.stop(None)


def reference(service: str | None = "api", name: str = "api", namespace: str = "shop") -> Any:
    metadata = {"scalerAddress": "x:1", **({} if service is None else {"service": service})}
    return contract.CLASSES["ScaledObjectRef"](
        name=name, namespace=namespace, scalerMetadata=metadata
    )


def metrics(ref: Any, metric: str = "wedtwin-api") -> Any:
    return contract.CLASSES["GetMetricsRequest"](scaledObjectRef=ref, metricName=metric)


def run(now: WantedNow, story: Callable[[Bench], Any], **options: Any) -> None:
    async def whole() -> None:
        async with asyncio.timeout(300.0), bench(now, **options) as made:
            await story(made)

    asyncio.run(whole())


def test_the_bytes_on_the_wire_are_those_of_the_interface() -> None:
    # Encoded by hand, by the rules of protocol buffers and the numbers of the interface.
    ref = b"\x0a\x03api\x12\x04shop\x1a\x0e\x0a\x07service\x12\x03api"

    async def story(made: Bench) -> None:
        assert await made.call("IsActive", raw=True)(ref) == b"\x08\x01"
        spec = b"\x0a\x0bwedtwin-api\x10\x01\x19\x00\x00\x00\x00\x00\x00\xf0\x3f"
        answer = await made.call("GetMetricSpec", raw=True)(ref)
        assert answer == b"\x0a" + bytes([len(spec)]) + spec
        asked = b"\x0a" + bytes([len(ref)]) + ref + b"\x12\x0bwedtwin-api"
        value = b"\x0a\x0bwedtwin-api\x10\x07\x19\x00\x00\x00\x00\x00\x00\x1c\x40"
        answer = await made.call("GetMetrics", raw=True)(asked)
        assert answer == b"\x0a" + bytes([len(value)]) + value

    run(standing(published(7)), story)


@pytest.mark.parametrize("count", [0, 1, 20, 21, 1_000_000])
def test_what_is_wanted_is_the_metric_and_its_target_is_one(count: int) -> None:
    async def story(made: Bench) -> None:
        (spec,) = (await made.call("GetMetricSpec")(reference())).metricSpecs
        assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == ("wedtwin-api", 1, 1.0)
        (value,) = (await made.call("GetMetrics")(metrics(reference()))).metricValues
        assert (value.metricName, value.metricValue, value.metricValueFloat) == (
            "wedtwin-api", count, float(count)
        )  # fmt: skip
        assert (await made.call("IsActive")(reference())).result is (count > 0)

    run(standing(published(count)), story)


CASES = {
    "no service": (reference(None), "INVALID_ARGUMENT",
                   'scalerMetadata.service: "" is not allowed (api, chat)'),
    "unknown service": (reference("apj"), "INVALID_ARGUMENT",
                        'scalerMetadata.service: "apj" is not allowed (api, chat)'),
    "wrong namespace": (reference(namespace="prod"), "INVALID_ARGUMENT",
                        'namespace: "prod" is not allowed (shop): api is Deployment shop/api'),
    "another's object": (reference(name="other"), "INVALID_ARGUMENT",
                         "name: ScaledObject shop/other scales Deployment shop/billing, "
                         "and api is Deployment shop/api"),
    "no such object": (reference(name="new"), "UNAVAILABLE", "there is no ScaledObject shop/new"),
    "nothing said yet": (reference("chat", "chat"), "UNAVAILABLE",
                         "the engine has not said yet how many of chat are wanted"),
}  # fmt: skip


@pytest.mark.parametrize(("ref", "code", "said"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("call", ["IsActive", "GetMetrics"])
def test_what_is_wrong_is_named_by_its_field(call: str, ref: Any, code: str, said: str) -> None:
    async def story(made: Bench) -> None:
        metric = f"wedtwin-{ref.scalerMetadata['service']}"
        asked = metrics(ref, metric) if call == "GetMetrics" else ref
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await made.call(call)(asked)
        assert (refused.value.code().name, refused.value.details()) == (code, said)

    chat = PublishedCount("shop", "chat", "Deployment", "chat", ("chat",), None)
    run(standing(published(7), published(3, "other", "billing"), chat), story)


def test_a_metric_that_is_not_the_services_is_named() -> None:
    async def story(made: Bench) -> None:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await made.call("GetMetrics")(metrics(reference(), "wedtwin-chat"))
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == 'metricName: "wedtwin-chat" is not allowed (wedtwin-api)'

    run(standing(published(7)), story)


def test_a_scaler_that_hears_no_engine_gives_the_metrics_name_and_refuses_its_value() -> None:
    # KEDA takes the fallback only if it can ask for the name, and not for the value.
    async def story(made: Bench) -> None:
        assert (await made.call("GetMetricSpec")(reference())).metricSpecs
        stream = made.call("StreamMetricSpec")(reference())
        assert (await stream.read()).metricSpecs
        stream.cancel()
        for name, asked in (("GetMetrics", metrics(reference())), ("IsActive", reference())):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await made.call(name)(asked)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert refused.value.details() == GONE
        made.say(standing(published(7)))
        (value,) = (await made.call("GetMetrics")(metrics(reference()))).metricValues
        assert value.metricValue == 7

    run(standing(published(7), trouble=GONE), story)


def test_whether_any_is_wanted_is_pushed_at_once_and_when_it_changes() -> None:
    async def story(made: Bench) -> None:
        stream = made.call("StreamIsActive")(reference())
        assert (await stream.read()).result is False
        made.say(standing(published(0), trouble=GONE))  # nothing to say
        made.say(standing(published(0)))  # nothing new
        made.say(standing(published(3)))
        assert (await stream.read()).result is True
        made.say(standing(published(9)))  # as many as one likes are one push
        made.say(standing(published(0)))
        assert (await stream.read()).result is False
        stream.cancel()

    run(standing(published(0)), story)


@pytest.mark.parametrize("call", ["StreamIsActive", "StreamMetricSpec", "GetMetricSpec"])
def test_no_stream_and_no_metric_is_opened_for_what_cannot_be_right(call: str) -> None:
    async def story(made: Bench) -> None:
        answer = made.call(call)(reference("apj"))
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await (answer.read() if call.startswith("Stream") else answer)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "scalerMetadata.service" in refused.value.details()

    run(standing(published(0)), story)


def test_nonsense_and_messages_without_end_are_refused_and_the_next_call_is_answered() -> None:
    async def story(made: Bench) -> None:
        for body in (b"\xff" * 9, b"\x0a\xff", b"\x0a\x02\xff\xfe", b"\x0a" * 100_000):
            with pytest.raises(grpc.aio.AioRpcError):
                await made.call("GetMetrics", raw=True)(body)
        assert (await made.call("IsActive")(reference())).result is True

    run(standing(published(7)), story)


# --- TLS


class Certificates:
    """An authority, and what it signs, in files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.clients = folder / "clients.pem"
        self.clients.write_bytes(self.authority.cert_pem.bytes())
        self.mine = self.authority.issue_cert("keda-operator")
        self.issue(self.authority)

    def issue(self, authority: trustme.CA) -> None:
        """A certificate for the scaler, in place of the one before."""
        issued = authority.issue_cert("127.0.0.1")
        (self.folder / "key.pem").write_bytes(issued.private_key_pem.bytes())
        chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
        (self.folder / "certificate.pem").write_bytes(chain)

    def options(self, *, mutual: bool) -> dict[str, object]:
        return {
            "certificate": self.folder / "certificate.pem", "key": self.folder / "key.pem",
            "clients": self.clients if mutual else None,
        }  # fmt: skip

    async def asks(self, address: str, authority: trustme.CA, *, shows: bool) -> bool:
        """Whether a client of this authority is answered."""
        pair = (None, None)
        if shows:
            key, chain = self.mine.private_key_pem, self.mine.cert_chain_pems[0]
            pair = (key.bytes(), chain.bytes())
        credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes(), *pair)
        async with grpc.aio.secure_channel(address, credentials) as channel:
            call = channel.unary_unary(
                "/externalscaler.ExternalScaler/IsActive",
                request_serializer=contract.CLASSES["ScaledObjectRef"].SerializeToString,
                response_deserializer=contract.CLASSES["IsActiveResponse"].FromString,
            )
            try:
                answer = await call(reference(), timeout=120.0)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.result)


def test_with_tls_only_who_shows_a_certificate_is_answered_where_that_is_asked(
    tmp_path: Path,
) -> None:
    given = Certificates(tmp_path)

    async def open_to_all(made: Bench) -> None:
        assert await given.asks(made.address, given.authority, shows=False)
        assert not await given.asks(made.address, trustme.CA(), shows=False)

    async def mutual(made: Bench) -> None:
        assert await given.asks(made.address, given.authority, shows=True)
        assert not await given.asks(made.address, given.authority, shows=False)

    run(standing(published(7)), open_to_all, tls=given.options(mutual=False))
    run(standing(published(7)), mutual, tls=given.options(mutual=True))


def test_a_certificate_that_is_renewed_is_taken_and_one_that_cannot_be_is_not(
    tmp_path: Path,
) -> None:
    given, other = Certificates(tmp_path), trustme.CA()

    async def story(made: Bench) -> None:
        assert await given.asks(made.address, given.authority, shows=False)
        given.issue(other)
        for name in ("key.pem", "certificate.pem"):
            os.utime(tmp_path / name, (1, 1))  # whatever the file system's clock counts in
        assert await given.asks(made.address, other, shows=False)
        (tmp_path / "key.pem").write_text("half a file")
        assert await given.asks(made.address, other, shows=False)

    run(standing(published(7)), story, tls=given.options(mutual=False))


def test_what_keeps_the_scaler_from_listening_is_named(tmp_path: Path) -> None:
    given = Certificates(tmp_path)

    async def taken(made: Bench) -> None:
        scaler = Scaler(TARGETS, lambda: made.now, lambda: made.news)
        with pytest.raises(ValueError, match=r"infrastructure\.options\.keda\.listen: 127.*cannot"):
            await listening(scaler, KedaConfig(listen=made.address))
        for key, broken in (("certificate", "certificate.pem"), ("clients", "clients.pem")):
            before = (tmp_path / broken).read_bytes()
            (tmp_path / broken).write_text("nothing of the kind")
            options = {"listen": "127.0.0.1:1", "tls": given.options(mutual=True)}
            with pytest.raises(ValueError, match=rf"infrastructure\.options\.keda\.tls\.{key}: "):
                await listening(scaler, KedaConfig.model_validate(options))
            (tmp_path / broken).write_bytes(before)

    run(standing(published(7)), taken)

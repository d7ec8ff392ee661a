"""Machines show certificates over real connections; what is older than TLS 1.3 is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from engine.adapters.cabinet_files import FileCabinet
from engine.adapters.store.sealed import local_credentials
from engine.config.security import SecurityConfig
from engine.config.strict import validated
from engine.security.certificates import peer_of, telling
from engine.security.gate import Gate
from engine.security.identity import NotAuthenticatedError, authenticated
from engine.security.roles import Method, Permission, Principal, Role, Situation, refusal
from engine.security.tls import TlsError, client_context, server_context
from engine.security.tokens import Tokens

MACHINES = validated(SecurityConfig, {"machines": {
    "scraper.example": {"roles": ["viewer"]},
    "spiffe://example/robot": {"roles": ["operator", "approver"], "services": ["api"]},
}}).machines  # fmt: skip


@dataclass
class World:
    """A server that says who asked; files of certificates by name; the gate that it uses."""

    url: str
    port: int
    folder: Path
    tokens: Tokens

    def context(self, name: str = "", key: str = "") -> ssl.SSLContext:
        shown = self.folder / f"{name}.pem" if name else None
        return client_context(self.folder / "ca.pem", shown)

    def asked(self, name: str = "", **headers: str) -> Any:
        with httpx.Client(verify=self.context(name), trust_env=False, timeout=120.0) as client:
            return client.get(self.url, headers=headers).json()


def written(folder: Path, name: str, leaf: trustme.LeafCert) -> None:
    leaf.private_key_and_cert_chain_pem.write_to_path(str(folder / f"{name}.pem"))


@pytest.fixture(scope="module", params=[HttpToolsProtocol, H11Protocol])
def world(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tls")
    ca, other = trustme.CA(), trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    written(folder, "server", ca.issue_cert("127.0.0.1"))
    written(folder, "scraper", ca.issue_cert("scraper.example"))
    written(folder, "common", ca.issue_cert("x.example", common_name="scraper.example"))
    written(folder, "stranger", other.issue_cert("scraper.example"))
    tokens = Tokens(local_credentials(folder), FileCabinet(folder / "security"))
    gate = Gate(tokens, machines=MACHINES)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = dict(scope["headers"])
        try:
            shown = headers.get(b"authorization", b"").decode()
            who = await authenticated(gate, shown, time.time(), peer_of(scope))
            said = {"name": who.name, "method": who.method, "roles": sorted(who.roles)}
        except NotAuthenticatedError as error:
            said = {"error": str(error)}
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(said).encode()})

    server_file = folder / "server.pem"
    config = uvicorn.Config(
        app, http=telling(request.param), lifespan="off", log_config=None, ws="none",
        ssl_context_factory=lambda *_: server_context(server_file, server_file, folder / "ca.pem"),
    )  # fmt: skip
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield World(f"https://127.0.0.1:{port}", port, folder, tokens)
        server.should_exit = True
        thread.join()


def test_a_machine_is_known_by_its_certificate(world: World) -> None:
    assert world.asked("scraper") == {
        "name": "scraper.example", "method": "certificate", "roles": ["viewer"]
    }  # fmt: skip


def test_who_shows_no_certificate_is_nobody_until_he_shows_a_token(world: World) -> None:
    assert "give a token" in world.asked()["error"]
    now_s = time.time()
    shown, _ = world.tokens.create(
        "pat", [Role.AUDITOR], None, now_s=now_s, for_s=600.0, made_by="sam"
    )
    bearer = {"Authorization": f"Bearer {shown}"}
    assert world.asked(**bearer)["name"] == "pat"
    assert world.asked("scraper", **bearer)["name"] == "pat"  # the person, not his machine


def test_a_wrong_token_is_not_made_good_by_a_certificate(world: World) -> None:
    assert world.asked("scraper", Authorization="Bearer wt_a_b") == {"error": "no such token"}


def test_the_common_name_of_a_certificate_says_nothing(world: World) -> None:
    assert "no machine" in world.asked("common")["error"]


def test_a_header_that_claims_a_certificate_is_only_a_header(world: World) -> None:
    for header in ("X-Client-Cert", "X-Forwarded-Client-Cert", "X-SSL-Client-S-DN", "peer", "tls"):
        assert "error" in world.asked(**{header: "scraper.example"})


def test_a_certificate_of_somebody_elses_authority_ends_the_connection(world: World) -> None:
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError)):
        world.asked("stranger")


def test_a_server_that_the_client_does_not_trust_is_told_nothing(
    world: World, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with (
        httpx.Client(verify=client_context(tmp_path / "other.pem"), trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get(world.url)
    with (
        httpx.Client(verify=world.context(), trust_env=False) as client,
        pytest.raises(httpx.ConnectError, match=r"Hostname mismatch|not valid for"),
    ):
        client.get(f"https://localhost:{world.port}")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2])
def test_what_is_older_than_tls_1_3_is_refused_by_both_sides(
    world: World, version: ssl.TLSVersion
) -> None:
    old = ssl.create_default_context(cafile=str(world.folder / "ca.pem"))
    old.maximum_version = version
    with socket.create_connection(("127.0.0.1", world.port)) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname="127.0.0.1")
    new = world.context()
    with (
        socket.create_connection(("127.0.0.1", world.port)) as plain,
        new.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() == "TLSv1.3"
    assert new.minimum_version is ssl.TLSVersion.TLSv1_3


def test_plain_text_gets_no_answer(world: World) -> None:
    with socket.create_connection(("127.0.0.1", world.port), timeout=60.0) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        with contextlib.suppress(ConnectionError):
            while part := plain.recv(4096):
                answer += part
    assert b"HTTP" not in answer


PEER = {
    "subjectAltName": (("URI", "spiffe://example/robot"),), "serialNumber": "7F",
    "notBefore": "Jan  1 00:00:00 2026 GMT", "notAfter": "Jan  1 00:00:00 2027 GMT",
}  # fmt: skip
MIDDLE_S = 1_782_864_000.0  # July 2026


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return Tokens(local_credentials(tmp_path), FileCabinet(tmp_path / "security"))


def seen(tokens: Tokens, now_s: float, peer: dict[str, Any]) -> Principal:
    """Who shows this certificate."""
    return asyncio.run(authenticated(Gate(tokens, machines=MACHINES), "", now_s, peer))


def test_a_machine_has_its_limits_and_answers_nothing(tokens: Tokens) -> None:
    who = seen(tokens, MIDDLE_S, PEER)
    assert (who.method, who.services) == (Method.CERTIFICATE, {"api"})
    assert refusal(who, Permission.SCALE_OUT, "api", Situation(), now_s=MIDDLE_S) == ""
    assert "machine" in refusal(who, Permission.APPROVE, "api", Situation(), now_s=MIDDLE_S)


@pytest.mark.parametrize(
    ("changed", "now_s", "reason"),
    [
        ({}, MIDDLE_S + 2e7, "does not hold now"),
        ({}, MIDDLE_S - 2e7, "does not hold now"),
        ({"subjectAltName": ()}, MIDDLE_S, "no machine"),
        ({"subjectAltName": (("email", "spiffe://example/robot"),)}, MIDDLE_S, "no machine"),
        ({"subjectAltName": (("DNS", "*.example"),)}, MIDDLE_S, "no machine"),
        ({"subjectAltName": (("DNS", "scraper.example"), ("URI", "spiffe://example/robot"))},
         MIDDLE_S, "no machine"),
    ],
)  # fmt: skip
def test_a_certificate_that_names_no_one_machine_now_is_nobodys(
    tokens: Tokens, changed: dict[str, Any], now_s: float, reason: str
) -> None:
    with pytest.raises(NotAuthenticatedError, match=reason):
        seen(tokens, now_s, PEER | changed)


def test_a_certificate_is_revoked_by_the_name_of_its_machine(tokens: Tokens) -> None:
    name = "spiffe://example/robot"
    assert seen(tokens, MIDDLE_S, PEER).name == name
    tokens.refuse_earlier(name, MIDDLE_S)
    with pytest.raises(NotAuthenticatedError, match="revoked"):
        seen(tokens, MIDDLE_S, PEER)


def test_files_that_hold_no_certificate_are_named(tmp_path: Path) -> None:
    ca, wrong = tmp_path / "ca.pem", tmp_path / "wrong.pem"
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(ca))
    wrong.write_text("no certificate")
    for given in ((tmp_path / "none.pem", ca), (wrong, ca), (ca, wrong)):
        with pytest.raises(TlsError, match=r"none\.pem: is not there|wrong\.pem"):
            server_context(*given)
    with pytest.raises(TlsError, match=r"wrong\.pem"):
        server_context(ca, ca, wrong)
    with pytest.raises(TlsError, match=r"none\.pem"):
        client_context(tmp_path / "none.pem")

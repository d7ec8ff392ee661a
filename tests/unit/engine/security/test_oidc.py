"""Tokens of an identity provider, against one that runs on the loopback interface."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwk

from engine.adapters.cabinet_files import FileCabinet
from engine.adapters.store.sealed import local_credentials
from engine.config.security import SecurityConfig
from engine.config.strict import ConfigError, validated
from engine.security.gate import Gate, opened
from engine.security.identity import NotAuthenticatedError, UnknownKeyError, authenticated
from engine.security.oidc import AGAIN_S, LARGEST, STALE_S, KeySource, Oidc
from engine.security.roles import Method, Principal, Role
from engine.security.tokens import Tokens
from tests.unit.engine.security.issuer import NOW_S, Issuer

with warnings.catch_warnings(action="ignore"):
    SHORT = jwk.RSAKey.generate_key(1024, {"kid": "short"}).as_dict(private=False)


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    running = Issuer()
    yield running
    running.close()


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class World:
    """A gate with a provider; the clock that its keys age by stands until it is moved."""

    def __init__(self, issuer: Issuer, folder: Path, **changed: Any) -> None:
        issuer.status, issuer.headers = 200, {}
        issuer.published = issuer.set_of(issuer.key)
        oidc = {
            "issuer": issuer.url, "audience": "wedtwin", "jwks": f"{issuer.url}/keys",
        } | changed  # fmt: skip
        config = validated(SecurityConfig, {"oidc": oidc})
        assert config.oidc is not None
        self.issuer, self.clock = issuer, Clock()
        self.tokens = Tokens(local_credentials(folder), FileCabinet(folder))
        self.source = KeySource(config.oidc, self.clock)
        self.source.renew()
        self.gate = Gate(self.tokens, Oidc(config.oidc, self.tokens, self.source))

    def who(self, token: str, now_s: float = NOW_S) -> Principal:
        self.tokens.look()
        return self.gate.who(f"Bearer {token}", now_s)

    def refused(self, token: str, now_s: float = NOW_S) -> str:
        with pytest.raises(NotAuthenticatedError) as caught:
            self.who(token, now_s)
        assert token not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def world(issuer: Issuer, tmp_path: Path) -> World:
    return World(issuer, tmp_path)


def test_a_token_of_the_provider_says_who_and_what_he_is(world: World) -> None:
    who = world.who(world.issuer.token())
    assert (who.name, who.roles, who.services) == ("pat", {Role.OPERATOR}, None)
    assert (who.method, who.token_id, who.expires_s) == (Method.OIDC, "t1", NOW_S + 360.0)


def test_what_the_provider_calls_roles_is_translated(issuer: Issuer, tmp_path: Path) -> None:
    world = World(
        issuer, tmp_path, roles={"wedding-leads": "incident_commander"},
        roles_claim="realm_access.roles", name_claim="email", services_claim="wt/services",
    )  # fmt: skip
    claims = {"realm_access": {"roles": ["wedding-leads", "approver", "root", 7]},
              "email": "pat@example.org", "wt/services": ["api", 3]}  # fmt: skip
    who = world.who(issuer.token(**claims))
    assert who.roles == {Role.INCIDENT_COMMANDER, Role.APPROVER}
    assert (who.name, who.services) == ("pat@example.org", {"api"})
    assert world.who(issuer.token(email="sam@example.org")).services == set()  # none named: none
    assert world.who(issuer.token(email="sam@example.org")).roles == set()


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, 0, ["RS256"], {}])
def test_a_token_that_nobody_signed_is_refused(world: World, alg: Any) -> None:
    header = {"alg": alg, "kid": "one", "typ": "JWT"}
    assert "algorithm" in world.refused(unsigned(header, world.issuer.claims()))


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_secret_to_sign_with(world: World, alg: str) -> None:
    assert isinstance(world.issuer.key, jwk.RSAKey)
    public = world.issuer.key.public_key
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(world.issuer.key.as_dict(private=False)).encode(), b"",
    ):  # fmt: skip
        body = unsigned({"alg": alg, "kid": "one"}, world.issuer.claims()).rpartition(".")[0]
        mac = hmac.digest(secret, body.encode(), f"sha{alg[2:]}")
        signature = base64.urlsafe_b64encode(mac).rstrip(b"=").decode()
        assert "algorithm" in world.refused(f"{body}.{signature}")


def test_one_key_does_not_pass_for_another_algorithm(world: World) -> None:
    curve = jwk.ECKey.generate_key("P-256", {"kid": "one"})
    forged = world.issuer.token(header={"alg": "ES256"}, key=curve)
    assert "another algorithm" in world.refused(forged)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"exp": NOW_S - 60.0}, "expired"),
        ({"exp": NOW_S - 1e9, "iat": NOW_S - 1e9 - 60.0}, "expired"),
        ({"exp": None}, "exp is no time"),
        ({"exp": str(NOW_S + 300.0)}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": 1e300}, "exp is no time"),
        ({"iat": None}, "iat is no time"),
        ({"iat": NOW_S + 61.0}, "not hold yet"),
        ({"nbf": NOW_S + 61.0}, "not hold yet"),
        ({"nbf": "soon"}, "nbf is no time"),
        ({"exp": NOW_S + 86_401.0}, "holds for more"),
        ({"aud": "another"}, "another audience"),
        ({"aud": None}, "another audience"),
        ({"aud": ["another", "wedtwin2"]}, "another audience"),
        ({"aud": {"wedtwin": True}}, "another audience"),
        ({"aud": "WEDTWIN"}, "another audience"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"cnf": {"x5t#S256": "abc"}}, "bound to a key"),
        ({"sub": None}, "sub is no name"),
        ({"sub": "engine"}, "sub is no name"),
        ({"sub": "bootstrap"}, "sub is no name"),
        ({"sub": "a\nb"}, "sub is no name"),
        ({"sub": ["pat"]}, "sub is no name"),
    ],
)  # fmt: skip
def test_a_signed_token_that_does_not_hold_here_and_now_is_refused(
    world: World, changed: dict[str, Any], reason: str
) -> None:
    assert reason in world.refused(world.issuer.token(**changed))


@pytest.mark.parametrize("changed", [
    {"exp": NOW_S - 59.0}, {"iat": NOW_S + 59.0}, {"nbf": NOW_S + 59.0},
    {"aud": ["another", "wedtwin"]}, {"exp": NOW_S + 86_390.0},
])  # fmt: skip
def test_clocks_may_be_a_minute_apart(world: World, changed: dict[str, Any]) -> None:
    assert world.who(world.issuer.token(**changed)).name == "pat"


@pytest.mark.parametrize("kid", [
    "two", "../../../dev/null", "one' OR '1'='1", "", "one\x00", "file:///etc/passwd", 1, True,
    ["one"], {"one": 1},
])  # fmt: skip
def test_a_key_id_is_looked_up_and_never_followed(world: World, kid: Any) -> None:
    header = {"alg": "RS256", "kid": kid}
    token = unsigned(header, world.issuer.claims(), b"x" * 256)
    assert "not published" in world.refused(token)


@pytest.mark.parametrize("header", [
    {"jku": "http://127.0.0.1:1/keys"}, {"x5u": "http://127.0.0.1:1/c"}, {"x5c": ["AAAA"]},
    {"jwk": None},
])  # fmt: skip
def test_where_a_token_says_that_its_key_is_does_not_matter(
    world: World, header: dict[str, Any]
) -> None:
    own = jwk.RSAKey.generate_key(2048, {"kid": "one"})
    header = {name: value or own.as_dict(private=False) for name, value in header.items()}
    asked = world.issuer.asked
    head = {"alg": "RS256", "kid": "one"} | header
    good = unsigned(head, world.issuer.claims()).rpartition(".")[0]
    signature = own.private_key.sign(good.encode(), *rs256())  # type: ignore[union-attr]
    encoded = base64.urlsafe_b64encode(signature).rstrip(b"=").decode()
    assert "does not fit" in world.refused(f"{good}.{encoded}")
    assert world.issuer.asked == asked


def rs256() -> tuple[Any, Any]:
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256

    return PKCS1v15(), SHA256()


@pytest.mark.parametrize("header", [
    {"crit": ["exp"]}, {"b64": False, "crit": ["b64"]}, {"typ": "logout+jwt"}, {"typ": 7},
])  # fmt: skip
def test_a_token_of_another_kind_is_refused(world: World, header: dict[str, Any]) -> None:
    token = unsigned({"alg": "RS256", "kid": "one"} | header, world.issuer.claims(), b"x" * 256)
    assert world.refused(token) in ("the token asks for what the engine does not do",
                                    "the token is of another type")  # fmt: skip


def test_each_part_of_a_token_is_signed(world: World) -> None:
    header, claims, signature = world.issuer.token().split(".")
    other = world.issuer.token(sub="sam").split(".")
    for touched in (
        f"{header}.{other[1]}.{signature}", f"{header}.{claims}.{other[2]}",
        f"{header}.{claims}.", f"{header}.{claims}.{signature[:-4]}",
        f"{header}.{claims}.{signature}x",
        f"{header[:-2]}.{claims}.{signature}",
    ):  # fmt: skip
        world.refused(touched)


@pytest.mark.parametrize("token", [
    "a.b.c", "..", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "e30.e30.e30", "W10.W10.W10",
    base64.urlsafe_b64encode(b"[" * 4000).decode().rstrip("=") + ".e30.e30",
    base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"one","x":"' + b"a" * 2000 + b'"}').decode()
    .rstrip("=") + ".e30.e30",
    "e30." * 2000, "x" * 7000,
])  # fmt: skip
def test_what_is_no_token_is_refused_whatever_it_is(world: World, token: str) -> None:
    world.refused(token)


def test_a_token_that_is_huge_is_not_looked_at(world: World) -> None:
    assert "longer" in world.refused(world.issuer.token(extra="x" * 8000))


def test_a_new_key_is_taken_once_it_is_published_and_an_old_one_no_longer(world: World) -> None:
    fresh = jwk.RSAKey.generate_key(2048, {"kid": "two"})
    old, new = world.issuer.token(), world.issuer.token(header={"kid": "two"}, key=fresh)
    assert world.who(old).name == "pat"
    world.clock.now_s += AGAIN_S
    world.issuer.published = world.issuer.set_of(fresh)
    with pytest.raises(UnknownKeyError):
        world.who(new)
    principal = asyncio.run(authenticated(world.gate, f"Bearer {new}", NOW_S))
    assert principal.name == "pat"
    assert "not published" in world.refused(old)  # though its signature was right before


def test_nobody_makes_the_engine_ask_more_than_every_few_seconds(world: World) -> None:
    stranger = world.issuer.token(header={"kid": "strange"})
    asked = world.issuer.asked
    for _ in range(20):
        with pytest.raises(NotAuthenticatedError):
            asyncio.run(authenticated(world.gate, f"Bearer {stranger}", NOW_S))
    assert world.issuer.asked == asked
    world.clock.now_s += AGAIN_S
    for _ in range(20):
        with pytest.raises(NotAuthenticatedError):
            asyncio.run(authenticated(world.gate, f"Bearer {stranger}", NOW_S))
    assert world.issuer.asked == asked + 1


def test_keys_are_asked_for_in_the_background_when_they_are_old(world: World) -> None:
    asked = world.issuer.asked
    world.clock.now_s += 301.0
    assert world.who(world.issuer.token()).name == "pat"  # by the keys at hand
    until_s = time.monotonic() + 60.0
    while world.issuer.asked == asked and time.monotonic() < until_s:
        time.sleep(0.005)
    assert world.issuer.asked == asked + 1


def test_the_provider_may_be_gone_for_a_while_and_not_for_ever(world: World) -> None:
    world.issuer.status = 503
    world.clock.now_s += STALE_S
    assert world.who(world.issuer.token()).name == "pat"
    world.clock.now_s += 1.0
    world.source.renew()
    assert "has not been reached" in world.refused(world.issuer.token())


@pytest.mark.parametrize("answer", [
    {"status": 302, "headers": {"Location": "http://127.0.0.1:1/"}},
    {"status": 204}, {"published": b"{}"}, {"published": b'{"keys": []}'},
    {"published": b'{"keys": {"a": 1}}'}, {"published": b"[" * 100_000}, {"published": b"\xff"},
    {"published": b" " * (LARGEST + 1)}, {"headers": {"Content-Encoding": "gzip"}},
])  # fmt: skip
def test_an_answer_that_is_no_set_of_keys_changes_nothing(
    world: World, answer: dict[str, Any]
) -> None:
    before = world.source.keys
    for name, value in answer.items():
        setattr(world.issuer, name, value)
    world.clock.now_s += AGAIN_S
    world.source.renew()
    assert world.source.keys is before


@pytest.mark.filterwarnings("ignore:Key size")
def test_keys_that_anybody_could_sign_with_are_left_out(world: World) -> None:
    own = world.issuer.key
    world.issuer.published = json.dumps({"keys": [
        own.as_dict(private=False),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        jwk.RSAKey.generate_key(2048, {"kid": "private"}).as_dict(private=True),
        jwk.RSAKey.generate_key(2048, {"kid": "for encryption", "use": "enc"}).as_dict(
            private=False
        ),
        SHORT,
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"}, "nonsense",
    ]}).encode()  # fmt: skip
    world.clock.now_s += AGAIN_S
    world.source.renew()
    assert set(world.source.keys) == {"one"}


def test_a_person_whose_tokens_were_revoked_shows_one_in_vain(world: World) -> None:
    token = world.issuer.token()
    assert world.who(token).name == "pat"
    world.tokens.refuse_earlier("PAT", NOW_S)
    assert "revoked" in world.refused(token)
    assert world.who(world.issuer.token(sub="sam")).name == "sam"
    assert world.who(world.issuer.token(iat=NOW_S + 1.0)).name == "pat"


def test_a_token_is_for_the_one_that_its_form_says(world: World) -> None:
    shown, _ = world.tokens.create(
        "sam", [Role.VIEWER], None, now_s=NOW_S, for_s=60.0, made_by="pat"
    )
    assert world.who(shown).method is Method.TOKEN
    assert world.refused(f"wt_{world.issuer.token()}") == "no such token"


def test_without_a_provider_its_tokens_are_nobodys(issuer: Issuer, tmp_path: Path) -> None:
    cabinet = FileCabinet(tmp_path)
    gate = opened(SecurityConfig(), Tokens(local_credentials(tmp_path), cabinet), cabinet)
    gate.renew()
    assert not gate.has_others(NOW_S)
    with pytest.raises(NotAuthenticatedError):
        gate.who(f"Bearer {issuer.token()}", NOW_S)


@pytest.mark.parametrize(("key", "value"), [
    ("issuer", "http://idp.example"), ("jwks", "http://169.254.169.254/latest"),
    ("jwks", "file:///etc/passwd"), ("jwks", "https://pat:pw@idp.example/keys"),
    ("jwks", "https:///keys"), ("jwks", "gopher://127.0.0.1/"), ("algorithms", ["HS256"]),
    ("algorithms", ["none"]), ("algorithms", []), ("audience", ""), ("roles", {"x": "root"}),
    ("leeway_s", 3600), ("secret", "x"),
])  # fmt: skip
def test_a_provider_that_could_not_be_trusted_is_not_configured(key: str, value: Any) -> None:
    given = {"issuer": "https://idp.example", "audience": "w", "jwks": "https://idp.example/k"}
    with pytest.raises(ConfigError, match=rf"oidc\.{key}"):
        validated(SecurityConfig, {"oidc": given | {key: value}})

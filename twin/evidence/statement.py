"""The bundle for policy engines: in-toto statements, and DSSE envelopes where there is a key.

Formats: in-toto Attestation Framework, Statement v1 and the test-result predicate v0.1; DSSE v1
(secure-systems-lab/dsse, protocol.md); Ed25519 is RFC 8032.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from engine.config.strict import ConfigError
from engine.security import keys
from twin.evidence import canonical

STATEMENT = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
CLAIMS = "urn:wedtwin:evidence-claims:v1"
PAYLOAD = "application/vnd.in-toto+json"

FILES = {TEST_RESULT: "statement", CLAIMS: "claims.statement"}
"""The statement of each predicate: `NAME.json`, signed as `NAME.dsse.json`."""

_RESULTS = {"ready": "PASSED", "ready, but": "WARNED", "not ready": "FAILED"}


def statements(results: Mapping[str, Any], bundle: str) -> dict[str, bytes]:
    """Both statements by the name of their file; `bundle` is the bundle's hash."""
    subject = [{"name": "wedtwin-evidence", "digest": {"sha256": bundle}}]
    return {
        f"{FILES[kind]}.json": canonical.text(
            {"_type": STATEMENT, "subject": subject, "predicateType": kind, "predicate": predicate}
        )
        for kind, predicate in (
            (TEST_RESULT, _test_result(results)),
            (CLAIMS, _claims(results)),
        )
    }


def _test_result(results: Mapping[str, Any]) -> dict[str, Any]:
    names: dict[str, list[str]] = {"shown": [], "shown in simulation only": [], "not shown": []}
    for name, claim in results["claims"].items():
        names[claim["outcome"]].append(name)
    configuration = [
        {"name": f"claims/{name}.yaml", "digest": {"sha256": claim["claim_sha256"]}}
        for name, claim in results["claims"].items()
    ]
    return {
        "result": _RESULTS[results["verdict"]],
        "configuration": configuration,
        "passedTests": names["shown"],
        "warnedTests": names["shown in simulation only"],
        "failedTests": names["not shown"],
    }


def _claims(results: Mapping[str, Any]) -> dict[str, Any]:
    kept = ("metric", "operator", "limit", "value", "low", "high", "n", "kept")
    return {
        "verdict": results["verdict"],
        "validUntil": results["valid_until"],
        "limitsFixedAt": results["plan"]["fixed_at"],
        "level": results["plan"]["level"],
        "claims": {
            name: {
                "outcome": claim["outcome"],
                "reason": claim["reason"],
                "source": claim["source"],
                "validUntil": claim["valid_until"],
                "limitsSha256": claim["limits_sha256"],
                "rawSha256": claim["raw"],
                "negativeControlFailed": claim["control"]["failed"],
                "figures": [
                    {key: figure["name" if key == "metric" else key] for key in kept}
                    for figure in claim["figures"]
                ],
            }
            for name, claim in results["claims"].items()
        },
    }


def private_key(path: Path) -> Ed25519PrivateKey:
    """The signing key in a PEM file; raises ConfigError."""
    try:
        return keys.private_key(path)
    except keys.KeyFileError as error:
        raise ConfigError(f"key: {error}") from None


def public_key(path: Path) -> Ed25519PublicKey:
    """The key in a PEM file that signatures are checked with; raises ConfigError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"key: {path} cannot be read ({error.strerror})") from None
    try:
        key = load_pem_public_key(raw)
    except ValueError:
        return private_key(path).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"key: {path} is not an Ed25519 key")
    return key


def signed(payload: bytes, key: Ed25519PrivateKey) -> bytes:
    """The DSSE envelope of a statement."""
    signature = key.sign(_encoded(payload))
    return canonical.text(
        {
            "payloadType": PAYLOAD,
            "payload": base64.b64encode(payload).decode(),
            "signatures": [
                {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
            ],
        }
    )


def check(envelope: bytes, payload: bytes, key: Ed25519PublicKey | None) -> str:
    """What is wrong with an envelope of that statement; empty where nothing is.

    Without a key only what is signed is looked at, not by whom.
    """
    try:
        content = json.loads(envelope)
        same = base64.b64decode(content["payload"], validate=True) == payload
        signatures = [
            (str(one["keyid"]), base64.b64decode(one["sig"], validate=True))
            for one in content["signatures"]
        ]
        kind = content["payloadType"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "is no DSSE envelope"
    if not same or kind != PAYLOAD:
        return "does not sign the statement beside it"
    if envelope != canonical.text(content) or len(signatures) != 1:
        return "was changed"
    if key is None:
        return ""
    if signatures[0][0] != key_id(key):
        return f"is signed with the key {signatures[0][0]}, not with {key_id(key)}"
    try:
        key.verify(signatures[0][1], _encoded(payload))
    except InvalidSignature:
        return "has a signature that is wrong"
    return ""


def key_id(key: Ed25519PublicKey) -> str:
    """A name for a key: SHA-256 of its 32 bytes."""
    return canonical.digest(key.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _encoded(payload: bytes) -> bytes:
    """What DSSE signs: its pre-authentication encoding."""
    kind = PAYLOAD.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)

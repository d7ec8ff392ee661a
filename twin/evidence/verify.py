"""Check a bundle: every digest, every figure made again, every limit, every signature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from twin.evidence import bundle, canonical, statement
from twin.evidence.arguments import PLAN

UNCHECKED = "the signature is there; give key=FILE (a public key) to check whose it is"


def problems(folder: Path, key: Ed25519PublicKey | None = None) -> list[str]:
    """What was touched, a line each; empty for a bundle that is whole.

    With a `key` the bundle has to be signed with it.
    """
    try:
        manifest = bundle.read_json(folder, bundle.MANIFEST)
        written = (folder / bundle.MANIFEST).read_bytes()
    except bundle.BundleError as error:
        return [str(error)]
    wrong = _files(folder, manifest)
    if written != canonical.text(manifest):
        wrong.append(f"{bundle.MANIFEST}: was written by somebody else")
    if manifest.get("bundle_sha256") != bundle.bundle_digest(folder):
        wrong.append(f"{bundle.MANIFEST}: the bundle's hash is not that of its data")
    try:
        results = bundle.results(folder)
    except bundle.BundleError as error:
        return [*wrong, str(error)]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return [*wrong, f"{PLAN}: is not a plan of evidence ({error!r})"]
    if (folder / bundle.RESULTS).exists() and (
        (folder / bundle.RESULTS).read_bytes() != canonical.text(results)
    ):
        wrong += _differences(folder, results)
    wrong += _statements(folder, results, key)
    return list(dict.fromkeys(wrong))


def _statements(folder: Path, results: dict[str, Any], key: Ed25519PublicKey | None) -> list[str]:
    """What is not as the data say in the statements, and in their signatures."""
    wrong = []
    digest = bundle.bundle_digest(folder)
    for name, text in statement.statements(results, digest).items():
        file = folder / name
        if not file.exists():
            wrong.append(f"{name}: is missing")
        elif file.read_bytes() != text:
            wrong.append(f"{name}: does not say what the data say")
        envelope = folder / name.replace(".json", ".dsse.json")
        if envelope.exists():
            problem = statement.check(envelope.read_bytes(), text, key)
            if problem:
                wrong.append(f"{envelope.name}: {problem}")
        elif key is not None:
            wrong.append(f"{envelope.name}: is missing; the bundle is not signed")
    return wrong


def _files(folder: Path, manifest: dict[str, object]) -> list[str]:
    """What is not as the manifest lists it."""
    wrong = []
    expected: dict[str, object] = {}
    for section in ("data", "derived"):
        listed = manifest.get(section)
        if not isinstance(listed, dict):
            return [f"{bundle.MANIFEST}: {section}: is missing"]
        expected |= listed
    there = canonical.digests(folder, frozenset({bundle.MANIFEST}))
    for path, digest in expected.items():
        if path not in there:
            wrong.append(f"{path}: is missing")
        elif there[path] != digest:
            wrong.append(f"{path}: was changed")
    wrong += [f"{path}: was added" for path in there if path not in expected]
    return wrong


def _differences(folder: Path, results: dict[str, object]) -> list[str]:
    """The places at which results.json says something else than the data."""
    try:
        said = bundle.read_json(folder, bundle.RESULTS)
    except bundle.BundleError as error:
        return [str(error)]
    places = list(_unequal(said, results, ""))
    if not places:
        return [f"{bundle.RESULTS}: was written by somebody else"]
    return [f"{bundle.RESULTS}: {place}: is not what the data give" for place in places[:20]]


def _unequal(said: object, right: object, at: str) -> list[str]:
    if isinstance(said, dict) and isinstance(right, dict):
        places = []
        for key in sorted({*said, *right}):
            below = f"{at}.{key}" if at else str(key)
            if key not in said or key not in right:
                places.append(below)
            else:
                places += _unequal(said[key], right[key], below)
        return places
    if isinstance(said, list) and isinstance(right, list) and len(said) == len(right):
        return [
            place
            for i, pair in enumerate(zip(said, right, strict=True))
            for place in _unequal(*pair, f"{at}[{i}]")
        ]
    return [] if said == right and type(said) is type(right) else [at]

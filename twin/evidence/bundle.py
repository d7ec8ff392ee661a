"""The bundle: a folder from which everybody can make every figure again.

    plan.json            level, seed, day, load, version, the digest of recorded data, and of each
                         claim and of its limits; written and synced before anything is measured
    claims/ID.yaml       the claim as it was when the plan was made
    raw/ID/*.jsonl       the rows, of the measurement and of its negative control; why.json where
                         there are none
    records/…            run records of which rows were made
    results.json         what follows from the above: outcomes, figures, intervals, verdict
    statement.json, claims.statement.json   the same for policy engines
    evidence.html, evidence.md, junit.xml   the same for people and build servers
    manifest.json        the digest of every file; the bundle's hash is that of its data

`results` makes results.json of the files before it and of nothing else, which is how `verify` can
make it again.
"""

from __future__ import annotations

import datetime as dt
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from engine.record.schema.claims import Outcome, readiness
from twin.evidence import canonical
from twin.evidence.arguments import PLAN, EvidenceArguments
from twin.evidence.claims import LEVELS, Claim, parse
from twin.evidence.judgement import MeasuredRows, counts, judge, unmeasured, valid_until
from twin.evidence.rows import NoRowError, parsed

SCHEMA = 1
RESULTS, MANIFEST = "results.json", "manifest.json"
DERIVED = frozenset(
    {
        MANIFEST,
        "statement.json",
        "claims.statement.json",
        "statement.dsse.json",
        "claims.statement.dsse.json",
        "evidence.html",
        "evidence.md",
        "junit.xml",
    }
)
"""What is made of the data, and is no part of the bundle's hash."""

FIXED = {"sha256": "claim", "limits_sha256": "limits"}
"""What the plan fixes of each claim."""

Role = Literal["measured", "control"]
ROLES: tuple[Role, Role] = ("measured", "control")


class BundleError(ValueError):
    """A bundle that cannot be read; the message names the file."""


def plan(
    claims: Mapping[str, tuple[Claim, bytes]],
    wanted: list[str],
    options: EvidenceArguments,
    *,
    started: dt.datetime,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """What plan.json says: fixed before anything is measured."""
    data = options.data
    return {
        "schema": SCHEMA,
        "level": options.level,
        "seed": options.seed,
        "day": (options.day or started.date()).isoformat(),
        "load": options.load,
        "signer": options.signer,
        "data": None if data is None else {"path": str(data), "sha256": canonical.digest_of(data)},
        "fixed_at": started.isoformat(timespec="seconds"),
        "versions": dict(versions),
        "wanted": wanted,
        "claims": {
            name: {"sha256": canonical.digest(raw), "limits_sha256": limits_digest(claim)}
            for name, (claim, raw) in claims.items()
        },
    }


def limits_digest(claim: Claim) -> str:
    """The digest of everything that decides whether a claim is shown."""
    return canonical.digest(
        {
            "figures": [figure.model_dump(mode="json") for figure in claim.figures],
            "control": None if claim.control is None else claim.control.model_dump(mode="json"),
            "source": claim.source,
            "valid_days": claim.valid_days,
            "required": claim.required,
        }
    )


def raw_file(claim: str, role: Role) -> str:
    """Where the rows of a claim are, from the bundle's folder."""
    return f"raw/{claim}/{role}.jsonl"


def record_folder(digest: str) -> str:
    """Where the run record is that was played in words of that digest."""
    return f"records/{digest[:16]}"


def why_file(claim: str, role: Role) -> str:
    """Where it says why there are no rows."""
    return f"raw/{claim}/{role}.why.json"


def claims_of(folder: Path) -> dict[str, tuple[Claim, bytes]]:
    """The claims that are in a bundle, in order; raises BundleError."""
    claims = {}
    for file in (folder / "claims").glob("*.yaml"):
        raw = file.read_bytes()
        try:
            claim = parse(raw, f"claims/{file.name}")
        except ValueError as error:
            raise BundleError(str(error)) from None
        claims[claim.id] = (claim, raw)
    return dict(sorted(claims.items(), key=lambda item: item[1][0].order))


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """One of the bundle's files; raises BundleError."""
    try:
        raw = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BundleError(f"{name}: cannot be read ({reason})") from None
    if not isinstance(raw, dict):
        raise BundleError(f"{name}: is no JSON object")
    return raw


def measured(folder: Path, claim: str, role: Role) -> MeasuredRows:
    """The rows that a bundle has; raises BundleError where they are no rows."""
    rows, why = folder / raw_file(claim, role), folder / why_file(claim, role)
    if why.exists():
        return MeasuredRows(
            failure=str(read_json(folder, why_file(claim, role)).get("why", "unknown"))
        )
    if not rows.exists():
        return MeasuredRows(failure="was not measured")
    try:
        return MeasuredRows(tuple(parsed(rows.read_text(encoding="utf-8").splitlines())))
    except UnicodeDecodeError:
        raise BundleError(f"{raw_file(claim, role)}: is not UTF-8 text") from None
    except NoRowError as error:
        raise BundleError(f"{raw_file(claim, role)}: {error}") from None


def results(folder: Path) -> dict[str, Any]:
    """What results.json says, from the files before it alone; raises BundleError."""
    planned = read_json(folder, PLAN)
    claims = claims_of(folder)
    try:
        day = dt.date.fromisoformat(planned["fixed_at"][:10])
        level, wanted = planned["level"], planned["wanted"]
        assert level in LEVELS
        fixed = planned["claims"]
        data = None if planned["data"] is None else Path(planned["data"]["path"])
    except (KeyError, TypeError, ValueError, AssertionError):
        raise BundleError(f"{PLAN}: is not a plan of evidence") from None
    entries: dict[str, Any] = {}
    outcomes: dict[str, Outcome] = {}
    for name, (claim, raw) in claims.items():
        if claim.measure is None:
            judged = unmeasured(claim.not_shown)
        elif name not in wanted:
            judged = unmeasured("was not asked for in this run")
        else:
            rows = (measured(folder, name, role) for role in ROLES)
            judged = judge(claim.measured_on(data), *rows)
        until = valid_until(claim, day)
        wider = _wider(claim, level)
        entries[name] = {
            **_texts(claim.measured_on(data)),
            **judged,
            "fixed_at": planned["fixed_at"],
            "limits_sha256": limits_digest(claim),
            "claim_sha256": canonical.digest(raw),
            "valid_until": until.isoformat(),
            "wider": wider,
            "minutes": None if claim.measure is None else claim.level(level).minutes,
            "command": _command(claim, planned),
            "raw": {
                role: canonical.digest((folder / raw_file(name, role)).read_bytes())
                for role in ROLES
                if (folder / raw_file(name, role)).exists()
            },
        }
        outcomes[name] = judged["outcome"]
        digests = {key: entries[name][f"{kind}_sha256"] for key, kind in FIXED.items()}
        if fixed.get(name) != digests:
            raise BundleError(f"claims/{name}.yaml: is not the claim that the plan fixed")
    for name in fixed:
        if name not in claims:
            raise BundleError(f"claims/{name}.yaml: is missing")
    valid = [entry["valid_until"] for n, entry in entries.items() if outcomes[n] != "not shown"]
    return {
        "schema": SCHEMA,
        "kind": "evidence",
        "plan": planned,
        "verdict": readiness((outcomes[name], claims[name][0].required) for name in claims),
        "valid_until": min(valid) if valid else None,
        "counts": counts(outcomes),
        "claims": entries,
    }


def manifest(folder: Path) -> dict[str, Any]:
    """What manifest.json says of a bundle whose other files are all there."""
    data = canonical.digests(folder, DERIVED)
    derived = {
        path: canonical.digest((folder / path).read_bytes())
        for path in sorted(DERIVED - {MANIFEST})
        if (folder / path).exists()
    }
    return {
        "schema": SCHEMA,
        "bundle_sha256": bundle_digest(folder),
        "data": data,
        "derived": derived,
    }


def bundle_digest(folder: Path) -> str:
    """The bundle's hash: that of the digests of its data."""
    return canonical.digest(canonical.digests(folder, DERIVED))


def _texts(claim: Claim) -> dict[str, Any]:
    return {
        "id": claim.id,
        "group": claim.group,
        "title": claim.title,
        "statement": claim.statement,
        "why": claim.why,
        "context": claim.context.model_dump(mode="json"),
        "source": claim.source,
        "required": claim.required,
        "method": claim.method,
        "does_not_say": claim.does_not_say,
        "control_says": "" if claim.control is None else claim.control.says,
    }


def _wider(claim: Claim, level: str) -> float | None:
    """How many times as wide an interval is as at the full level: by the root of the rows."""
    if claim.measure is None or level == "full":
        return None
    assert claim.quick is not None and claim.full is not None
    return float((claim.full.rows / claim.quick.rows) ** 0.5)


def _command(claim: Claim, planned: Mapping[str, Any]) -> str:
    if claim.measure is None:
        return ""
    line = f"python -m twin evidence {claim.id} level={planned['level']} seed={planned['seed']}"
    if planned["data"] is not None and claim.measure.of_data is not None:
        line += f" data={shlex.quote(planned['data']['path'])}"
    return line

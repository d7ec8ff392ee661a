"""Bundles: made, gone on with, verified, and touched in a thousand ways."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

import reports
from engine.config.strict import ConfigError
from reports.evidence import content
from twin.evidence import bundle, canonical, command, measuring, statement, verify
from twin.evidence.arguments import PLAN, EvidenceArguments
from twin.evidence.claims import Claim, parse

Make = Callable[..., Path]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    made = Ed25519PrivateKey.generate()
    private = tmp_path / "key.pem"
    private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "key.pub").write_bytes(
        made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return private


def results(folder: Path) -> dict[str, Any]:
    return bundle.read_json(folder, bundle.RESULTS)


def changed(text: str, **keys: Any) -> str:
    return yaml.safe_dump(yaml.safe_load(text) | keys)


def test_a_claim_of_ones_own_is_measured_and_shown(make: Make) -> None:
    folder = make()
    claim = results(folder)["claims"]["6.1"]
    assert claim["outcome"] == "shown"
    assert claim["control"]["failed"]
    assert claim["wider"] == 2.0  # 24 rows are four times six
    assert verify.problems(folder) == []
    assert results(folder)["verdict"] == "ready"


def test_a_control_that_does_not_fail_turns_its_claim_to_not_shown(
    make: Make, own_text: str
) -> None:
    raw = yaml.safe_load(own_text)
    raw["control"]["command"] = raw["measure"]["command"]
    claim = results(make(yaml.safe_dump(raw)))["claims"]["6.1"]
    assert claim["outcome"] == "not shown"
    assert "cannot tell" in claim["reason"]


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (["python", "-c", "import sys; sys.exit('no load generator here')"], "no load generator"),
        (["/nowhere/probe"], "/nowhere/probe"),
        (["python", "-c", "print('fast')"], "line 1 is no JSON object"),
        (["python", "-c", "print('{\"seconds\": 1}')"], "has no ms"),
        (["python", "-c", ""], "nothing to measure"),
    ],
)
def test_a_measurement_that_fails_is_not_shown(
    make: Make, own_text: str, program: list[str], why: str
) -> None:
    claim = results(make(changed(own_text, measure={"command": program})))["claims"]["6.1"]
    assert claim["outcome"] == "not shown"
    assert why in claim["reason"]


def test_what_nobody_can_measure_stands_in_the_grid(make: Make, own_text: str) -> None:
    raw = {k: v for k, v in yaml.safe_load(own_text).items()
           if k not in ("figures", "measure", "quick", "full", "control")}  # fmt: skip
    folder = make(yaml.safe_dump(raw | {"not_shown": "There is no shop yet."}))
    assert results(folder)["verdict"] == "not ready"
    assert "There is no shop yet." in (folder / "evidence.html").read_text()
    case = ElementTree.parse(folder / "junit.xml").getroot()[0]
    assert case[0].tag == "skipped"


def test_an_interrupted_measurement_goes_on_with_the_rows_that_it_has(
    own_text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def spread(_: object, tasks: list[tuple[str, int, int, Any]]) -> Any:
        for at, (_, row, seed, _) in enumerate(tasks):
            if row == 3 and not made.count(3):
                made.append(3)
                raise KeyboardInterrupt
            made.append(row)
            yield at, {"ms": seed % 100}

    monkeypatch.setattr(measuring, "spread", spread)
    raw = yaml.safe_load(own_text) | {
        "measure": {"each": "a:b"}, "control": {"says": "x", "options": {"x": 1}},
    }  # fmt: skip
    claim = parse(yaml.safe_dump(raw).encode(), "own.yaml")
    for interrupted in (True, False):
        try:
            measuring.measure(
                tmp_path, claim, "measured", level="quick", seed=1, advance=lambda _: None
            )
        except KeyboardInterrupt:
            assert interrupted
    assert made == [0, 1, 2, 3, 3, 4, 5]
    measured = bundle.measured(tmp_path, "6.1", "measured")
    assert len(measured.rows) == 6
    assert not list(tmp_path.rglob("*.part"))


def asking(own_text: str, number: int, options: str) -> str:
    measure = f'measure: {{each: "{__name__}:row", options: {options}}}'
    return (
        own_text.replace('"6.1"', f'"6.{number}"').split("measure:")[0]
        + measure
        + (
            "\nquick: {rows: 6, minutes: 0.1}\nfull: {rows: 24, minutes: 0.1}"
            "\ncontrol: {says: Slow., options: {ms: 900}}\n"
        )
    )


def test_rows_that_two_claims_ask_for_in_the_same_words_are_made_once(
    make: Make, own_text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def here(work: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[tuple[int, Any]]:
        made.append(len(tasks))
        return ((at, {"ms": task[3]["ms"] + task[1]}) for at, task in enumerate(tasks))

    monkeypatch.setattr(measuring, "spread", here)
    texts = [asking(own_text, 1, "{ms: 100}"), asking(own_text, 2, "{ms: 100}")]
    folder = make(*texts, asking(own_text, 3, "{ms: 101}"))
    rows = {name: (folder / f"raw/6.{name}/measured.jsonl").read_text() for name in (1, 2, 3)}
    assert rows[1] == rows[2] != rows[3]
    # Once 6 rows for two claims and once for the third; all three have one negative control.
    assert made == [6, 6, 6]
    outcomes = json.loads((folder / "results.json").read_text())["claims"]
    assert [outcomes[f"6.{name}"]["outcome"] for name in (1, 2, 3)] == ["shown"] * 3


played: list[str] = []


def play(*, folder: Path, seed: int, of: str) -> None:
    played.append(of)
    folder.mkdir(parents=True)
    (folder / "ms").write_text(str(len(of)))
    if played[:1] == ["breaks"] and len(played) == 1:
        raise OSError("the stack is gone")


def of_record(*, rows: int, seed: int, record: Path, ms: int) -> list[dict[str, int]]:
    return [{"ms": ms + int((record / "ms").read_text())} for _ in range(rows)]


def recorded(own_text: str, number: int, of: str) -> str:
    return (
        own_text.replace('"6.1"', f'"6.{number}"').split("measure:")[0]
        + f'measure: {{all: "{__name__}:of_record", record: "{__name__}:play",'
        + f" options: {{ms: 100, record: {{of: {of}}}}}}}"
        + "\nquick: {rows: 6, minutes: 0.1}\nfull: {rows: 24, minutes: 0.1}"
        + "\ncontrol: {says: Slow., options: {ms: 900}}\n"
    )


def test_a_record_is_played_once_for_all_that_ask_for_it(make: Make, own_text: str) -> None:
    played.clear()
    folder = make(*(recorded(own_text, i, of) for i, of in enumerate(("june", "june", "may"), 1)))
    assert played == ["june", "may"]
    results = json.loads((folder / "results.json").read_text())["claims"]
    assert [results[f"6.{i}"]["figures"][0]["value"] for i in (1, 2, 3)] == [104.0, 104.0, 103.0]
    assert {entry["outcome"] for entry in results.values()} == {"shown"}
    # The record is part of the bundle: who edits it is found out.
    assert verify.problems(folder) == []
    (record,) = [ms for ms in folder.rglob("ms") if ms.read_text() == "3"]
    record.write_text("9")
    assert any(
        f"{record.relative_to(folder)}: was changed" in line for line in verify.problems(folder)
    )


def test_a_record_that_broke_off_is_played_anew(make: Make, own_text: str) -> None:
    played.clear()
    folder = make(recorded(own_text, 1, "breaks"))
    results = json.loads((folder / "results.json").read_text())["claims"]["6.1"]
    assert results["outcome"] == "not shown"
    assert "the stack is gone" in results["reason"]
    # The control asked again, and what was left of the first attempt is no record.
    assert played == ["breaks", "breaks"]
    assert not list(folder.rglob("*.part"))


def test_the_limits_are_on_the_disk_before_anything_is_measured(
    make: Make, own: Claim, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(folder: Path, *_: object, **__: object) -> None:
        plan = bundle.read_json(folder, PLAN)
        seen.append(plan["claims"]["6.1"]["limits_sha256"])
        raise KeyboardInterrupt

    monkeypatch.setattr(measuring, "measure", look)
    with pytest.raises(KeyboardInterrupt):
        make()
    assert seen == [bundle.limits_digest(own)]


def test_the_first_page_has_each_reason_once_and_no_longer_than_there_is_room() -> None:
    def lacking(number: int, reason: str) -> content.ClaimText:
        return content.ClaimText(
            content={"id": f"6.{number}", "reason": reason}, outcome="not shown", mark="bad",
            sign="", figures=[], control=[], plot=None, wider="",
        )  # fmt: skip

    long = "because " * 40
    claims = [lacking(1, "no monitor"), lacking(2, long), lacking(3, "no monitor"), lacking(4, "")]
    (same, cut, empty) = content._reasons(claims)
    assert same == ("6.1, 6.3", "no monitor")
    assert cut[0] == "6.2"
    assert cut[1].endswith("because …")
    assert len(cut[1]) <= content.MOST_REASON
    assert empty == ("6.4", "not shown")


def test_the_page_says_what_has_expired_on_its_day(make: Make) -> None:
    folder = make()
    until = results(folder)["valid_until"]
    later = f"{int(until[:4]) + 1}{until[4:]}"
    assert "✓ shown" in content.page(folder, until)
    assert "⌛ expired" in content.page(folder, later)
    assert "Not ready" in content.page(folder, later)


def test_every_edit_of_a_bundle_is_found(make: Make, tmp_path: Path, key: Path) -> None:
    folder = make(key=key)
    public = statement.public_key(tmp_path / "key.pub")
    assert verify.problems(folder, public) == []
    rng = np.random.default_rng(11)
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())
    for number in range(1000):
        file = folder / files[int(rng.integers(len(files)))]
        original = file.read_bytes()
        touched = _edited(original, rng)
        extra = folder / "raw" / "added.jsonl"
        if touched is None:
            file.unlink()
        elif touched == original:
            extra.write_text("{}")
        else:
            file.write_bytes(touched)
        assert verify.problems(folder, public), f"edit {number} of {file} was not found"
        file.write_bytes(original)
        extra.unlink(missing_ok=True)
    assert verify.problems(folder, public) == []


def _edited(original: bytes, rng: np.random.Generator) -> bytes | None:
    """A byte, a figure or a line changed, dropped or added, or the file gone (None)."""
    at = int(rng.integers(max(len(original), 1)))
    match int(rng.integers(6)):
        case 0:
            return (
                original[:at]
                + bytes([original[at] ^ (1 << int(rng.integers(8)))])
                + original[at + 1 :]
            )
        case 1:
            lines = original.splitlines(keepends=True)
            del lines[int(rng.integers(len(lines)))]
            return b"".join(lines)
        case 2:
            return original[:at] + b"7" + original[at:]
        case 3:
            return original + b"\n"
        case 4:
            return None
        case _:
            return original


def test_figures_changed_with_their_digests_are_found_by_what_follows_from_them(
    make: Make,
) -> None:
    folder = make()
    said = results(folder)
    said["claims"]["6.1"]["figures"][0]["value"] = 1.0
    (folder / bundle.RESULTS).write_bytes(canonical.text(said))
    (folder / bundle.MANIFEST).write_bytes(canonical.text(bundle.manifest(folder)))
    wrong = verify.problems(folder)
    assert any("results.json: claims.6.1.figures[0].value" in line for line in wrong)


def test_a_limit_changed_afterwards_is_found(make: Make) -> None:
    folder = make()
    file = folder / "claims" / "6.1.yaml"
    file.write_text(file.read_text().replace("limit: 200", "limit: 300"))
    assert any("is not the claim that the plan fixed" in line for line in verify.problems(folder))


def test_a_bundle_signed_with_another_key_is_not_accepted(
    make: Make, key: Path, tmp_path: Path
) -> None:
    folder = make(key=key)
    other = Ed25519PrivateKey.generate().public_key()
    assert any("is signed with the key" in line for line in verify.problems(folder, other))
    unsigned = tmp_path / "unsigned"
    shutil.copytree(folder, unsigned)
    for envelope in unsigned.glob("*.dsse.json"):
        envelope.unlink()
    (unsigned / bundle.MANIFEST).write_bytes(canonical.text(bundle.manifest(unsigned)))
    public = statement.public_key(tmp_path / "key.pub")
    assert any("the bundle is not signed" in line for line in verify.problems(unsigned, public))


def test_the_statement_is_one_that_policy_engines_read(make: Make) -> None:
    folder = make()
    said = json.loads((folder / "statement.json").read_text())
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicate"]["result"] == "PASSED"
    assert said["predicate"]["passedTests"] == ["6.1"]
    assert said["subject"][0]["digest"]["sha256"] == bundle.bundle_digest(folder)
    own = json.loads((folder / "claims.statement.json").read_text())
    figure = own["predicate"]["claims"]["6.1"]["figures"][0]
    assert (figure["metric"], figure["limit"], figure["n"]) == ("latency", 200.0, 6)


@pytest.mark.parametrize("text", [b"", b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "key"
    file.write_bytes(text)
    with pytest.raises(ConfigError, match="key:"):
        statement.private_key(file)


def test_the_same_claims_give_the_same_data(make: Make) -> None:
    first, second = make(), make()
    assert first != second
    for name in ("raw/6.1/measured.jsonl", "raw/6.1/control.jsonl"):
        assert (first / name).read_bytes() == (second / name).read_bytes()
    assert command.check(first, None) == []


@pytest.mark.parametrize(
    ("required", "named", "good"),
    [(True, False, False), (False, False, True), (False, True, False), (True, True, False)],
)
def test_what_is_not_shown_counts_where_it_is_required_or_was_asked_for_by_name(
    own_text: str, tmp_path: Path, required: bool, named: bool, *, good: bool
) -> None:
    raw = yaml.safe_load(own_text) | {"required": required}
    raw["figures"][0]["limit"] = 1
    text = yaml.safe_dump(raw).encode()
    every = {"6.1": (parse(text, "own.yaml"), text)}
    options = EvidenceArguments(
        wanted=("6.1",) if named else (), level="quick", seed=1, day=dt.date(2027, 6, 19),
        load="1,000 orders", signer="", key=None, claims=None, data=None, output=tmp_path,
    )  # fmt: skip
    assert command.run(options, every, ["6.1"], reports.write_evidence)[1] is good

"""Claim files: what may stand in them, and how a wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engine.config.strict import ConfigError
from twin.evidence.claims import LEVELS, Claim, chosen, parse, read


def text(claim: Claim, **changed: Any) -> bytes:
    """The claim's file with other values at its keys; None: without the key."""
    raw = claim.model_dump(mode="json", exclude_none=True, exclude_unset=True) | changed
    return yaml.safe_dump({k: v for k, v in raw.items() if v is not None}).encode()


def figure(claim: Claim, **changed: Any) -> list[dict[str, Any]]:
    raw = claim.model_dump(mode="json", exclude_none=True)["figures"][0] | changed
    return [{k: v for k, v in raw.items() if v is not None}]


def test_the_products_claims_are_the_fifteen_and_the_answers_of_the_api() -> None:
    fifteen = [f"{group}.{item}" for group in range(1, 6) for item in range(1, 4)]
    assert list(read()) == sorted([*fifteen, "3.4"])


def test_a_claim_of_ones_own_stands_after_them(own: Claim, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(text(own))
    claims = read(tmp_path)
    assert list(claims)[-1] == "6.1"
    assert claims["6.1"][0] == own


def test_two_claims_cannot_have_one_id(own: Claim, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(text(own, id="1.3"))
    with pytest.raises(ConfigError, match=r"own\.yaml: id: 1\.3 is the id of conf/evidence/1\.3"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"id": "1"}, "id:"),
        ({"id": "0.1"}, "id:"),
        ({"titel": "x"}, "titel: unknown key; did you mean title"),
        ({"source": "guess"}, "source:"),
        ({"valid_days": 0}, "valid_days:"),
        ({"statement": ""}, "statement:"),
        ({"why": None}, "why: is missing"),
        ({"figures": None}, "figures: is missing"),
        ({"control": None}, "control: is missing"),
        ({"quick": None}, "quick: is missing"),
        ({"full": {"rows": 0, "minutes": 1}}, "full.rows:"),
        ({"measure": None}, "measure: is missing"),
        ({"measure": {}}, "measure: give one of each, all and command"),
        ({"measure": {"all": "no"}}, "measure.all:"),
        ({"measure": {"each": "a:b", "record": "c:d"}}, "measure: record: belongs to a measure"),
        ({"measure": {"each": "a:b", "of_record": "c:d"}}, "measure: of_record: belongs to"),
        (
            {"measure": {"all": "a:b", "alone": True, "beside": True}},
            "measure: alone: contradicts beside",
        ),
        (
            {"measure": {"all": "a:b", "record": "c:d", "of_record": "e:f"}},
            "measure: of_record: belongs to a measure with each and record",
        ),
        (
            {
                "measure": {"all": "a:b", "record": "c:d", "options": {"record": 3}},
                "control": {"says": "x", "options": {"x": 1}},
            },
            "measure.options.record: has to be a mapping",
        ),
    ],
)
def test_a_wrong_key_is_named(own: Claim, changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text(own, **changed), "own.yaml")
    assert f"own.yaml: {expected}" in str(refusal.value)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"estimator": "ratio"}, "over: belongs to estimator: ratio"),
        ({"over": "n"}, "over: belongs to estimator: ratio"),
        ({"estimator": "rate"}, "over: belongs to estimator: ratio or rate"),
        ({"estimator": "quantile"}, "q: belongs to estimator: quantile"),
        ({"estimator": "quantile", "q": 1.0}, "q:"),
        ({"q": 0.5}, "q: belongs to estimator: quantile"),
        ({"operator": "<"}, "operator:"),
        ({"limit": "inf"}, "limit:"),
        ({"smallest_n": 0}, "smallest_n:"),
    ],
)
def test_a_wrong_figure_is_named(own: Claim, changed: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(text(own, figures=figure(own, **changed)), "own.yaml")
    assert expected in str(refusal.value)


def test_a_control_names_figures_that_there_are(own: Claim) -> None:
    with pytest.raises(ConfigError, match=r'control\.misses: "speed" is not allowed \(latency\)'):
        parse(text(own, control={"says": "x", "command": ["x"], "misses": ["speed"]}), "own.yaml")


def test_the_words_for_a_record_are_laid_over_each_other(own: Claim) -> None:
    measure = {
        "all": "a:b",
        "record": "c:d",
        "options": {"x": 1, "record": {"s": 80, "of": "june"}},
    }
    claim = parse(
        text(
            own,
            measure=measure,
            full={"rows": 9, "minutes": 1, "options": {"record": {"s": 270}}},
            control={"says": "slow", "options": {"x": 2, "record": {"engine": "off"}}},
        ),
        "own.yaml",
    )
    assert claim.options("quick", control=False) == {"x": 1, "record": {"s": 80, "of": "june"}}
    assert claim.options("full", control=True) == {
        "x": 2, "record": {"s": 270, "of": "june", "engine": "off"},
    }  # fmt: skip


def test_the_products_claims_about_one_load_share_its_record() -> None:
    claims = read()
    for level in LEVELS:
        load, outcome = (claims[name][0].options(level, control=False) for name in ("1.2", "2.3"))
        assert load["record"] == outcome["record"]
    # The twin of the control is another one, the live part is the same.
    outcome = claims["2.3"][0]
    assert (
        outcome.options("quick", control=True)["record"]
        == outcome.options("quick", control=False)["record"]
    )


def test_rows_that_are_asked_for_have_to_be_enough(own: Claim) -> None:
    each = {"each": "a:b"}
    control = {"says": "broken", "options": {"broken": True}}
    with pytest.raises(ConfigError, match=r"quick\.rows: 4 is not allowed: figures\.latency"):
        parse(text(own, measure=each, control=control, quick={"rows": 4, "minutes": 1}), "x")


@pytest.mark.parametrize("raw", [b"[1, 2]", b"x: [", b"\xff\xfe"])
def test_what_is_no_claim_is_refused(raw: bytes) -> None:
    with pytest.raises(ConfigError, match=r"own\.yaml: is n"):
        parse(raw, "own.yaml")


def test_claims_are_chosen_by_their_ids() -> None:
    every = dict.fromkeys(("1.1", "1.2", "5.3"))
    assert chosen(every, []) == ["1.1", "1.2", "5.3"]
    assert chosen(every, ["5.3", "1.1"]) == ["1.1", "5.3"]
    with pytest.raises(ConfigError, match=r"5\.4: no such claim; did you mean 5\.3"):
        chosen(every, ["5.4"])


def test_the_claim_in_the_guide_is_one(repository: Path) -> None:
    guide = (repository / "docs" / "guides" / "evidence.md").read_text(encoding="utf-8")
    example = guide.partition("<!-- example: own claim -->\n```yaml\n")[2].partition("```")[0]
    claim = parse(example.encode(), "docs/guides/evidence.md")
    assert claim.id == "6.1"
    assert len(example.splitlines()) <= 24

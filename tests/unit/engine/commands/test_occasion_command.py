"""`engine occasion`: proposed, approved by somebody else, listed, taken back, refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.adapters.store.sealed import desk_of
from engine.commands import occasion
from engine.model import Occasion
from engine.security import local
from engine.security.roles import Method, Principal, Role

FROM = ["--from", "2099-06-19T20:15Z", "--for", "30m"]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which time has not passed 2099."""
    monkeypatch.setattr("engine.commands.occasion.engine_s", lambda *_: 4_085_000_000.0)
    monkeypatch.setattr("engine.ports.occasions.FARTHEST_S", 1e12)
    return tmp_path


def run(state: Path, *words: str) -> int:
    return occasion.run([*words, "--state", str(state)])


def be(monkeypatch: pytest.MonkeyPatch, name: str, *roles: Role) -> None:
    who = Principal(name, frozenset(roles or Role), method=Method.LOCAL)
    monkeypatch.setattr(local, "principal", lambda _: who)


def standing(state: Path) -> list[Occasion]:
    desk = desk_of(state)
    try:
        return [one.request for one in desk.asked()[0] if isinstance(one.request, Occasion)]
    finally:
        desk.close()


def test_somebody_proposes_somebody_else_approves_and_it_is_taken_back(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, "ann")
    words = ("propose", "TV spot", "api=3", "real-time=2.5", *FROM, "--sure", "0.8", "--ramp", "2m")
    assert run(state, *words, "--why", "a spot") == 0
    name = capsys.readouterr().out.splitlines()[-1]
    (one,) = standing(state)
    assert (one.id, one.times, one.sure, one.ramp_s) == (
        name, (("api", 3.0), ("real-time", 2.5)), 0.8, 120.0,
    )  # fmt: skip
    assert (one.requested_by, one.counts) == ("ann", False)
    assert run(state, "approve", name) == 2
    assert "somebody else approves it" in capsys.readouterr().err
    be(monkeypatch, "bob")
    assert run(state, "approve", name) == 0
    assert standing(state)[0].counts
    capsys.readouterr()
    assert run(state, "list") == 0
    assert capsys.readouterr().out == (
        f"{name}  TV spot: api 3 times, real-time 2.5 times, from 2099-06-19 20:15 UTC, approved\n"
    )
    assert run(state, "drop", name) == 0
    assert standing(state)[0].ended_by == "bob"
    assert run(state, "drop", name) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("propose", "x", "api=0.5", *FROM), "times.api: 0.5 is not allowed (more than 1"),
        (("propose", "x", "api=nan", *FROM), "times.api: nan is not allowed"),
        (("propose", "x", "api=3", *FROM, "--sure", "2"), "sure: 2.0 is not allowed (more than 0"),
        (("propose", "x", "api=3", *FROM, "--ramp", "3h"), "ramp_s: 10800.0 is not allowed"),
        (("propose", "x", "api=3", "--from", "2020-01-01T00:00Z", "--for", "1h"), "starts_s: "),
        (("propose", "x", *FROM), "times: "),
        (("approve", "o-none"), 'ID: "o-none" is not allowed (there is none)'),
    ],
)
def test_what_cannot_be_meant_is_named_and_leaves_nothing_behind(
    state: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    assert run(state, *words) == 2
    assert said in capsys.readouterr().err
    assert standing(state) == []


@pytest.mark.parametrize(
    "words",
    [
        ("propose", "x", "api", *FROM), ("propose", "x", "api=3"), ("list", "--sure", "1"),
        ("propose", "x", "api=3", "--from", "2027-06-19T20:15", "--for", "30m"), ("drop",),
    ],
)  # fmt: skip
def test_words_that_cannot_be_read_end_with_2(state: Path, words: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(state, *words)
    assert ended.value.code == 2


def test_who_may_set_no_floor_proposes_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, "val", Role.VIEWER)
    assert run(state, "propose", "x", "api=3", *FROM) == 2
    assert "val (viewer) may not floor api" in capsys.readouterr().err
    assert standing(state) == []

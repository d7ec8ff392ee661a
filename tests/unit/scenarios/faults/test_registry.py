"""Kinds of fault: the built-in ones are files, somebody's own is named as `module:Class`."""

from __future__ import annotations

import dataclasses
import sys
import types
from pathlib import Path
from typing import Any, ClassVar

import pytest

from engine.config.strict import ConfigError, Strict, validated
from engine.monitoring.findings import CauseKind
from scenarios.faults import kinds as files
from scenarios.faults.base import During, Effect, Factor, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.kinds.capacity_shortage import CapacityShortage
from scenarios.faults.kinds.flash_crowd import FlashCrowd
from scenarios.faults.parts import Parts, SlownessPart
from scenarios.faults.registry import KINDS, AnyFault
from scenarios.streams import Streams


class Ours(During):
    """A kind of somebody's own."""

    service: str
    factor: Factor

    spoils: ClassVar[str] = "slowness"

    def effect(self, part: SlownessPart, happening: Happening) -> Effect:
        return Effect()


class Unfinished(During):
    """Says what it is, and not what it does."""


class Held(Strict):
    faults: dict[str, AnyFault]


@pytest.fixture(autouse=True)
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("ours")
    vars(module).update(Ours=Ours, Unfinished=Unfinished, nothing=None, function=len)
    monkeypatch.setitem(sys.modules, "ours", module)


def test_each_file_is_a_kind_with_its_name() -> None:
    here = {path.stem for path in Path(files.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(KINDS) == here
    assert {name: kind.model_fields["kind"].default for name, kind in KINDS.items()} == {
        name: name for name in KINDS
    }


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_what_a_kind_says_of_itself_holds(kind: Any) -> None:
    assert kind.spoils in {field.name for field in dataclasses.fields(Parts)}
    assert kind.cause in {"", *(cause.value for cause in CauseKind)}
    draw = Draw(Streams(3)("draws"))
    for _ in range(100):
        victim = Victim("api", "database", zone=2, share=0.2, longest_s=draw.whole(120, 3600))
        own = kind.drawn(draw, victim)
        times = {"at": 60} | ({"duration_s": 60} if "duration_s" in kind.model_fields else {})
        made = kind.model_validate({**times, **own})
        assert 0.0 <= made.lasts_s <= 604_800.0
        made.check(["api"])


def test_one_of_somebody_s_own_is_a_fault_like_any_other() -> None:
    raw = {"kind": "ours:Ours", "service": "api", "factor": 3, "at": "peak", "duration_s": 60}
    held = Held.model_validate(
        {"faults": {"mine": raw, "theirs": {"kind": "slow_boot", "factor": 2}}}
    )
    assert isinstance(held.faults["mine"], Ours)
    assert (held.faults["mine"].name, held.faults["mine"].lasts_s) == ("ours:Ours", 60.0)
    assert Held.model_validate_json(held.model_dump_json()) == held
    assert Held.model_validate(held.model_dump()) == held


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"factor": 0.0}, r"^faults\.mine\.factor: 0\.0 is not allowed \(more than 0 … 1,000\)$"),
        ({"facter": 2}, r"^faults\.mine\.facter: unknown key; did you mean factor"),
        ({"at": "noon"}, r'^faults\.mine\.at: "noon" is not allowed, give seconds'),
        ({"service": 3}, r"^faults\.mine\.service: 3 is not allowed \(text\)$"),
        ({"kind": "ours:Theirs"}, r"^faults\.mine\.kind: ours:Theirs cannot be loaded \(.*Theirs"),
        ({"kind": "nowhere_at_all:Ours"}, r"^faults\.mine\.kind: .* cannot be loaded \(No module"),
        ({"kind": "ours:nothing"}, r"^faults\.mine\.kind: ours:nothing cannot be called$"),
        ({"kind": "ours:function"}, r"^faults\.mine\.kind: ours:function is no class made of"),
        ({"kind": "ours:Unfinished"}, r"^faults\.mine\.kind: ours:Unfinished has no effect$"),
        ({"kind": "slow_servise"}, r"^faults\.mine\.kind: .*did you mean slow_service"),
    ],
)
def test_what_is_wrong_with_one_is_said_of_its_key(raw: dict[str, Any], says: str) -> None:
    right = {"kind": "ours:Ours", "service": "api", "factor": 3, "at": 0, "duration_s": 60}
    with pytest.raises(ConfigError, match=says):
        validated(Held, {"faults": {"mine": {**right, **raw}}})


def test_two_wrong_keys_are_two_lines() -> None:
    raw = {"kind": "ours:Ours", "factor": -1, "at": 0, "duration_s": 60}
    with pytest.raises(ConfigError) as raised:
        validated(Held, {"faults": {"mine": raw}})
    assert sorted(line.partition(": ")[0] for line in str(raised.value).splitlines()) == [
        "faults.mine.factor", "faults.mine.service",
    ]  # fmt: skip


def test_what_the_fields_alone_cannot_say_is_checked() -> None:
    crowd = FlashCrowd(service="database", factor=2, at=0, ramp_s=1, hold_s=1, decay_s=1)
    with pytest.raises(ValueError, match=r'^service: "database" is not allowed \(api\)'):
        crowd.check(["api"])
    crowd.check(["api", "database"])
    short = CapacityShortage(at=0, duration_s=1, zones=(1,), granted=0.5)
    with pytest.raises(ValueError, match=r"^granted: 0\.5 is not allowed with zones \(0\)$"):
        short.check([])
    CapacityShortage(at=0, duration_s=1, zones=(1,)).check([])

"""Worlds of engines that share a table: nothing shows that must not be, planted faults do."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from engine.sharding.protocol import LeaseRow, Round, RoundAnswer
from twin.commands import making
from twin.leases import campaign, command
from twin.leases.faults import LeaseFaultKind, drawn
from twin.leases.linearizable import is_linearizable
from twin.leases.plants import PLANTS
from twin.leases.world import TableCall

SHOWS = {
    "deadline counted from receipt": 478,
    "deadline longer than the lease": 0,
    "what is over comes back": 4,
    "given back and gone on": 4,
    "deadline by the time of day": 10,
    "deadline not looked at": 0,
    "epoch not raised": 0,
    "taken from the living": 1,
    "kept though it ran out": 107,
    "given back by another": 3,
    "no check of epochs at the actuator": 19,
    "no check of counts at the actuator": 2,
}
"""A world in which each planted fault shows."""


def test_worlds_show_nothing_that_must_not_be_and_much_happens_in_them() -> None:
    tally = campaign.campaign(1000, 40, 1)
    assert not tally.violations
    assert (tally.worlds, tally.histories) == (40, 40)
    assert set(tally.kinds) == {kind.value for kind in LeaseFaultKind}
    assert tally.actions > 1000
    assert tally.refused > 10
    assert tally.moves > 40


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_fault_shows(plant: str) -> None:
    assert campaign.seen_at(plant, 1, SHOWS[plant]) is not None
    assert campaign.played(SHOWS[plant])[1] == set()  # and without it the same world is clean


def test_a_world_is_the_same_each_time() -> None:
    assert drawn(7) == drawn(7) != drawn(8)
    assert campaign.played(7)[0] == campaign.played(7)[0]


# --- histories by hand


def call(
    member: str, sent_s: float, heard_s: float, row: LeaseRow, *,
    taken: int | None = None, keep: int = 0, kept: bool = False, drop: int = 0,
) -> TableCall:  # fmt: skip
    asked = Round(
        member, 1, "", True, False,
        (("s", keep),) if keep else (), (("s", drop),) if drop else (),
        () if taken is None else ("s",),
    )  # fmt: skip
    answer = RoundAnswer(
        1, (("s", keep),) if kept else (), (("s", taken),) if taken else (), (row,), (), True
    )
    return TableCall(member, asked, sent_s, heard_s, answer)


X1, X2, Y2, FREE1 = (
    LeaseRow("s", "x", 1, 5.0), LeaseRow("s", "x", 2, 5.0),
    LeaseRow("s", "y", 2, 5.0), LeaseRow("s", "", 1, -1.0),
)  # fmt: skip
X_TAKES = call("x", 0.0, 1.0, X1, taken=1)
Y_TAKES = call("y", 2.0, 3.0, Y2, taken=2)


@pytest.mark.parametrize(("calls", "can_be"), [
    ((X_TAKES, Y_TAKES), True),  # the lease ran out between
    ((X_TAKES, call("y", 2.0, 3.0, X1, taken=0)), True),
    ((X_TAKES, replace(Y_TAKES, sent_s=0.5)), True),
    ((Y_TAKES, replace(X_TAKES, sent_s=4.0, heard_s=5.0)), False),  # the first epoch came last
    ((X_TAKES, call("y", 2.0, 3.0, LeaseRow("s", "y", 1, 5.0), taken=1)), False),
    ((X_TAKES, Y_TAKES, call("x", 4.0, 5.0, Y2, keep=1)), True),
    ((X_TAKES, Y_TAKES, call("x", 4.0, 5.0, Y2, keep=1, kept=True)), False),
    ((X_TAKES, Y_TAKES, call("x", 4.0, 5.0, X1)), False),  # what it saw was over before it asked
    ((X_TAKES, Y_TAKES, call("x", 2.5, 5.0, X1)), True),
    ((X_TAKES, call("x", 2.0, 3.0, FREE1, drop=1), call("y", 4.0, 5.0, X1, taken=0)), False),
    ((X_TAKES, call("x", 2.0, 3.0, FREE1, drop=1), call("y", 4.0, 5.0, Y2, taken=2)),
     True),
])  # fmt: skip
def test_a_history_is_one_of_a_register_or_is_not(
    calls: tuple[TableCall, ...], can_be: bool
) -> None:
    assert is_linearizable(calls, ["s"]) is can_be


def test_a_round_that_nobody_heard_may_have_counted_later_or_not() -> None:
    unheard = replace(Y_TAKES, heard_s=math.inf, answer=None)
    for row in (X1, Y2):
        assert is_linearizable([X_TAKES, unheard, call("x", 8.0, 9.0, row)], ["s"])
    assert not is_linearizable([X_TAKES, unheard, call("x", 1.2, 1.5, Y2)], ["s"])  # not yet sent


# --- the command


def test_the_command_says_what_came_of_the_worlds(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run(command.read(["worlds=10", "histories=5"])) == 0
    said = capsys.readouterr().out
    assert said.startswith("10 worlds, ")
    assert "2 histories checked" in said
    assert said.endswith("nothing that must not be\n")


@pytest.mark.parametrize("word", ["worlds=0", "worlds=x", "seed=-1", "workers=0", "plants=1.5"])
def test_a_word_that_makes_no_sense_is_named(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        making.leases([word])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {word.partition('=')[0]}: ")

"""The table of roles, cell by cell, as it was agreed upon: by hand, in claim 4.1."""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.security.identity import (
    LONGEST,
    NotAuthenticatedError,
    UnknownKeyError,
    authenticated,
    bearer,
)
from engine.security.roles import (
    ANSWERS,
    TABLE,
    Extent,
    Method,
    Permission,
    PlatformState,
    Principal,
    Role,
    Situation,
    approvals_needed,
    is_same,
    refusal,
    visible,
)
from twin.evidence.claims import read
from twin.evidence.measures.roles import agreed

NOW_S = 1_813_437_000.0

CELLS = agreed(read()["4.1"][0].options("quick", control=False)["matrix"])
SERVICE = {Extent.STATELESS: "api", Extent.STATEFUL: "database", Extent.PLATFORM: ""}


def someone(*roles: Role, name: str = "pat", **of: object) -> Principal:
    return Principal(name, frozenset(roles), **of)  # type: ignore[arg-type]


def asked(principal: Principal, permission: Permission, extent: Extent, state: PlatformState,
          **of: object) -> str:  # fmt: skip
    situation = Situation(state, stateful=extent is Extent.STATEFUL, **of)  # type: ignore[arg-type]
    return refusal(principal, permission, SERVICE[extent], situation, now_s=NOW_S)


def test_the_matrix_has_every_cell_that_there_can_be() -> None:
    assert set(CELLS) == set(itertools.product(Role, Permission, Extent, PlatformState))
    assert len(CELLS) == 9 * 24 * 3 * 3


def test_each_cell_is_as_the_matrix_has_it() -> None:
    wrong = [
        cell for cell, may in CELLS.items()
        if (asked(someone(cell[0]), *cell[1:]) == "") != may
    ]  # fmt: skip
    assert wrong == []


def test_nothing_is_allowed_that_the_matrix_does_not_name() -> None:
    assert {cell for cell, may in CELLS.items() if may} == TABLE


@given(
    st.sets(st.sampled_from(Role)), st.sampled_from(Permission), st.sampled_from(Extent),
    st.sampled_from(PlatformState),
)  # fmt: skip
def test_several_roles_may_what_one_of_them_may(
    roles: set[Role], permission: Permission, extent: Extent, state: PlatformState
) -> None:
    may = any(CELLS[role, permission, extent, state] for role in roles)
    assert (asked(someone(*roles), permission, extent, state) == "") == may


def test_without_a_role_nothing_is_allowed() -> None:
    for permission, extent, state in itertools.product(Permission, Extent, PlatformState):
        assert "no role" in asked(someone(), permission, extent, state)


@given(st.sets(st.sampled_from(["api", "database", "chat"])), st.sampled_from(Permission),
       st.sampled_from(Extent), st.sampled_from(PlatformState))  # fmt: skip
def test_a_limit_to_services_only_ever_takes_away(
    services: set[str], permission: Permission, extent: Extent, state: PlatformState
) -> None:
    anybody = someone(*Role)
    limited = someone(*Role, services=frozenset(services))
    reason = asked(limited, permission, extent, state)
    if SERVICE[extent] in services:
        assert reason == asked(anybody, permission, extent, state)
    else:
        assert "limited to some services" in reason


def test_who_is_limited_to_services_has_no_say_about_all_of_them_at_once() -> None:
    limited = someone(Role.INCIDENT_COMMANDER, services=frozenset({"api", "database"}))
    assert asked(limited, Permission.PAUSE, Extent.STATELESS, PlatformState.CALM) == ""
    assert asked(limited, Permission.PAUSE, Extent.PLATFORM, PlatformState.CALM) != ""
    assert visible(limited, ["chat", "database", "api"]) == ("database", "api")
    assert visible(someone(Role.VIEWER), ["chat", "api"]) == ("chat", "api")


@pytest.mark.parametrize("expires_s", [NOW_S, NOW_S - 1.0, -math.inf, math.nan])
def test_what_has_expired_allows_nothing(expires_s: float) -> None:
    late = someone(*Role, expires_s=expires_s)
    for permission in Permission:
        assert "expired" in asked(late, permission, Extent.STATELESS, PlatformState.CALM)
    assert asked(someone(*Role, expires_s=NOW_S + 0.001), Permission.LOOK, Extent.STATELESS,
                 PlatformState.CALM) == ""  # fmt: skip


@pytest.mark.parametrize("spelled", ["pat", "PAT", " Pat ", "ｐａｔ"])
def test_who_asked_does_not_approve_however_he_is_spelled(spelled: str) -> None:
    approver = someone(*Role, name=spelled)
    cell = Extent.STATELESS, PlatformState.CALM
    assert "somebody else" in asked(approver, Permission.APPROVE, *cell, asked_by="pat")
    assert asked(approver, Permission.REJECT, *cell, asked_by="pat") == ""
    assert asked(approver, Permission.APPROVE, *cell, asked_by="sam") == ""


def test_a_scale_in_on_the_day_of_a_wedding_takes_two_people() -> None:
    needed = {
        (state, scale_in): approvals_needed(Situation(state, scale_in=scale_in))
        for state in PlatformState for scale_in in (False, True)
    }  # fmt: skip
    assert needed == {
        (PlatformState.CALM, False): 1, (PlatformState.CALM, True): 1,
        (PlatformState.WEDDING_DAY, False): 1, (PlatformState.WEDDING_DAY, True): 2,
        (PlatformState.EMERGENCY, False): 1, (PlatformState.EMERGENCY, True): 1,
    }  # fmt: skip
    again = asked(someone(Role.APPROVER), Permission.APPROVE, Extent.STATELESS,
                  PlatformState.WEDDING_DAY, scale_in=True, approved_by=("PAT",))  # fmt: skip
    assert "already" in again


def test_a_refusal_is_final_for_everybody_and_both_answers() -> None:
    for role, answer, state in itertools.product(Role, ANSWERS, PlatformState):
        assert asked(someone(role), answer, Extent.STATELESS, state, rejected_by="sam") != ""


def test_a_machine_answers_no_question_that_is_put_to_people() -> None:
    machine = someone(*Role, method=Method.CERTIFICATE)
    for answer in ANSWERS:
        assert "machine" in asked(machine, answer, Extent.STATELESS, PlatformState.CALM)
    assert asked(machine, Permission.SCALE_OUT, Extent.STATELESS, PlatformState.CALM) == ""


@given(st.text(), st.text(), st.text())
def test_to_be_the_same_person_goes_both_ways_and_on(one: str, other: str, third: str) -> None:
    assert is_same(one, one)
    assert is_same(one, other) == is_same(other, one)
    if is_same(one, other) and is_same(other, third):
        assert is_same(one, third)


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic cGF0OnBhdA==", "Bearer a b", "Bearer a\tb", "Bearer é",
     "Bearer a\r\nX: y", "Bearer\ta", "Bearer " + "a" * LONGEST, "a"],
)  # fmt: skip
def test_a_header_that_holds_no_one_token_is_nobodys_and_is_not_repeated(header: str) -> None:
    with pytest.raises(NotAuthenticatedError) as caught:
        bearer(header)
    assert "cGF0" not in str(caught.value) and "X: y" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(scheme: str) -> None:
    assert bearer(f"{scheme} abc.def-_~+/=") == "abc.def-_~+/="


class Renewable:
    """Knows its key from the given renewal on."""

    def __init__(self, after: int) -> None:
        self.after, self.renewed = after, 0

    async def refresh(self, authorization: str, peer: object = None) -> None:
        pass

    def who(self, authorization: str, now_s: float, peer: object = None) -> Principal:
        if self.renewed < self.after:
            raise UnknownKeyError("not heard of")
        return someone(Role.VIEWER)

    def renew(self) -> None:
        self.renewed += 1

    def close(self) -> None:
        pass


def test_keys_are_asked_for_once_where_the_signer_is_not_heard_of() -> None:
    for after in (0, 1):
        identity = Renewable(after)
        assert asyncio.run(authenticated(identity, "Bearer x", NOW_S)).name == "pat"
        assert identity.renewed == after
    stranger = Renewable(2)
    with pytest.raises(NotAuthenticatedError):
        asyncio.run(authenticated(stranger, "Bearer x", NOW_S))
    assert stranger.renewed == 1

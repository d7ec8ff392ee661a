"""Each reader of foreign bytes on some hundred spoilt inputs, and readers that fail."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from tools.fuzz.mutate import LONGEST, spoilt
from tools.fuzz.target import FuzzTarget, TooLongError, fuzz
from tools.fuzz.targets import names, target_of

INPUTS = 150
DEAR = {"artefact", "audit_log", "api", "prometheus", "store_file", "traces"}
"""Readers that take milliseconds for an input."""


@pytest.mark.parametrize("name", names())
def test_no_spoilt_input_ends_in_anything_but_the_promised_errors(name: str) -> None:
    outcome = fuzz(target_of(name), INPUTS // 3 if name in DEAR else INPUTS, seed=1)
    # How long it took is the machine's affair here, and how large its process is already.
    crashes = {
        where: (crash.words, crash.given)
        for where, crash in outcome.crashes.items()
        if where not in ("time", "memory") and not where.startswith(TooLongError.__name__)
    }
    assert crashes == {}


@pytest.mark.parametrize("name", names())
def test_each_valid_input_is_taken(name: str) -> None:
    target = target_of(name)
    read = target.make()
    for whole in target.corpus[:1]:
        read(whole)


def reader(fails_at: bytes, error: BaseException) -> Callable[[], Callable[[bytes], object]]:
    def read(given: bytes) -> object:
        if fails_at in given:
            raise error
        return len(given)

    return lambda: read


def test_a_crash_is_named_once_with_the_smallest_input_that_makes_it() -> None:
    target = FuzzTarget("own", (b'{"a": 1}' * 9,), reader(b"null", KeyError("a")), (ValueError,))
    outcome = fuzz(target, 2000, seed=1)
    (crash,) = outcome.crashes.values()
    assert crash.where.startswith("KeyError at ")
    assert crash.times > 1
    assert b"null" in crash.given
    assert outcome.inputs == 2000


def test_what_is_promised_is_no_crash() -> None:
    target = FuzzTarget("own", (b"12",), reader(b"", ValueError("no")), (ValueError,))
    outcome = fuzz(target, 100, seed=1)
    assert (outcome.crashes, outcome.refused) == ({}, 100)


def test_a_reader_that_hangs_is_ended_and_named() -> None:
    def read(_: bytes) -> object:
        while True:
            pass

    outcome = fuzz(FuzzTarget("own", (b"1",), lambda: read, (), limit_s=0.01), 2, seed=1)
    assert any(where.startswith("TooLongError") for where in outcome.crashes)
    assert "time" in outcome.crashes


@pytest.mark.parametrize("once_mib", [0, 512])
def test_a_reader_that_keeps_what_it_is_given_is_named(once_mib: int) -> None:
    once = bytearray(once_mib << 20)
    once[::4096] = bytes(len(once[::4096]))  # every page of it is there
    del once  # the process was larger, and is not any more
    kept: list[bytearray] = []
    target = FuzzTarget(
        "own",
        (b"1",),
        lambda: lambda _: kept.append(bytearray(b"x" * (8 << 20))),
        (),
        grown_mib=64.0,
    )
    assert "memory" in fuzz(target, 40, seed=1).crashes


def test_the_same_seed_spoils_in_the_same_way() -> None:
    whole = [b'{"a": [1, 2, {"b": "2027-06-19"}]}', b"id,at\n1,2\n"]

    def drawn(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [spoilt(rng, whole[k % 2], whole) for k in range(300)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert len(set(drawn(1))) > 250
    assert max(map(len, drawn(1))) <= LONGEST

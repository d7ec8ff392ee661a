"""What one test teaches this process of secrets, no other test meets in its texts."""

from __future__ import annotations

import pytest

from engine.config import secrets


@pytest.mark.parametrize("turn", ["first", "second"])
def test_a_secret_is_one_in_the_test_that_learned_it_only(turn: str) -> None:
    said = "5 … 3600 seconds in steps of 5"
    assert secrets.redacted(said) == said, f"another test's secret is one in the {turn} turn"
    secrets.learn(secrets.sealed({"token": "seconds"}))
    assert secrets.redacted(said) == f"5 … 3600 {secrets.MARK} in steps of 5"


@pytest.fixture(scope="module")
def taught() -> None:
    secrets.learn(secrets.sealed({"token": "stack-of-the-module"}))


@pytest.mark.parametrize("turn", ["first", "second"])
def test_the_secret_of_a_stack_that_stays_up_is_one_in_all_its_tests(
    turn: str, taught: None
) -> None:
    assert secrets.redacted("stack-of-the-module") == secrets.MARK, turn

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from engine.config.strict import ConfigError, Strict, validated


class Cat(Strict):
    kind: Literal["cat"]
    lives: Annotated[int, Field(ge=1, le=9)] = 9


class Dog(Strict):
    kind: Literal["dog"]
    barks: bool


class House(Strict):
    address: str = Field(min_length=1)
    pets: dict[str, Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(default_factory=dict)
    rent: Annotated[float, Field(gt=0.0)] = 1.0
    answer: Literal["yes", "no"] | Annotated[float, Field(ge=0.0, le=10.0)] = "yes"
    rooms: tuple[Annotated[int, Field(ge=1)], ...] = ()


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({}, "address: is missing"),
        ({"adress": "x", "address": "x"}, "adress: unknown key; did you mean address?"),
        ({"address": "x", "qqq": 1}, "qqq: unknown key (allowed: address, pets, rent, answer, "),
        ({"address": "x", "rent": 0}, "rent: 0 is not allowed (more than 0)"),
        ({"address": "x", "rent": "dear"}, 'rent: "dear" is not allowed (more than 0)'),
        ({"address": "x", "rent": float("nan")}, "rent: NaN is not allowed (more than 0)"),
        ({"address": "x", "rooms": [1, 0]}, "rooms.1: 0 is not allowed (at least 1)"),
        (
            {"address": "x", "answer": "maybe"},
            """answer: "maybe" is not allowed ('yes' or 'no' or 0 … 10)""",
        ),
        (
            {"address": "x", "pets": {"tom": {"kind": "cta"}}},
            'pets.tom.kind: "cta" is not allowed (cat, dog); did you mean cat?',
        ),
        ({"address": "x", "pets": {"tom": {"lives": 1}}}, "pets.tom.kind: is missing"),
        (
            {"address": "x", "pets": {"tom": {"kind": "cat", "lives": 10}}},
            "pets.tom.lives: 10 is not allowed (1 … 9)",
        ),
        (
            {"address": "x", "pets": {"rex": {"kind": "dog", "barks": "loud"}}},
            'pets.rex.barks: "loud" is not allowed (true or false)',
        ),
        (
            {"address": "x", "pets": {"tom": {"kind": "cat", "lifes": 3}}},
            "pets.tom.lifes: unknown key; did you mean lives?",
        ),
        ({"address": "x", "pets": 3}, "pets: 3 is not allowed (a mapping)"),
    ],
)
def test_a_line_names_the_key_what_was_given_and_what_is_allowed(
    raw: dict[str, Any], line: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        validated(House, raw)
    assert str(caught.value).startswith(line)
    assert len(str(caught.value).splitlines()) == 1


def test_each_wrong_key_has_its_line_below_the_key_of_its_part() -> None:
    with pytest.raises(ConfigError) as caught:
        validated(House, {"rent": -1, "rooms": [0]}, under="live.house")
    assert sorted(str(caught.value).splitlines()) == [
        "live.house.address: is missing",
        "live.house.rent: -1 is not allowed (more than 0)",
        "live.house.rooms.0: 0 is not allowed (at least 1)",
    ]


def test_what_was_given_is_cut_where_it_is_long() -> None:
    with pytest.raises(ConfigError) as caught:
        validated(House, {"address": "x", "rent": "y" * 500})
    assert len(str(caught.value)) < 120

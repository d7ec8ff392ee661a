"""The keys of a configuration in words: their paths, defaults, limits and texts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.config.keys import keys_of, table
from engine.config.strict import Strict

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Part(Strict):
    """A part. Of something.

    At length.
    """

    size: Annotated[int, Field(ge=1, le=10_000_000)]
    """How large
    it is."""


class More(Part):
    """A part with more to it."""

    rest: Share = 0.25
    """A | of it."""


class Whole(Strict):
    """A whole."""

    name: str = Field(pattern="^a|b$", description="what it is called")
    kind: Literal["one", "two"] = "one"
    many: bool = True
    at_least: Annotated[float, Field(ge=2.5)] | None = None
    """Null: nothing."""
    list_of: tuple[Share, ...] = ()
    first: Part
    second: More | None = None
    """Another one."""
    by_name: dict[str, tuple[Part, ...]] = Field(default_factory=dict)
    other: Part
    called: float = Field(default=1e15, alias="alias")


def test_each_key_has_its_path_default_limits_and_text() -> None:
    defaults = {"kind": "two", "first": {"size": 1234}, "list_of": [0.5]}
    keys = list(keys_of(Whole, defaults, {"other": "see there"}))
    assert [tuple(key) for key in keys] == [
        ("name", "required", r"text like `^a\|b$`", "what it is called"),
        ("kind", "`two`", "`one`, `two`", ""),
        ("many", "true", "true, false", ""),
        ("at_least", "none", "at least 2.5", "Null: nothing."),
        ("list_of", "`[0.5]`", "a list of more than 0 … 1", ""),
        ("first", "", "", "A part. Of something."),
        ("first.size", "1,234", "1 … 10,000,000", "How large it is."),
        ("second", "none", "", "Another one."),
        ("second.size", "required", "1 … 10,000,000", "How large it is."),
        ("second.rest", "0.25", "more than 0 … 1", r"A \| of it."),
        ("by_name", "", "", "A part. Of something."),
        ("by_name.<name>[].size", "required", "1 … 10,000,000", "How large it is."),
        ("other", "", "", "see there"),
        ("alias", "1e+15", "a number", ""),
    ]


def test_a_table_has_a_row_a_key() -> None:
    (first, *_) = keys_of(Part, {})
    assert table([first]).splitlines() == [
        "| key | default | allowed | |",
        "| --- | --- | --- | --- |",
        "| `size` | required | 1 … 10,000,000 | How large it is. |",
    ]

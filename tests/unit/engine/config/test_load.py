from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from engine.config.load import build, load
from engine.config.strict import ConfigError

HERE = __name__
CONSTANT = 3


class Pool:
    """Something with one method, made with one argument and two options."""

    def __init__(self, specs: object, *, folder: str, zones: int = 1) -> None:
        self.made_of = (specs, folder, zones)

    def observe(self) -> None: ...


def anything(**options: object) -> Mapping[str, object]:
    return options


def careless(*, folder: str) -> None:
    raise TypeError(f"{folder} is what I cannot work with")


def make(name: str, methods: tuple[str, ...] = (), **options: Any) -> Any:
    given = () if name in ("anything", "careless") else ("specs",)
    return build(
        f"{HERE}:{name}", *given, key="pool.factory", options=options, options_key="pool.options",
        methods=methods,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nowhere.at_all:pool", "cannot be loaded"),
        (f"{HERE}:nobody", "cannot be loaded"),
        (f"{HERE}:CONSTANT", "cannot be called"),
    ],
)
def test_a_reference_that_leads_nowhere_is_said_of_its_key(reference: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"^pool.factory: {reference} {reason}"):
        load(reference, "pool.factory")


def test_options_are_keywords_of_what_is_named() -> None:
    assert make("Pool", ("observe",), folder="f", zones=2).made_of == ("specs", "f", 2)
    assert make("anything", whatever=1) == {"whatever": 1}


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"folder": "f", "zonse": 2}, r"pool.options.zonse: unknown key; did you mean zones\?"),
        ({"folder": "f", "q": 2}, r"pool.options.q: unknown key \(allowed: folder, zones\)"),
        ({"zones": 2}, "pool.options.folder: is missing"),
    ],
)
def test_options_that_do_not_fit_are_named(options: dict[str, Any], line: str) -> None:
    with pytest.raises(ConfigError, match=f"^{line}$"):
        make("Pool", **options)


def test_a_method_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match=r"makes something of type Pool, which has no apply\(\)"):
        make("Pool", ("observe", "apply"), folder="f")


def test_an_error_of_what_is_called_is_no_wrong_option() -> None:
    with pytest.raises(TypeError, match="f is what I cannot work with"):
        make("careless", folder="f")

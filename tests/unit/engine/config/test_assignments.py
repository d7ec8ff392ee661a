"""The words of a command line: what is read, and what is said of those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config.assignments import Assignments, listed, read, whole
from engine.config.strict import ConfigError

OWN = ("date", "months")


@pytest.mark.parametrize(
    ("words", "own", "overrides"),
    [
        ([], {}, ()),
        (["date=2027-01-01"], {"date": "2027-01-01"}, ()),
        (['date="2027-01-01"', "months='3'"], {"date": "2027-01-01", "months": "3"}, ()),
        (["date=a=b"], {"date": "a=b"}, ()),
        (["date= x "], {"date": "x"}, ()),
        (["seed=3", "date=x", "+a.b=[1, 2]"], {"date": "x"}, ("seed=3", "+a.b=[1, 2]")),
        (["~faults.x", "++seed=2", "output="], {}, ("~faults.x", "++seed=2", "output=")),
        (["seed=1", "seed=2"], {}, ("seed=1", "seed=2")),
    ],
)
def test_own_words_and_those_of_the_tree_are_told_apart(
    words: list[str], own: dict[str, str], overrides: tuple[str, ...]
) -> None:
    assert read(words, OWN) == Assignments(own, overrides)


@pytest.mark.parametrize("words", [["--config-dir", "{}"], ["--config-dir={}"]])
def test_folders_of_the_users_own_are_kept_apart(words: list[str], tmp_path: Path) -> None:
    given = read([word.format(tmp_path) for word in words] + ["seed=1"], config_dirs=True)
    assert given == Assignments({}, ("seed=1",), (str(tmp_path),))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["months"],
            '"months" cannot be read; write it as key=value (date=, months= and the like)',
        ),
        (["=3"], '"=3" cannot be read; write it as key=value'),
        ([""], '"" cannot be read; write it as key=value'),
        (["date=1", "date=1"], "date: is given twice"),
        (["date="], "date: is empty"),
        (["date=''"], "date: is empty"),
        (["--fast"], "--fast: unknown option (allowed: --config-dir, --help)"),
        (["-x=3"], "-x: unknown option"),
        (["--config-dri=a"], "--config-dri: unknown option; did you mean --config-dir"),
        (["--config-dir"], "--config-dir: give a folder"),
        (["--config-dir="], "--config-dir: give a folder"),
        (["--config-dir", "nowhere"], "--config-dir: nowhere is no folder"),
        (["controller=hpa"], "controller: choose several"),
        (["+controller=hpa"], "controller: choose several"),
        (["++controller=hpa"], "controller: choose several"),
        (["~controller"], "controller: choose several"),
    ],
)
def test_what_cannot_be_read_is_named(words: list[str], said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read(words, OWN, config_dirs=True, refused={"controller": "choose several"})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("dat=1", "dat: unknown key; did you mean date"),
        ("nosuch=1", "nosuch: unknown key (allowed: date, months)"),
        ("+date=1", "+date: unknown key; did you mean date"),
        ("~date", '"~date" cannot be read; write it as key=value (date=, months=)'),
        ("--config-dir=.", "--config-dir: unknown option (allowed: --help)"),
    ],
)
def test_without_a_tree_there_are_only_the_commands_own_words(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read([word], OWN, tree=False)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("text", "items"),
    [("[a,b]", ["a", "b"]), ("a, b", ["a", "b"]), ("[]", []), ("[ a ]", ["a"]), ("a", ["a"])],
)
def test_lists_are_read_with_brackets_and_without(text: str, items: list[str]) -> None:
    assert listed("days", text) == items


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[a,]", 'days: "[a,]" cannot be read; write days=[A,B]'),
        ("[a", 'days: "[a" cannot be read'),
        (",", 'days: "," cannot be read'),
        ("a,b,a", "days: each one once"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        listed("days", text)
    assert said in str(refused.value)


@pytest.mark.parametrize("text", ["0", "13", "1.5", "many", "", "nan", "1e1"])
def test_a_figure_outside_its_range_is_named_with_it(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        whole("months", text, 1, 12)
    assert str(refused.value) == f"months: {text} is not allowed (1 … 12, whole)"


@pytest.mark.parametrize("number", [1, 12])
def test_the_ends_of_a_range_belong_to_it(number: int) -> None:
    assert whole("months", str(number), 1, 12) == number

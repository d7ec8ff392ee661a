"""The glossary's words are the code's."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CODE = ("engine", "twin", "scenarios", "reports", "locustfiles")
ROW = re.compile(r"^\| (?P<word>[^|]+) \| `(?P<name>[\w.]+)` \| (?P<says>[^|]+) \|$", re.M)


@pytest.fixture(scope="module")
def rows(repository: Path) -> list[tuple[str, str, str]]:
    text = (repository / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    return [(line["word"], line["name"], line["says"]) for line in ROW.finditer(text)]


def public_types(file: Path) -> set[str]:
    """Classes of a module, and the kinds of ids that it makes with `NewType`."""
    names = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            names.add(node.name)
        elif (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Call)
            and isinstance(node.value.func, ast.Name)
            and node.value.func.id == "NewType"
        ):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return {name for name in names if not name.startswith("_")}


def test_every_line_of_a_table_is_a_word_with_its_name_and_its_meaning(
    repository: Path, rows: list[tuple[str, str, str]]
) -> None:
    text = (repository / "docs" / "reference" / "glossary.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    headings = [line for line in lines if line.startswith(("| word", "| ---"))]
    assert len(rows) == len(lines) - len(headings) > 50
    assert all(says.strip().endswith(".") for _, _, says in rows)


def test_every_word_is_in_the_code(repository: Path, rows: list[tuple[str, str, str]]) -> None:
    files = [file for package in CODE for file in (repository / package).rglob("*.py")]
    types = {name for file in files for name in public_types(file)}
    modules = {
        ".".join(file.relative_to(repository).with_suffix("").parts).removesuffix(".__init__")
        for file in files
    }
    assert [name for _, name, _ in rows if name not in types | modules] == []


def test_no_word_stands_for_two_things(rows: list[tuple[str, str, str]]) -> None:
    words = [word.lower() for word, _, _ in rows]
    names = [name for _, name, _ in rows]
    assert len(set(words)) == len(words)
    assert len(set(names)) == len(names)


def test_every_type_of_the_vocabulary_and_of_the_ports_is_in_the_glossary(
    repository: Path, rows: list[tuple[str, str, str]]
) -> None:
    files = [repository / "engine" / "model.py", *(repository / "engine" / "ports").glob("*.py")]
    types = {name for file in files for name in public_types(file)}
    assert types - {name for _, name, _ in rows} == set()

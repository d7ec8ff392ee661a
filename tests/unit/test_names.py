"""Names say what a thing is, and one name stands for one thing."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

CODE = (
    "benchmarks", "engine", "hydra_plugins", "locustfiles", "mutation", "reports", "scenarios",
    "twin",
)  # fmt: skip
SEVERAL: dict[str, str] = {}
"""Public classes that may be there several times, each with the reason."""
EMPTY = {"found", "told", "known"}
"""Names that say how one came by a thing, and not what it is."""


@pytest.fixture(scope="module")
def trees(repository: Path) -> dict[str, ast.Module]:
    return {
        file.relative_to(repository).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
        for folder in (*CODE, "tests")
        for file in sorted((repository / folder).rglob("*.py"))
    }


def bound(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Names that are given to variables, parameters, attributes, functions and classes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield (node.id if isinstance(node, ast.Name) else node.attr), node.lineno
        elif isinstance(node, ast.arg):
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno


def test_no_name_of_a_public_class_stands_for_two_things(trees: dict[str, ast.Module]) -> None:
    places = defaultdict(list)
    for path, tree in trees.items():
        if path.startswith("tests/"):
            continue
        for node in tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(path)
    assert len(places) > 300
    several = {name: at for name, at in places.items() if len(at) > 1 and name not in SEVERAL}
    assert several == {}
    assert [name for name in SEVERAL if len(places[name]) < 2] == []


def test_names_say_what_a_thing_is(trees: dict[str, ast.Module]) -> None:
    empty = [
        f"{path}:{line}: {name}"
        for path, tree in trees.items()
        for name, line in bound(tree)
        if name.strip("_").lower() in EMPTY
    ]
    assert empty == []

"""Each test that the page of attacks names is there, and each line of it names one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

NAMED = re.compile(r"`(test_\w+)`")


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "reference" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_is_named_is_there(repository: Path, page: str) -> None:
    there = {
        node.name
        for file in (repository / "tests").rglob("test_*.py")
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    named = set(NAMED.findall(page))
    assert len(named) > 60
    assert sorted(named - there) == []


def test_every_line_of_a_table_names_a_test(page: str) -> None:
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    rows = [line for line in lines if not line.startswith(("| item", "| ---"))]
    assert len(rows) > 30
    assert [row for row in rows if not NAMED.search(row)] == []


def test_all_ten_items_of_the_top_ten_are_there(page: str) -> None:
    items = re.findall(r"^\| (API\d+) ", page, re.M)
    assert items == [f"API{number}" for number in range(1, 11)]

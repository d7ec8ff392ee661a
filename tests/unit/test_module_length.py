"""A long module says in its docstring why it is one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

MOST_LINES = 450
WHY = re.compile(r"\b[Ii]t is (one )?long\b|\blonger than most modules\b")
PACKAGES = (
    "benchmarks", "engine", "hydra_plugins", "locustfiles", "mutation", "reports", "scenarios",
    "tests", "tools", "twin",
)  # fmt: skip


def test_who_is_long_says_why(repository: Path) -> None:
    modules = [path for name in PACKAGES for path in (repository / name).rglob("*.py")]
    assert len(modules) > 800
    silent = []
    for path in modules:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > MOST_LINES:
            docstring = ast.get_docstring(ast.parse(text)) or ""
            if not WHY.search(docstring):
                silent.append(str(path.relative_to(repository)))
    assert silent == []

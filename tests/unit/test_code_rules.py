"""A scan for what the product's code must not hold fails if it did not look."""

from __future__ import annotations

import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def script(repository: Path, name: str) -> ModuleType:
    path = str(repository / ".ci" / name)
    loader = importlib.machinery.SourceFileLoader(name, path)
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


READ: dict[str, Any] = {"results": [], "errors": [], "metrics": {"a.py": {}, "_totals": {}}}


@pytest.mark.parametrize(("answer", "there", "code"), [
    (READ, {"a.py"}, 0), (READ, {"a.py", "b.py"}, 1), (READ, set(), 1),
    (READ | {"metrics": {"_totals": {}}}, {"a.py"}, 1),
    (READ | {"errors": [{"filename": "a.py", "reason": "syntax error"}]}, {"a.py"}, 1),
    (READ | {"results": [{"filename": "a.py", "line_number": 1, "test_id": "B1",
                          "issue_text": "bad"}]}, {"a.py"}, 1),
])  # fmt: skip
def test_a_scan_that_did_not_look_has_not_passed(
    repository: Path, answer: dict[str, Any], there: set[str], code: int
) -> None:
    assert script(repository, "scan").judged(answer, there) == code


RULED: dict[str, Any] = {"results": [], "errors": [], "paths": {"scanned": ["a.py"]}}


@pytest.mark.parametrize(("answer", "there", "code"), [
    (RULED, {"a.py"}, 0), (RULED, {"a.py", "b.py"}, 1), (RULED, set(), 1),
    (RULED | {"errors": [{"message": "a rule that is none"}]}, {"a.py"}, 1),
    (RULED | {"results": [{"path": "a.py", "start": {"line": 1}, "check_id": "rules.shell",
                           "extra": {"message": "bad"}}]}, {"a.py"}, 1),
])  # fmt: skip
def test_rules_that_did_not_look_have_not_passed(
    repository: Path, answer: dict[str, Any], there: set[str], code: int
) -> None:
    assert script(repository, "scan").judged_rules(answer, there) == code


def seen(**passed: bool) -> dict[str, Any]:
    return {"results": {"x.yaml": {"checks": {r: {"passed": p} for r, p in passed.items()}}}}


@pytest.mark.parametrize(("answer", "rules", "code"), [
    (seen(shell=True), {"shell"}, 0), (seen(shell=False), {"shell"}, 1),
    (seen(shell=True), {"shell", "redirect"}, 1),  # one has no example
    ({"results": {}}, {"shell"}, 1), (seen(), set(), 1),
])  # fmt: skip
def test_a_rule_that_does_not_see_what_it_is_for_has_not_passed(
    repository: Path, answer: dict[str, Any], rules: set[str], code: int
) -> None:
    assert script(repository, "scan").judged_examples(answer, rules) == code


def looked_up(*names: str, **other: Any) -> dict[str, Any]:
    dependencies = [{"name": name, "version": "1.0", "vulns": [], **other} for name in names]
    return {"dependencies": dependencies}


ADVISORY = {"id": "PYSEC-1", "fix_versions": ["1.1"]}


@pytest.mark.parametrize(("answer", "code", "strict", "verdict"), [
    (looked_up("a", "b-c"), 0, 0, "pip-audit: checked: 2 of 2"),
    (looked_up("A", "b_C"), 0, 0, "pip-audit: checked: 2 of 2"),
    (looked_up("a"), 0, 1, "pip-audit: NOT CHECKED: 1 of 2"),  # it says nothing of the other
    (looked_up("a", "b-c", version="2.0"), 0, 1, "NOT CHECKED: 0 of 2"),  # it looked at others
    (looked_up("a", "b-c", skip_reason="not on PyPI"), 0, 1, "NOT CHECKED: 0 of 2"),
    ({"dependencies": [{"name": "a", "version": "1.0"}]}, 0, 1, "NOT CHECKED: 0 of 2"),
    ({}, 0, 1, "NOT CHECKED: 0 of 2"),  # it did not run at all
    (looked_up("a", "b-c", vulns=[ADVISORY]), 1, 1, "2 advisories"),
    (looked_up("a", vulns=[ADVISORY]), 1, 1, "NOT CHECKED: 1 of 2"),
])  # fmt: skip
def test_versions_that_nobody_looked_up_are_not_checked_and_never_passed(
    repository: Path, capsys: pytest.CaptureFixture[str], answer: dict[str, Any], code: int,
    *, strict: int, verdict: str,
) -> None:  # fmt: skip
    module = script(repository, "advisories")
    pins = module.pinned("# exact\nA==1.0\nb_c==1.0 ; python_version < '4'\n\n")
    assert pins == {"a": "1.0", "b-c": "1.0"}
    assert module.judged(answer, pins, "nobody knows") == code
    assert verdict in capsys.readouterr().out.splitlines()[-1]
    assert module.judged(answer, pins, "nobody knows", strict=True) == strict


def test_where_nothing_is_pinned_nothing_is_checked(repository: Path) -> None:
    assert script(repository, "advisories").judged({}, {}, "", strict=True) == 1

"""What the product's code must not hold, whoever writes it; and a scan that did not look fails."""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


def name_of(node: ast.expr) -> str:
    """`a.b.c` of a name or an attribute, "" of anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return ""


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, name_of(node.func)


def is_given(call: ast.Call, keyword: str, value: object) -> bool:
    return any(
        one.arg == keyword and isinstance(one.value, ast.Constant) and one.value.value is value
        for one in call.keywords
    )


def code_from_text(tree: ast.AST) -> Iterator[int]:
    banned = (
        "eval",
        "exec",
        "pickle.load",
        "pickle.loads",
        "marshal.loads",
        "os.system",
        "os.popen",
    )
    yield from (call.lineno for call, name in calls(tree) if name in banned)


def shells(tree: ast.AST) -> Iterator[int]:
    yield from (call.lineno for call, name in calls(tree)
                if name.startswith("subprocess.") and is_given(call, "shell", True))  # fmt: skip


def trust_of_anybody(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in (
            "CERT_NONE",
            "_create_unverified_context",
        ):
            yield node.lineno
    yield from (call.lineno for call, _ in calls(tree) if is_given(call, "verify", False))


def redirects(tree: ast.AST) -> Iterator[int]:
    yield from (call.lineno for call, _ in calls(tree) if is_given(call, "follow_redirects", True))


def tokens_of_chance(tree: ast.AST) -> Iterator[int]:
    """`random` is for nothing here: tokens are of `secrets`, draws of NumPy's generators."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name == "random" for one in node.names):
            yield node.lineno


def weak_hashes(tree: ast.AST) -> Iterator[int]:
    yield from (call.lineno for call, name in calls(tree)
                if name in ("hashlib.md5", "hashlib.sha1", "md5", "sha1")
                and not is_given(call, "usedforsecurity", False))  # fmt: skip


def compared_digests(tree: ast.AST) -> Iterator[int]:
    """Two digests compared with == say by the time it takes how much of them is alike."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and any(
            isinstance(o, ast.Eq | ast.NotEq) for o in node.ops
        ):
            sides = [name_of(side) or name_of(getattr(side, "func", side))
                     for side in (node.left, *node.comparators)]  # fmt: skip
            if any(side.rpartition(".")[2] in ("sha256", "digest", "hexdigest") for side in sides):
                yield node.lineno


RULES: dict[Callable[[ast.AST], Iterator[int]], tuple[str, ...]] = {
    code_from_text: ("engine",),
    shells: ("engine",),
    trust_of_anybody: ("engine",),
    redirects: ("engine",),
    tokens_of_chance: ("engine",),
    weak_hashes: ("engine",),
    compared_digests: ("engine/security/tokens.py", "engine/security/break_glass.py",
                       "engine/security/gate.py", "engine/api"),
}  # fmt: skip


def files(repository: Path, place: str) -> list[Path]:
    path = repository / place
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_product_keeps_the_rule(
    repository: Path, rule: Callable[[ast.AST], Iterator[int]]
) -> None:
    broken = [
        f"{path.relative_to(repository)}:{line}"
        for place in RULES[rule] for path in files(repository, place)
        for line in rule(ast.parse(path.read_text(encoding="utf-8")))
    ]  # fmt: skip
    assert broken == []


@pytest.mark.parametrize(("rule", "text"), [
    (code_from_text, "eval(x)"), (code_from_text, "pickle.loads(x)"),
    (shells, "subprocess.run(x, shell=True)"), (trust_of_anybody, "c.verify_mode = ssl.CERT_NONE"),
    (trust_of_anybody, "httpx.get(x, verify=False)"), (redirects, "C(follow_redirects=True)"),
    (tokens_of_chance, "import random"), (weak_hashes, "hashlib.md5(x)"),
    (compared_digests, "token.sha256 == digest(x)"), (compared_digests, "a != b.hexdigest()"),
])  # fmt: skip
def test_each_rule_sees_what_it_is_for(rule: Callable[[ast.AST], Iterator[int]], text: str) -> None:
    assert list(rule(ast.parse(text))) == [1]


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
    strict: int, verdict: str,
) -> None:  # fmt: skip
    module = script(repository, "advisories")
    pins = module.pinned("# exact\nA==1.0\nb_c==1.0 ; python_version < '4'\n\n")
    assert pins == {"a": "1.0", "b-c": "1.0"}
    assert module.judged(answer, pins, "nobody knows") == code
    assert verdict in capsys.readouterr().out.splitlines()[-1]
    assert module.judged(answer, pins, "nobody knows", strict=True) == strict


def test_where_nothing_is_pinned_nothing_is_checked(repository: Path) -> None:
    assert script(repository, "advisories").judged({}, {}, "", strict=True) == 1

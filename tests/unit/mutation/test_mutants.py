"""What can be spoiled, and what is left alone."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from mutation.mutants import Mutant, mutants_of, spoiled


def of(source: str) -> list[Mutant]:
    return mutants_of("toy", "toy.py", dedent(source))


@pytest.mark.parametrize(
    ("expression", "changes"),
    [
        ("a < b", ["a <= b", "a >= b"]),
        ("a <= b < c", ["a < b < c", "a > b < c", "a <= b <= c", "a <= b >= c"]),
        ("a == b", ["a != b"]),
        ("a is None", ["a is not None"]),
        ("a not in b", ["a in b"]),
        ("a + b", ["a - b"]),
        ("a / b", ["a * b"]),
        ("a and b", ["a or b"]),
        ("not a", ["a"]),
        ("-a", ["a"]),
        ("[3]", ["[4]", "[2]"]),
        ("[0]", ["[1]"]),
        ("[0.25]", ["[0.5]"]),
        ("[0.0]", ["[1.0]"]),
        ("[True]", ["[False]"]),
        ("min(a, b)", ["max(a, b)"]),
        ("math.ceil(a)", ["math.floor(a)"]),
        ("f(a, b, c)", ["f(b, a, c)"]),
        ("f(a, b=True)", ["b=False"]),
        ("b if a else c", ["not a"]),
        ("[a for a in b if a]", ["not a"]),
        # Left alone: words, and what allows for rounding.
        ("f'{a:.3f}' 'text'", []),
        ("'a' + b", []),
        ("[1e-9]", []),
        ("f(*a, b)", []),
        ("isinstance(a, b)", []),
    ],
)
def test_an_expression_is_spoiled_in_each_way_that_matters(expression, changes) -> None:  # type: ignore[no-untyped-def]
    mutants = of(f"def toy(a, b, c):\n    x = {expression}\n")
    assert [mutant.after for mutant in mutants] == changes
    assert {mutant.function for mutant in mutants} <= {"toy"}
    assert all(mutant.surgical for mutant in mutants)


@pytest.mark.parametrize(
    ("statement", "changes"),
    [
        ("return a", [("return a", "return None")]),
        ("return None", []),
        ("f()", [("f()", "")]),
        ("raise a", [("raise a", "")]),
        ("a = b", [("a = b", "")]),  # `a` had a value before, so the code still runs
        ("new = b", []),
        ("a.b = b", [("a.b = b", "")]),
        ("a += b", [("a += b", "a -= b"), ("a += b", "")]),
        ("if a:\n        pass", [("a", "not a")]),
        ("while a():\n        break", [("a()", "not a()"), ("break", "")]),
        ("assert a < b", []),
        ("'''words'''", []),
    ],
)
def test_a_statement_disappears_or_gives_nothing(statement, changes) -> None:  # type: ignore[no-untyped-def]
    mutants = of(f"def toy(a, b):\n    {statement}\n")
    assert [(mutant.before, mutant.after) for mutant in mutants] == changes


def test_what_is_done_on_import_is_told_from_what_a_function_does() -> None:
    mutants = of(
        """
        LIMIT = 3

        class Toy:
            size: int = 1

            def grown(self, by: int = 2) -> int:
                return self.size + by
        """
    )
    assert [(m.function, m.before, m.after, m.surgical) for m in mutants] == [
        ("", "LIMIT = 3", "LIMIT = 4", False),
        ("", "LIMIT = 3", "LIMIT = 2", False),
        ("Toy", "size: int = 1", "size: int = 2", False),
        ("Toy", "size: int = 1", "size: int = 0", False),
        ("Toy.grown", "2", "3", False),
        ("Toy.grown", "2", "1", False),
        ("Toy.grown", "return self.size + by", "return None", True),
        ("Toy.grown", "self.size + by", "self.size - by", True),
    ]


def test_the_same_change_twice_in_a_function_is_told_apart_and_lines_do_not_matter() -> None:
    source = "def toy(a, b):\n    a = a + b\n    return [a + b]\n"
    keys = [mutant.key for mutant in of(source) if mutant.before == "a + b"]
    assert [key[-1] for key in keys] == [1, 2]
    moved = "\n\n\n" + source
    assert [mutant.key for mutant in of(moved)] == [mutant.key for mutant in of(source)]


def test_each_mutant_compiles_and_differs_from_the_source_in_its_one_place() -> None:
    source = dedent(
        """
        def toy(a, b):
            total = 0
            for x in range(a):
                if x % 2 == 0 and x < b:
                    continue
                total += max(x, b) * 3
            return total if total > 1.5 else -total
        """
    )
    whole = compile(ast.parse(source), "toy.py", "exec")
    mutants = of(source)
    assert len(mutants) > 20
    codes = {
        spoiled(mutant, source, "toy.py").co_consts[0].replace(co_firstlineno=1)
        for mutant in mutants
    }
    assert whole.co_consts[0].replace(co_firstlineno=1) not in codes
    assert len(codes) >= len(mutants) - 1  # two changes may come to the same code
    assert mutants == of(source)

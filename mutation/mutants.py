"""What can be spoiled in a module, in an order that depends on its text alone.

Left alone are what no behaviour hangs on (annotations, docstrings, decorators, assertions) and all
strings: what a reason says to people is not worth a test for each word.  So are constants of 1e-6
and less, which allow for rounding.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType

ROUNDING = 1e-6

Function = ast.FunctionDef | ast.AsyncFunctionDef

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""An ordering is moved by the boundary, and turned round."""

ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}

OPPOSITES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "ceil": "floor",
    "floor": "ceil",
    "maximum": "minimum",
    "minimum": "maximum",
}
"""Functions by their last name: `math.ceil` and `np.ceil` alike."""

SYMMETRIC = {*OPPOSITES, "isinstance", "getattr", "hasattr", "cast", "hypot", "range"}
"""Calls whose arguments are not swapped: it would change nothing, or never run."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module.

    `function` is the qualified name of the function that holds it, "" at the level of the module or
    a class, where it takes effect only when the module is imported anew; `surgical`: it is within
    the body of a function, whose code can be replaced.  `lines` are the first and the last line of
    the statement, without those nested in it.  `before` and `after` are the changed expression or
    statement, and `occurrence` counts the same change within one function.
    """

    module: str
    path: str
    function: str
    surgical: bool
    lines: tuple[int, int]
    before: str
    after: str
    occurrence: int
    site: int
    variant: int

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What stays when lines move."""
        return (self.module, self.function, self.before, self.after, self.occurrence)


@dataclass(frozen=True, slots=True)
class _Site:
    """A node and where it hangs: `parent.field`, at `index` if that is a list."""

    node: ast.AST
    parent: ast.AST
    field: str
    index: int | None
    function: str
    surgical: bool
    statement: ast.stmt
    assigned_before: bool

    def replace(self, new: ast.AST) -> None:
        """Hang `new` in the place of the node."""
        if self.index is None:
            setattr(self.parent, self.field, new)
        else:
            getattr(self.parent, self.field)[self.index] = new


def mutants_of(module: str, path: str, source: str) -> list[Mutant]:
    """All mutants of `source`, always the same ones in the same order.

    Raises SyntaxError when `source` is not Python.
    """
    seen: Counter[tuple[str, str, str]] = Counter()
    mutants = []
    for number, site in enumerate(_sites(ast.parse(source))):
        for variant, new in enumerate(_changes(site)):
            before, after = _shown(site, new)
            if before == after:
                continue
            seen[site.function, before, after] += 1
            mutants.append(
                Mutant(
                    module=module,
                    path=path,
                    function=site.function,
                    surgical=site.surgical,
                    lines=_own_lines(site.statement),
                    before=before,
                    after=after,
                    occurrence=seen[site.function, before, after],
                    site=number,
                    variant=variant,
                )
            )
    return mutants


def spoiled(mutant: Mutant, source: str, filename: str) -> CodeType:
    """The code of the module with the change; `filename` as the real module has it."""
    tree = ast.parse(source)
    site = next(s for number, s in enumerate(_sites(tree)) if number == mutant.site)
    new = _changes(site)[mutant.variant]
    site.replace(ast.copy_location(new, site.node))
    return compile(ast.fix_missing_locations(tree), filename, "exec")


def _sites(tree: ast.Module) -> Iterator[_Site]:
    """Every node that may be changed, from the top to the bottom of the module."""
    yield from _within(tree, "", False, tree.body[0] if tree.body else ast.Pass(), names=set())


def _within(
    parent: ast.AST, function: str, surgical: bool, statement: ast.stmt, *, names: set[str]
) -> Iterator[_Site]:
    for field, value in ast.iter_fields(parent):
        if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
            continue
        is_body = surgical or (isinstance(parent, Function) and field == "body")
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(node, ast.AST) or _left_alone(node):
                continue
            if isinstance(node, ast.stmt):
                statement = node
            again = isinstance(node, ast.Assign) and all(
                _seen_before(t, names) for t in node.targets
            )
            yield _Site(node, parent, field, index, function, is_body, statement, again)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.add(node.id)
            inner, local = function, names
            if isinstance(node, Function | ast.ClassDef):
                inner = f"{function}.{node.name}" if function else node.name
                local = {a.arg for a in ast.walk(node) if isinstance(a, ast.arg)}
            yield from _within(node, inner, is_body, statement, names=local)


def _seen_before(target: ast.expr, names: set[str]) -> bool:
    """Whether the code still runs when nothing is assigned to `target` here."""
    if isinstance(target, ast.Name):
        return target.id in names
    return isinstance(target, ast.Attribute | ast.Subscript)


def _left_alone(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True  # a docstring, or an ellipsis
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        return True
    return isinstance(
        node, ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Global | ast.Nonlocal
    )


def _changes(site: _Site) -> list[ast.AST]:
    """What may stand in the place of the node."""
    node = site.node
    match node:
        case ast.Compare(ops=ops):
            return [
                _with(node, ops=[*ops[:k], new(), *ops[k + 1 :]])
                for k, op in enumerate(ops)
                for new in COMPARISONS[type(op)]
            ]
        case ast.BinOp(op=op) if type(op) in ARITHMETIC and not _is_text(node):
            return [_with(node, op=ARITHMETIC[type(op)]())]
        case ast.AugAssign(op=op) if type(op) in ARITHMETIC:
            return [_with(node, op=ARITHMETIC[type(op)]()), ast.Pass()]
        case ast.BoolOp(op=ast.And()):
            return [_with(node, op=ast.Or()), *_negated(site)]
        case ast.BoolOp(op=ast.Or()):
            return [_with(node, op=ast.And()), *_negated(site)]
        case ast.UnaryOp(op=ast.USub() | ast.Not(), operand=operand):
            return [operand]
        case ast.Constant(value=value):
            return _other_values(value)
        case ast.Call():
            return [*_calls(node), *_negated(site)]
        case ast.Name(ctx=ast.Load()) | ast.Attribute(ctx=ast.Load()):
            return _negated(site)
    return _other_statements(site)


def _other_statements(site: _Site) -> list[ast.AST]:
    """What may stand in the place of a whole statement."""
    match site.node:
        case ast.Return(value=ast.expr() as value) if not _is_none(value):
            return [ast.Return(ast.Constant(None))]
        case ast.Expr() | ast.Delete() | ast.Raise() | ast.Break():
            return [ast.Pass()]
        case ast.Continue():
            return [ast.Pass(), ast.Break()]
        case ast.Assign() if site.assigned_before:
            return [ast.Pass()]
    return []


def _other_values(value: object) -> list[ast.AST]:
    """Constants that are not this one; none for a text, or a float for rounding errors."""
    match value:
        case bool():
            return [ast.Constant(not value)]
        case int():
            return [ast.Constant(value + 1), *([ast.Constant(value - 1)] if value > 0 else [])]
        case float() if value == 0.0 or abs(value) > ROUNDING:
            return [ast.Constant(2.0 * value if value else 1.0)]
    return []


def _calls(call: ast.Call) -> Iterator[ast.AST]:
    """The opposite function, and the first two arguments swapped."""
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            pass
        case _:
            return
    if name in OPPOSITES:
        field = "id" if isinstance(call.func, ast.Name) else "attr"
        yield _with(call, func=_with(call.func, **{field: OPPOSITES[name]}))
    first = call.args[:2]
    swaps = len(first) == 2 and name not in SYMMETRIC
    if swaps and not any(isinstance(argument, ast.Starred) for argument in first):
        yield _with(call, args=[first[1], first[0], *call.args[2:]])


def _negated(site: _Site) -> list[ast.AST]:
    """The negation, where the node is a condition; comparisons are turned round by themselves."""
    if site.field == "test" and isinstance(site.parent, ast.If | ast.IfExp | ast.While):
        return [ast.UnaryOp(ast.Not(), site.node)]  # type: ignore[arg-type]
    if site.field == "ifs" and isinstance(site.parent, ast.comprehension):
        return [ast.UnaryOp(ast.Not(), site.node)]  # type: ignore[arg-type]
    return []


def _is_text(node: ast.BinOp) -> bool:
    """Whether a sum or product is one of strings."""
    return any(
        isinstance(side, ast.JoinedStr)
        or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in (node.left, node.right)
    )


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _with(node: ast.AST, **fields: object) -> ast.AST:
    """A copy of `node` that differs in these fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _shown(site: _Site, new: ast.AST) -> tuple[str, str]:
    """The change in words of the language: of a constant, with what it stands in."""
    if isinstance(site.node, ast.stmt):
        return _line(site.node), "" if isinstance(new, ast.Pass) else _line(new)
    if isinstance(site.node, ast.Constant) and isinstance(site.parent, ast.expr | ast.stmt):
        around = copy.copy(site.parent)
        if site.index is not None:
            setattr(around, site.field, list(getattr(around, site.field)))
        _Site(site.node, around, site.field, site.index, "", False, site.statement, False).replace(
            new
        )
        before, after = _line(site.parent), _line(around)
        if before != after:
            return before, after
    if isinstance(site.parent, ast.keyword):
        name = site.parent.arg or "**"
        return f"{name}={_line(site.node)}", f"{name}={_line(new)}"
    return _line(site.node), _line(new)


def _line(node: ast.AST) -> str:
    """The first line of the text of a node."""
    return ast.unparse(ast.fix_missing_locations(copy.deepcopy(node))).split("\n", 1)[0]


def _own_lines(statement: ast.stmt) -> tuple[int, int]:
    """First and last line of a statement; of a compound one, of its head."""
    body = getattr(statement, "body", None)
    first = statement.lineno
    if body and isinstance(body, list):
        return first, max(first, body[0].lineno - 1)
    return first, statement.end_lineno or first

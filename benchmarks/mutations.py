"""The mutants of a file: each is its text with one expression or statement changed.

No mutant changes a docstring, an annotation, the words of a message or a path of fixed names.
Lines keep their numbers, so that a mutant's functions can take the place of the original's.
"""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "sum": "max",
    "floor": "ceil",
    "ceil": "floor",
}
NOT_SWAPPED = {"isinstance", "issubclass", "getattr", "hasattr", "setattr", "zip", "cast"}
KEYED = {"get", "pop", "setdefault"}


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        file: relative to the repository.
        line, last: of what is changed.
        change: in words of code, "old -> new".
        text: of the whole file.
        function: (name, first line) of the function whose code differs; None where importing does.
        id: the same as long as the function and the change are, wherever the function is.
    """

    file: str
    line: int
    last: int
    change: str
    text: str
    function: tuple[str, int] | None
    id: str


def mutants(file: Path, root: Path) -> list[Mutant]:
    """All mutants of a file, in the order of its lines."""
    text = file.read_text(encoding="utf-8")
    finder = _Finder(text)
    finder.visit(ast.parse(text))
    name, seen, found = file.relative_to(root).as_posix(), Counter[str](), []
    for node, new, function, scope in finder.found:
        changed, old = _replaced(text, node, new)
        change = f"{_short(old)} -> {_short(new)}"
        key = f"{name} {scope} {old} -> {new}"
        seen[key] += 1
        identity = hashlib.sha256(f"{key} {seen[key]}".encode()).hexdigest()[:10]
        last = node.end_lineno or node.lineno
        found.append(Mutant(name, node.lineno, last, change, changed, function, identity))
    return found


def _short(code: str) -> str:
    return " ".join(code.split())[:100]


def _replaced(text: str, node: ast.expr | ast.stmt, new: str) -> tuple[str, str]:
    """The text with a node replaced, on as many lines, and the node's own text."""
    lines = [line.encode() for line in text.splitlines(keepends=True)]  # columns count bytes
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    whole = b"".join(lines)
    first = starts[node.lineno - 1] + node.col_offset
    last = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
    missing = "\n" * ((node.end_lineno or 0) - node.lineno)
    put = f"({new}{missing})" if isinstance(node, ast.expr) else new + missing
    return (whole[:first] + put.encode() + whole[last:]).decode(), whole[first:last].decode()


class _Finder(ast.NodeVisitor):
    """Collects (node, its replacement, function, scope)."""

    def __init__(self, text: str) -> None:
        self.paths = "import Path" in text
        self.found: list[tuple[ast.expr | ast.stmt, str, tuple[str, int] | None, str]] = []
        self.scope: list[str] = []
        self.function: tuple[str, int] | None = None

    def add(self, node: ast.expr | ast.stmt, new: ast.AST | str) -> None:
        text = new if isinstance(new, str) else ast.unparse(new)
        self.found.append((node, text, self.function, ".".join(self.scope)))

    # What is left as it is

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Words; and before Python 3.12 their positions are wrong."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_arg(self, node: ast.arg) -> None:
        """Annotations."""

    # Scopes

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.append(node.name)
        self.generic_visit(node)
        self.scope.pop()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for each in [*node.decorator_list, node.args]:
            self.visit(each)
        self.scope.append(node.name)
        outer = self.function
        if outer is None:
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            self.function = (node.name, first)
        for statement in node.body:
            self.visit(statement)
        self.function = outer
        self.scope.pop()

    # Statements

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.add(node, "pass")
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """The words of an error stay; that it is raised may not."""
        self.add(node, "pass")

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not _is_none(node.value):
            self.add(node.value, "None")
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.negate(node.test)
            self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add(node, "pass")
        self.generic_visit(node)

    # Expressions

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.negate(node.test)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for each in node.ifs:
            self.add(each, "True")
        self.generic_visit(node)

    def negate(self, test: ast.expr) -> None:
        if not isinstance(test, ast.Compare) and not _is_not(test):
            self.add(test, f"not ({ast.unparse(test)})")

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.add(node, node.operand)
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for index, operator in enumerate(node.ops):
            other = COMPARISONS[type(operator)]()
            operators = [*node.ops[:index], other, *node.ops[index + 1 :]]
            self.add(node, ast.Compare(node.left, operators, node.comparators))
        self.keys(node.left, *node.comparators)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        self.add(node, ast.BoolOp(other, node.values))
        self.add(node, ast.BoolOp(node.op, node.values[:-1]) if node.values[2:] else node.values[0])
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = OPERATORS.get(type(node.op))
        if self.is_joined(node):
            pass
        elif isinstance(node.op, ast.Div) and not self.paths:
            self.add(node, ast.BinOp(node.left, ast.Mult(), node.right))
        elif other is None or isinstance(node.left, ast.List | ast.Tuple | ast.ListComp):
            self.add(node, node.left)
        else:
            self.add(node, ast.BinOp(node.left, other(), node.right))
        self.generic_visit(node)

    def is_joined(self, node: ast.BinOp) -> bool:
        """Whether it is a path of a fixed name, or words put together."""
        path = self.paths and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant)
        return path or any(isinstance(each, ast.JoinedStr) for each in (node.left, node.right))

    def visit_Call(self, node: ast.Call) -> None:
        called = ast.unparse(node.func).rsplit(".", 1)[-1]
        if isinstance(node.func, ast.Name) and called in NAMES and not node.keywords:
            self.add(node.func, NAMES[called])
        starred = any(isinstance(each, ast.Starred) for each in node.args[:2])
        if len(node.args) > 1 and called not in NOT_SWAPPED and not starred:
            first, second, *others = node.args
            if ast.dump(first) != ast.dump(second):
                self.add(node, ast.Call(node.func, [second, first, *others], node.keywords))
        for index, keyword in enumerate(node.keywords):
            if keyword.arg not in (None, "description", "title", "encoding"):
                left = [*node.keywords[:index], *node.keywords[index + 1 :]]
                self.add(node, ast.Call(node.func, node.args, left))
        if called in KEYED and node.args:
            self.keys(node.args[0])
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        self.keys(node.slice)
        self.generic_visit(node)

    def visit_Dict(self, node: ast.Dict) -> None:
        self.keys(*(key for key in node.keys if key is not None))
        self.generic_visit(node)

    def keys(self, *nodes: ast.expr) -> None:
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                self.add(node, repr(node.value + "_"))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, repr(not node.value))
        elif isinstance(node.value, int | float):
            self.add(node, repr(node.value + 1))
            if node.value > 1:
                self.add(node, repr(node.value - 1))


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_not(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def sample(files: Iterator[Path], root: Path, size: int, seed: int) -> list[Mutant]:
    """`size` mutants of the files, or all: the same ones as long as their functions are the same."""
    found = [mutant for file in files for mutant in mutants(file, root)]

    def rank(mutant: Mutant) -> str:
        return hashlib.sha256(f"{seed} {mutant.id}".encode()).hexdigest()

    return sorted(found, key=rank)[:size]

"""Reads the project's own source as trees: modules, imports, functions."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("pipeline", "connectors")


@dataclass(frozen=True)
class Module:
    """One file of the project."""

    name: str
    path: Path
    tree: ast.Module
    lines: int


@dataclass(frozen=True)
class Import:
    """One import of a module of ours: where, what, and whether it stands inside a function."""

    module: str
    imported: str
    inside_function: bool
    for_types_only: bool


@cache
def modules() -> tuple[Module, ...]:
    """Every module of the packages."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            relative = path.relative_to(ROOT).with_suffix("")
            parts = relative.parts[:-1] if relative.name == "__init__" else relative.parts
            text = path.read_text(encoding="utf-8")
            found.append(Module(".".join(parts), path, ast.parse(text), text.count("\n")))
    return tuple(found)


@cache
def imports_of(module: Module) -> tuple[Import, ...]:
    """The imports of our own modules, each `from a import b` as `a.b` where that is a module."""
    found = []
    for node, inside, typing in _walk(module.tree, inside=False, typing=False):
        for name in _names(node):
            if name.split(".")[0] in PACKAGES:
                target = name if name in _known() else name.rpartition(".")[0]
                found.append(Import(module.name, target, inside, typing))
    return tuple(found)


@cache
def _known() -> frozenset[str]:
    return frozenset(module.name for module in modules())


def _walk(node: ast.AST, *, inside: bool, typing: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        in_function = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        for_types = typing or (
            isinstance(child, ast.If)
            and isinstance(child.test, ast.Name)
            and child.test.id == "TYPE_CHECKING"
        )
        yield child, in_function, for_types
        yield from _walk(child, inside=in_function, typing=for_types)


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Every function and method with its dotted name."""

    def visit(node: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef):
                yield f"{prefix}.{child.name}", child
                yield from visit(child, f"{prefix}.{child.name}")
            elif isinstance(child, ast.ClassDef):
                yield from visit(child, f"{prefix}.{child.name}")
            else:
                yield from visit(child, prefix)

    yield from visit(module.tree, module.name)


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    return (body[-1].end_lineno or 0) - body[0].lineno + 1

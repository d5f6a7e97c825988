"""Rules of the house that a linter does not know, read off the sources."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = ("app", "jobs", "policies")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if "versions" not in path.parts)
IDS = [str(path.relative_to(ROOT)) for path in SOURCES]
# What a pure check needs beside the standard library. The import rules can only forbid; here the list is closed.
THIRD_PARTIES_OF_POLICIES = {"cryptography", "msgspec", "phonenumbers", "re2", "yaml"}
# Of the standard library, what reads no clock, environment, network or file. `resources` reads the shipped policies.
STANDARD_OF_POLICIES = {
    "__future__", "base64", "bisect", "calendar", "collections", "dataclasses", "datetime", "difflib", "enum", "fractions",
    "functools", "hashlib", "hmac", "html", "importlib", "ipaddress", "itertools", "json", "math", "operator", "re",
    "sys", "typing", "unicodedata", "urllib",
}  # fmt: skip
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
LONGEST_COMPOSITION = 80


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imported_by(path: Path) -> set[str]:
    """The top-level packages that a module imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found.update(each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def public_names(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Public classes and functions of a module, and public methods of its public classes."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    for node in tree.body:
        if isinstance(node, kinds) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, kinds) and not inner.name.startswith("_"):
                        yield f"{node.name}.{inner.name}", inner


def test_there_are_sources() -> None:
    assert len(SOURCES) > 80


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "policies")], ids=lambda p: p.stem)
def test_policies_import_only_what_a_pure_check_needs(path: Path) -> None:
    assert imported_by(path) - {"policies"} - THIRD_PARTIES_OF_POLICIES - STANDARD_OF_POLICIES == set()


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "policies")], ids=lambda p: p.stem)
def test_policies_read_no_clock(path: Path) -> None:
    called = {
        node.func.attr for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called & {"now", "utcnow", "today"} == set()


def test_policy_texts_are_parsed_in_the_reader_alone() -> None:
    parsers = {path.stem for path in SOURCES if "yaml" in imported_by(path)}
    assert parsers
    assert parsers <= {"load", "located", "schema"}


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_a_module_can_be_read_at_one_sitting(path: Path) -> None:
    assert path.read_text().count("\n") <= LONGEST_MODULE
    assert path.stem not in {"utils", "helpers", "common", "manager", "util", "misc"}


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_every_public_name_is_explained(path: Path) -> None:
    tree = tree_of(path)
    assert ast.get_docstring(tree), "say what the module is for"
    assert [name for name, node in public_names(tree) if not ast.get_docstring(node)] == []


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_nothing_is_left_for_later(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_only_settings_read_the_environment(path: Path) -> None:
    reads = [node.lineno for node in ast.walk(tree_of(path)) if _reads_environment(node)]
    # The command line and the web process hand the environment on to their children, or keep it from them.
    if path.relative_to(ROOT).as_posix() not in {"app/settings.py", "app/cli.py", "app/web_server.py"}:
        assert reads == []


def _reads_environment(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
    )


def test_functions_are_short() -> None:
    lengths = [_length(node) for path in SOURCES for node in functions(tree_of(path))]
    assert statistics.median(lengths) <= 8
    assert statistics.quantiles(lengths, n=10)[-1] <= 30
    assert max(lengths) <= LONGEST_COMPOSITION
    # A composition root is one flat list of what there is, and a line a capability long.
    longest = {node.name for path in SOURCES for node in functions(tree_of(path)) if _length(node) > LONGEST_FUNCTION}
    assert longest <= {"bootstrap"}


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


@pytest.mark.parametrize("path", SOURCES, ids=IDS)
def test_no_value_of_a_person_is_logged(path: Path) -> None:
    """A log call takes a constant event and named fields: no formatted text, in which a value could stand."""
    for node in ast.walk(tree_of(path)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"debug", "info", "warning", "error", "critical", "exception"}
            and node.args
        ):
            assert isinstance(node.args[0], ast.Constant), f"line {node.lineno}: the event of a log call is a constant"
            assert len(node.args) == 1, f"line {node.lineno}: log fields are named"
            assert node.func.attr != "exception", f"line {node.lineno}: a traceback quotes values"

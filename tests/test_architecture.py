"""The house keeps its floors: a module imports only from its own floor or a lower one."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "llmrouter"

# From the ground up. A name stands for a module or a folder; `llmrouter` itself is lazy and above all of them.
FLOORS: tuple[tuple[str, ...], ...] = (
    (
        "closing",
        "columns",
        "errors",
        "files",
        "forks",
        "frozen",
        "hints",
        "units",
        "secret",
        "content",
        "types",
        "shape",
    ),
    ("buckets", "parts", "history", "messages", "schema_tree", "dialects", "schema", "tools", "offline"),
    ("prices", "model_table", "catalogue", "tokens", "policy", "store", "config"),
    ("providers",),
    ("pipeline",),
    ("compile", "explain", "observe", "streams", "usage"),
    ("route", "base_router", "router"),
    ("cassettes", "dashboard", "importing", "pytest_plugin", "cli", "__main__", "__init__"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
WAITING = {"asyncio", "anyio", "trio"}  # what only the runtime may import


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Give every absolute module name that the file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            if node.module == "llmrouter":
                yield from (f"llmrouter.{alias.name}" for alias in node.names)
            else:
                yield node.module


def dotted(path: Path) -> str:
    return ".".join(("llmrouter", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")


def needed(path: Path, names: Collection[str]) -> Iterator[str]:
    """Give the modules among `names` that the file imports to run; what type checkers alone read may go in circles."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    guards = (node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    unneeded = {id(node) for guard in guards for node in ast.walk(guard)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in names and id(node) not in unneeded:
            submodules = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (name if name in names else str(node.module) for name in submodules)


def named(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", modules(), ids=named)
def test_a_module_imports_from_its_own_floor_or_below(path: Path) -> None:
    for name in imports(path):
        if name.startswith("llmrouter."):
            other = name.split(".")[1]
            assert FLOOR.get(other, len(FLOORS) - 1) <= FLOOR[room(path)], (
                f"{named(path)} imports {name}, from a higher floor"
            )


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {dotted(path): path for path in modules()}
    graph = {name: set(needed(path, names)) for name, path in names.items()}
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize("path", modules(), ids=named)
def test_only_the_runtime_knows_event_loops(path: Path) -> None:
    if named(path) != "pipeline/runtime.py":
        assert not WAITING & {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", modules(), ids=named)
def test_no_lock_is_held_across_an_await(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.With) and any("lock" in ast.unparse(item.context_expr).lower() for item in node.items):
            waits = [child.lineno for child in ast.walk(node) if isinstance(child, ast.Await | ast.AsyncFor)]
            assert not waits, f"{named(path)}:{waits[0]} waits while it holds a lock"


def test_contributing_md_has_every_module_on_its_floor() -> None:
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    listed = [{name.removesuffix(".py").removesuffix("/") for name in re.findall(r"`(.+?)`", row)} for row in rows]
    assert listed == [set(names) - {"__init__", "__main__"} for names in reversed(FLOORS)]


@pytest.mark.parametrize("path", modules(), ids=named)
def test_a_module_fits_on_a_few_screens(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= 400, f"{named(path)} has {lines} lines: split it along its seam"

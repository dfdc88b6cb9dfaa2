"""The public face: what is exported, what importing costs, and that both routers are the same."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import llmrouter
from llmrouter import AsyncRouter, AsyncStream, Router, Stream

SDKS = ("anthropic", "google.genai", "openai")
HEAVY = (*SDKS, "diskcache", "genai_prices", "httpx2", "jsonschema", "pydantic", "tiktoken", "vcr", "yaml")


def run(code: str) -> str:
    """Run `code` in a new interpreter; return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_public_names_are_sorted_and_each_is_there() -> None:
    assert llmrouter.__all__ == sorted(llmrouter.__all__)
    for name in llmrouter.__all__:
        assert getattr(llmrouter, name) is not None


def test_type_checkers_find_every_public_name_where_it_is_loaded_from() -> None:
    tree = ast.parse(Path(llmrouter.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [node for node in guarded.body if isinstance(node, ast.ImportFrom)]
    seen = {
        alias.name: getattr(import_module(str(each.module)), alias.name) for each in imports for alias in each.names
    }
    assert seen == {name: getattr(llmrouter, name) for name in llmrouter.__all__}


def test_dir_lists_the_public_names() -> None:
    assert set(llmrouter.__all__) <= set(dir(llmrouter))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Routr"):
        _ = llmrouter.Routr


def test_every_error_is_public_and_derives_from_the_one_base() -> None:
    from llmrouter import errors

    raised = {name for name, found in vars(errors).items() if inspect.isclass(found) and issubclass(found, Exception)}
    assert raised <= set(llmrouter.__all__)
    assert all(issubclass(getattr(llmrouter, name), llmrouter.LLMRouterError) for name in raised)


def test_importing_loads_nothing_heavy() -> None:
    loaded = run(f"import sys, llmrouter; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded == "[]"


def test_a_router_that_asks_nobody_loads_no_sdk() -> None:
    code = "import sys, llmrouter; llmrouter.Router({'routes': {'r': {'model': 'openai/gpt-6-luna'}}}, environ={})"
    assert run(f"{code}; print([name for name in {SDKS} if name in sys.modules])") == "[]"


def test_a_library_stays_quiet() -> None:
    code = "import llmrouter; llmrouter.Router({'routes': {'r': {'model': 'openai/gpt-6-luna'}}}, environ={})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


# ------------------------------------------------------------------------------------------------ two worlds, one face

SAME_BUT_FOR_ITS_NAME = {"aclose", "__aenter__", "__aexit__", "__aiter__", "__anext__"}


def public(cls: type) -> dict[str, Any]:
    """The methods and properties that a class offers."""
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(("blocking", "asynchronous"), [(Router, AsyncRouter), (Stream, AsyncStream)])
def test_both_worlds_have_the_same_names(blocking: type, asynchronous: type) -> None:
    assert public(blocking).keys() == public(asynchronous).keys() - SAME_BUT_FOR_ITS_NAME


@pytest.mark.parametrize("name", ["__init__", "chat", "stream", "embed", "explain", "route", "close", "reload"])
def test_both_worlds_have_the_same_signatures(name: str) -> None:
    blocking, asynchronous = (inspect.signature(getattr(cls, name)) for cls in (Router, AsyncRouter))
    assert list(blocking.parameters.values()) == list(asynchronous.parameters.values())


@pytest.mark.parametrize("name", ["chat", "embed", "close"])
def test_what_waits_is_awaited_in_the_async_world_only(name: str) -> None:
    assert inspect.iscoroutinefunction(getattr(AsyncRouter, name))
    assert not inspect.iscoroutinefunction(getattr(Router, name))


@pytest.mark.parametrize("cls", [Router, AsyncRouter, Stream, AsyncStream])
def test_every_public_method_says_what_it_does(cls: type) -> None:
    verbs = {name: found for name, found in public(cls).items() if callable(found) or isinstance(found, property)}
    undocumented = [name for name, found in verbs.items() if not inspect.getdoc(found)]
    assert not undocumented

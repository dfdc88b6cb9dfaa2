"""What a user reads about a wrong file: every mistake, once, with file, line, column, path and a way out."""

# ruff: noqa: E501  # the table of mistakes is read across: one line for each

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from llmrouter.config.document import parse
from llmrouter.config.loader import load
from llmrouter.config.schema import json_schema
from llmrouter.errors import ConfigError, Problem


def problems(folder: Path, text: str | bytes, **environ: str) -> tuple[Problem, ...]:
    file = folder / "routes.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(file, environ)
    return caught.value.problems


def route(line: str) -> str:
    """Return a file in which `line` is the third line, a key of a route."""
    return f"routes:\n  r:\n    {line}\n    description: the rest is right\n"


# (file, line, column, path, part of the message, part of the hint)
MISTAKES: dict[str, tuple[str | bytes, int, int, str, str, str | None]] = {
    "unknown key": (route("model: openai/m\n    retry: {attemps: 4}"), 4, 13, "routes.r.retry.attemps", "unknown key 'attemps'", "did you mean 'attempts'?"),
    "unknown key at the top": ("route: {}", 1, 1, "route", "unknown key 'route'", "did you mean 'routes'?"),
    "key one floor too high": (route("temperature: 0\n    model: openai/m"), 3, 5, "routes.r.temperature", "unknown key", "it belongs under `params`"),
    "route key at the top": ("deadline: 3s", 1, 1, "deadline", "unknown key", "it belongs under `defaults`"),
    "unknown key with few choices": ("cache: {x: 1}", 1, 9, "cache.x", "unknown key 'x'", "use dir or size_limit"),
    "duplicate key": (route("model: openai/m\n    model: openai/n"), 4, 5, "routes.r.model", "duplicate key 'model'", "already on line 3"),
    "bad duration": (route("deadline: 3 apples\n    model: openai/m"), 3, 15, "routes.r.deadline", "'3 apples' is not a duration", "write 500ms"),
    "no time at all": ("defaults: {timeouts: {attempt: 0}}", 1, 32, "defaults.timeouts.attempt", "0 is out of range", "longer than 0s"),
    "negative time": ("defaults: {deadline: -3}", 1, 22, "defaults.deadline", "-3 is not a duration", "write"),
    "bad count": ("defaults: {params: {max_tokens: 1.5}}", 1, 33, "defaults.params.max_tokens", "1.5 is not a count", "8k"),
    "no attempts": ("defaults: {retry: {attempts: 0}}", 1, 30, "defaults.retry.attempts", "0 is out of range", "1 or more"),
    "true for a number": ("defaults: {retry: {attempts: true}}", 1, 30, "defaults.retry.attempts", "true is not a count", "write"),
    "bad size": ("cache: {size_limit: 1 GiBi}", 1, 21, "cache.size_limit", "'1 GiBi' is not a size", "512MiB"),
    "bad share": ("defaults: {hedge: {after: 1s, max_extra: 500%}}", 1, 42, "defaults.hedge.max_extra", "'500%' is not a percentage", "write 5%"),
    "bad money": ("spend_limit: {usd: lots}", 1, 20, "spend_limit.usd", "'lots' is not an amount of USD", "write a number"),
    "infinite money": ("spend_limit: {usd: .inf}", 1, 20, "spend_limit.usd", "inf is not an amount of USD", "write a number"),
    "bad switch": ("logging: {prompts: maybe}", 1, 20, "logging.prompts", "'maybe' is not a switch", "true or false"),
    "bad choice": ("defaults: {retry: {backoff: exponentail}}", 1, 29, "defaults.retry.backoff", "'exponentail' is not exponential, linear or constant", "did you mean 'exponential'?"),
    "bad log level": ("logging: {level: inf}", 1, 18, "logging.level", "'inf' is not", "did you mean 'INFO'?"),
    "bad reasoning": ("defaults: {params: {reasoning: hihg}}", 1, 32, "defaults.params.reasoning", "'hihg' is neither", "did you mean 'high'?"),
    "temperature too high": ("defaults: {params: {temperature: 20}}", 1, 34, "defaults.params.temperature", "20 is out of range", "0 to 2"),
    "bad seed": ("defaults: {params: {seed: 1.5}}", 1, 27, "defaults.params.seed", "1.5 is not a whole number", "such as 7"),
    "text for a map": ("defaults: {retry: often}", 1, 19, "defaults.retry", "must be a map, not text", None),
    "text for a list": (route("fallbacks: openai/n\n    model: openai/m"), 3, 16, "routes.r.fallbacks", "must be a list, not text", None),
    "number for text": (route("system: 5\n    model: openai/m"), 3, 13, "routes.r.system", "must be text, not a number", "quotes"),
    "error class in `on`": ("defaults: {on: {rate_limits: next}}", 1, 17, "defaults.on.rate_limits", "unknown key 'rate_limits'", "did you mean 'rate_limit'?"),
    "action in `on`": ("defaults: {on: {timeout: nxt}}", 1, 26, "defaults.on.timeout", "'nxt' is not retry, next or stop", "did you mean 'next'?"),
    "max before initial": ("defaults: {retry: {initial: 5s, max: 1s}}", 1, 19, "defaults.retry", "`max` is shorter than `initial`", "raise `max`"),
    "unknown provider": (route("model: antropic/m"), 3, 12, "routes.r.model", "unknown provider in 'antropic/m'", "did you mean 'anthropic'?"),
    "kind without an entry": (route("model: azure/m"), 3, 12, "routes.r.model", "unknown provider in 'azure/m'", "add `azure: { kind: azure }`"),
    "provider far from all": (route("model: zzz/m"), 3, 12, "routes.r.model", "unknown provider in 'zzz/m'", "add it under providers"),
    "unknown provider in prices": ("prices: {opneai/*: {input: 1}}", 1, 10, "prices.opneai/*", "unknown provider", "did you mean 'openai'?"),
    "target without a slash": (route("model: gpt-6-luna"), 3, 12, "routes.r.model", "'gpt-6-luna' is not a target", "provider/model"),
    "target with a space": (route("model: openai/gpt 6"), 3, 12, "routes.r.model", "is not a target", "provider/model"),
    "number for a target": (route("model: 5"), 3, 12, "routes.r.model", "must be a target or a map, not a number", "provider/model"),
    "no model": ("routes:\n  r: {system: hello}", 2, 3, "routes.r", "`model` is missing", None),
    "empty route": ("routes:\n  r:", 2, 3, "routes.r", "`model` is missing", None),
    "rung without a model": (route("model: openai/m\n    fallbacks: [{weight: 2}]"), 4, 17, "routes.r.fallbacks[0]", "`model` is missing", None),
    "model misspelled": (route("modle: openai/m"), 3, 5, "routes.r.modle", "unknown key 'modle'", "did you mean 'model'?"),
    "kind misspelled": ("providers: {mine: {knid: openai}}", 1, 20, "providers.mine.knid", "unknown key 'knid'", "did you mean 'kind'?"),
    "repeated target": (route("model: openai/m\n    fallbacks: [anthropic/n, openai/m]"), 4, 30, "routes.r.fallbacks[1]", "already asks 'openai/m' in the same way, at `model`", "remove it"),
    "repeated rung with another weight": (route("model: openai/m\n    fallbacks: [{model: openai/m, weight: 2}]"), 4, 17, "routes.r.fallbacks[0]", "already asks", "remove it"),
    "python target": (route("model: python/summarize"), 3, 12, "routes.r.model", "'python/summarize' names nothing in Python", "python/module:function"),
    "slash in a route's name": ("routes:\n  a/b: {model: openai/m}", 2, 3, "routes.a/b", "'a/b' cannot name a route", "letters"),
    "slash in a provider's name": ("providers:\n  a/b: {kind: openai}", 2, 3, "providers.a/b", "'a/b' cannot name a provider", "letters"),
    "unknown kind": ("providers: {mine: {kind: opnai}}", 1, 26, "providers.mine.kind", "unknown kind 'opnai'", "did you mean 'openai'?"),
    "no kind": ("providers:\n  mine: {base_url: http://x}", 2, 3, "providers.mine", "`kind` is missing", "kind: openai"),
    "not a URL": ("providers: {openai: {base_url: example.com}}", 1, 32, "providers.openai.base_url", "not a URL", "http://"),
    "bad API": ("providers: {openai: {api: response}}", 1, 27, "providers.openai.api", "'response' is not chat or responses", "did you mean 'responses'?"),
    "header that is a number": ("providers: {openai: {headers: {x-team: 5}}}", 1, 40, "providers.openai.headers.x-team", "must be text, not a number", "quotes"),
    "schema file that is missing": (route("schema: absent.json\n    model: openai/m"), 3, 13, "routes.r.schema", "no schema file 'absent.json'", "folder of the routes file"),
    "schema file that is no schema": (route("schema: broken.json\n    model: openai/m"), 3, 13, "routes.r.schema", "'broken.json' holds no JSON Schema", "write an object"),
    "schema that is no Python name": (route("schema: 'python:app.Model'\n    model: openai/m"), 3, 13, "routes.r.schema", "'python:app.Model' names nothing", "python:module:Model"),
    "no folder": ("cache: {dir: ''}", 1, 14, "cache.dir", "must be a path, not empty text", "leave the key out"),
    "another version": ("version: 2", 1, 10, "version", "version 2 of the format is unknown", "version 1"),
    "unset variable": (route("system: 'Hello ${WHO}'\n    model: openai/m"), 3, 13, "routes.r.system", "the variable WHO is not set", "${WHO:-a default}"),
    "unset variable in a duration": ("defaults: {deadline: '${D}'}", 1, 22, "defaults.deadline", "the variable D is not set", "set it"),
    "variable without a name": (route("system: 'a ${} b'\n    model: openai/m"), 3, 13, "routes.r.system", "`${` is not followed by a name", "write ${NAME}, or $${"),
    "variable in a variable": (route("system: 'a ${A:-${B}} b'\n    model: openai/m"), 3, 13, "routes.r.system", "`${` is not followed by a name", "write ${NAME}, or $${"),
    "YAML that stops": ("routes:\n  r: {model: openai/m", 2, 22, "", "not valid YAML", None),
    "YAML with a tab": ("routes:\n\tr: 1", 2, 1, "", "not valid YAML", None),
    "undefined alias": ("routes: *nope", 1, 9, "", "not valid YAML: found undefined alias 'nope'", None),
    "control character": ("routes:\n  a\x01b: 1", 2, 4, "", "character #x0001 is not allowed", None),
    "two documents": ("version: 1\n---\nversion: 1", 2, 1, "", "not valid YAML", None),
    "Python tag": ("routes: !!python/object/apply:os.system ['true']", 1, 9, "routes", "is not allowed", "plain text"),
    "tag on text": ("version: !mine 1", 1, 10, "version", "the tag '!mine' is not allowed", "plain text"),
    "key that is a list": ("routes:\n  [a, b]: 1", 2, 3, "routes", "a key must be text", None),
    "merge of text": ("routes:\n  r: {<<: text, model: openai/m}", 2, 11, "routes.r", "`<<` takes a map", None),
    "alias in itself": ("x-a: &a {b: *a}", 1, 6, "", "nested more than 40 deep", None),
    "merge of itself": ("x-a: &a {<<: *a}", 1, 6, "", "`<<` leads back to itself", None),
    "deep nesting": ("x-a: " + "[" * 5000, 1, 1, "", "nested too deeply", None),
    "list at the top": ("- routes", 1, 1, "", "must be a map, not a list", "version: 1"),
    "empty file": ("# nothing yet\n", 1, 1, "", "is empty", "version: 1"),
    "not UTF-8": (b"version: 1\nx: \xff", 2, 4, "", "is not UTF-8", "save it as UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_one_mistake_is_one_problem_with_its_place(name: str, tmp_path: Path) -> None:
    text, line, column, path, message, hint = MISTAKES[name]
    (tmp_path / "broken.json").write_text("[1, 2", encoding="utf-8")
    found = problems(tmp_path, text)
    assert len(found) == 1, [str(problem) for problem in found]
    assert found[0].file == str(tmp_path / "routes.yaml")
    assert (found[0].line, found[0].column, found[0].path) == (line, column, path)
    assert message in found[0].message
    assert (hint is None and found[0].hint is None) or (hint is not None and hint in (found[0].hint or ""))


UNSEEN = (  # what only the loader can know, or what is no mistake any more once the YAML is data
    "duplicate", "without an entry", "provider", "kind", "repeated", "python target", "schema", "python name", "variable",
    "max before", "YAML", "alias", "character", "documents", "tag", "Python tag", "merge", "deep", "UTF-8", "empty file",
    "infinite", "no folder", "no attempts", "no time", "temperature", "share", "slash", "URL", "key that is a list",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MISTAKES if not any(word in name for word in UNSEEN)])
def test_an_editor_marks_what_the_loader_refuses(name: str) -> None:
    text = MISTAKES[name][0]
    assert isinstance(text, str)
    assert not jsonschema.Draft7Validator(json_schema()).is_valid(parse(text).data)


def test_a_problem_reads_as_one_line(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("defaults:\n  retry: { attemps: 3 }\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "routes.yaml", {})
    place = f"{tmp_path / 'routes.yaml'}:2:12"
    assert str(caught.value) == f"{place}: defaults.retry.attemps: unknown key 'attemps'; did you mean 'attempts'?"


def test_mistakes_of_every_sort_are_told_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
version: 1
routes:
  r:
    model: opneai/m
    model: openai/n
    retry: { attemps: 2 }
    deadline: ${NOPE}
    fallbacks: [openai/x, openai/x]
    cache: 3 apples
"""
    found = problems(tmp_path, text)
    assert [problem.line for problem in found] == [4, 5, 6, 7, 8, 9]


def test_mistakes_in_a_dict_have_paths_and_no_lines() -> None:
    data: Mapping[str, Any] = {"routes": {"r": {"model": "x"}, "s": {"model": "openai/m", "deadlin": "3s"}}}
    with pytest.raises(ConfigError) as caught:
        load(data, {})
    assert [(problem.path, problem.line) for problem in caught.value.problems] == [
        ("routes.r.model", None),
        ("routes.s.deadlin", None),
    ]


def test_a_mistake_behind_an_anchor_is_told_once(tmp_path: Path) -> None:
    text = "x-p: &p { temperature: hot }\nroutes:\n  a: { model: openai/m, params: *p }\n  b: { model: openai/m, params: *p }\n"
    assert [problem.line for problem in problems(tmp_path, text)] == [1]


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["x-0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert "more than 50,000 values" in problems(tmp_path, "\n".join(lines))[0].message


def test_a_merge_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["x-0: &a0 { k: 1 }"]
    lines += [f"x-{n}: &a{n} {{ <<: [{', '.join([f'*a{n - 1}'] * 10)}] }}" for n in range(1, 12)]
    assert "more than 50,000 values" in problems(tmp_path, "\n".join(lines))[0].message


@pytest.mark.parametrize("value", ["[hush-hush]", "{hush-hush: 1}", "hush-hush: 1", "20251120123456"])
def test_a_mistake_in_a_key_never_shows_it(tmp_path: Path, value: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(f"providers:\n  openai:\n    api_key: {value}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file, {})
    shown = "".join(traceback.format_exception(caught.value))
    assert "hush" not in shown
    assert "20251120123456" not in shown


def test_a_value_from_the_environment_is_quoted_as_the_file_wrote_it(tmp_path: Path) -> None:
    text = (
        "defaults: { deadline: '${K}', retry: { backoff: '${K}', attempts: 'x${K}' }, params: { reasoning: '${K}' } }"
    )
    text += "\nroutes: { r: { model: '${K}' } }\nlogging: { level: '${K}' }\nproviders: { p: { kind: '${K}' } }"
    found = problems(tmp_path, text, K="hush/hush-hush")
    assert len(found) == 7
    assert not [problem for problem in found if "hush" in str(problem).lower()]


def test_a_named_file_that_is_missing_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "absent.yaml", {})
    assert str(caught.value) == (
        f"{tmp_path / 'absent.yaml'}: cannot be read: no such file or directory; `llmrouter init` writes one"
    )


def test_a_missing_file_in_the_variable_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load(None, {"LLMROUTER_ROUTES": str(tmp_path / "absent.yaml")})


def test_a_folder_instead_of_a_file_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        load(tmp_path, {})


def test_an_impossible_file_name_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a file"):
        load("a\0b", {})


def test_the_error_brings_no_other_error_along(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load({"routes": {"r": {}}}, {})
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None

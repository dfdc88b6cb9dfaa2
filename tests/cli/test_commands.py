"""`check`, `explain`, `routes`, `models`, `cache`, `schema` and `init`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from llmrouter.config.loader import load
from llmrouter.config.schema import json_schema_text
from tests.cli.conftest import Cli, Process, local_routes
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI

KEYS = {"OPENAI_API_KEY": "none-of-yours", "ANTHROPIC_API_KEY": "none-of-yours", "GEMINI_API_KEY": "none-of-yours"}

TWO = """\
routes:
  summarize:
    description: Short summaries
    model: openai/gpt-6-luna
    fallbacks: ["python/llmrouter.offline:summarize"]
  odd: { model: openai/nobody-knows-this-model }
"""


def rows(text: str) -> list[list[str]]:
    """Return the cells of the plain table that begins `text`."""
    return [line.split() for line in text.split("\n\n", maxsplit=1)[0].splitlines()]


# ------------------------------------------------------------------------------------------------ check


def test_check_tells_what_is_usable_and_priced(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(TWO)
    assert rows(cli("check").stdout) == [
        ["route", "target", "usable", "price", "window"],
        ["summarize", "openai/gpt-6-luna", "no", "yes", "1,050,000"],
        ["summarize", "python/llmrouter.offline:summarize", "yes", "yes", "unknown"],
        ["odd", "openai/nobody-knows-this-model", "no", "no", "unknown"],
    ]


def test_a_missing_key_is_told_and_is_no_mistake(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(TWO)
    done = cli("check")
    assert done.exit_code == 0
    assert "OPENAI_API_KEY" in done.stdout
    assert "No target at all is usable on: odd" in done.stdout
    assert done.stdout.endswith("The file is right. 2 routes, 2 targets not usable.\n")
    assert done.stderr == ""


def test_strict_makes_what_is_missing_exit_1(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(TWO)
    assert cli("check", "--strict").exit_code == 1


def test_strict_is_content_when_all_is_there(cli: Cli, echoing: Path, routes: Callable[[str], Path]) -> None:
    routes("routes: { echo: { model: 'python/echoing:echo' } }")
    assert cli("check", "--strict").exit_code == 0


def test_check_lists_targets_without_a_price(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(TWO)
    unpriced = cli("check").stdout.split("No price is known")[1]
    assert "openai/nobody-knows-this-model: give it one under `prices:`" in unpriced


def test_check_finds_a_misspelt_function(cli: Cli, echoing: Path) -> None:
    assert "module echoing has no function 'missing'" in cli("check").stdout


def test_check_of_a_file_without_routes_says_what_to_call(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes("providers: { openai: {} }")
    assert (
        cli("check").stdout
        == "The file is right. It has no route: a call names its target, such as openai/gpt-6-luna.\n"
    )


def test_check_without_a_file_exits_2(cli: Cli) -> None:
    done = cli("check")
    assert done.exit_code == 2
    assert "`llmrouter init` writes one" in done.stderr


def test_the_variable_names_the_file_too(cli: Cli, echoing: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMROUTER_ROUTES", str(echoing.rename(echoing.with_name("other.yaml"))))
    assert cli("check").exit_code == 0


# ------------------------------------------------------------------------------------------------ explain


def test_explain_sends_nothing(cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    server = fault_server(OPENAI.reply("never asked"))
    routes(local_routes(server.url))
    done = cli("explain", "r", "hello")
    assert done.exit_code == 0
    assert "local/m" in done.stdout
    assert server.connections == 0


def test_explain_needs_no_prompt(cli: Cli, echoing: Path) -> None:
    done = cli("explain", "both")
    assert done.exit_code == 0
    assert done.stdout.startswith("route both: deadline 120s, worst case ")
    assert [line.split()[:2] for line in done.stdout.splitlines()[2:]] == [
        ["1", "python/echoing:broken"],
        ["2", "python/echoing:missing"],
    ]


def test_explain_as_json_counts_the_prompt(cli: Cli, echoing: Path) -> None:
    short, long = (json.loads(cli("explain", "echo", "word " * n, "--json").stdout) for n in (1, 100))
    assert short["route"] == "echo"
    assert short["rungs"][0]["usable"] is True
    assert long["rungs"][0]["tokens"]["tokens"] > short["rungs"][0]["tokens"]["tokens"] + 50


def test_explain_sees_what_is_cached(cli: Cli, echoing: Path) -> None:
    cli("chat", "kept", "hello")
    hit, miss = (json.loads(cli("explain", "kept", text, "--json").stdout) for text in ("hello", "other"))
    assert (hit["rungs"][0]["cache_hit"], miss["rungs"][0]["cache_hit"]) == (True, False)


# ------------------------------------------------------------------------------------------------ routes, models


def test_routes_lists_names_targets_and_descriptions(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(TWO)
    assert json.loads(cli("routes", "--json").stdout)[0] == {
        "name": "summarize",
        "description": "Short summaries",
        "targets": ["openai/gpt-6-luna", "python/llmrouter.offline:summarize"],
    }
    assert rows(cli("routes").stdout)[0] == ["route", "description", "targets"]


def test_models_of_one_provider(cli: Cli) -> None:
    found = json.loads(cli("models", "--provider", "anthropic", "--json").stdout)
    assert found
    assert {model["provider"] for model in found} == {"anthropic"}


def test_models_by_what_is_needed_the_cheapest_first(cli: Cli) -> None:
    options = ["--needs", "vision,tools", "--max-input-price", "1", "--min-context", "128k"]
    found = json.loads(cli("models", *options, "--json").stdout)
    assert found
    assert all({"images", "tools"} <= set(model["capabilities"]) for model in found)
    assert all(model["input_usd_per_mtok"] <= 1 and model["context_window"] >= 128_000 for model in found)
    blends = [3 * model["input_usd_per_mtok"] + model["output_usd_per_mtok"] for model in found]
    assert blends == sorted(blends)


def test_filters_keep_to_providers_that_have_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none-of-yours")
    found = json.loads(cli("models", "--budget", "high", "--json").stdout)
    assert {model["provider"] for model in found} == {"anthropic"}


def test_a_smaller_budget_is_a_shorter_list(cli: Cli) -> None:
    low, high = (json.loads(cli("models", "--budget", word, "--json").stdout) for word in ("low", "high"))
    assert 0 < len(low) < len(high)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--provider", "opnai"], "no provider named 'opnai'; did you mean 'openai'?"),
        (["--needs", "wings"], "unknown need wings"),
        (["--min-context", "big"], "'big' is not a count"),
    ],
)
def test_a_wrong_filter_exits_2(cli: Cli, arguments: list[str], said: str) -> None:
    done = cli("models", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_no_model_that_fits_is_said_on_stderr(cli: Cli) -> None:
    done = cli("models", "--min-context", "900M")
    assert (done.stdout, done.stderr, done.exit_code) == ("", "no model is known that fits\n", 0)


# ------------------------------------------------------------------------------------------------ cache


def test_the_cache_is_counted_pruned_and_cleared(cli: Cli, echoing: Path) -> None:
    assert json.loads(cli("cache", "stats", "--json").stdout)["entries"] == 0
    cli("chat", "kept", "one")
    cli("chat", "kept", "two")
    assert "\n2 entries, " in cli("cache", "stats").stdout
    assert cli("cache", "prune").stdout == "removed 0 entries\n"
    assert cli("cache", "clear").stdout == "removed 2 entries\n"
    assert "\n0 entries, " in cli("cache", "stats").stdout


def test_the_cache_is_the_one_of_the_file(cli: Cli, routes: Callable[[str], Path], tmp_path: Path) -> None:
    routes("cache: { dir: kept-here, size_limit: 5MiB }")
    found = json.loads(cli("cache", "stats", "--json").stdout)
    assert (found["directory"], found["size_limit"]) == (str(tmp_path / "kept-here"), 5 * 2**20)


# ------------------------------------------------------------------------------------------------ schema, init


def test_schema_prints_the_schema_of_the_file(cli: Cli) -> None:
    assert cli("schema").stdout == json_schema_text()


def test_schema_writes_a_file(cli: Cli, tmp_path: Path) -> None:
    done = cli("schema", "--write", "made.json")
    assert done.stdout == ""
    assert (tmp_path / "made.json").read_text(encoding="utf-8") == json_schema_text()


def test_schema_that_cannot_be_written_exits_2(cli: Cli) -> None:
    done = cli("schema", "--write", "no/such/folder.json")
    assert (done.exit_code, done.stderr) == (2, "error: cannot write no/such/folder.json: no such file or directory\n")


@pytest.mark.parametrize("chosen", [["openai"], ["google"], ["anthropic", "openai"], ["openai", "anthropic", "google"]])
def test_init_writes_a_file_that_is_right_and_complete(cli: Cli, tmp_path: Path, chosen: list[str]) -> None:
    done = cli("init", *(word for name in chosen for word in ("--provider", name)))
    assert done.exit_code == 0
    config = load(tmp_path / "routes.yaml", KEYS).config
    models = [rung.model for route in config.routes.values() for rung in (route.model, *route.fallbacks)]
    assert {model.partition("/")[0] for model in models} == {*chosen, "python"}
    assert "The file is right." in done.stdout


def test_every_target_that_init_writes_is_usable_and_priced(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    cli("init")
    assert cli("check", "--strict").exit_code == 0


def test_init_takes_the_providers_that_have_a_key(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_API_KEY", "none-of-yours")
    assert "wrote routes.yaml for google\n" in cli("init").stderr


def test_init_sees_keys_in_the_env_file(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ANTHROPIC_API_KEY=none-of-yours\n")
    assert "wrote routes.yaml for anthropic\n" in cli("init").stderr


def test_init_lets_an_editor_complete_the_file(cli: Cli, tmp_path: Path) -> None:
    cli("init")
    first, _, _ = (tmp_path / "routes.yaml").read_text(encoding="utf-8").partition("\n")
    assert first == "# yaml-language-server: $schema=./routes.schema.json"
    assert (tmp_path / "routes.schema.json").read_text(encoding="utf-8") == json_schema_text()


def test_init_never_overwrites_unless_forced(cli: Cli, echoing: Path) -> None:
    before = echoing.read_text()
    refused = cli("init", "--provider", "openai")
    assert refused.exit_code == 2
    assert "routes.yaml exists" in refused.stderr
    assert echoing.read_text() == before
    assert cli("init", "--provider", "openai", "--force").exit_code == 0
    assert echoing.read_text() != before


def test_init_refuses_a_provider_it_does_not_know(cli: Cli, tmp_path: Path) -> None:
    assert cli("init", "--provider", "opnai").exit_code == 2
    assert not (tmp_path / "routes.yaml").exists()


def test_what_init_writes_works_without_any_key(process: Process) -> None:
    process("init")
    done = process("chat", "summarize", "The tide comes in twice a day, along most coasts.", "-q")
    assert (done.stdout, done.returncode) == ("The tide comes in twice a day, along most coasts.\n", 0)
    assert "OPENAI_API_KEY" not in os.environ

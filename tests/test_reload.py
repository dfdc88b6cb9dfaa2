"""An edited file holds from the next call on; a broken edit changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loguru import logger

from llmrouter import RouteNotFoundError, disable_logging, enable_logging
from tests.chains import ask, chain
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import ANTHROPIC, OPENAI
from tests.worlds import Face

BROKEN = "routes:\n  r:\n    modle: first/gpt-6-luna\n"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged, level first."""
    found: list[str] = []
    enable_logging("DEBUG", lambda message: found.append(str(message)))
    yield found
    disable_logging()


@pytest.fixture
def servers(fault_server: FaultServers) -> tuple[FaultServer, FaultServer]:
    """OpenAI and Anthropic, each telling who it is."""
    return fault_server(OPENAI.reply("OpenAI.")), fault_server(ANTHROPIC.reply("Anthropic."))


@pytest.fixture
def file(tmp_path: Path, servers: tuple[FaultServer, FaultServer]) -> Path:
    """A file whose route `r` asks OpenAI; both providers are in it."""
    path = tmp_path / "routes.yaml"
    write(path, servers, "first/gpt-6-luna")
    return path


def write(path: Path, servers: tuple[FaultServer, FaultServer], model: str) -> None:
    """Write the file with this model for its route."""
    config = chain((OPENAI, servers[0]), (ANTHROPIC, servers[1]))
    config["routes"]["r"] = {"model": model}
    path.write_text(yaml.safe_dump(config))


Servers = tuple[FaultServer, FaultServer]


def test_an_edit_of_the_model_moves_the_next_call(face: Face, file: Path, servers: Servers) -> None:
    with face.router(file) as router:
        assert ask(face, router, "chat").content == "OpenAI."
        write(file, servers, "second/claude-haiku-5-5")
        assert router.reload() is True
        assert ask(face, router, "chat").content == "Anthropic."


def test_without_a_reload_nothing_changes(face: Face, file: Path, servers: Servers) -> None:
    with face.router(file) as router:
        write(file, servers, "second/claude-haiku-5-5")
        assert ask(face, router, "chat").content == "OpenAI."


def test_a_watched_file_needs_no_reload(face: Face, file: Path, servers: Servers) -> None:
    with face.router(file, watch=True) as router:
        assert ask(face, router, "chat").content == "OpenAI."
        write(file, servers, "second/claude-haiku-5-5")
        assert ask(face, router, "chat").content == "Anthropic."


def test_a_file_that_is_replaced_is_noticed(face: Face, file: Path, servers: Servers, tmp_path: Path) -> None:
    with face.router(file, watch=True) as router:
        write(tmp_path / "new.yaml", servers, "second/claude-haiku-5-5")
        (tmp_path / "new.yaml").replace(file)
        assert ask(face, router, "chat").content == "Anthropic."


@pytest.mark.parametrize("source", ["routes.yaml", None])
def test_a_program_that_changes_its_directory_keeps_its_file(
    face: Face, file: Path, servers: Servers, source: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    with face.router(source, watch=True) as router:
        monkeypatch.chdir("/")
        assert ask(face, router, "chat").content == "OpenAI."
        write(file, servers, "second/claude-haiku-5-5")
        assert ask(face, router, "chat").content == "Anthropic."
        assert router.reload() is True


@pytest.mark.parametrize("watch", [True, False])
def test_a_broken_edit_keeps_the_old_routes(face: Face, file: Path, watch: bool, lines: list[str]) -> None:
    with face.router(file, watch=watch) as router:
        file.write_text(BROKEN)
        if not watch:
            assert router.reload() is False
        assert ask(face, router, "chat").content == "OpenAI."
        assert "modle" in str(router.reload_error)
    errors = [line for line in lines if "| ERROR |" in line]
    assert len(errors) == 1
    assert "modle" in errors[0]


def test_a_broken_edit_that_is_repaired_counts_again(face: Face, file: Path, servers: Servers) -> None:
    logger.disable("llmrouter")
    with face.router(file, watch=True) as router:
        file.write_text(BROKEN)
        ask(face, router, "chat")
        write(file, servers, "second/claude-haiku-5-5")
        assert ask(face, router, "chat").content == "Anthropic."
        assert router.reload_error is None


def test_a_file_that_vanishes_keeps_the_old_routes(face: Face, file: Path) -> None:
    with face.router(file, watch=True) as router:
        file.unlink()
        assert ask(face, router, "chat").content == "OpenAI."


def test_a_route_that_was_removed_is_gone(face: Face, file: Path) -> None:
    with face.router(file) as router:
        file.write_text("routes: {}\n")
        assert router.reload()
        with pytest.raises(RouteNotFoundError):
            ask(face, router, "chat")


def test_a_stream_under_way_ends_as_it_began(face: Face, file: Path, servers: Servers) -> None:
    with face.router(file) as router:
        stream = face.stream(router, "r", "hello")
        write(file, servers, "second/claude-haiku-5-5")
        router.reload()
        assert "".join(stream) == "OpenAI."


def test_a_provider_that_did_not_change_keeps_its_connections(face: Face, file: Path, servers: Servers) -> None:
    with face.router(file) as router:
        ask(face, router, "chat")
        file.write_text(file.read_text() + "\n# a comment\n")
        router.reload()
        ask(face, router, "chat")
    assert servers[0].connections == 1


def test_what_was_spent_is_not_forgotten(face: Face, file: Path) -> None:
    with face.router(file) as router:
        ask(face, router, "chat")
        spent: Any = router.total_cost
        router.reload()
        assert router.total_cost == spent > 0

"""Observers that a program adds to a router, and those that the file asks for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmrouter import ConfigError, Router
from llmrouter.pipeline.observer import Ended
from tests.chains import Mode, ask, chain, each_mode
from tests.conftest import FaultServers
from tests.servers.protocols import OPENAI, Answer
from tests.worlds import Face


class Kept:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.ends: list[Ended] = []

    def ended(self, end: Ended) -> None:
        self.ends.append(end)


class Broken:
    """Raises, whatever it is told."""

    def ended(self, end: Ended) -> None:
        raise ValueError(end.call.messages)


@each_mode
def test_an_observer_is_told_of_each_call_once(face: Face, fault_server: FaultServers, mode: Mode) -> None:
    kept = Kept()
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(Answer("Here.")))))) as router:
        router.add_observer(kept)
        replies = [ask(face, router, mode), ask(face, router, mode)]
    assert [end.response for end in kept.ends] == replies


@each_mode
def test_an_observer_that_raises_costs_one_warning_and_no_call(
    face: Face, fault_server: FaultServers, warnings: list[str], mode: Mode
) -> None:
    kept = Kept()
    with face.router(chain((OPENAI, fault_server(OPENAI.reply(Answer("Here.")))))) as router:
        router.add_observer(Broken())
        router.add_observer(kept)
        for _ in range(3):
            assert ask(face, router, mode).content == "Here."
    assert warnings == ["the observer Broken raised ValueError; calls go on without it\n"]
    assert len(kept.ends) == 3


def test_observers_survive_a_reload(face: Face, fault_server: FaultServers, tmp_path: Path) -> None:
    import json

    kept, file = Kept(), tmp_path / "routes.yaml"
    file.write_text(json.dumps(chain((OPENAI, fault_server(OPENAI.reply(Answer("Here.")))))))
    with face.router(file) as router:
        router.add_observer(kept)
        assert router.reload()
        ask(face, router, "chat")
    assert len(kept.ends) == 1


def test_the_file_switches_opentelemetry_on() -> None:
    pytest.importorskip("opentelemetry", reason="opentelemetry-api is not installed")
    with Router({"version": 1, "telemetry": {"otel": True}}) as router:
        assert any(type(getattr(each, "observer", None)).__name__ == "OtelObserver" for each in _observers(router))


def _observers(router: Router) -> tuple[object, ...]:
    return router._pipeline.observers


@pytest.mark.parametrize(
    ("section", "package", "extra"),
    [("otel: true", "opentelemetry", "otel"), ("prometheus: true", "prometheus_client", "prometheus")],
)
def test_a_package_that_is_missing_is_a_mistake_of_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, section: str, package: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.startswith((package, f"llmrouter.observe.{extra}"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    file = tmp_path / "routes.yaml"
    file.write_text(f"version: 1\ntelemetry: {{ {section} }}\n")
    with pytest.raises(ConfigError, match=rf"telemetry: .* pip install 'llmrouter\[{extra}\]'"):
        Router(file)


@pytest.mark.parametrize("port", ["70000", "-1", "many"])
def test_a_port_that_is_none_is_told_with_its_place(tmp_path: Path, port: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(f"version: 1\ntelemetry:\n  prometheus:\n    port: {port}\n")
    with pytest.raises(ConfigError, match=r"routes\.yaml:4:\d+.*telemetry\.prometheus\.port"):
        Router(file)


def test_a_router_without_telemetry_imports_none_of_it() -> None:
    program = (
        "import sys; from llmrouter import Router; Router({'version': 1}).close(); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'prometheus_client', 'starlette'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"

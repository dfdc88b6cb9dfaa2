"""`llmrouter doctor`: what it finds, what it advises, and that nothing makes it hang."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from llmrouter.cli.doctor import _fits
from llmrouter.cli.probe import Probed, probe, probe_all, without_password
from tests.cli.conftest import Cli, local_routes
from tests.conftest import FaultServers
from tests.servers.http1 import Request
from tests.servers.replies import Reply
from tests.servers.tls import Authority

LIMIT = 0.4  # seconds; nothing on this machine needs more


def dated(skew_s: float = 0.0, status: int = 404) -> Reply:
    return Reply(status, {"date": formatdate(time.time() + skew_s, usegmt=True)})


def findings(cli: Cli, *arguments: str) -> dict[tuple[str, str], dict[str, Any]]:
    told = json.loads(cli("doctor", "--json", *arguments).stdout)["findings"]
    return {(each["area"], each["subject"]): each for each in told}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# ------------------------------------------------------------------------------------------------ the command


def test_all_is_fine(cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    server = fault_server(dated())
    routes(local_routes(server.url))
    done = cli("doctor")
    assert done.exit_code == 0, done.stdout
    assert done.stdout.endswith("All is fine.\n")
    assert [(request.method, request.path) for request in server.requests] == [("HEAD", "/")]


def test_no_key_leaves_this_machine(
    cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_KEY", "canary-0123456789")
    server = fault_server(dated())
    routes(local_routes(server.url))
    done = cli("doctor", "-v")
    assert "canary" not in done.stdout + done.stderr
    assert "canary" not in str(server.requests[0].headers)


def test_offline_reaches_for_nothing(cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers) -> None:
    server = fault_server(dated())
    routes(local_routes(server.url))
    assert cli("doctor", "--offline").exit_code == 0
    assert server.connections == 0


def test_a_missing_key_needs_attention_and_names_its_variables(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes("routes: { r: { model: openai/gpt-6-luna } }")
    done = cli("doctor", "--offline")
    assert done.exit_code == 1
    assert "OPENAI_API_KEY" in done.stdout.split("To do:")[1]


def to_do(cli: Cli) -> list[str]:
    return [line.strip() for line in cli("doctor", "--offline").stdout.partition("To do:\n")[2].splitlines()]


def test_without_a_file_and_without_keys_there_is_one_thing_to_do(cli: Cli) -> None:
    assert to_do(cli) == [
        "set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY (environment or .env); one of them is enough"
    ]


def test_routes_that_lack_the_same_keys_are_one_thing_to_do(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(
        "routes:\n"
        "  one: { model: openai/gpt-6-luna, fallbacks: [anthropic/claude-haiku-5-5] }\n"
        "  two: { model: anthropic/claude-haiku-5-5, fallbacks: [openai/gpt-6-luna] }\n"
        "  three: { model: google/gemini-3.8-flash, fallbacks: [anthropic/claude-haiku-5-5, openai/gpt-6-luna] }\n"
    )
    assert to_do(cli) == ["set OPENAI_API_KEY or ANTHROPIC_API_KEY (environment or .env); one of them is enough"]
    found = findings(cli, "--offline")
    assert [found["route", name]["said"] for name in ("one", "two", "three")] == ["no target of it can be asked"] * 3


def test_a_provider_whose_routes_have_another_target_is_no_fault(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes("routes: { r: { model: openai/gpt-6-luna, fallbacks: ['python/llmrouter.offline:summarize'] } }")
    assert findings(cli, "--offline")["key", "openai"]["state"] == "note"
    done = cli("doctor", "--offline")
    assert (done.exit_code, done.stdout.endswith("All is fine.\n")) == (0, True)


def test_what_is_missing_beside_a_key_is_advised_in_its_own_words(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes(
        "providers: { local: { kind: openai, base_url: 'http://127.0.0.1:1/v1', api_key: '${UNSET_KEY}' } }\n"
        "routes: { r: { model: openai/gpt-6-luna, fallbacks: [local/some-model] } }\n"
    )
    (line,) = to_do(cli)
    assert line.startswith("set OPENAI_API_KEY (environment or .env); or local: not set: UNSET_KEY")
    assert line.endswith("; one of them is enough")


def test_a_set_key_is_set_and_not_shown(
    cli: Cli, routes: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "canary-0123456789")
    routes("routes: { r: { model: openai/gpt-6-luna } }")
    assert findings(cli, "--offline")["key", "openai"]["said"] == "set"


def test_without_a_file_one_key_is_enough(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cli("doctor", "--offline").exit_code == 1
    monkeypatch.setenv("GEMINI_API_KEY", "none-of-yours")
    found = findings(cli, "--offline")
    assert found["key", "google"]["state"] == "ok"
    assert found["key", "openai"]["state"] == "note"
    assert found["file", "routes.yaml"]["state"] == "note"
    assert cli("doctor", "--offline").exit_code == 0


def test_a_broken_file_is_a_finding_among_others(cli: Cli, routes: Callable[[str], Path]) -> None:
    path = routes("routes: { r: { modle: x/y } }")
    found = findings(cli, "--offline", "--routes", str(path))
    assert "did you mean 'model'" in found["file", str(path)]["said"]
    assert found["python", "CPython"]["state"] == "ok"


def test_a_server_that_is_not_running_needs_attention(
    cli: Cli, routes: Callable[[str], Path], closed_port: int
) -> None:
    routes(local_routes(f"http://127.0.0.1:{closed_port}"))
    found = findings(cli)["host", "local"]
    assert found["state"] == "attention"
    assert "connection refused" in found["said"]
    assert "start the server" in found["advice"]


def test_a_clock_that_is_wrong_needs_attention(
    cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers
) -> None:
    routes(local_routes(fault_server(dated(skew_s=600)).url))
    found = findings(cli)["clock", "system"]
    assert (found["state"], found["advice"]) == ("attention", "set the clock of this machine (NTP)")
    assert "slow" in found["said"]


def test_a_host_that_tells_no_time_leaves_the_clock_out(
    cli: Cli, routes: Callable[[str], Path], fault_server: FaultServers
) -> None:
    routes(local_routes(fault_server(Reply(404)).url))
    assert ("clock", "system") not in findings(cli)


def test_proxies_are_named_without_their_passwords(
    cli: Cli, routes: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://user:canary-pass@proxy.invalid:3128")
    routes("routes: { r: { model: openai/gpt-6-luna } }")
    found = findings(cli, "--offline")
    assert found["proxy", "environment"]["said"] == "HTTPS_PROXY set"
    assert found["proxy", "openai"]["said"] == "asked through http://proxy.invalid:3128"


# ------------------------------------------------------------------------------------------------ paths


def paths(folder: Path) -> str:
    return f"cache: {{ dir: '{folder}/cache' }}\nledger: {{ path: '{folder}/usage.db' }}\nroutes: {{}}\n"


def test_places_that_do_not_exist_yet_are_fine(cli: Cli, routes: Callable[[str], Path], tmp_path: Path) -> None:
    routes(paths(tmp_path / "deep" / "down"))
    found = findings(cli, "--offline")
    assert found["cache", f"{tmp_path}/deep/down/cache"]["said"] == "will be made at its first use"
    assert not (tmp_path / "deep").exists()


def test_places_that_others_can_read_need_attention(cli: Cli, routes: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o755)
    (tmp_path / "usage.db").touch(mode=0o644)
    routes(paths(tmp_path))
    found = findings(cli, "--offline")
    assert found["cache", f"{tmp_path}/cache"]["advice"] == f"chmod 700 '{tmp_path}/cache'"
    assert found["ledger", f"{tmp_path}/usage.db"]["advice"] == f"chmod 600 '{tmp_path}/usage.db'"


def test_the_size_of_what_is_there_is_told(cli: Cli, routes: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o700)
    (tmp_path / "cache" / "entry").write_bytes(bytes(3 << 20))
    routes(paths(tmp_path))
    assert findings(cli, "--offline")["cache", f"{tmp_path}/cache"]["said"] == "writable, 3.0 MiB"


def test_a_file_where_the_cache_should_be_needs_attention(
    cli: Cli, routes: Callable[[str], Path], tmp_path: Path
) -> None:
    (tmp_path / "cache").touch()
    routes(paths(tmp_path))
    assert findings(cli, "--offline")["cache", f"{tmp_path}/cache"]["said"] == "is no folder"


def test_a_file_on_the_way_needs_attention(cli: Cli, routes: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "blocked").touch()
    routes(paths(tmp_path / "blocked"))
    assert findings(cli, "--offline")["cache", f"{tmp_path}/blocked/cache"]["said"] == "cannot be written"


def test_a_ledger_that_is_off_is_noted(cli: Cli, routes: Callable[[str], Path]) -> None:
    routes("ledger: false\nroutes: {}\n")
    assert findings(cli, "--offline")["ledger", "usage"]["said"] == "turned off"


def test_databases_are_looked_for_without_showing_their_passwords(
    cli: Cli, routes: Callable[[str], Path], closed_port: int, fault_server: FaultServers
) -> None:
    listening = fault_server(Reply(answers=False))
    routes(
        f"ledger: {{ url: 'postgresql://user:canary-pass@127.0.0.1:{closed_port}/x' }}\n"
        f"state: {{ url: 'redis://:canary-pass@127.0.0.1:{listening.port}/0' }}\n"
        + local_routes(fault_server(dated()).url)
    )
    found = findings(cli)
    assert found["ledger", "url"]["state"] == "attention"
    assert found["state", "url"]["said"] == f"127.0.0.1:{listening.port} listens"
    assert "canary" not in str(found)
    assert not listening.requests


# ------------------------------------------------------------------------------------------------ versions


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.10.0", ">=2.10,<3", True),
        ("2.9.9", "<3,>=2.10", False),
        ("3.0.0", ">=2.10,<3", False),
        ("3.0.0rc1", ">=2.10,<3", False),
        ("9.1.4", ">=9.1,<9.2", True),
        ("14.0", ">=14", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, bounds: str, fits: bool) -> None:
    assert _fits(version, bounds) is fits


# ------------------------------------------------------------------------------------------------ probing


def test_a_trusted_host_answers_over_tls(fault_server: FaultServers, authority: Authority) -> None:
    server = fault_server(dated(), tls=authority.server_context())
    found = probe(server.url, ca_bundle=str(authority.ca_bundle), limit_s=2)
    assert found.failed is None
    assert found.clock_s == pytest.approx(0, abs=3)


def test_a_certificate_that_nobody_vouches_for_is_told(fault_server: FaultServers, authority: Authority) -> None:
    server = fault_server(dated(), tls=authority.server_context())
    assert "certificate is not trusted" in str(probe(server.url, limit_s=2).failed)


def test_an_unknown_name_is_told() -> None:
    assert "not known (DNS" in str(probe("https://nobody.invalid", limit_s=LIMIT).failed)


def test_a_host_without_tls_is_told(fault_server: FaultServers) -> None:
    server = fault_server(dated())
    assert "(TLS:" in str(probe(f"https://127.0.0.1:{server.port}", limit_s=LIMIT).failed)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_host_is_given_up_on(fault_server: FaultServers, scheme: str) -> None:
    server = fault_server(Reply(answers=False))
    began = time.monotonic()
    found = probe(f"{scheme}://127.0.0.1:{server.port}", limit_s=LIMIT)
    assert time.monotonic() - began < LIMIT + 0.5
    assert (found.failed is None) is (scheme == "http")  # it took the connection; only TLS needs an answer


def test_a_name_server_that_is_silent_is_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_more: time.sleep(1.5))
    began = time.monotonic()
    found = probe_all({"x": lambda: probe("https://localhost", limit_s=0.1)}, limit_s=0.1)
    assert time.monotonic() - began < 1.2
    assert found == {"x": Probed("", 0.1, "no answer within 0.1s")}


def test_hosts_are_asked_side_by_side(fault_server: FaultServers) -> None:
    server = fault_server(Reply(answers=False))
    began = time.monotonic()
    probe_all({number: lambda: probe(server.url, limit_s=LIMIT) for number in range(8)}, limit_s=LIMIT)
    assert time.monotonic() - began < 2 * LIMIT + 0.5


def test_a_proxy_is_asked_for_a_tunnel(fault_server: FaultServers) -> None:
    seen: list[Request] = []

    def refuse(request: Request) -> Reply:
        seen.append(request)
        return Reply(403)

    proxy = fault_server(refuse)
    url = proxy.url.replace("//", "//user:pass@")
    found = probe("https://api.example.invalid/v1", proxy=url, limit_s=LIMIT)
    assert "the proxy refuses the connection (it says 403" in str(found.failed)
    assert (seen[0].method, seen[0].path) == ("CONNECT", "api.example.invalid:443")
    assert seen[0].headers["proxy-authorization"] == "Basic " + base64.b64encode(b"user:pass").decode()


def test_a_proxy_that_is_away_is_told(closed_port: int) -> None:
    found = probe("https://api.example.invalid", proxy=f"http://127.0.0.1:{closed_port}", limit_s=LIMIT)
    assert "the proxy 127.0.0.1" in str(found.failed)


@pytest.mark.parametrize("url", ["user:pass@proxy:3128", "http://user:pass@proxy:3128/", "http://proxy:3128"])
def test_a_password_is_left_out(url: str) -> None:
    assert without_password(url) == "http://proxy:3128"

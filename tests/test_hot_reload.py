"""The file changes under load: no call fails, and each sees one version of it from beginning to end."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmrouter import AsyncRouter, Router
from tests.chains import chain
from tests.conftest import FaultServers
from tests.servers.faults import FaultServer
from tests.servers.protocols import OPENAI

pytestmark = pytest.mark.timeout(120)

EDITS = 50


def write(path: Path, server: FaultServer, version: int) -> None:
    """Write version `version`: its number is in the model, the system prompt, a parameter and the fallback."""
    config = chain((OPENAI, server))
    config["defaults"] = {"deadline": "60s", "timeouts": {"attempt": "50s"}, "retry": {"attempts": 1}}
    config["routes"]["r"] = {
        "model": f"first/model-{version}",
        "system": f"You are version {version}.",
        "params": {"max_tokens": 1000 + version},
    }
    new = path.with_suffix(f".{version}")
    new.write_text(yaml.safe_dump(config))
    new.replace(path)  # as editors and deployments do: nobody ever reads half a file


def echoed(request: Any) -> Any:
    """Answer with the versions that a request shows, after a little while."""
    body = request.json
    system = body["messages"][0]["content"].rstrip(".").rpartition(" ")[2]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    return OPENAI.complete(f"{body['model'].removeprefix('model-')} {system} {most - 1000}").after(0.02)


def check(found: list[str], calls: int) -> None:
    """Every call was answered by one version, and many versions were seen."""
    assert len(found) == calls
    assert [text for text in found if len(set(text.split())) != 1] == []
    assert len(Counter(found)) > EDITS / 5


def test_a_thousand_tasks_see_one_version_each_while_the_file_changes(
    fault_server: FaultServers, tmp_path: Path
) -> None:
    server, path = fault_server(echoed), tmp_path / "routes.yaml"
    write(path, server, 0)

    async def loaded() -> list[str]:
        async with AsyncRouter(path, watch=True) as router:

            async def call(number: int) -> str:
                await asyncio.sleep(number * 0.003)
                if number % 20 == 0:
                    write(path, server, number // 20)
                return (await router.chat("r", f"question {number}")).content

            return list(await asyncio.gather(*map(call, range(1000))))

    check(asyncio.run(loaded()), 1000)


def test_threads_see_one_version_each_while_the_file_changes(fault_server: FaultServers, tmp_path: Path) -> None:
    server, path = fault_server(echoed), tmp_path / "routes.yaml"
    write(path, server, 0)

    with Router(path, watch=True) as router, ThreadPoolExecutor(16) as pool:

        def call(number: int) -> str:
            if number % 6 == 0:
                write(path, server, number // 6)
            return router.chat("r", f"question {number}").content

        found = list(pool.map(call, range(6 * EDITS)))
    check(found, 6 * EDITS)


def test_a_stream_under_way_keeps_its_version(fault_server: FaultServers, tmp_path: Path) -> None:
    server, path = fault_server(OPENAI.stream("one two three four")), tmp_path / "routes.yaml"
    write(path, server, 0)
    with Router(path, watch=True) as router:
        with router.stream("r", "hello") as stream:
            reading = iter(stream)
            first = next(reading)
            write(path, server, 1)
            assert router.plan("r").rungs[0].model == "model-1"
            assert first + "".join(reading) == "one two three four"
        assert stream.response is not None
        assert stream.response.target == "first/model-0"


def test_connections_outlive_an_edit_that_does_not_concern_their_provider(
    fault_server: FaultServers, tmp_path: Path
) -> None:
    server, path = fault_server(echoed), tmp_path / "routes.yaml"
    write(path, server, 0)
    with Router(path, watch=True) as router:
        for version in range(1, 6):
            router.chat("r", "hello")
            write(path, server, version)
    assert server.connections == 1

"""`llmrouter dashboard`, as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra `dashboard` is not installed")
pytest.importorskip("uvicorn", reason="the extra `dashboard` is not installed")

from tests.cli.conftest import command
from tests.dashboard.serving import config, filled


def written(folder: Path) -> str:
    (folder / "routes.yaml").write_text(json.dumps(config(folder)))
    return str(folder / "routes.yaml")


def failed(*arguments: str) -> str:
    done = subprocess.run(command("dashboard", *arguments), capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    return done.stderr


def test_it_serves_until_ctrl_c(tmp_path: Path) -> None:
    filled(tmp_path)
    started = command("dashboard", "--port", "0", "--routes", written(tmp_path))
    with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = process.stderr.readline().split()[0]
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}data.json", timeout=10) as answer:
            assert json.load(answer)["total"]["calls"] == 5
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert (process.returncode, out, errors.strip()) == (0, "", "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_other_machines_need_a_token(tmp_path: Path, host: str) -> None:
    assert f"other machines can reach {host}: give the page a --token" in failed(
        "--host", host, "--routes", written(tmp_path)
    )


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"127.0.0.1:{port} cannot be listened on" in failed("--port", port, "--routes", written(tmp_path))


def test_a_file_without_a_ledger_has_nothing_to_show(tmp_path: Path) -> None:
    (tmp_path / "routes.yaml").write_text("version: 1\nledger: false\n")
    assert "there is no ledger to read" in failed("--routes", str(tmp_path / "routes.yaml"))

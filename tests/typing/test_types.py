"""The public API has the types that users expect: checked by mypy, and by pyright where it is installed."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = Path(__file__).with_name("api.py")


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=180)


@pytest.mark.timeout(200)
def test_mypy_infers_what_a_user_expects(tmp_path: Path) -> None:
    options = ("--cache-dir", str(tmp_path), "--warn-unused-ignores", "--follow-imports=silent")  # as for any package
    done = run(sys.executable, "-m", "mypy", *options, str(API))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(200)
@pytest.mark.parametrize("name", ["pyright", "basedpyright"])
def test_pyright_infers_what_a_user_expects(name: str, tmp_path: Path) -> None:
    found = shutil.which(name, path=str(Path(sys.executable).parent))
    if found is None:
        pytest.skip(f"{name} is not installed: pip install {name}")
    project = tmp_path / "pyrightconfig.json"
    settings = {
        "include": [os.path.relpath(API, tmp_path)],  # an absolute path would be passed over
        "extraPaths": [str(ROOT)],
        "typeCheckingMode": "standard",
        "enableTypeIgnoreComments": False,  # those are mypy's
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    project.write_text(json.dumps(settings), encoding="utf-8")
    done = run(found, "--outputjson", "--pythonpath", sys.executable, "--project", str(project))
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] == 1
    assert [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in told["generalDiagnostics"]] == []

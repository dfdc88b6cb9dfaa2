"""Run the blocks of one page in order, in the current folder, as one reader would: files are written, code is run.

Reads the blocks as JSON from stdin, and writes as JSON what each of them printed. Stops at the first that fails.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import subprocess
import sys
import traceback
import types
from pathlib import Path
from typing import Any


def main() -> None:
    page = types.ModuleType("page")
    sys.modules["page"] = page  # so that classes defined on the page can be found by their module
    sys.path.insert(0, "")
    told = []
    for block in json.load(sys.stdin):
        printed, failure = run(block, page)
        told.append({"line": block["line"], "printed": printed, "failure": failure})
        if failure:
            break
    json.dump(told, sys.stdout)


def run(block: dict[str, Any], page: types.ModuleType) -> tuple[str, str | None]:
    """Return what a block printed, and why it failed, or None."""
    if block["title"]:
        path = Path(block["title"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block["text"], encoding="utf-8")
        if path.suffix == ".py" and not path.name.startswith("test_"):
            return python(f"import importlib; importlib.import_module({path.stem!r})", types.ModuleType("importer"))
        return "", None
    return shell(block) if block["language"] == "bash" else python(block["text"], page)


def python(text: str, module: types.ModuleType) -> tuple[str, str | None]:
    printed = io.StringIO()
    importlib.invalidate_caches()  # a file may have been written since the folder was last looked at
    try:
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "page", "exec"), module.__dict__)
    except Exception:  # noqa: BLE001  # whatever a page's code raises is the finding
        return printed.getvalue(), traceback.format_exc()
    return printed.getvalue(), None


def shell(block: dict[str, Any]) -> tuple[str, str | None]:
    command = ["bash", "-euo", "pipefail", "-c", block["text"]]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    wrong = done.returncode != block["status"]
    return done.stdout, f"exit status {done.returncode}\n{done.stdout}" if wrong else None


if __name__ == "__main__":
    main()

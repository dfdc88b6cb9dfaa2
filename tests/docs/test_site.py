"""The site is built without a warning, and a reader's browser asks nobody but the site."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import DOCS

pytestmark = pytest.mark.integration
pytest.importorskip("material", reason="mkdocs-material comes with the extra `docs`")


def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    built = tmp_path / "site"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(built)],
        cwd=DOCS.parent, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False, timeout=55,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    for page in built.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img|iframe)\b[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)", page.read_text())
        assert fetched == [], page.name

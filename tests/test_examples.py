"""Every example runs as its reader would run it, without keys and without network, and shows what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cassettes.scenarios import EXAMPLES as RECORDED

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
LONGEST = 60  # lines that a reader takes in at a glance

# What each example is there to show, as its output has it.
SHOWN = {
    "async_fan_out.py": r"^Library reopens(.*\n){6}\n6 answers, at most 3 at a time\n$",
    "fallback.py": r"2\. openai/gpt-6-luna: failed \(OverloadedError\).+\n3\. anthropic/claude-haiku-5-5: ok",
    "quick_start.py": r"High tides(.|\n)+\n\nanswered by python/llmrouter\.offline:summarize in ",
    "streaming.py": r"^The lighthouse keeper(.|\n)+asked him for the time\.\n\n48 tokens in .+ ended with 'stop'\n$",
    "switch_provider.py": r"^openai/gpt-6-luna\n  Dear .+\nanthropic/claude-haiku-5-5\n  Sorry .+",
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_shows_what_it_promises(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", f"examples/{name}"],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(SHOWN[name], done.stdout), done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_short(name: str) -> None:
    assert len((ROOT / "examples" / name).read_text(encoding="utf-8").splitlines()) < LONGEST


def test_every_recording_belongs_to_an_example() -> None:
    recorded = {path.stem for path in (ROOT / "examples" / "cassettes").glob("*.yaml")}
    assert recorded == set(RECORDED)
    assert recorded == {
        Path(name).stem for name in EXAMPLES if "use_cassette" in (ROOT / "examples" / name).read_text()
    }

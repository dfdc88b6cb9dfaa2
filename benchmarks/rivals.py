"""Other routers, in a process of their own: they pin other versions of the SDKs than llmrouter has.

`LLMROUTER_BENCH_RIVALS` names a Python whose environment has `litellm` and `liter-llm`. The process is driven a turn at
a time over its standard input and output, so that its turns alternate with everybody else's.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.rounds import Turn

VARIABLE: Final = "LLMROUTER_BENCH_RIVALS"


class Rivals:
    """The running process. `names` are the contenders it offers, `missing` why others are not there."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        hello = self._answer()
        self.names: list[str] = hello["names"]
        self.missing: dict[str, str] = hello["missing"]

    def turn(self, name: str, at_once: int = 0) -> Turn:
        """Return a turn of a contender: one call after another, or `at_once` of them (then one number a turn)."""

        def turn(calls: int) -> Sequence[float]:
            self._send({"name": name, "calls": calls, "at_once": at_once})
            taken: list[float] = self._answer()
            return taken

        return turn

    def _send(self, order: dict[str, Any]) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps(order) + "\n")
        stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("@"):  # what the libraries print themselves is not for us
                return json.loads(line[1:])
        raise RuntimeError("the process of the other routers ended")


@contextmanager
def running(base: str) -> Iterator[Rivals | None]:
    """Start the process; None where nobody has said which Python has them."""
    python = os.environ.get(VARIABLE)
    if python is None:
        yield None
        return
    script = Path(__file__).with_name("rival_process.py")
    command = [python, str(script), base]
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as process:
        yield Rivals(process)
        process.communicate()

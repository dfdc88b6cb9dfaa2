"""The pytest plugin: tests whose answers come from a cassette.

    @pytest.mark.cassette
    def test_a_summary_is_short() -> None:
        assert len(router.chat("summarize", TEXT).content) < 500

`pytest --llmrouter-record` asks the providers and records; from then on the test needs neither key nor network. A test
that wants to see or spoil the recording takes the fixture `cassette`. Every pytest run of whoever has llmrouter
installed imports this module, so it imports nothing but pytest until a test uses a cassette.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from llmrouter.cassettes import Cassette

_BREAKER_SCOPE: Final = "LLMROUTER_BREAKER_SCOPE"  # llmrouter.store.opening's; nothing is imported for it
_MODES: Final = ("none", "once", "new_episodes", "all")
_LONGEST_NAME: Final = 120  # characters; file systems end at 255 bytes
_USED: Final = pytest.StashKey["Cassette"]()
_ALLOWS_UNUSED: Final = pytest.StashKey[bool]()
_RECORDED: Final = pytest.StashKey[set[Path]]()  # the files that this run has recorded to, by name
_MARKER: Final = (
    "cassette(name, mode='none', allow_unused=False, **options): replay recorded answers of providers. The file is "
    "cassettes/<name>.yaml, by default cassettes/<test module>/<test>.yaml; options are those of "
    "llmrouter.cassettes.use_cassette."
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--llmrouter-record` and the setting `llmrouter_cassettes`."""
    parser.getgroup("llmrouter").addoption(
        "--llmrouter-record",
        nargs="?",
        const="all",
        type=_mode,
        metavar="MODE",
        help="Ask the providers and record: `all` (the default) anew, `once` what has no cassette yet, "
        "`new_episodes` what a cassette lacks.",
    )
    parser.addini("llmrouter_cassettes", "Folder of the cassettes, from the root of the project.", default="cassettes")


def _mode(text: str) -> str:
    if text not in _MODES:
        raise argparse.ArgumentTypeError(
            f"{text!r} is none of {', '.join(_MODES)}; put --llmrouter-record last, or write --llmrouter-record=all"
        )
    return text


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and count what cassettes are used for."""
    config.addinivalue_line("markers", _MARKER)
    config.pluginmanager.register(_Totals(), "llmrouter-totals")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:  # noqa: ARG001 - pytest's name
    """Give each test, with the processes that it starts, breakers of its own: what one test's fake provider refused
    must not keep another test from it."""
    before = os.environ.get(_BREAKER_SCOPE)
    os.environ[_BREAKER_SCOPE] = os.urandom(8).hex()
    try:
        return (yield)
    finally:
        if before is None:
            os.environ.pop(_BREAKER_SCOPE, None)
        else:
            os.environ[_BREAKER_SCOPE] = before


# ------------------------------------------------------------------------------------------------ fixtures


@pytest.fixture(autouse=True)
def _marked_cassette(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("cassette") is not None:
        request.getfixturevalue("cassette")


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Iterator[Cassette]:
    """The cassette of this test, in use: `.played`, `.recorded`, `.unused`, and `.inject(Fault(...))`.

    The marker `cassette` names its file and sets its options. In a replay, connections to the internet are refused.
    """
    from llmrouter.cassettes import use_cassette
    from llmrouter.cassettes.network import only_private

    item = request.node
    marker = item.get_closest_marker("cassette")
    name, options = _arguments(item, marker)
    allow_unused = options.pop("allow_unused", False)
    asked_for = request.config.getoption("--llmrouter-record")
    mode = asked_for or options.pop("mode", "none")
    options.pop("mode", None)
    advice = f"To record it again: pytest '{item.nodeid}' --llmrouter-record    (with the providers' keys set)"
    path = _path(item, name)
    if asked_for:
        options.setdefault("keep", _is_shared(item, name, path, allow_unused=allow_unused))
    with ExitStack() as used:
        opened = used.enter_context(use_cassette(path, mode, rerecord=advice, **options))
        if opened.replaying:
            used.enter_context(only_private(advice))
        item.stash[_USED], item.stash[_ALLOWS_UNUSED] = opened, allow_unused
        yield opened


def _arguments(item: pytest.Item, marker: pytest.Mark | None) -> tuple[str | None, dict[str, Any]]:
    if marker is None:
        return None, {}
    if len(marker.args) > 1:
        raise pytest.UsageError(f"{item.nodeid}: the marker cassette takes one name, and options by keyword")
    return (str(marker.args[0]) if marker.args else None), dict(marker.kwargs)


def _is_shared(item: pytest.Item, name: str | None, path: Path, *, allow_unused: bool) -> bool:
    """Whether other tests may have recorded to this file what is to stay on it."""
    if name is None:
        return False
    if hasattr(item.config, "workerinput") and sum(_names(each) == name for each in item.session.items) > 1:
        raise pytest.UsageError(f"several tests share {path.name}: record them in one process, with -n 0")
    recorded = item.config.stash.setdefault(_RECORDED, set())
    before = path in recorded
    recorded.add(path)
    return before or allow_unused


def _names(item: pytest.Item) -> str | None:
    marker = item.get_closest_marker("cassette")
    return _arguments(item, marker)[0]


def _path(item: pytest.Item, name: str | None) -> Path:
    """Return the file of a test's cassette: shared by name, or its own."""
    config = item.config
    folder = config.rootpath / str(config.getini("llmrouter_cassettes"))
    if name is not None:
        return folder / (name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    module = item.path.with_suffix("")
    parts = module.relative_to(config.rootpath).parts if module.is_relative_to(config.rootpath) else (module.name,)
    own = parts[1:] if parts[0] in ("tests", "test") and len(parts) > 1 else parts
    return folder.joinpath(*own, f"{_file_name('.'.join(item.nodeid.split('::')[1:]))}.yaml")


def _file_name(test: str) -> str:
    """Return the name of a test, parameters included, as a file may be named."""
    plain = re.sub(r"[^\w.-]+", "-", test).strip("-")
    if len(plain) <= _LONGEST_NAME and plain == re.sub(r"[\[\]]+", "-", test).strip("-"):
        return plain
    return f"{plain[:_LONGEST_NAME]}-{hashlib.sha256(test.encode()).hexdigest()[:8]}"  # two names may not become one


# ------------------------------------------------------------------------------------------------ verdict and summary


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that passed, but not by what is on its cassette."""
    __tracebackhide__ = True
    try:
        result = yield
    except BaseException as error:
        if item.stash.get(_USED, None) is not None and _is_miss(error):
            raise error.with_traceback(_own_frames(error)) from None
        raise
    used = item.stash.get(_USED, None)
    if used is not None and used.replaying:
        if used.misses:
            raise used.misses[0]  # somebody has swallowed it
        if used.unused and not item.stash[_ALLOWS_UNUSED]:
            listed = "\n".join(f"  {each}" for each in used.unused)
            pytest.fail(
                f"{len(used.unused)} of the recorded requests were not made ({used.path}):\n{listed}\n"
                f"To record it again: pytest '{item.nodeid}' --llmrouter-record; "
                "if that is as it should be: @pytest.mark.cassette(allow_unused=True)",
                pytrace=False,
            )
    return result


def _is_miss(error: BaseException) -> bool:
    from llmrouter.cassettes import CassetteMissError

    return isinstance(error, CassetteMissError)


def _own_frames(error: BaseException) -> TracebackType | None:
    """Return an error's traceback without our frames and the SDK's, so that its message is what one sees."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__"))
        if module != __name__ and module.startswith("llmrouter."):
            break
        frames.append(trace)
        trace = trace.tb_next
    shown = None
    for each in reversed(frames):
        shown = TracebackType(shown, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return shown


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """Hand on what the cassette was used for; under xdist the report is what reaches the main process."""
    report = yield
    used = item.stash.get(_USED, None)
    if call.when == "teardown" and used is not None:
        report.llmrouter_cassette = [used.played, used.recorded, len(used.unused) if used.replaying else 0]
    return report


class _Totals:
    """Adds up what the tests' cassettes were used for."""

    def __init__(self) -> None:
        self._counts = [0, 0, 0]
        self._tests = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one test."""
        counts = getattr(report, "llmrouter_cassette", None)
        if counts is not None:
            self._tests += 1
            self._counts = [old + new for old, new in zip(self._counts, counts, strict=True)]

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Write the line, if any test used a cassette."""
        if self._tests:
            played, recorded, unused = self._counts
            tests = "1 test" if self._tests == 1 else f"{self._tests} tests"
            answers = "1 answer" if played == 1 else f"{played} answers"
            terminalreporter.write_line(
                f"llmrouter cassettes: {tests}, {answers} replayed, {recorded} recorded, {unused} unused"
            )

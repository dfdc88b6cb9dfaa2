"""`use_cassette`: a context manager and a decorator, for blocking and asynchronous code alike."""

from __future__ import annotations

import copy
import functools
import inspect
import os
import threading
from collections.abc import AsyncIterator, Callable, Collection, Generator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias, TypeVar, cast

from llmrouter.cassettes.fault import Fault
from llmrouter.cassettes.matching import CassetteMissError, public
from llmrouter.errors import InvalidRequestError
from llmrouter.pipeline import playback

if TYPE_CHECKING:
    from llmrouter.cassettes.tape import Tape

F = TypeVar("F", bound=Callable[..., Any])
Mode: TypeAlias = Literal["none", "once", "new_episodes", "all"]

MODES: Final = ("none", "once", "new_episodes", "all")
MODE_VARIABLE: Final = "LLMROUTER_CASSETTE_MODE"
_RERECORD: Final = f"To record it again: {MODE_VARIABLE}=all, with the providers' keys set."


@public
class Cassette:
    """A cassette in use, as `use_cassette` hands it out."""

    def __init__(self, path: Path, mode: str, tape: Tape) -> None:
        self.path, self.mode = path, mode
        self._tape = tape

    @property
    def replaying(self) -> bool:
        """Whether nothing is sent: every request is on the cassette, or an error."""
        return self._tape.replays

    @property
    def played(self) -> int:
        """How many answers came from the cassette."""
        return int(self._tape.play_count)

    @property
    def recorded(self) -> int:
        """How many answers were recorded."""
        return self._tape.recorded

    @property
    def unused(self) -> tuple[str, ...]:
        """The recorded requests that were not made, such as `POST /v1/messages (route chat, target anthropic/…)`."""
        return tuple(map(str, self._tape.unused))

    @property
    def misses(self) -> tuple[CassetteMissError, ...]:
        """The errors of requests that are not on the cassette, in case something has swallowed them."""
        return tuple(self._tape.misses)

    def inject(self, fault: Fault) -> None:
        """Fail the next requests; in a replay only. It takes the place of a fault injected before."""
        self._tape.spoil(fault)

    def __repr__(self) -> str:
        return f"Cassette({str(self.path)!r}, mode={self.mode!r}, played={self.played}, recorded={self.recorded})"


@public
class use_cassette:  # noqa: N801 - it reads as the function that it is in most code bases
    """Record to, and replay from, the file `path` while the block, or the decorated function, runs.

    `mode`: `none` replays only; `once` records where there is no file yet and replays from then on; `new_episodes`
    replays what is there and records the rest; `all` records everything anew, and drops what was there before unless
    `keep` is set. $LLMROUTER_CASSETTE_MODE overrides it.

    In a replay no key is needed and nothing is sent; a request that was not recorded raises CassetteMissError. Routes
    leave their cache of answers alone unless `cache` is set. `repeats` lets a recording be played any number of times.
    `realtime` replays with the delays of the recording; else neither they nor the waits before retries take any time.
    `fault` makes requests fail. `ignore_hosts` are hosts whose requests are none of ours. `rerecord` is the advice that
    errors give. Raises InvalidRequestError for an unknown mode, ConfigError for a file that is no cassette.

    One cassette at a time is in use in a process: all threads and tasks use the same one.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        mode: Mode = "none",
        *,
        cache: bool = False,
        repeats: bool = False,
        realtime: bool = False,
        keep: bool = False,
        fault: Fault | None = None,
        ignore_hosts: Collection[str] = (),
        rerecord: str = _RERECORD,
    ) -> None:
        self._path, self._mode = Path(path), _checked(mode, "mode")
        self._cache, self._repeats, self._realtime, self._keep = cache, repeats, realtime, keep
        self._fault, self._ignore_hosts, self._rerecord = fault, ignore_hosts, rerecord
        self._open: list[_Entered] = []

    def __enter__(self) -> Cassette:
        from llmrouter.cassettes.files import check_writable

        mode = _checked(os.environ.get(MODE_VARIABLE) or self._mode, MODE_VARIABLE)
        with ExitStack() as opening:
            tape = opening.enter_context(self._vcr(mode))
            if not tape.replays:
                check_writable(self._path)
            opening.callback(tape.finish)
            self._play(tape, opening)
            self._open.append(_entered(opening.pop_all()))
        return Cassette(self._path, mode, tape)

    def _play(self, tape: Tape, opening: ExitStack) -> None:
        from llmrouter.cassettes.transport import patched

        opening.enter_context(patched(tape, realtime=self._realtime))
        used = playback.Playback(tape.replays, tape.replays and not self._realtime, self._cache)
        playback.start(used)
        opening.callback(playback.stop, used)

    def _vcr(self, mode: str) -> Any:
        from vcr.record_mode import RecordMode  # type: ignore[import-untyped]  # vcrpy has no types

        from llmrouter.cassettes.files import Shelf
        from llmrouter.cassettes.scrub import Scrubber
        from llmrouter.cassettes.tape import Tape

        scrubber = Scrubber(os.environ if mode != "none" else None)
        return Tape.use(
            path=str(self._path),
            record_mode=RecordMode(mode),
            persister=Shelf(scrubber),
            scrubber=scrubber,
            rerecord=self._rerecord,
            ignore_hosts=self._ignore_hosts,
            fault=self._fault,
            allow_playback_repeats=self._repeats,
            drop_unused_requests=mode == "all" and not self._keep,
            skip_patchers=("httpx", "httpx2"),  # we patch those ourselves
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        del kind, error, traceback  # what was recorded is kept, whatever happened: it was paid for
        _left(self._open.pop())

    async def __aenter__(self) -> Cassette:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: F) -> F:
        """Return `function` with the cassette in use while it runs, from its beginning each time.

        A generator's cassette is in use until the generator ends. Raises InvalidRequestError for a class.
        """
        if inspect.isclass(function):
            raise InvalidRequestError(f"use_cassette decorates functions; {function.__name__} is a class")
        for is_kind, wrapped in _KINDS:
            if is_kind(function):
                return cast("F", functools.wraps(function)(wrapped(self, function)))
        return cast("F", functools.wraps(function)(self._called(function)))

    def _again(self) -> Self:
        """Return the same for one more call: calls that overlap must not leave each other's cassette."""
        found = copy.copy(self)
        found._open = []
        return found

    def _called(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **options: Any) -> Any:
            with self._again():
                return function(*args, **options)

        return called

    def _awaited(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def awaited(*args: Any, **options: Any) -> Any:
            with self._again():
                return await function(*args, **options)

        return awaited

    def _generated(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def generated(*args: Any, **options: Any) -> Generator[Any, Any, Any]:
            with self._again():
                return (yield from function(*args, **options))

        return generated

    def _generated_async(self, function: Callable[..., Any]) -> Callable[..., Any]:
        async def generated(*args: Any, **options: Any) -> AsyncIterator[Any]:
            with self._again():
                async with aclosing(function(*args, **options)) as values:
                    async for value in values:
                        yield value

        return generated


_KINDS: Final = (
    (inspect.iscoroutinefunction, use_cassette._awaited),
    (inspect.isgeneratorfunction, use_cassette._generated),
    (inspect.isasyncgenfunction, use_cassette._generated_async),
)


@dataclass(slots=True, eq=False)
class _Entered:
    """What is to be undone when a cassette is no longer used."""

    undo: ExitStack
    left: bool = False


_all: list[_Entered] = []
_guard = threading.Lock()


def _entered(undo: ExitStack) -> _Entered:
    found = _Entered(undo)
    with _guard:
        _all.append(found)
    return found


def _left(entered: _Entered) -> None:
    """Undo a cassette's patches, but never before those that were put on top of them: two tasks may overlap."""
    entered.left = True
    done = []
    with _guard:
        while _all and _all[-1].left:
            done.append(_all.pop())
    with ExitStack() as undoing:  # each of them, whatever the others raise
        for each in reversed(done):
            undoing.callback(each.undo.close)


def _checked(mode: str, name: str) -> str:
    if mode not in MODES:
        raise InvalidRequestError(f"{name}={mode!r}: expected one of {', '.join(MODES)}")
    return mode

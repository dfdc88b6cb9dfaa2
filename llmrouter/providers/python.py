"""The provider kind `python`: a target `python/module:function` is a callable of the user's own.

For a chat it is called as `function(messages, **params)`: OpenAI-style message dicts, and those of temperature, top_p,
max_tokens, stop, seed and reasoning that are set, with `extra` merged in. It returns the answer as text, or a
`Completion`, or an iterator of pieces of text. For embeddings: `function(texts, **params)`, which returns one list of
numbers for each text. It may be `async def`, or return an async iterator, where an AsyncRouter calls it.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from llmrouter.errors import LLMRouterError, ModelNotFoundError, ServerError, UnsupportedError
from llmrouter.hints import hint
from llmrouter.providers.base import Client, Codec, Provider, ProviderSettings, WireCall, WireReply, World
from llmrouter.providers.python_codec import END, MODEL_HEADER, PythonCodec, text_of
from llmrouter.types import Document, Image, Request

_TARGET: Final = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)")


# ------------------------------------------------------------------------------------------------ functions


def resolve(model: str) -> Callable[..., Any]:
    """Import `module:function` and return the function.

    Raises ModelNotFoundError, naming the near misses, when there is no such module, no such function, or when importing
    the module fails.
    """
    parsed = _TARGET.fullmatch(model)
    if parsed is None:
        raise ModelNotFoundError(f"a Python target has the form python/module:function, not python/{model}")
    try:
        module = importlib.import_module(parsed["module"])
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        raise ModelNotFoundError(f"cannot import {parsed['module']} for python/{model}: {reason}") from error
    try:
        function = getattr(module, parsed["name"])
    except AttributeError:
        advice = hint(parsed["name"], (name for name in dir(module) if name[0] != "_"))
        raise ModelNotFoundError(f"module {module.__name__} has no function {parsed['name']!r}{advice}") from None
    if not callable(function):
        raise ModelNotFoundError(f"{model} is {type(function).__name__}, which cannot be called")
    return function  # type: ignore[no-any-return]  # callable() narrows Any to nothing


def _failed(model: str, error: Exception) -> NoReturn:
    """Raise `error` as this library's: its own pass, a function's failure is a server's."""
    if isinstance(error, LLMRouterError):
        raise error
    raise ServerError(f"{model} raised {type(error).__name__}: {error}") from error


# ------------------------------------------------------------------------------------------------ client


class PythonClient:
    """Calls functions in the sync world.

    `blocking` tells the runtime that calling into this client, and into a stream of it that says so too, occupies the
    thread: where an event loop runs, it belongs on a worker thread.
    """

    blocking = True

    def __init__(self) -> None:
        self._functions: dict[str, Callable[..., Any]] = {}

    def send(self, call: WireCall) -> Any:
        """Return the WireReply. Raises UnsupportedError for a function that only an event loop can finish."""
        return _reply(call, _drained(self._call(call), call.model))

    def open(self, call: WireCall) -> Any:
        """Return an open stream; text that came whole is one chunk."""
        return PythonStream(call.model, _pieces(self._call(call)))

    def close(self) -> Any:
        """Do nothing: there is nothing to close."""

    def _call(self, call: WireCall) -> Any:
        function = self._function(call.model)
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise _needs_async(call.model)
        returned = self._invoke(function, call)
        if inspect.iscoroutine(returned):
            returned.close()  # else Python warns that it was never awaited
        if inspect.isawaitable(returned) or isinstance(returned, AsyncIterator):
            raise _needs_async(call.model)
        return returned

    def _function(self, model: str) -> Callable[..., Any]:
        found = self._functions.get(model)
        if found is None:
            found = self._functions[model] = resolve(model)
        return found

    def _invoke(self, function: Callable[..., Any], call: WireCall) -> Any:
        first = call.body["texts"] if call.operation == "embed" else [dict(m) for m in call.body["messages"]]
        try:
            return function(first, **call.body["params"])
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            _failed(call.model, error)


class AsyncPythonClient(PythonClient):
    """Calls functions in the async world: like `PythonClient`, but `send` and `open` may return an awaitable.

    Run them on a worker thread (`blocking`) and then await, on the event loop, what is awaitable of what they return:
    a plain function runs on that thread, an `async def` only makes its coroutine there and runs on the loop. Once that
    is known of a function, it needs no thread (`only_awaits`).
    """

    def only_awaits(self, call: WireCall) -> bool:
        """Whether calling the function occupies nobody: it is an `async def` and imported already."""
        function = self._functions.get(call.model)
        return function is not None and inspect.iscoroutinefunction(function)

    def send(self, call: WireCall) -> WireReply | Awaitable[WireReply]:
        """Return the WireReply, or an awaitable of it."""
        returned = self._call(call)
        if inspect.isawaitable(returned) or isinstance(returned, AsyncIterator):
            return self._finish(call, returned)
        return _reply(call, _drained(returned, call.model))

    def open(self, call: WireCall) -> Any:
        """Return an open stream, or an awaitable of it."""
        returned = self._call(call)
        return self._finish_opening(call, returned) if inspect.isawaitable(returned) else _opened(call, returned)

    async def close(self) -> None:
        """Do nothing: there is nothing to close."""

    def _call(self, call: WireCall) -> Any:
        return self._invoke(self._function(call.model), call)

    async def _finish(self, call: WireCall, returned: Any) -> WireReply:
        try:
            if inspect.isawaitable(returned):
                returned = await returned
            if isinstance(returned, AsyncIterator):
                returned = "".join([text_of(piece, call.model) async for piece in returned])
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            _failed(call.model, error)
        return _reply(call, _drained(returned, call.model))

    async def _finish_opening(self, call: WireCall, returned: Awaitable[Any]) -> Any:
        try:
            return _opened(call, await returned)
        except Exception as error:  # noqa: BLE001 - whatever a user's function raises
            _failed(call.model, error)


def _needs_async(model: str) -> UnsupportedError:
    return UnsupportedError(f"{model} is async: call it through AsyncRouter, or make it a plain function for Router")


def _reply(call: WireCall, returned: Any) -> WireReply:
    body = {"texts": call.body["texts"], "vectors": returned} if call.operation == "embed" else returned
    return WireReply(body, {MODEL_HEADER: call.model})


def _drained(returned: Any, model: str) -> Any:
    """Join the pieces of an iterator; return anything else as it is."""
    if not isinstance(returned, Iterator):
        return returned
    try:
        return "".join([text_of(piece, model) for piece in returned])
    except Exception as error:  # noqa: BLE001 - whatever a user's generator raises
        _failed(model, error)


# ------------------------------------------------------------------------------------------------ streams


def _pieces(returned: Any) -> Iterator[Any]:
    return returned if isinstance(returned, Iterator) else iter((returned,))


def _opened(call: WireCall, returned: Any) -> PythonStream | AsyncPythonStream:
    if isinstance(returned, AsyncIterator):
        return AsyncPythonStream(call.model, returned)
    return PythonStream(call.model, _pieces(returned))


class PythonStream:
    """The pieces of a function's iterator, then `END`; a failure is raised as this library's error."""

    blocking = True

    def __init__(self, model: str, pieces: Iterator[Any]) -> None:
        self.headers: Mapping[str, str] = {MODEL_HEADER: model}
        self._model, self._pieces = model, pieces
        self._over = False

    def __iter__(self) -> PythonStream:
        return self

    def __next__(self) -> Any:
        if self._over:
            raise StopIteration
        try:
            return next(self._pieces)
        except StopIteration:
            self._over = True
            return END
        except Exception as error:  # noqa: BLE001 - whatever a user's generator raises
            self._over = True
            _failed(self._model, error)

    def close(self) -> None:
        """Close the generator. One that is running on another thread just now ends when it is dropped."""
        self._over = True
        close = getattr(self._pieces, "close", None)
        if close is not None and not getattr(self._pieces, "gi_running", False):
            close()


class AsyncPythonStream:
    """`PythonStream` over an async iterator; it is iterated on the event loop."""

    blocking = False

    def __init__(self, model: str, pieces: AsyncIterator[Any]) -> None:
        self.headers: Mapping[str, str] = {MODEL_HEADER: model}
        self._model, self._pieces = model, pieces
        self._over = False

    def __aiter__(self) -> AsyncPythonStream:
        return self

    async def __anext__(self) -> Any:
        if self._over:
            raise StopAsyncIteration
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            self._over = True
            return END
        except Exception as error:  # noqa: BLE001 - whatever a user's generator raises
            self._over = True
            _failed(self._model, error)

    async def close(self) -> None:
        """Close the async generator."""
        self._over = True
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


# ------------------------------------------------------------------------------------------------ provider


@dataclass(slots=True)
class PythonProvider:
    """Python functions as a provider: no key, no network, price 0."""

    settings: ProviderSettings
    codec: Codec

    def unusable(self) -> str | None:
        """Return None: nothing is needed."""
        return None

    def lacks(self, request: Request) -> str | None:
        """Return what a function cannot be given, None when nothing."""
        if request.tools:
            return "tools"
        if request.schema is not None:
            return "schema"
        kinds = {
            type(part) for message in request.messages if type(message.content) is tuple for part in message.content
        }
        if Image in kinds:
            return "images"
        return "documents" if Document in kinds else None

    def connect(self, world: World) -> Client:
        """Return the client of this world; a function is imported with its first call."""
        return PythonClient() if world == "sync" else AsyncPythonClient()

    def translate(self, error: Exception) -> LLMRouterError | None:  # noqa: ARG002 - the seam's signature
        """Return None: the client knows what came from the function, and wraps it there."""
        return None


def provider(settings: ProviderSettings) -> Provider:
    """Return the provider of one `providers:` entry of kind `python`."""
    return PythonProvider(settings, PythonCodec())

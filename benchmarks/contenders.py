"""Who is measured: raw HTTP, the official SDKs as they come, and llmrouter with everything on.

Each call asks for the same answer with a prompt that was never asked before, so that a cache can only miss.
"""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any, Final, TypeAlias

from llmrouter import AsyncRouter, Router

Call: TypeAlias = Callable[[], Any]
AsyncCall: TypeAlias = Callable[[], Awaitable[Any]]

SYSTEM: Final = "You are a helpful assistant that answers in one short paragraph."
MODEL: Final = "bench-model"
PROTOCOLS: Final = ("openai", "anthropic", "google")
_MAX_TOKENS: Final = 400
_PRICE: Final = {"input": 0.1, "output": 0.5}
_numbers = itertools.count()


def question() -> str:
    """Return a prompt that was not asked before."""
    return f"Tell me, in a sentence or two, what question number {next(_numbers)} is about and why anybody asks it."


def openai_messages() -> list[dict[str, Any]]:
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question()}]


def address(base: str, protocol: str) -> str:
    """Return the base URL that an SDK of `protocol` takes."""
    return f"{base}/v1" if protocol == "openai" else base


def config(base: str, folder: Path, *, log: bool = False) -> dict[str, Any]:
    """Return a file's content: a full route for each protocol (`openai`), and one without cache (`openai-bare`)."""
    routes: dict[str, Any] = {}
    for protocol in PROTOCOLS:
        bare = {
            "model": f"{protocol}/{MODEL}",
            "fallbacks": [f"{other}/{MODEL}" for other in PROTOCOLS if other != protocol],
            "system": SYSTEM,
            "params": {"temperature": 0.2, "max_tokens": _MAX_TOKENS},
            "token_budget": {"input": "8k", "output": _MAX_TOKENS},
            "retry": {"attempts": 3},
        }
        routes[f"{protocol}-bare"] = bare
        routes[protocol] = {**bare, "cache": {"ttl": "24h", "stale_if_error": "7d"}}
    return {
        "version": 1,
        "providers": {name: {"base_url": address(base, name), "api_key": "bench"} for name in PROTOCOLS},
        "prices": {f"{name}/*": _PRICE for name in PROTOCOLS},
        "cache": {"dir": str(folder / "cache")},
        **({"logging": {"level": "INFO"}} if log else {}),
        "routes": routes,
    }


# ------------------------------------------------------------------------------------------------ blocking


def sync_calls(base: str, folder: Path, opened: ExitStack) -> dict[str, Call]:
    """Return everybody's complete answer, by name, in the blocking world."""
    import anthropic
    import httpx2
    import openai
    from google import genai

    http = opened.enter_context(httpx2.Client())
    oai = opened.enter_context(openai.OpenAI(api_key="bench", base_url=address(base, "openai")))
    ant = opened.enter_context(anthropic.Anthropic(api_key="bench", base_url=base))
    gem = genai.Client(api_key="bench", http_options=genai.types.HttpOptions(base_url=base))
    router = opened.enter_context(Router(config(base, folder)))
    settings = genai.types.GenerateContentConfig(
        system_instruction=SYSTEM, temperature=0.2, max_output_tokens=_MAX_TOKENS
    )

    def raw_httpx2() -> Any:
        body = {"model": MODEL, "messages": openai_messages(), "temperature": 0.2, "max_tokens": _MAX_TOKENS}
        return http.post(f"{base}/v1/chat/completions", json=body).json()["choices"][0]["message"]["content"]

    def openai_sdk() -> Any:
        asked: Any = openai_messages()
        return oai.chat.completions.create(model=MODEL, messages=asked, temperature=0.2, max_tokens=_MAX_TOKENS)

    def openai_raw() -> Any:
        body = {"model": MODEL, "messages": openai_messages(), "temperature": 0.2, "max_tokens": _MAX_TOKENS}
        return json.loads(oai.post("/chat/completions", cast_to=httpx2.Response, body=body).content)

    return {
        "httpx2, raw": raw_httpx2,
        "openai SDK": openai_sdk,
        "openai SDK, raw body": openai_raw,
        "llmrouter, openai": lambda: router.chat("openai", question()),
        "llmrouter, openai, no cache": lambda: router.chat("openai-bare", question()),
        "anthropic SDK": lambda: ant.messages.create(
            model=MODEL,
            system=SYSTEM,
            messages=[{"role": "user", "content": question()}],
            max_tokens=_MAX_TOKENS,
            timeout=60,
        ),
        "llmrouter, anthropic": lambda: router.chat("anthropic", question()),
        "llmrouter, anthropic, no cache": lambda: router.chat("anthropic-bare", question()),
        "google-genai SDK": lambda: gem.models.generate_content(model=MODEL, contents=question(), config=settings),
        "llmrouter, google": lambda: router.chat("google", question()),
        "llmrouter, google, no cache": lambda: router.chat("google-bare", question()),
    }


def logged_call(base: str, folder: Path, opened: ExitStack) -> Call:
    """Return llmrouter's call with its log line on. Logging is one switch a process: measure it against `off`."""
    router = opened.enter_context(Router(config(base, folder, log=True)))
    return lambda: router.chat("openai-bare", question())


# ------------------------------------------------------------------------------------------------ asyncio


async def async_calls(base: str, folder: Path, opened: AsyncExitStack) -> dict[str, AsyncCall]:
    """Return everybody's complete answer, by name, for the running loop."""
    import aiohttp
    import anthropic
    import httpx2
    import openai
    from google import genai

    limits = httpx2.Limits(max_connections=1000, max_keepalive_connections=100)
    http = await opened.enter_async_context(httpx2.AsyncClient(limits=limits))
    aio = await opened.enter_async_context(aiohttp.ClientSession())
    oai = await opened.enter_async_context(openai.AsyncOpenAI(api_key="bench", base_url=address(base, "openai")))
    oai_aio = await opened.enter_async_context(
        openai.AsyncOpenAI(
            api_key="bench", base_url=address(base, "openai"), http_client=openai.DefaultAioHttpClient(timeout=60)
        )
    )
    ant = await opened.enter_async_context(anthropic.AsyncAnthropic(api_key="bench", base_url=base))
    gem = genai.Client(api_key="bench", http_options=genai.types.HttpOptions(base_url=base))
    opened.push_async_callback(gem.aio.aclose)
    router = await opened.enter_async_context(AsyncRouter(config(base, folder)))

    def body() -> dict[str, Any]:
        return {"model": MODEL, "messages": openai_messages(), "temperature": 0.2, "max_tokens": _MAX_TOKENS}

    async def raw_httpx2() -> Any:
        return (await http.post(f"{base}/v1/chat/completions", json=body())).json()

    async def raw_aiohttp() -> Any:
        async with aio.post(f"{base}/v1/chat/completions", json=body()) as response:
            return await response.json()

    return {
        "httpx2, raw": raw_httpx2,
        "aiohttp, raw": raw_aiohttp,
        "openai SDK": lambda: oai.chat.completions.create(**body()),
        "openai SDK on aiohttp": lambda: oai_aio.chat.completions.create(**body()),
        "llmrouter, openai": lambda: router.chat("openai", question()),
        "llmrouter, openai, no cache": lambda: router.chat("openai-bare", question()),
        "anthropic SDK": lambda: ant.messages.create(
            model=MODEL,
            system=SYSTEM,
            messages=[{"role": "user", "content": question()}],
            max_tokens=_MAX_TOKENS,
            timeout=60,
        ),
        "llmrouter, anthropic": lambda: router.chat("anthropic", question()),
        "google-genai SDK": lambda: gem.aio.models.generate_content(model=MODEL, contents=question()),
        "llmrouter, google": lambda: router.chat("google", question()),
    }


# ------------------------------------------------------------------------------------------------ streams


def sync_streams(base: str, folder: Path, opened: ExitStack) -> dict[str, Callable[[], tuple[float, float]]]:
    """Return everybody's stream of text; each returns the seconds to its first piece of text and to its end."""
    import anthropic
    import httpx2
    import openai
    from google import genai

    http = opened.enter_context(httpx2.Client())
    oai = opened.enter_context(openai.OpenAI(api_key="bench", base_url=address(base, "openai")))
    ant = opened.enter_context(anthropic.Anthropic(api_key="bench", base_url=base))
    gem = genai.Client(api_key="bench", http_options=genai.types.HttpOptions(base_url=base))
    router = opened.enter_context(Router(config(base, folder)))
    chats: Any = (
        oai.chat.completions
    )  # as plain Python sees the SDKs: their overloads want what a stream yields spelled
    messages: Any = ant.messages

    def raw_httpx2() -> Any:
        body = {"model": MODEL, "messages": openai_messages(), "stream": True}
        with http.stream("POST", f"{base}/v1/chat/completions", json=body) as response:
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line[6:])["choices"]
                    yield choices[0]["delta"].get("content") if choices else None

    def openai_sdk() -> Any:
        stream = chats.create(model=MODEL, messages=openai_messages(), stream=True)
        return (chunk.choices[0].delta.content if chunk.choices else None for chunk in stream)

    def anthropic_sdk() -> Any:
        asked = [{"role": "user", "content": question()}]
        stream = messages.create(model=MODEL, messages=asked, max_tokens=_MAX_TOKENS, stream=True)
        return (event.delta.text if event.type == "content_block_delta" else None for event in stream)

    def google_sdk() -> Any:
        return (chunk.text for chunk in gem.models.generate_content_stream(model=MODEL, contents=question()))

    sources: dict[str, Callable[[], Any]] = {
        "httpx2, raw lines": raw_httpx2,
        "openai SDK": openai_sdk,
        "llmrouter, openai": lambda: router.stream("openai-bare", question()),
        "anthropic SDK": anthropic_sdk,
        "llmrouter, anthropic": lambda: router.stream("anthropic-bare", question()),
        "google-genai SDK": google_sdk,
        "llmrouter, google": lambda: router.stream("google-bare", question()),
    }
    return {name: _read(source) for name, source in sources.items()}


def _read(source: Callable[[], Any]) -> Callable[[], tuple[float, float]]:
    def read() -> tuple[float, float]:
        started, first = time.perf_counter(), 0.0
        for text in source():
            if text and not first:
                first = time.perf_counter() - started
        return first, time.perf_counter() - started

    return read


def streaming(base: str, how: bytes) -> str:
    """Return the address where streams come as `how` says: CHUNKED or TRICKLE."""
    return base + how.decode()

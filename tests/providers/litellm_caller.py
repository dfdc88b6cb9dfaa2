"""A program that asks a server through the LiteLLM provider and prints what came back as JSON.

    python litellm_caller.py {sync,async} {send,stream} URL

LiteLLM leaves threads, tasks and sockets behind, which no test of ours may: so it runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import sys
from collections.abc import Callable
from typing import Any

from llmrouter.providers import registry
from llmrouter.providers.base import Provider, WireCall, WireTimeouts
from llmrouter.types import Delta, Message, Params, Request, Text

ASK = Request("openai/gpt-4o-mini", (Message("user", "hello"),), Params(max_tokens=64))


async def plainly(function: Callable[..., Any], *args: Any) -> Any:
    """Call a function of either world."""
    result = function(*args)
    return await result if inspect.isawaitable(result) else result


async def asked(provider: Provider, world: Any, how: str) -> dict[str, Any]:
    """Make the call; return the facts of the answer."""
    client = provider.connect(world)
    body, deltas = provider.codec.encode(ASK), list[Delta]()
    if how == "send":
        reply = await plainly(client.send, WireCall("chat", ASK.model, body, WireTimeouts(2.0, 5.0)))
        answer = provider.codec.decode(reply)
    else:
        call = WireCall("chat", ASK.model, provider.codec.streaming(body), WireTimeouts(2.0, 5.0))
        stream: Any = await plainly(client.open, call)
        decoder, end = provider.codec.decoder(stream.headers), object()
        while (chunk := await plainly(next if world == "sync" else anext, stream, end)) is not end:
            deltas += decoder.feed(chunk)
        await plainly(stream.close)
        answer = decoder.finish()
    return {
        "content": answer.message.text,
        "streamed": "".join(delta.text for delta in deltas if isinstance(delta, Text)),
        "calls": [call.name for call in answer.message.tool_calls],
        "finish": answer.finish_reason,
        "tokens": None if answer.usage is None else [answer.usage.input_tokens, answer.usage.output_tokens],
    }


def main(world: str, how: str, url: str) -> None:
    """Print the facts, or the name of the error's class."""
    entry = {"kind": "litellm", "api_key": "a-key", "base_url": f"{url}/v1"}
    provider = registry.create(registry.settings("litellm", entry, {}))
    try:
        facts = asyncio.run(asked(provider, world, how))
    except Exception as error:  # noqa: BLE001 - LiteLLM's own; its translation is what is tested
        facts = {"error": type(provider.translate(error)).__name__}
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(*sys.argv[1:])

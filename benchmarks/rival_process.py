"""The process of the other routers. Knows nothing of llmrouter: it runs in another environment. See `rivals.py`."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

SYSTEM = "You are a helpful assistant that answers in one short paragraph."
_numbers = itertools.count(10**9)


def messages() -> list[dict[str, str]]:
    asked = f"Tell me, in a sentence or two, what question number {next(_numbers)} is about and why anybody asks it."
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": asked}]


def litellm_router(base: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    import litellm  # type: ignore[import-not-found]

    litellm.suppress_debug_info = True
    common = {"api_key": "bench", "api_base": f"{base}/v1"}
    router = litellm.Router(
        model_list=[
            {"model_name": name, "litellm_params": {"model": "openai/bench-model", **common}}
            for name in ("first", "second")
        ],
        fallbacks=[{"first": ["second"]}],
        num_retries=2,
    )
    return {
        "LiteLLM Router": lambda: router.acompletion(
            model="first", messages=messages(), temperature=0.2, max_tokens=400
        ),
        "LiteLLM Router, sync": lambda: _now(
            router.completion(model="first", messages=messages(), temperature=0.2, max_tokens=400)
        ),
    }


async def _now(value: Any) -> Any:
    return value


def liter_llm(base: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    import liter_llm  # type: ignore[import-not-found]
    from liter_llm._internal_bindings import ChatCompletionRequest  # type: ignore[import-not-found]

    client = liter_llm.create_client("bench", base_url=f"{base}/v1", model_hint="openai")

    async def call() -> Any:
        asked = {"model": "bench-model", "messages": messages(), "temperature": 0.2, "max_tokens": 400}
        return await client.chat(ChatCompletionRequest.from_json(json.dumps(asked)))

    return {"liter-llm (Rust)": call}


async def turn(call: Callable[[], Awaitable[Any]], calls: int, at_once: int) -> list[float]:
    taken = []
    if not at_once:
        for _ in range(calls):
            started = time.perf_counter()
            await call()
            taken.append(time.perf_counter() - started)
        return taken
    left = iter(range(calls))

    async def worker() -> None:
        for _ in left:
            await call()

    started = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(at_once)))
    return [(time.perf_counter() - started) / calls]


def say(value: Any) -> None:
    print("@" + json.dumps(value), flush=True)


def main(base: str) -> None:
    calls: dict[str, Callable[[], Awaitable[Any]]] = {}
    missing: dict[str, str] = {}
    with asyncio.Runner() as runner:
        for name, make in (("LiteLLM Router", litellm_router), ("liter-llm (Rust)", liter_llm)):
            try:
                made = make(base)
                for call in made.values():
                    runner.run(turn(call, 1, 0))
                calls.update(made)
            except Exception as error:  # noqa: BLE001 - a contender that does not work is left out, with its reason
                missing[name] = f"{type(error).__name__}: {error}"
        say({"names": list(calls), "missing": missing})
        for line in sys.stdin:
            order = json.loads(line)
            say(runner.run(turn(calls[order["name"]], order["calls"], order["at_once"])))


if __name__ == "__main__":
    main(sys.argv[1])

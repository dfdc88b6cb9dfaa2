"""Usage as each provider reports it, and what it costs to the nano-dollar, computed by hand beside each row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.conftest import FaultServers
from tests.servers.replies import json_reply
from tests.servers.wire import as_reply, load
from tests.worlds import Face

CLAUDE: Final = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}
GPT: Final = {"input": 1.25, "output": 10, "cache_read": 0.125, "cache_write": 1.5}
GEMINI: Final = {"input": 0.3, "output": 2.5, "cache_read": 0.03}
GROK: Final = {"input": 0.2, "output": 0.5}


@dataclass(frozen=True, slots=True)
class Bill:
    """What is reported, at which prices (USD per million tokens; None: the built-in ones), and nano-USD."""

    what: str
    target: str
    usage: dict[str, Any]
    prices: dict[str, float] | None
    nano: int
    api: str | None = None
    others: tuple[tuple[str, dict[str, float]], ...] = ()


def _claude(uncached: int, output: int, **more: Any) -> dict[str, Any]:
    return {"input_tokens": uncached, "output_tokens": output, **more}


def _gemini(prompt: int, answer: int, **more: int) -> dict[str, Any]:
    return {"promptTokenCount": prompt, "candidatesTokenCount": answer, **more}


def _gpt(prompt: int, output: int, inward: Any = None, outward: Any = None, **more: Any) -> dict[str, Any]:
    details = {"prompt_tokens_details": inward, "completion_tokens_details": outward}
    return {"prompt_tokens": prompt, "completion_tokens": output, **details, **more}


BILLS: Final = (
    # 1000 x 3 + 200 x 15 = 3,000 + 3,000 micro-dollars
    Bill("plain", "anthropic/claude-x", _claude(1000, 200), CLAUDE, 6_000_000),
    # 10 x 3 + 20 x 15 + 400 for five minutes x 3.75 + 600 for an hour x 6 + 50 read x 0.3
    Bill(
        "five minutes and an hour",
        "anthropic/claude-x",
        _claude(
            10,
            20,
            cache_creation_input_tokens=1000,
            cache_read_input_tokens=50,
            cache_creation={"ephemeral_5m_input_tokens": 400, "ephemeral_1h_input_tokens": 600},
        ),
        CLAUDE,
        30_000 + 300_000 + 1_500_000 + 3_600_000 + 15_000,
    ),
    # the thinking is part of the output: 10 x 3 + 500 x 15
    Bill(
        "thinking",
        "anthropic/claude-x",
        _claude(10, 500, output_tokens_details={"thinking_tokens": 480}),
        CLAUDE,
        7_530_000,
    ),
    # 30 x 3 + 2 x 15, and the advice 99 x 5 + 1 x 25
    Bill(
        "an advisor",
        "anthropic/claude-x",
        _claude(30, 2, iterations=[{"type": "advisor_message", "model": "claude-y", **_claude(99, 1)}]),
        CLAUDE,
        120_000 + 520_000,
        others=(("claude-y", {"input": 5, "output": 25}),),
    ),
    # the history was summarised by the same model: 30 x 3 + 2 x 15 + 500 x 3 + 80 x 15
    Bill(
        "a compaction",
        "anthropic/claude-x",
        _claude(30, 2, iterations=[{"type": "compaction", **_claude(500, 80)}, {"type": "message", **_claude(30, 2)}]),
        CLAUDE,
        120_000 + 2_700_000,
    ),
    # asked in vain 408 x 3, answered by another 412 x 5 + 264 x 25
    Bill(
        "a fallback of the provider's",
        "anthropic/claude-x",
        _claude(
            412,
            264,
            iterations=[
                {"type": "message", "model": "claude-x", **_claude(408, 0)},
                {"type": "fallback_message", "model": "claude-y", **_claude(412, 264)},
            ],
        ),
        CLAUDE,
        1_224_000 + 8_660_000,
        others=(("claude-y", {"input": 5, "output": 25}),),
    ),
    # 8 x 1.25 + 4 x 10 + 4012 read x 0.125
    Bill("cached", "openai/gpt-x", _gpt(4020, 4, {"cached_tokens": 4012}), GPT, 551_500),
    # 8 x 1.25 + 4 x 10 + 4012 written x 1.5
    Bill("cache written", "openai/gpt-x", _gpt(4020, 4, {"cache_write_tokens": 4012}), GPT, 6_068_000),
    # reasoning is part of the output: 11 x 1.25 + 228 x 10
    Bill("reasoning", "openai/gpt-x", _gpt(11, 228, None, {"reasoning_tokens": 192}), GPT, 2_293_750),
    # more cached than the prompt is long cannot be: 10 x 0.125 + 1 x 10
    Bill("too much cached", "openai/gpt-x", _gpt(10, 1, {"cached_tokens": 99}), GPT, 11_250),
    # Responses: 20 x 1.25 + 30 x 10 + 40 read x 0.125 + 40 written x 1.5
    Bill(
        "Responses",
        "openai/gpt-x",
        {
            "input_tokens": 100,
            "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 40},
            "output_tokens": 30,
            "output_tokens_details": {"reasoning_tokens": 20},
        },
        GPT,
        25_000 + 300_000 + 5_000 + 60_000,
        api="responses",
    ),
    # xAI counts reasoning beside the completion: 10 x 0.2 + (5 + 100) x 0.5
    Bill(
        "reasoning beside the completion",
        "xai/grok-x",
        _gpt(10, 5, None, {"reasoning_tokens": 100}, total_tokens=115),
        GROK,
        2_000 + 52_500,
    ),
    # DeepSeek: 36 x 1.25 + 7 x 10 + 64 read x 0.125
    Bill("hits", "deepseek/d", _gpt(100, 7, prompt_cache_hit_tokens=64, prompt_cache_miss_tokens=36), GPT, 123_000),
    # Mistral: 32 x 1.25 + 6 x 10 + 32 read x 0.125
    Bill("cached by number", "mistral/m", _gpt(64, 6, num_cached_tokens=32), GPT, 104_000),
    # 13 x 0.3 + (35 + 136 thoughts) x 2.5 + 9609 read x 0.03
    Bill(
        "thoughts and a cache",
        "google/gemini-x",
        _gemini(9622, 35, thoughtsTokenCount=136, cachedContentTokenCount=9609),
        GEMINI,
        3_900 + 427_500 + 288_270,
    ),
    # what tools of Google's brought in is prompt: (20 + 800) x 0.3 + (30 + 10) x 2.5
    Bill(
        "the prompt of a tool",
        "google/gemini-x",
        _gemini(20, 30, thoughtsTokenCount=10, toolUsePromptTokenCount=800),
        GEMINI,
        246_000 + 100_000,
    ),
    # 0.3 + 0.3 nano-dollars are rounded once, at the end
    Bill("rounding", "openai/gpt-x", _gpt(1, 1), {"input": 0.0003, "output": 0.0003}, 1),
    # up to 200,000 tokens 1.25 and 10, cached 0.125; beyond, the whole request at 2.50 and 15, cached 0.25
    Bill("the first tier", "google/gemini-2.5-pro", _gemini(200_000, 100), None, 250_000_000 + 1_000_000),
    Bill(
        "the second tier",
        "google/gemini-2.5-pro",
        _gemini(200_001, 100, cachedContentTokenCount=100_001),
        None,
        100_000 * 2_500 + 100_001 * 250 + 100 * 15_000,
    ),
)


def _body(bill: Bill, model: str) -> dict[str, Any]:
    if bill.target.startswith("anthropic/"):
        blocks = [{"type": "text", "text": "Hi"}]
        return {"type": "message", "model": model, "content": blocks, "stop_reason": "end_turn", "usage": bill.usage}
    if bill.target.startswith("google/"):
        candidate = {"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}
        return {"candidates": [candidate], "usageMetadata": bill.usage, "modelVersion": model}
    if bill.api == "responses":
        said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
        return {"id": "r", "status": "completed", "model": model, "output": [said], "usage": bill.usage}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    return {"id": "c", "model": model, "choices": [choice], "usage": bill.usage}


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: bill.what)
def test_what_is_reported_costs_what_it_costs_by_hand(face: Face, fault_server: FaultServers, bill: Bill) -> None:
    name, _, model = bill.target.partition("/")
    server = fault_server(json_reply(_body(bill, model)))
    api = {"api": bill.api} if bill.api else {}
    named = {bill.target: bill.prices, **{f"{name}/{other}": usd for other, usd in bill.others}}
    config = {
        "version": 1,
        "providers": {name: {"kind": name, "base_url": server.url, "api_key": "test-key", **api}},
        "prices": {target: usd for target, usd in named.items() if usd is not None},
        "routes": {"r": {"model": bill.target}},
    }
    with face.router(config) as router:
        reply = face.chat(router, "r", "hello")
        spent = router.total_cost
    [attempt] = reply.attempts
    assert attempt.cost_nano == bill.nano
    assert reply.cost_usd == spent == bill.nano / 1e9


@pytest.mark.parametrize("exchange", range(3))
def test_openrouter_charges_what_we_compute(face: Face, fault_server: FaultServers, exchange: int) -> None:
    recorded = load("openrouter/tools-reasoning-details")[exchange]
    server = fault_server(as_reply(recorded))
    config = {
        "version": 1,
        "providers": {"openrouter": {"kind": "openrouter", "base_url": server.url, "api_key": "test-key"}},
        "prices": {"openrouter/*": {"input": 1, "output": 5}},
        "routes": {"r": {"model": "openrouter/anthropic/claude-haiku-4.5"}},
    }
    with face.router(config) as router:
        reply = face.chat(router, "r", "hello")
    assert reply.cost_usd == pytest.approx(reply.raw["usage"]["cost"], abs=1e-12)

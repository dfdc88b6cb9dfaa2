"""Bills that were computed by hand, for recorded answers of real providers: to the nano-dollar, in reply and ledger."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.conftest import FaultServers
from tests.ledger.test_recording import rows_of
from tests.servers.wire import as_reply, load
from tests.worlds import Face


@dataclass(frozen=True, slots=True)
class Bill:
    """A recorded answer, USD per million tokens of its model, and what it costs in nano-USD."""

    case: str
    exchange: int
    model: str
    prices: dict[str, float]
    nano: int
    provider: dict[str, Any] = field(default_factory=dict)
    others: dict[str, dict[str, float]] = field(default_factory=dict)


OPUS = {"input": 5, "output": 25, "cache_read": 0.5, "cache_write": 6.25}
SONNET = {"input": 3, "output": 15, "cache_read": 0.3, "cache_write": 3.75}
GPT = {"input": 1.25, "output": 10, "cache_read": 0.125, "cache_write": 1.5}
FLASH = {"input": 0.3, "output": 2.5, "cache_read": 0.03}
DEEPSEEK = {"input": 0.28, "output": 0.42, "cache_read": 0.028}
ANTHROPIC = {"kind": "anthropic"}
OPENAI = {"kind": "openai"}

BILLS = [
    # 2 x 5 + 4 x 25 + 1590 written x 6.25 = 10 + 100 + 9937.5 micro-dollars
    Bill("anthropic/cache-create-read-opus48", 0, "claude-opus-4-8", OPUS, 10_047_500, ANTHROPIC),
    # 2 x 5 + 4 x 25 + 1590 read x 0.5 = 10 + 100 + 795
    Bill("anthropic/cache-create-read-opus48", 1, "claude-opus-4-8", OPUS, 905_000, ANTHROPIC),
    # 4 x 3 + 201 x 15 + 1165 written x 3.75 = 12 + 3015 + 4368.75
    Bill("anthropic/cache-stream", 0, "claude-3-5-sonnet-20240620", SONNET, 7_395_750, ANTHROPIC),
    # 4 x 3 + 221 x 15 + 1165 read x 0.3 = 12 + 3315 + 349.5
    Bill("anthropic/cache-stream", 1, "claude-3-5-sonnet-20240620", SONNET, 3_676_500, ANTHROPIC),
    # 51 x 5 + 1699 x 25, its thinking among them = 255 + 42475
    Bill("anthropic/thinking-opus5", 0, "claude-opus-5", OPUS, 42_730_000, ANTHROPIC),
    # 2411 x 3 + 145 x 15, and of the model that it asked for advice 2543 x 5 + 18 x 25 = 7233 + 2175 + 12715 + 450
    Bill(
        "anthropic/usage-iterations-advisor-stream",
        0,
        "claude-sonnet-5",
        SONNET,
        22_573_000,
        ANTHROPIC,
        {"claude-opus-4-8": OPUS},
    ),
    # 8 x 1.25 + 4 x 10 + 4012 written x 1.5 = 10 + 40 + 6018
    Bill("openai/chat-cached-tokens-gpt56", 0, "gpt-5.6-sol", GPT, 6_068_000, OPENAI),
    # 8 x 1.25 + 4 x 10 + 4012 read x 0.125 = 10 + 40 + 501.5
    Bill("openai/chat-cached-tokens-gpt56", 1, "gpt-5.6-sol", GPT, 551_500, OPENAI),
    # 120 x 0.28 + 81 x 0.42 + 256 read x 0.028 = 33.6 + 34.02 + 7.168
    Bill("deepseek/responses-v4", 0, "deepseek-v4-flash", DEEPSEEK, 74_788, {**OPENAI, "api": "responses"}),
    # 13 x 0.3 + 171 x 2.5, 136 of them thoughts, + 9609 read x 0.03 = 3.9 + 427.5 + 288.27
    Bill("gemini/cached-explicit-headers", 1, "gemini-2.5-flash", FLASH, 719_670, {"kind": "google"}),
]


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: f"{bill.case}-{bill.exchange}")
def test_a_recorded_answer_costs_what_it_costs_by_hand(face: Face, fault_server: FaultServers, bill: Bill) -> None:
    exchange = load(bill.case)[bill.exchange]
    server = fault_server([as_reply(exchange)])
    root = "/v1" if bill.provider["kind"] == "openai" else ""
    config = {
        "version": 1,
        "providers": {"p": {**bill.provider, "base_url": server.url + root, "api_key": "test-key"}},
        "prices": {f"p/{name}": usd for name, usd in {bill.model: bill.prices, **bill.others}.items()},
        "routes": {"r": {"model": f"p/{bill.model}"}},
    }
    with face.router(config) as router:
        if exchange.is_stream:
            reply = face.events(router, "r", "hello")[-1].response
        else:
            reply = face.chat(router, "r", "hello")
        (row,) = rows_of(router)
    assert row.cost_nano == bill.nano
    assert reply.cost_usd == bill.nano / 1e9

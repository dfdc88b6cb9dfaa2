"""The protocols, by name: what to build well-formed answers and failures with.

server.script(ANTHROPIC.reply("Hello there."))          # streamed or whole, as the request asks
server.script([OPENAI.fails("rate_limit", 1.5), OPENAI.reply(Answer(calls=(Call(),)))])
server.script(OPENAI.stream().cut_after(3))
"""

from __future__ import annotations

from tests.servers.anthropic_wire import ANTHROPIC
from tests.servers.facts import Answer, Call, Failure, Finish, Protocol, Trouble, data
from tests.servers.google_wire import GOOGLE, blocked
from tests.servers.openai_wire import DONE, OPENAI
from tests.servers.responses_wire import RESPONSES

__all__ = [
    "ANTHROPIC",
    "DONE",
    "GOOGLE",
    "OPENAI",
    "PROTOCOLS",
    "RESPONSES",
    "Answer",
    "Call",
    "Failure",
    "Finish",
    "Protocol",
    "Trouble",
    "blocked",
    "data",
]

PROTOCOLS = (OPENAI, RESPONSES, ANTHROPIC, GOOGLE)

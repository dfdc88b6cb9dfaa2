"""When a provider is down, the next target of the chain answers, and the reply tells what happened.

The first target is a port of this machine on which nobody listens: a provider that is down.
"""

import socket

from llmrouter import Router

ARTICLE = """\
Honey keeps for years because there is hardly any water in it. Nectar is mostly water when the bees carry it home. They
spread it over the cells and fan it with their wings, day and night, until four fifths of the water is gone. Only then
do they close the cells with wax. What is left is so rich in sugar that it draws the water out of any microbe that
lands in it. An enzyme of the bees adds a trace of hydrogen peroxide, which finishes the work. Honey that takes up
water again, from damp air or a wet spoon, loses this protection and begins to ferment. Beekeepers therefore harvest
cells that are closed, keep honey in jars with tight lids, and measure its water before they sell it.
"""


def closed_port() -> int:
    """Return a port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


routes = {
    "providers": {"down": {"kind": "openai", "base_url": f"http://127.0.0.1:{closed_port()}/v1", "api_key": "unused"}},
    "routes": {
        "summarize": {
            "model": "down/any-model",
            "fallbacks": ["python/llmrouter.offline:summarize"],
            "retry": {"attempts": 2, "initial": "100ms", "jitter": "none"},
            "deadline": "10s",
        }
    },
}

with Router(routes) as router:
    reply = router.chat("summarize", ARTICLE)

print(reply.content)
print()
for number, attempt in enumerate(reply.attempts, 1):
    failure = f" ({type(attempt.error).__name__})" if attempt.error else ""
    print(f"{number}. {attempt.target}: {attempt.outcome}{failure}, after a wait of {attempt.waited_s:.1f} s")

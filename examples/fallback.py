"""When a provider is down, the next target of the chain answers, and the reply tells what happened.

The requests and answers are a recording, in which the first provider is overloaded. Leave out `use_cassette`, and the
models are asked.
"""

from pathlib import Path

from llmrouter import Router
from llmrouter.cassettes import use_cassette

ARTICLE = """\
Honey keeps for years because there is hardly any water in it. Nectar is mostly water when the bees carry it home. They
spread it over the cells and fan it with their wings, day and night, until four fifths of the water is gone. Only then
do they close the cells with wax. What is left is so rich in sugar that it draws the water out of any microbe that
lands in it. An enzyme of the bees adds a trace of hydrogen peroxide, which finishes the work. Honey that takes up
water again, from damp air or a wet spoon, loses this protection and begins to ferment. Beekeepers therefore harvest
cells that are closed, keep honey in jars with tight lids, and measure its water before they sell it.
"""
ROUTES = {
    "routes": {
        "summarize": {
            "model": "openai/gpt-6-luna",
            "fallbacks": ["anthropic/claude-haiku-5-5", "python/llmrouter.offline:summarize"],
            "system": "Summarize the text in two sentences.",
            "retry": {"attempts": 2, "initial": "100ms", "jitter": "none"},
            "deadline": "10s",
        }
    },
}
RECORDING = Path(__file__).parent / "cassettes" / "fallback.yaml"


def main() -> None:
    with use_cassette(RECORDING), Router(ROUTES) as router:
        reply = router.chat("summarize", ARTICLE)

    print(reply.content)
    print()
    for number, attempt in enumerate(reply.attempts, 1):
        failure = f" ({type(attempt.error).__name__})" if attempt.error else ""
        print(f"{number}. {attempt.target}: {attempt.outcome}{failure}, after a wait of {attempt.waited_s:.1f} s")


if __name__ == "__main__":
    main()

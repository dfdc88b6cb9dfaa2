"""Change the model behind a route by editing one line of YAML. The code that calls the route stays as it is.

Two functions of this file stand for two providers, so that it runs without keys. With keys, the two targets would be
lines such as `openai/gpt-6-luna` and `anthropic/claude-haiku-5-5`, and nothing else would change.
"""

import tempfile
from pathlib import Path

from llmrouter import Router

ROUTES = """\
routes:
  reply:
    model: python/switch_provider:northwind
    system: Answer the customer.
"""

LETTER = "The blue kettle that I ordered on 3 March has arrived in green. I would like the blue one, please."


def northwind(_messages, **_params):
    """Stand for the first provider."""
    return "Dear customer, we regret the mistake with your kettle and will send the blue one tomorrow."


def southwind(_messages, **_params):
    """Stand for the second provider."""
    return "Sorry about the green kettle! The blue one is on its way, and you can keep both."


def answer(router: Router, letter: str) -> str:
    """Answer a letter: the call site, which knows the route and nothing of providers."""
    reply = router.chat("reply", letter)
    return f"{reply.target}\n  {reply.content}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "routes.yaml")
        file.write_text(ROUTES)
        with Router(file, watch=True) as router:
            print(answer(router, LETTER))
            file.write_text(ROUTES.replace("northwind", "southwind"))  # the edit; the next call sees it
            print(answer(router, LETTER))


if __name__ == "__main__":
    main()

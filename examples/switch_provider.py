"""Change the model behind a route by editing one line of YAML. The code that calls the route stays as it is.

The answers are recordings, so that this runs without keys. Leave out `use_cassette`, and the models are asked.
"""

import tempfile
from pathlib import Path

from llmrouter import Router
from llmrouter.cassettes import use_cassette

ROUTES = """\
routes:
  reply:
    model: openai/gpt-6-luna
    system: Answer the customer in a sentence or two.
"""
RECORDING = Path(__file__).parent / "cassettes" / "switch_provider.yaml"

LETTER = "The blue kettle that I ordered on 3 March has arrived in green. I would like the blue one, please."


def answer(router: Router, letter: str) -> str:
    """Answer a letter: the call site, which knows the route and nothing of providers."""
    reply = router.chat("reply", letter)
    return f"{reply.target}\n  {reply.content}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, use_cassette(RECORDING):
        file = Path(folder, "routes.yaml")
        file.write_text(ROUTES)
        with Router(file, watch=True) as router:
            print(answer(router, LETTER))
            file.write_text(ROUTES.replace("openai/gpt-6-luna", "anthropic/claude-haiku-5-5"))
            print(answer(router, LETTER))  # the call that comes after the edit sees it


if __name__ == "__main__":
    main()

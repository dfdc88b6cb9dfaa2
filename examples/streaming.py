"""Print an answer while it is being written, then what it was made of."""

import time

from llmrouter import Router

ROUTES = {"routes": {"tell": {"model": "python/streaming:storyteller"}}}

STORY = """\
The lighthouse keeper counted the ships every evening, and every evening there was one more than in his book.
On the seventh night he rowed out to the last one. It was made of fog, and its captain asked him for the time.
"""


def storyteller(_messages, **_params):
    """Stand for a model that streams: hand out the story word by word."""
    for word in STORY.splitlines(keepends=True):
        for piece in word.split(" "):
            time.sleep(0.01)
            yield piece if piece.endswith("\n") else piece + " "


def main() -> None:
    with Router(ROUTES) as router, router.stream("tell", "Tell me a short story.") as stream:
        for text in stream:
            print(text, end="", flush=True)
        reply = stream.response  # whole, now that the stream has ended

    print(f"\n{reply.output_tokens} tokens in {reply.latency_s:.1f} s, ended with {reply.finish_reason!r}")


if __name__ == "__main__":
    main()

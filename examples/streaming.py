"""Print an answer while it is being written, then what it was made of.

The answer is a recording, played as fast as it came, so that this runs without a key. Leave out `use_cassette`, and
the model is asked.
"""

from pathlib import Path

from llmrouter import Router
from llmrouter.cassettes import use_cassette

ROUTES = {"routes": {"tell": {"model": "openai/gpt-6-luna"}}}
RECORDING = Path(__file__).parent / "cassettes" / "streaming.yaml"


def main() -> None:
    with (
        use_cassette(RECORDING, realtime=True),
        Router(ROUTES) as router,
        router.stream("tell", "Tell me a short story about a lighthouse.") as stream,
    ):
        for text in stream:
            print(text, end="", flush=True)
        reply = stream.response  # whole, now that the stream has ended

    print(f"\n\n{reply.output_tokens} tokens in {reply.latency_s:.1f} s, ended with {reply.finish_reason!r}")


if __name__ == "__main__":
    main()

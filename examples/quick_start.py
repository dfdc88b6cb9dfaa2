"""Ask a route of routes.yaml for a summary. Run it from the top of the repository: python examples/quick_start.py

The route asks the first of its models that has a key. Without any key its last resort answers: a Python function that
picks the most telling sentences.
"""

from pathlib import Path

from llmrouter import Router

article = Path("examples/article.txt").read_text(encoding="utf-8")

with Router("routes.yaml") as router:
    reply = router.chat("summarize", article)

print(reply.content)
print()
print(f"answered by {reply.target}{' (from the cache)' if reply.cached else ''} in {reply.latency_s:.2f} s")
print(f"{reply.input_tokens} tokens in, {reply.output_tokens} out, cost {reply.cost_usd} USD")

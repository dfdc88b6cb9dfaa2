"""What a call costs: llmrouter beside the bare SDKs, raw HTTP and other routers, all in one run.

`python -m benchmarks` starts a loopback server in a process of its own and runs everything; see `docs/performance.md`.
"""

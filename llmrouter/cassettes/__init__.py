"""Record the answers of providers once, and replay them in tests: no key, no network, the same answer every time.

    from llmrouter.cassettes import use_cassette

    with use_cassette("cassettes/summary.yaml"):
        reply = Router("routes.yaml").chat("summarize", "a long text")

vcrpy does the keeping; what is added is for language models: keys and ids are taken out, requests match by their JSON,
streams come in the pieces they came in, can be cut, stalled or refused to order, and a request that was never recorded
ends the test with the difference to the nearest one that was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmrouter.cassettes.fault import Fault as Fault
    from llmrouter.cassettes.matching import CassetteMissError as CassetteMissError
    from llmrouter.cassettes.use import Cassette as Cassette, use_cassette as use_cassette

_HOMES = {"Cassette": "use", "CassetteMissError": "matching", "Fault": "fault", "use_cassette": "use"}
__all__ = ["Cassette", "CassetteMissError", "Fault", "use_cassette"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)

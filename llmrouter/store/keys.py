"""The key of a cached answer: a hash of everything that is sent, so that no parameter can be forgotten.

The key is built by exclusion: all of the wire body counts but the few top-level fields that cannot change the answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from llmrouter.errors import InvalidRequestError

EXCLUDED: Final = frozenset({"stream", "stream_options", "metadata", "prompt_cache_key"})

_VERSION: Final = b"llmrouter-1\x00"  # change it when keys or stored answers change their form
# ensure_ascii off keeps every text apart: escaped, two lone surrogates and the character they would make look alike
_canonical: Final = json.JSONEncoder(
    ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=True
).encode


def target_prefix(kind: str, base_url: str | None, protocol: str, model: str) -> bytes:
    """Return the prefix that tells one target's answers from another's; made once, when a plan is compiled."""
    return _canonical([kind, base_url, protocol, model]).encode("utf-8", "surrogatepass")


def cache_key(prefix: str | bytes, body: Mapping[str, Any]) -> str:
    """Return the key, 64 hex digits, of sending the wire body `body` to the target that `prefix` stands for.

    Two bodies have one key exactly when their JSON is the same but for the order of object keys and the top-level
    fields in `EXCLUDED`. So a tuple equals a list, while 1, 1.0, true and "1" all differ, as they do on the wire.

    Raises InvalidRequestError for what JSON cannot carry: bytes, NaN and infinities, objects, cycles.
    """
    start = prefix.encode("utf-8", "surrogatepass") if isinstance(prefix, str) else prefix
    sent = body if EXCLUDED.isdisjoint(body) else {name: body[name] for name in body if name not in EXCLUDED}
    try:
        content = _canonical(sent).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequestError(f"the request is not plain JSON and cannot be cached: {error}") from error
    # the length keeps a prefix's end from being taken for a body's beginning
    return hashlib.sha256(b"%s%d:%s%s" % (_VERSION, len(start), start, content)).hexdigest()

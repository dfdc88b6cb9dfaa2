"""Configurations of other programs, turned into a routes file: LiteLLM's proxy config and Portkey's config object.

`convert` is the door. What has a counterpart becomes one, what has none is reported with its place in the source and
what to do instead, and no key that was written into the source ever reaches the result.
"""

from __future__ import annotations

from llmrouter.importing.convert import Imported as Imported, convert as convert

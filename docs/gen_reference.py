"""Write docs/reference.md, the reference of routes.yaml, from the models that read the file.

    python docs/gen_reference.py

A test fails while the page differs from what this writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from llmrouter.config.schema import json_schema

PAGE = Path(__file__).with_name("reference.md")

# Where each section of the file stands, in the order of the page.
SECTIONS = {
    "ProviderConfig": "providers.NAME",
    "PoolConfig": "providers.NAME.pool",
    "DefaultsConfig": "defaults",
    "RouteConfig": "routes.NAME",
    "RungConfig": "An entry of the chain",
    "ParamsConfig": "params",
    "RetryConfig": "retry",
    "TimeoutsConfig": "timeouts",
    "TokenBudgetConfig": "token_budget",
    "RouteCacheConfig": "cache of a route",
    "HedgeConfig": "hedge",
    "BreakerConfig": "breaker",
    "LimitsConfig": "limits",
    "SpendLimitConfig": "spend_limit",
    "PriceConfig": "prices",
    "CacheConfig": "cache of the file",
    "LedgerConfig": "ledger",
    "LoggingConfig": "logging",
    "StateConfig": "state",
}

HEAD = """\
# routes.yaml

<!-- Written by docs/gen_reference.py; do not edit. -->

Every key of the file. Unknown keys, duplicate keys and values of the wrong type are mistakes, and all of them are \
told at once, each with its line and column. `llmrouter schema` prints the JSON Schema; with \
`# yaml-language-server: $schema=./routes.schema.json` as its first line an editor completes the file.

| spelling | examples |
| --- | --- |
| duration | `500ms`, `30s`, `2m`, `24h`, `7d`, or a number of seconds |
| count | `8000`, `8k`, `1.5M` |
| size | `512MiB`, `1GiB` |
| share | `5%`, `0.05` |
| target | `provider/model`, split at the first slash |

`${NAME}` and `${NAME:-default}` are replaced from the environment, inside values. A `.env` file beside the routes \
file is read too; the environment wins over it. Keys at the top that begin with `x-` are yours, for notes and anchors.
"""


def page() -> str:
    """Return the whole page."""
    schema = json_schema()
    definitions = schema["definitions"]
    others = sorted(definitions.keys() - SECTIONS.keys())
    titles = {**SECTIONS, **{name: name.removesuffix("Config").lower() for name in others}}
    parts = [HEAD, *_section("The file", schema, titles)]
    for name, title in titles.items():
        parts += _section(title, definitions[name], titles)
    return "\n".join(parts)


def _section(title: str, schema: Mapping[str, Any], titles: Mapping[str, str]) -> Iterator[str]:
    required = schema.get("required", ())
    yield f"## {title}\n"
    if title == "routes.NAME":
        yield "The keys of [defaults](#defaults) as well; here are those that only a route has.\n"
    elif title != "The file":
        yield f"{schema['description']}\n"
    yield "| key | value | default | meaning |\n| --- | --- | --- | --- |"
    for key, field in schema["properties"].items():
        if title == "routes.NAME" and key not in OWN:
            continue
        meaning, told = _without_default(field.get("description", ""))
        default = "**required**" if key in required else told or _default(field)
        yield f"| `{key}` | {_kind(field, titles)} | {default} | {_cell(meaning)} |"
    yield ""


OWN = ("description", "model", "fallbacks", "schema", "prices")


def _without_default(description: str) -> tuple[str, str]:
    """Take "Default 5s." out of a description; return what is left, and the default for its own column."""
    said = re.search(r" Default (\S+?)\.(?= |$)", description)
    return (description.replace(said[0], ""), f"`{said[1]}`") if said else (description, "")


def _default(field: Mapping[str, Any]) -> str:
    if "default" not in field:
        return ""
    default = field["default"]
    spelled = str(default).lower() if isinstance(default, bool) else f"{default:g}" if _is_number(default) else default
    return f"`{spelled}`" if _kind(field, {}) != "duration" else f"`{spelled}s`"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(field: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """Name what may stand here, as a reader of YAML would."""
    if "$ref" in field:
        title = titles.get(field["$ref"].rpartition("/")[2], "map")
        return f"[map](#{_anchor(title)})"
    if "enum" in field:
        return ", ".join(f"`{str(word).lower() if word is False else word}`" for word in field["enum"])
    if "const" in field:
        return f"`{field['const']}`"
    spelled = next((text for choice in field.get("oneOf", ()) for text in choice.get("examples", ())), None)
    if spelled is not None:
        return _SPELLED.get(spelled, "number")
    if choices := field.get("anyOf") or field.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(choice, titles) for choice in choices))
    return _compound(field, titles)


_SPELLED = {"30s": "duration", "8k": "count", "1GiB": "size", "512MiB": "size", "5%": "share", "2%": "share"}
_PLAIN = {"string": "text", "integer": "number", "number": "number", "boolean": "`true`, `false`"}


def _compound(field: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    if field.get("type") == "array":
        return f"list of {_kind(field['items'], titles)}"
    if field.get("type") == "object":
        inner = field.get("additionalProperties") or next(iter(field.get("patternProperties", {}).values()), True)
        keys = field.get("propertyNames", {}).get("enum")
        of = _kind(inner, titles) if isinstance(inner, Mapping) else "anything"
        return f"map of {of}" + (f", by error: {', '.join(f'`{key}`' for key in keys)}" if keys else "")
    if str(field.get("pattern", "")).startswith("^[^/"):
        return "target"
    return _PLAIN.get(str(field.get("type")), "text")


def _anchor(title: str) -> str:
    return title.lower().replace(".", "").replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("`\\*`", "`*`").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

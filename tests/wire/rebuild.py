"""A recorded request as a caller of ours would make it: messages and options, read from each provider's body.

What our own words cannot say goes into `extra`, which the wire carries as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from llmrouter import Document, Image, Message, Text, Tool, ToolCall
from llmrouter.types import Role

_PLAIN: Final = {"model", "messages", "stream", "stream_options", "tools", "tool_choice"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: the model, the messages, and the keywords of `chat` and `stream`."""

    model: str
    messages: list[Message]
    options: dict[str, Any] = field(default_factory=dict)


def rebuilt(url: str, body: Mapping[str, Any], answers: Sequence[Message] = ()) -> Asked:
    """Return the call that a recorded request makes.

    `answers` are what came before in the same conversation: a caller appends them as they are, private parts included.
    """
    asked = _read(url, body)
    messages: list[Message] = []
    renamed: dict[str | None, str] = {}  # where a call had no id, we made another one than that client did
    for message in asked.messages:
        given = _same(message, answers)
        if given is not None:
            renamed |= {old.id: new.id for old, new in zip(message.tool_calls, given.tool_calls, strict=True)}
        named = replace(message, tool_call_id=renamed.get(message.tool_call_id, message.tool_call_id))
        messages.append(given or named)
    return replace(asked, messages=messages)


def _same(message: Message, answers: Sequence[Message]) -> Message | None:
    """Find the answer that this message is: by the ids of its calls, else by its text and their names."""
    if message.role != "assistant":
        return None
    ids, names = _ids(message), [call.name for call in message.tool_calls]
    for given in answers:
        if ids and _ids(given) == ids:
            return given
    for given in answers:
        if given.text == message.text and [call.name for call in given.tool_calls] == names:
            return given
    return None


def _ids(message: Message) -> list[str]:
    return [call.id for call in message.tool_calls]


def _read(url: str, body: Mapping[str, Any]) -> Asked:
    if url.partition("?")[0].endswith("/responses"):
        return _responses(body)
    if "generativelanguage" in url or "aiplatform" in url:
        return _gemini(url, body)
    return _anthropic(body) if "anthropic" in url else _chat(body)


def _options(body: Mapping[str, Any], names: Mapping[str, str], taken: set[str]) -> dict[str, Any]:
    """Return the fields that have a keyword of ours, under its name, and the rest as `extra`."""
    options = {ours: body[theirs] for theirs, ours in names.items() if body.get(theirs) is not None}
    extra = {name: value for name, value in body.items() if name not in names and name not in taken}
    return {**options, "extra": extra} if extra else options


def _choice(choice: Any) -> str | None:
    """Return a tool choice in our words: a word, or the name of a tool."""
    if not isinstance(choice, dict):
        return choice if choice is None else str(choice)
    name = choice.get("name") or (choice.get("function") or {}).get("name")
    return str(name) if name else {"any": "required"}.get(choice["type"], choice["type"])


# ------------------------------------------------------------------------------------------------ Chat Completions


def _chat(body: Mapping[str, Any]) -> Asked:
    names = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "seed": "seed"}
    names |= {"max_completion_tokens": "max_tokens", "reasoning_effort": "reasoning", "prompt_cache_key": "session"}
    form = body.get("response_format") or {}
    own_tools = all(tool["type"] == "function" for tool in body.get("tools") or ())
    taken = _PLAIN | {"stop"} | ({"response_format"} if form.get("type") == "json_schema" else set())
    taken -= set() if own_tools else {"tools"}
    options = _options(body, names, taken)
    if body.get("stop"):
        options["stop"] = body["stop"]
    if own_tools and body.get("tools"):
        options["tools"] = body["tools"]
        options["tool_choice"] = _choice(body.get("tool_choice"))
    if "response_format" in taken:
        options["schema"] = form["json_schema"]["schema"]
    return Asked(body["model"], [_chat_message(message) for message in body["messages"]], options)


def _chat_message(message: Mapping[str, Any]) -> Message:
    role: Role = "system" if message["role"] == "developer" else message["role"]
    calls = tuple(_chat_call(call) for call in message.get("tool_calls") or ())
    content = message.get("content")
    parts = content or "" if not isinstance(content, list) else tuple(map(_chat_part, content))
    return Message(role, parts, calls, message.get("tool_call_id"))


def _chat_call(call: Mapping[str, Any]) -> ToolCall:
    return ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])


def _chat_part(part: Mapping[str, Any]) -> Text | Image:
    if part["type"] == "text":
        return Text(part["text"])
    return _image(part["image_url"]["url"], part["image_url"].get("detail"))


def _image(url: str, detail: str | None = None) -> Image:
    if not url.startswith("data:"):
        return Image(url=url, detail=detail)
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return Image(data=data, media_type=kind, detail=detail)


# ------------------------------------------------------------------------------------------------ Responses


def _responses(body: Mapping[str, Any]) -> Asked:
    own_tools = all(tool["type"] == "function" for tool in body.get("tools") or ())
    taken = {"model", "input", "stream", "instructions", "store", "reasoning"}
    taken |= {"tools", "tool_choice"} if own_tools else set()
    options = _options(body, {"temperature": "temperature", "top_p": "top_p", "max_output_tokens": "max_tokens"}, taken)
    effort = body.get("reasoning") or {}
    if set(effort) == {"effort"}:
        options["reasoning"] = effort["effort"]
    elif effort:
        options.setdefault("extra", {})["reasoning"] = effort
    if own_tools and body.get("tools"):
        options["tools"] = [_flat_tool(tool) for tool in body["tools"]]
        options["tool_choice"] = _choice(body.get("tool_choice"))
    said = [Message("system", body["instructions"])] if body.get("instructions") else []
    asked = body["input"]
    messages = [Message("user", asked)] if isinstance(asked, str) else list(_items(asked))
    return Asked(body["model"], said + messages, options)


def _flat_tool(tool: Mapping[str, Any]) -> Tool:
    return Tool(tool["name"], tool.get("description") or "", tool["parameters"], tool.get("strict"))


def _items(items: list[dict[str, Any]]) -> Iterator[Message]:
    """Read items as messages; the items of one answer are one message, of which this is the neutral part."""
    said, calls = "", list[ToolCall]()
    for item in items:
        kind = item.get("type", "message")
        if kind == "function_call":
            calls.append(ToolCall(item["call_id"], item["name"], item["arguments"]))
            continue
        if kind == "message" and item["role"] == "assistant":
            said += _said(item)
            continue
        if (said or calls) and kind != "reasoning":
            yield Message("assistant", said, tuple(calls))
            said, calls = "", []
        if kind == "function_call_output":
            yield Message("tool", item["output"], tool_call_id=item["call_id"])
        elif kind == "message":
            yield Message(item["role"], _said(item))


def _said(item: Mapping[str, Any]) -> str:
    content = item["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


# ------------------------------------------------------------------------------------------------ Messages


def _anthropic(body: Mapping[str, Any]) -> Asked:
    names = {"temperature": "temperature", "top_p": "top_p", "max_tokens": "max_tokens", "stop_sequences": "stop"}
    own_tools = all("input_schema" in tool for tool in body.get("tools") or ())
    taken = {"model", "messages", "system", "stream"} | ({"tools", "tool_choice"} if own_tools else set())
    options = _options(body, names, taken)
    if own_tools and body.get("tools"):
        options["tools"] = [
            Tool(tool["name"], tool.get("description") or "", tool["input_schema"]) for tool in body["tools"]
        ]
        options["tool_choice"] = _choice(body.get("tool_choice"))
    system = body.get("system")
    messages = [Message("system", _blocks(system))] if system else []
    for message in body["messages"]:
        messages.extend(_anthropic_message(message))
    return Asked(body["model"], messages, options)


def _blocks(content: Any) -> str | tuple[Text | Image | Document, ...]:
    if isinstance(content, str):
        return content
    return tuple(_block(block) for block in content if block["type"] in ("text", "image"))


def _block(block: Mapping[str, Any]) -> Text | Image:
    if block["type"] == "text":
        return Text(block["text"], cache="cache_control" in block)
    source = block["source"]
    return Image(data=source["data"], media_type=source["media_type"], cache="cache_control" in block)


def _anthropic_message(message: Mapping[str, Any]) -> Iterator[Message]:
    content = message["content"]
    if isinstance(content, str):
        yield Message(message["role"], content)
        return
    for block in content:
        if block["type"] == "tool_result":
            said = block.get("content") or ""
            yield Message("tool", _blocks(said), tool_call_id=block["tool_use_id"])
    calls = tuple(
        ToolCall(block["id"], block["name"], json.dumps(block["input"]))
        for block in content
        if block["type"] == "tool_use"
    )
    parts = _blocks(content)
    if parts or calls:
        yield Message(message["role"], parts, calls)


# ------------------------------------------------------------------------------------------------ Gemini

_SETTINGS: Final = {"temperature": "temperature", "topP": "top_p", "maxOutputTokens": "max_tokens", "seed": "seed"}


def _gemini(url: str, body: Mapping[str, Any]) -> Asked:
    settings = body.get("generationConfig") or {}
    schema = settings.get("responseJsonSchema") or settings.get("responseSchema") or settings.get("response_schema")
    spoken = {*_SETTINGS, "responseMimeType", "response_mime_type", "responseJsonSchema"}
    spoken |= {"responseSchema", "response_schema"}
    extra = {name: value for name, value in body.items() if name in ("safetySettings", "modelArmorConfig")}
    left = {name: value for name, value in settings.items() if name not in spoken}
    if left:
        extra["generationConfig"] = left
    options: dict[str, Any] = {ours: settings[theirs] for theirs, ours in _SETTINGS.items() if theirs in settings}
    declared = [tool for entry in body.get("tools") or () for tool in entry.get("functionDeclarations") or ()]
    if declared:
        options["tools"] = [Tool(tool["name"], tool.get("description") or "", _parameters(tool)) for tool in declared]
    if schema is not None:
        options["schema"] = _json_schema(schema)
    if body.get("cachedContent"):
        extra["cachedContent"] = body["cachedContent"]
    if extra:
        options["extra"] = extra
    system = body.get("systemInstruction")
    messages = [Message("system", "".join(part["text"] for part in system["parts"]))] if system else []
    for content in body["contents"]:
        messages.extend(_content(content))
    return Asked(url.partition("/models/")[2].partition(":")[0], messages, options)


def _parameters(tool: Mapping[str, Any]) -> Any:
    found = tool.get("parametersJsonSchema") or tool.get("parameters_json_schema") or tool.get("parameters")
    return _json_schema(found or {"type": "object", "properties": {}})


def _json_schema(schema: Any) -> Any:
    """Return JSON Schema for Google's own dialect, which writes types in capitals."""
    if isinstance(schema, list):
        return [_json_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kind = {"type": schema["type"].lower()} if isinstance(schema.get("type"), str) else {}
    return {name: _json_schema(value) for name, value in schema.items()} | kind


def _content(content: Mapping[str, Any]) -> Iterator[Message]:
    """Read one turn; results are told apart by their function's name, which is their call's id here."""
    role: Role = "assistant" if content.get("role") == "model" else "user"
    parts = [part for part in content["parts"] if not part.get("thought")]
    for part in parts:
        if "functionResponse" in part:
            result = part["functionResponse"]
            yield Message("tool", json.dumps(result["response"]), tool_call_id=result.get("id") or result["name"])
    calls = tuple(
        ToolCall(call.get("id") or call["name"], call["name"], json.dumps(call.get("args") or {}))
        for call in (part["functionCall"] for part in parts if "functionCall" in part)
    )
    said = tuple(_gemini_part(part) for part in parts if "text" in part or "inlineData" in part)
    if said or calls:
        yield Message(role, said, calls)


def _gemini_part(part: Mapping[str, Any]) -> Text | Image:
    if "text" in part:
        return Text(part["text"])
    return Image(data=part["inlineData"]["data"], media_type=part["inlineData"]["mimeType"])

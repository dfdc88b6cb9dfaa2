"""Requests of the Messages API: our messages, tools and parameters as its wire body."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from llmrouter.dialects import anthropic_lacks, for_anthropic
from llmrouter.errors import InvalidRequestError
from llmrouter.history import safe_tool_ids, without_prefill
from llmrouter.providers.anthropic_models import ClaudeTraits, traits
from llmrouter.types import Document, Image, Message, Params, Part, Request, Text, Tool, ToolCall

Block: TypeAlias = dict[str, Any]

ANSWER_TOOL: Final = "llmrouter_answer"  # carries structured output where the native form cannot
MARKS_ALLOWED: Final = 4  # cache breakpoints per request

_BUDGETS: Final[Mapping[str, int]] = {"low": 2_048, "medium": 8_192, "high": 16_384}  # tokens, where effort is unknown
_LEAST_BUDGET: Final = 1_024
_THINKING: Final = ("thinking", "redacted_thinking")


def encode(request: Request, origin: str, *, sampling: bool = True, inline_system: bool = True) -> dict[str, Any]:
    """Return the wire body of `request`; `origin` is the provider's name, whose private parts are sent back.

    `sampling` False leaves temperature and top_p out (API versions from 2026-10-21 refuse them on every model);
    `inline_system` False moves every system message to the top (clouds that refuse them in the conversation).

    The API has no seed, which is left out, and refuses temperature and top_p while the model thinks. Newer models
    refuse them at all times: that is for the model to say, and for the pipeline to remember.
    """
    accepts = traits(request.model)
    by_tool = answers_by_tool(request, accepts)
    thinking = _thinking(request, accepts, by_tool)
    body: dict[str, Any] = {"model": request.model, **_limits(request.params, thinking, accepts)}
    messages = safe_tool_ids(request.messages)
    if not accepts.prefill or thinking or request.schema is not None:
        messages = without_prefill(messages)
    replays = thinking is None or _thinks(thinking)
    system, turns = _conversation(messages, origin, accepts.inline_system and inline_system, replays)
    _put(body, "thinking", _bound(thinking, turns) if accepts.binds_thinking else thinking)
    tools = _tools(request, accepts, by_tool)
    _mark(request, tools, system, turns)
    if system:
        body["system"] = system
    body["messages"] = turns
    if tools:
        body["tools"] = tools
        _put(body, "tool_choice", _tool_choice(request, by_tool))
    _put(body, "output_config", _output_config(request, accepts, by_tool))
    if sampling and not _thinks(thinking):
        body.update(_samplers(request.params))
    body.update(request.params.extra)
    return body


def _put(body: dict[str, Any], key: str, value: Any) -> None:
    if value:
        body[key] = value


# ------------------------------------------------------------------------------------------------ parameters


def _limits(params: Params, thinking: Block | None, accepts: ClaudeTraits) -> dict[str, Any]:
    most = params.max_tokens or accepts.max_tokens
    budget = thinking.get("budget_tokens", 0) if thinking else 0
    # The budget must be below max_tokens, and the answer keeps the room that the caller gave it.
    limits: dict[str, Any] = {"max_tokens": most if budget < most else most + budget}
    if params.stop:
        limits["stop_sequences"] = list(params.stop)
    return limits


def _samplers(params: Params) -> dict[str, Any]:
    asked = {"temperature": params.temperature, "top_p": params.top_p}
    return {name: value for name, value in asked.items() if value is not None}


def _thinking(request: Request, accepts: ClaudeTraits, by_tool: bool) -> Block | None:
    """Return the `thinking` field, None to leave it out."""
    asked = request.params.reasoning
    if asked is None:
        return None
    if asked == "none" or asked == 0:
        off = accepts.thinking_off
        return None if off in ("omit", "never") else {"type": off}
    if accepts.adaptive and (isinstance(asked, str) or not accepts.budgets):
        # Without `display` the newer models send thinking blocks with no text in them.
        return {"type": "adaptive", "display": "summarized"} if accepts.hides_thinking else {"type": "adaptive"}
    if by_tool or chooses_tool(request):
        return None  # the API refuses a budget beside a forced tool; the tool is what the caller cannot do without
    budget = asked if isinstance(asked, int) else _BUDGETS.get(asked)
    if budget is None:
        raise InvalidRequestError(f"reasoning must be none, low, medium, high or a token count, not {asked!r}")
    return {"type": "enabled", "budget_tokens": max(budget, _LEAST_BUDGET)}


def _thinks(thinking: Block | None) -> bool:
    return thinking is not None and thinking["type"] in ("adaptive", "enabled")


def _effort(request: Request, accepts: ClaudeTraits) -> str | None:
    asked = request.params.reasoning
    if asked is None or not accepts.adaptive:
        return None
    if asked == "none" or asked == 0:
        return "low" if accepts.thinking_off == "never" else None
    if isinstance(asked, str):
        return asked
    if accepts.budgets:
        return None
    # Newer models take no token count: the nearest effort, by the budgets that older models get for it.
    return next((effort for effort, budget in _BUDGETS.items() if asked <= budget), "high")


def _output_config(request: Request, accepts: ClaudeTraits, by_tool: bool) -> dict[str, Any]:
    config: dict[str, Any] = {}
    _put(config, "effort", _effort(request, accepts))
    if request.schema is not None and not by_tool:
        config["format"] = {"type": "json_schema", "schema": for_anthropic(request.schema.json)}
    return config


def _bound(thinking: Block | None, turns: list[Block]) -> Block | None:
    """Ask to drop replayed thinking that no longer fits, instead of refusing the request.

    The models that bind a thinking block to what precedes it would answer 400 to a history that was trimmed, or that
    meets another system prompt or tool list: both are what a router does.
    """
    answers = (turn["content"] for turn in turns if turn["role"] == "assistant")
    if not any(block.get("type") in _THINKING for blocks in answers for block in blocks):
        return thinking
    # These models think adaptively when the field is missing, so writing it down changes nothing else.
    return {**(thinking or {"type": "adaptive"}), "block_binding": {"prefix_mismatch_behavior": "drop_block"}}


# ------------------------------------------------------------------------------------------------ tools


def answers_by_tool(request: Request, accepts: ClaudeTraits) -> bool:
    """Tell whether structured output needs a forced tool: an old model, or a schema that the native form bends."""
    if request.schema is None:
        return False
    return not accepts.native_schema or (accepts.forced_tools and anthropic_lacks(request.schema.json) is not None)


def chooses_tool(request: Request) -> bool:
    """Tell whether the caller leaves the model no choice but to call a tool."""
    return bool(request.tools) and request.tool_choice not in (None, "auto", "none")


def _tools(request: Request, accepts: ClaudeTraits, by_tool: bool) -> list[Block]:
    tools = [_tool(tool, accepts) for tool in request.tools]
    if request.schema is not None and by_tool:
        tools.append(
            {
                "name": ANSWER_TOOL,
                "description": "Gives the final answer to the user. The input of this tool is the answer.",
                "input_schema": dict(request.schema.json),
            }
        )
    return tools


def _tool(tool: Tool, accepts: ClaudeTraits) -> Block:
    block: Block = {"name": tool.name, "input_schema": {"type": "object", **tool.parameters}}
    _put(block, "description", tool.description)
    if tool.strict and accepts.native_schema:
        block["strict"], block["input_schema"] = True, for_anthropic(block["input_schema"])
    return block


def _tool_choice(request: Request, by_tool: bool) -> Block | None:
    choice = request.tool_choice
    if by_tool:
        only_answer = not request.tools or choice == "none"
        return {"type": "tool", "name": ANSWER_TOOL} if only_answer else {"type": "any"}
    if choice is None:
        return None
    named = {"auto": "auto", "none": "none", "required": "any"}.get(choice)
    return {"type": named} if named else {"type": "tool", "name": choice}


# ------------------------------------------------------------------------------------------------ messages


def _conversation(
    messages: tuple[Message, ...], origin: str, inline_system: bool, replays: bool
) -> tuple[list[Block], list[Block]]:
    """Return the system blocks and the turns; neighbours of one role are one turn.

    A system message inside the conversation stays there where the model allows it. The API wants it after a user turn
    and before an assistant one, so it waits for the end of the user turn it stands in or before.
    """
    system: list[Block] = []
    turns: list[Block] = []
    waiting: list[Block] = []
    for message in messages:
        if message.role == "system":
            (waiting if inline_system and turns else system).extend(_parts(message.parts))
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = _blocks(message, origin, replays)
        if not blocks:  # the API refuses an empty turn
            continue
        if role == "assistant" and waiting and turns[-1]["role"] == "user":
            turns.append({"role": "system", "content": waiting})
            waiting = []
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    if waiting and turns[-1]["role"] == "user":
        turns.append({"role": "system", "content": waiting})
    else:
        system.extend(waiting)
    if not turns:  # a system prompt alone is a question on other providers; here it must be a user's
        return [], [{"role": "user", "content": system}]
    _trim_prefill(turns[-1])
    return system, turns


def _blocks(message: Message, origin: str, replays: bool) -> list[Block]:
    if message.role == "assistant":
        return _assistant(message, origin, replays)
    return _result(message) if message.role == "tool" else _parts(message.parts)


def _trim_prefill(turn: Block) -> None:
    """The API refuses a prefill that ends with white space."""
    last = turn["content"][-1]
    if turn["role"] == "assistant" and last.get("type") == "text":
        turn["content"][-1] = {**last, "text": str(last.get("text", "")).rstrip()}


def _assistant(message: Message, origin: str, replays: bool) -> list[Block]:
    private = message.private_for(origin)
    if isinstance(private, list | tuple):
        return [block for block in private if _replayable(block, replays)]
    blocks = _parts(part for part in message.parts if isinstance(part, Text))
    blocks.extend(_tool_use(call) for call in message.tool_calls)
    return blocks


def _replayable(block: Any, replays: bool) -> bool:
    """White space alone is an answer that the API gives but does not take; thinking that is off takes none back."""
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    if kind == "text":
        return bool(str(block.get("text", "")).strip())
    return replays or kind not in _THINKING


def _tool_use(call: ToolCall) -> Block:
    try:
        arguments = call.arguments
    except InvalidRequestError:
        # The API takes objects only, and the call must stay: its result names it.
        arguments = {"invalid_json": call.arguments_json}
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


def _result(message: Message) -> list[Block]:
    block: Block = {"type": "tool_result", "tool_use_id": message.tool_call_id or ""}
    _put(block, "content", _parts(message.parts))
    if message.is_error:
        block["is_error"] = True
    if any(part.cache for part in message.parts):
        block["cache_control"] = {"type": "ephemeral"}
        for inner in block.get("content", ()):
            inner.pop("cache_control", None)
    return [block]


def _parts(parts: Iterable[Part]) -> list[Block]:
    blocks = []
    for part in parts:
        if isinstance(part, Text):
            if not part.text.strip():  # refused by the API
                continue
            block: Block = {"type": "text", "text": part.text}
        else:
            block = _image(part) if isinstance(part, Image) else _document(part)
        if part.cache:
            block["cache_control"] = {"type": "ephemeral"}
        blocks.append(block)
    return blocks


def _image(image: Image) -> Block:
    if image.url is not None:
        return {"type": "image", "source": {"type": "url", "url": image.url}}
    return {"type": "image", "source": {"type": "base64", "media_type": image.media_type, "data": image.data}}


def _document(document: Document) -> Block:
    media_type = document.media_type or "application/pdf"
    if document.url is not None:
        source = {"type": "url", "url": document.url}
    elif media_type.startswith("text/") or media_type == "application/json":
        source = {"type": "text", "media_type": "text/plain", "data": _plain_text(document.data or "")}
    else:
        source = {"type": "base64", "media_type": media_type, "data": document.data or ""}
    block: Block = {"type": "document", "source": source}
    _put(block, "title", document.filename)
    return block


def _plain_text(data: str) -> str:
    try:
        return base64.b64decode(data).decode("utf-8", "replace")
    except ValueError:
        raise InvalidRequestError("a text document's data= is not base64; for raw bytes use from_bytes()") from None


# ------------------------------------------------------------------------------------------------ prompt caching


def _mark(request: Request, tools: list[Block], system: list[Block], turns: list[Block]) -> None:
    """Mark the ends of the stable prefixes for the provider's prompt cache, at most four.

    The caller's own marks (`cache=True` on a part) replace ours; of more than four the last ones count. Without any,
    `auto` marks the tools, the system prompt and, once the model has answered, the last two user turns: the newer
    mark is what the next request will read, the older one is what the last request wrote. A first question is not
    marked: writing costs a quarter more than reading plainly, and most first questions are the only one.
    """
    own = [block for block in _marked(system, turns) if "cache_control" in block]
    if own:
        for block in own[:-MARKS_ALLOWED]:
            del block["cache_control"]
        return
    if request.prompt_cache == "off":
        return
    ends = [blocks[-1] for blocks in (tools, system) if blocks]
    if any(turn["role"] == "assistant" for turn in turns):
        asked = [turn for turn, after in zip_longest(turns, turns[1:]) if _ends_question(turn, after)]
        ends += [turn["content"][-1] for turn in asked[-2:]]
    for block in ends:
        block["cache_control"] = {"type": "ephemeral"}


def _ends_question(turn: Block, after: Block | None) -> bool:
    return turn["role"] != "assistant" and (after is None or after["role"] == "assistant")


def _marked(system: list[Block], turns: list[Block]) -> Iterable[Block]:
    yield from system
    for turn in turns:
        yield from turn["content"]

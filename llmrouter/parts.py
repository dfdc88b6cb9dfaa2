"""Content parts as users write them (OpenAI-style dicts, Anthropic's image and document blocks) to our parts, and back.

Every error names the place of the part (`messages[3].content[1]`) and what is expected there.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from llmrouter.errors import InvalidRequestError
from llmrouter.hints import hint
from llmrouter.types import Document, Image, Part, Text

IGNORED_KEYS: Final = frozenset({"annotations", "logprobs", "citations", "prompt_cache_breakpoint"})


def invalid(place: str, message: str) -> InvalidRequestError:
    """Return the error for one mistake at `place`."""
    return InvalidRequestError(f"{place}: {message}")


def type_name(value: object) -> str:
    """Return what a value of the wrong type is called in a message: its class, or None."""
    return "None" if value is None else type(value).__name__


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return a dict's or a pydantic object's fields, None for anything else."""
    if isinstance(value, Mapping):
        return value
    dump = None if isinstance(value, type) else getattr(value, "model_dump", None)
    return dump(mode="json") if callable(dump) else None


def refuse_unknown(raw: Mapping[str, Any], known: Collection[str], place: str) -> None:
    """Raise for a key that is neither known nor None, naming the near miss."""
    for key, value in raw.items():
        if key not in known and key not in IGNORED_KEYS and value is not None:
            raise invalid(place, f"unknown key {key!r}{hint(key, known) or f' (known: {_listed(known)})'}")


def text_at(raw: Mapping[str, Any], key: str, place: str) -> str:
    """Return the text under `key`. Raises InvalidRequestError when it is missing or no text."""
    value = raw.get(key)
    if isinstance(value, str):
        return value
    if value is None:
        present = ", ".join(repr(k) for k in raw) or "nothing"
        raise invalid(place, f"needs the key {key!r} (a string), has {present}")
    raise invalid(f"{place}.{key}", f"expected a string, got {type(value).__name__}")


def optional_text(raw: Mapping[str, Any], key: str, place: str) -> str | None:
    """Return the text under `key`, None when it is missing or None. Raises InvalidRequestError when it is no text."""
    return None if raw.get(key) is None else text_at(raw, key, place)


# ------------------------------------------------------------------------------------------------ reading


def parse_part(raw: Any, place: str) -> Part:
    """Make one part of a string, a part, or a dict with a `type`. Raises InvalidRequestError naming `place`."""
    if isinstance(raw, (Text, Image, Document)):
        return raw
    if isinstance(raw, str):
        return Text(raw)
    fields = as_mapping(raw)
    if fields is None:
        raise invalid(place, f"expected a string, a dict with a 'type', Text, Image or Document, got {type_name(raw)}")
    kind = text_at(fields, "type", place)
    reader = _READERS.get(kind)
    if reader is None:
        raise invalid(f"{place}.type", _unknown_type(kind))
    try:
        return reader(fields, place)
    except InvalidRequestError as error:
        if str(error).startswith("messages"):
            raise
        raise invalid(place, str(error)) from None  # from the constructors, which do not know the place


def is_part(raw: Any) -> bool:
    """Tell whether `raw` is a part, or a dict that says it is one."""
    if isinstance(raw, (Text, Image, Document)):
        return True
    return isinstance(raw, Mapping) and isinstance(raw.get("type"), str) and raw["type"] in _READERS


def _listed(words: Iterable[str]) -> str:
    return ", ".join(sorted(words))


def _unknown_type(kind: str) -> str:
    if kind in ("input_audio", "audio", "input_video", "video"):
        return f"{kind!r} parts are not supported; send text, images and documents"
    if kind in ("tool_use", "tool_result"):
        return f"{kind!r} blocks are written as tool_calls of an assistant message and as messages with role 'tool'"
    return f"unknown part type {kind!r}{hint(kind, _READERS)} (known: {_listed(_READERS)})"


def _cached(raw: Mapping[str, Any]) -> bool:
    return bool(raw.get("cache_control"))


def _text(raw: Mapping[str, Any], place: str) -> Text:
    refuse_unknown(raw, ("type", "text", "cache_control"), place)
    return Text(text_at(raw, "text", place), _cached(raw))


def _refusal(raw: Mapping[str, Any], place: str) -> Text:
    refuse_unknown(raw, ("type", "refusal", "cache_control"), place)
    return Text(text_at(raw, "refusal", place), _cached(raw))


def _image(url: str, detail: str | None, media_type: str | None, cache: bool) -> Image:
    found = Image.from_url(url)
    return Image(found.url, found.data, media_type or found.media_type or None, detail, cache)


def _image_url(raw: Mapping[str, Any], place: str) -> Image:
    refuse_unknown(raw, ("type", "image_url", "detail", "cache_control"), place)
    inner = raw.get("image_url")
    if not isinstance(inner, Mapping):
        return _image(text_at(raw, "image_url", place), optional_text(raw, "detail", place), None, _cached(raw))
    place = f"{place}.image_url"
    refuse_unknown(inner, ("url", "detail", "media_type", "format"), place)
    media_type = optional_text(inner, "media_type", place) or optional_text(inner, "format", place)
    return _image(text_at(inner, "url", place), optional_text(inner, "detail", place), media_type, _cached(raw))


def _input_image(raw: Mapping[str, Any], place: str) -> Image:
    _refuse_file_id(raw, place)
    return _image_url({key: value for key, value in raw.items() if key != "file_id"}, place)


def _refuse_file_id(raw: Mapping[str, Any], place: str) -> None:
    if raw.get("file_id") is not None:
        raise invalid(
            place,
            "a file_id belongs to one provider's file store and no other rung could read it; "
            "send the content itself: Document.from_path(...), Image.from_path(...), or file_data",
        )


def _file(raw: Mapping[str, Any], place: str) -> Document:
    inner = raw.get("file")
    if isinstance(inner, Mapping):
        refuse_unknown(raw, ("type", "file", "cache_control"), place)
        return _file_fields(inner, f"{place}.file", _cached(raw))
    if raw["type"] == "file":
        raise invalid(place, "needs the key 'file': {'file_data': ..., 'filename': ...}")
    return _file_fields({k: v for k, v in raw.items() if k not in ("type", "cache_control")}, place, _cached(raw))


def _file_fields(raw: Mapping[str, Any], place: str, cache: bool) -> Document:
    _refuse_file_id(raw, place)
    refuse_unknown(raw, ("file_data", "file_url", "filename", "media_type", "format", "file_id", "detail"), place)
    filename = optional_text(raw, "filename", place)
    media_type = optional_text(raw, "media_type", place) or optional_text(raw, "format", place)
    url = optional_text(raw, "file_url", place)
    if url is not None:
        return Document(url=url, media_type=media_type, filename=filename, cache=cache)
    return _document(text_at(raw, "file_data", place), media_type, filename, cache)


def _document(data: str, media_type: str | None, filename: str | None, cache: bool) -> Document:
    if media_type is None and filename is not None and filename.lower().endswith((".txt", ".md")):
        media_type = "text/plain"
    if data.startswith("data:"):
        found = Document.from_url(data)
        data, media_type = found.data or "", found.media_type or media_type
        return Document(data=data, media_type=media_type, filename=filename, cache=cache)
    found = Document.from_base64(data, media_type)
    return Document(data=data, media_type=found.media_type, filename=filename, cache=cache)


def _source(raw: Mapping[str, Any], place: str, known: tuple[str, ...]) -> tuple[Mapping[str, Any], str, str]:
    """Return an Anthropic-style block's source, its type and its place."""
    refuse_unknown(raw, ("type", "source", "cache_control", *known), place)
    source = raw.get("source")
    place = f"{place}.source"
    if not isinstance(source, Mapping):
        raise invalid(place, "expected a dict with the key 'type': base64, url or text")
    kind = text_at(source, "type", place)
    if kind == "file":
        _refuse_file_id({"file_id": source.get("file_id", "")}, place)
    return source, kind, place


def _image_block(raw: Mapping[str, Any], place: str) -> Image:
    source, kind, place = _source(raw, place, ())
    if kind == "url":
        return _image(text_at(source, "url", place), None, None, _cached(raw))
    if kind != "base64":
        raise invalid(f"{place}.type", f"expected 'base64' or 'url', got {kind!r}")
    found = Image.from_base64(text_at(source, "data", place), optional_text(source, "media_type", place))
    return Image(data=found.data, media_type=found.media_type, cache=_cached(raw))


def _document_block(raw: Mapping[str, Any], place: str) -> Document:
    source, kind, place = _source(raw, place, ("title", "context"))
    title, cache = optional_text(raw, "title", place), _cached(raw)
    if kind == "url":
        return Document(url=text_at(source, "url", place), filename=title, cache=cache)
    if kind == "base64":
        return _document(text_at(source, "data", place), optional_text(source, "media_type", place), title, cache)
    if kind != "text":
        raise invalid(f"{place}.type", f"expected 'base64', 'url' or 'text', got {kind!r}")
    found = Document.from_bytes(text_at(source, "data", place).encode(), "text/plain")
    return Document(data=found.data, media_type=found.media_type, filename=title, cache=cache)


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any], str], Part]]] = {
    "text": _text,
    "input_text": _text,
    "output_text": _text,
    "refusal": _refusal,
    "image_url": _image_url,
    "input_image": _input_image,
    "image": _image_block,
    "file": _file,
    "input_file": _file,
    "document": _document_block,
}


# ------------------------------------------------------------------------------------------------ writing


def dump_part(part: Part) -> dict[str, Any]:
    """Return the OpenAI-style dict that `parse_part` reads back to an equal part."""
    found = _dump_text(part) if isinstance(part, Text) else _dump_media(part)
    if part.cache:
        found["cache_control"] = {"type": "ephemeral"}
    return found


def _dump_text(part: Text) -> dict[str, Any]:
    return {"type": "text", "text": part.text}


def _dump_media(part: Image | Document) -> dict[str, Any]:
    embedded = None if part.data is None else f"data:{part.media_type or ''};base64,{part.data}"
    media_type = part.media_type if part.data is None else None  # a data: URL carries its own
    if isinstance(part, Image):
        inner = {"url": embedded or part.url, "detail": part.detail, "media_type": media_type}
        return {"type": "image_url", "image_url": _present(inner)}
    inner = {"file_data": embedded, "file_url": part.url, "filename": part.filename, "media_type": media_type}
    return {"type": "file", "file": _present(inner)}


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}

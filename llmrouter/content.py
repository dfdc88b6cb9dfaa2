"""What a message can hold: text, images and documents.

Frozen values. Nothing is fetched from a URL; only `Image.from_path` and `Document.from_path` read a file.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from llmrouter.errors import InvalidRequestError
from llmrouter.frozen import quickly_made


@quickly_made
@dataclass(frozen=True, slots=True)
class Text:
    """Text: a part of a message, and the event of a stream that carries the next piece of the answer."""

    text: str
    cache: bool = False  # end of a stable prefix: providers that take explicit marks put one here


HALF: Final = "half of a character (a lone surrogate), which cannot be sent"


def is_whole(text: str) -> bool:
    """Whether `text` can be sent: JSON and UTF-16 may leave half of a character (a surrogate), which UTF-8 has not."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def has_half(data: object) -> bool:
    """Whether a text anywhere in `data`, made of dicts and lists as JSON is, holds half of a character."""
    left = [data]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if not is_whole(value):
                return True
        elif isinstance(value, Mapping):
            left.extend((*value, *value.values()))
        elif isinstance(value, list | tuple):
            left.extend(value)
    return False


def made_whole(text: str) -> str:
    """Return `text` with the two halves of a character joined, and U+FFFD for a half that is alone."""
    if is_whole(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def data_made_whole(data: Any) -> Any:
    """Return `data`, made of dicts and lists as JSON is, with every text in it made whole."""
    if isinstance(data, str):
        return made_whole(data)
    if isinstance(data, Mapping):
        return {data_made_whole(key): data_made_whole(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        values = [data_made_whole(value) for value in data]
        return values if isinstance(data, list) else tuple(values)
    return data


_MAGIC: Final[tuple[tuple[bytes, str], ...]] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
    (b"%PDF-", "application/pdf"),
)


def media_type_of(data: bytes) -> str | None:
    """Return the media type that the first bytes of `data` declare, or None when they are not recognised."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1"):
        return "image/heic"
    return next((media for magic, media in _MAGIC if data.startswith(magic)), None)


def _recognised(data: bytes, declared: str | None, what: str) -> str:
    media_type = declared or media_type_of(data)
    if media_type is None:
        raise InvalidRequestError(f"cannot tell the media type of this {what} from its bytes; pass media_type=")
    return media_type


def _check_source(what: str, url: object, data: object) -> None:
    if (url is None) == (data is None):
        raise InvalidRequestError(f"{what} needs exactly one of url= and data= (base64)")
    if isinstance(data, (bytes, bytearray, memoryview)):
        raise InvalidRequestError("data= is base64 text; for raw bytes use from_bytes()")
    if not isinstance(url, str | None) or not isinstance(data, str | None):
        raise InvalidRequestError(f"{what} takes url= and data= as text; for a file use from_path()")


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a message: exactly one of `url` (never fetched by us) and `data` (base64) is set."""

    url: str | None = None
    data: str | None = field(default=None, repr=False)
    media_type: str | None = None
    detail: str | None = None  # OpenAI's low | high | auto
    cache: bool = False

    def __post_init__(self) -> None:
        _check_source("an Image", self.url, self.data)

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None, *, detail: str | None = None) -> Image:
        """Make an image from its bytes; `media_type` None reads it from them. Raises InvalidRequestError if unknown."""
        known = _recognised(data, media_type, "image")
        return cls(data=base64.b64encode(data).decode("ascii"), media_type=known, detail=detail)

    @classmethod
    def from_path(cls, path: str | Path, *, detail: str | None = None) -> Image:
        """Make an image from a file. Raises OSError when it cannot be read."""
        return cls.from_bytes(Path(path).read_bytes(), detail=detail)

    @classmethod
    def from_base64(cls, data: str, media_type: str | None = None, *, detail: str | None = None) -> Image:
        """Make an image from base64 text; `media_type` None reads it from the first bytes."""
        known = media_type or _recognised(_decoded_head(data), None, "image")
        return cls(data=data, media_type=known, detail=detail)

    @classmethod
    def from_url(cls, url: str, *, detail: str | None = None) -> Image:
        """Make an image from a URL, which the provider fetches, or from a `data:` URL."""
        embedded = _data_url(url)
        if embedded is not None:
            return cls(data=embedded[1], media_type=embedded[0], detail=detail)
        return cls(url=url, detail=detail)


@dataclass(frozen=True, slots=True)
class Document:
    """A document of a message (PDF, or plain text): exactly one of `url` and `data` (base64) is set."""

    url: str | None = None
    data: str | None = field(default=None, repr=False)
    media_type: str | None = None
    filename: str | None = None
    cache: bool = False

    def __post_init__(self) -> None:
        _check_source("a Document", self.url, self.data)

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None, *, filename: str | None = None) -> Document:
        """Make a document from its bytes; `media_type` None reads it from them."""
        known = _recognised(data, media_type, "document")
        return cls(data=base64.b64encode(data).decode("ascii"), media_type=known, filename=filename)

    @classmethod
    def from_path(cls, path: str | Path) -> Document:
        """Make a document from a file; `.txt` and `.md` are plain text. Raises OSError when it cannot be read."""
        path = Path(path)
        media_type = "text/plain" if path.suffix.lower() in (".txt", ".md") else None
        return cls.from_bytes(path.read_bytes(), media_type, filename=path.name)

    @classmethod
    def from_base64(cls, data: str, media_type: str | None = None, *, filename: str | None = None) -> Document:
        """Make a document from base64 text; `media_type` None reads it from the first bytes."""
        known = media_type or _recognised(_decoded_head(data), None, "document")
        return cls(data=data, media_type=known, filename=filename)

    @classmethod
    def from_url(cls, url: str, *, filename: str | None = None) -> Document:
        """Make a document from a URL, which the provider fetches, or from a `data:` URL."""
        embedded = _data_url(url)
        if embedded is not None:
            return cls(data=embedded[1], media_type=embedded[0], filename=filename)
        return cls(url=url, filename=filename)


def _decoded_head(data: str) -> bytes:
    try:
        return base64.b64decode(data[:64], validate=False)
    except ValueError:
        raise InvalidRequestError("data= is not base64; for raw bytes use from_bytes()") from None


def _data_url(url: str) -> tuple[str, str] | None:
    """Split `data:image/png;base64,AAAA` into media type and base64 text; None for any other URL."""
    if not url.startswith("data:"):
        return None
    head, comma, data = url[5:].partition(",")
    if not comma or not head.endswith(";base64"):
        raise InvalidRequestError("a data: URL must have the form data:<media type>;base64,<data>")
    return head.removesuffix(";base64").partition(";")[0], data


Part: TypeAlias = Text | Image | Document

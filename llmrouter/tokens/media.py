"""Estimates for images and documents, which no tokenizer sees: from the size in the image's header, or a flat figure.

The formulas are the providers' published ones (OpenAI "Images and vision", Anthropic "Vision", Google "Image
understanding", read November 2026); what a provider does with very large or odd images may differ.
"""

from __future__ import annotations

import re
import struct
from base64 import b64decode
from math import ceil
from typing import Final

from llmrouter.tokens.families import Family
from llmrouter.types import Document, Image

UNKNOWN_SIZE: Final = (1024, 1024)  # a URL is never fetched: a middling picture
TOKENS_PER_PAGE: Final = 2_300  # a PDF page goes in as its text (1,500 to 3,000 tokens) and, mostly, as a picture
_BYTES_PER_PAGE: Final = 60_000  # where the PDF does not show its page objects (compressed object streams)

# Tokens of the base picture and of each 512-pixel tile.
_TILES: Final = (
    (re.compile(r"gpt-4o-mini"), (2833, 5667)),
    (re.compile(r"(^|/)(gpt-[5-9])"), (70, 140)),
    (re.compile(r"(^|/)o[13]"), (75, 150)),
    (re.compile(r""), (85, 170)),
)
# Models that count 32-pixel patches, at most 1,536 of them, and their multiplier: published for gpt-4.1 and o4, as
# measured by users (https://community.openai.com/t/1377015) for gpt-5 and later.
_MOST_PATCHES: Final = 1536
_PATCHES: Final = (
    (re.compile(r"gpt-4\.1-mini"), 1.62),
    (re.compile(r"gpt-4\.1-nano"), 2.46),
    (re.compile(r"o4-mini"), 1.72),
    (re.compile(r"gpt-5-nano"), 1.5),
    (re.compile(r"gpt-(5-mini|5\.[2-9]|[6-9]|\d{2})"), 1.2),
)


def image_tokens(image: Image, model: str, family: Family) -> int:
    """Estimate the tokens of `image` for `model` of `family`."""
    size = image_size(image.data) if image.data is not None else None
    width, height = size or UNKNOWN_SIZE
    if family.maker == "anthropic":
        return _claude(width, height)
    if family.maker == "google":
        return _gemini(width, height, model)
    for pattern, multiplier in _PATCHES:
        if pattern.search(model):
            return ceil(min(_MOST_PATCHES, ceil(width / 32) * ceil(height / 32)) * multiplier)
    base, tile = next(price for pattern, price in _TILES if pattern.search(model))
    return base if image.detail == "low" else base + tile * _tiles(width, height)


def _tiles(width: int, height: int) -> int:
    """Count 512-pixel tiles after shrinking into 2048 x 2048 and then to a shorter side of 768."""
    scale = min(1.0, 2048 / max(width, height))
    scale = min(scale, 768 / min(width, height))
    return ceil(width * scale / 512) * ceil(height * scale / 512)


def _claude(width: int, height: int) -> int:
    scale = min(1.0, 1568 / max(width, height))
    return min(1600, ceil(width * scale * height * scale / 750)) + 4


def _gemini(width: int, height: int, model: str) -> int:
    if re.search(r"gemini-([3-9]|\d{2})", model):
        return 1120  # the default resolution since Gemini 3
    if width <= 384 and height <= 384:
        return 258
    unit = max(256, min(768, int(min(width, height) / 1.5)))
    return 258 * ceil(width / unit) * ceil(height / unit)


def document_tokens(document: Document) -> int:
    """Estimate the tokens of a PDF by its pages; one page when it is only a URL."""
    if document.data is None:
        return TOKENS_PER_PAGE
    data = b64decode(document.data + "==")
    pages = len(re.findall(rb"/Type\s*/Page(?![a-zA-Z])", data)) or ceil(len(data) / _BYTES_PER_PAGE)
    return max(1, pages) * TOKENS_PER_PAGE


def image_size(data: str) -> tuple[int, int] | None:
    """Return width and height in pixels from the header of a base64 PNG, JPEG, GIF or WebP; None when unreadable."""
    try:
        head = b64decode(data[: 4 * 65_536])
        size = _size(head)
    except (ValueError, struct.error, IndexError):
        return None
    return size if size is not None and min(size) > 0 else None


def _size(head: bytes) -> tuple[int, int] | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = struct.unpack_from(">II", head, 16)
        return width, height
    if head[:6] in (b"GIF87a", b"GIF89a"):
        width, height = struct.unpack_from("<HH", head, 6)
        return width, height
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return _webp_size(head)
    return _jpeg_size(head) if head.startswith(b"\xff\xd8") else None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", head, 26)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """Walk the segments to the frame header (SOF0 to SOF15, without the three markers that are none)."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 + int(struct.unpack_from(">H", head, at + 2)[0])
    return None

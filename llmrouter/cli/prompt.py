"""What the user wants to send: text from the command line, a file or a pipe, and images."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmrouter.errors import InvalidRequestError

if TYPE_CHECKING:
    from llmrouter.types import Image, Message

STDIN = "-"


def read_prompt(text: str | None, file: str | None) -> str:
    """Return the prompt: `text`, then the file, or what is piped in where no file is named; joined by a blank line.

    Empty when there is none of them. Raises InvalidRequestError for a file that cannot be read.
    """
    if file is not None and file != STDIN:
        read = _decoded(_file_bytes(file), file)
    elif file == STDIN or _is_piped():
        read = _decoded(b"" if sys.stdin is None else sys.stdin.buffer.read(), "stdin")
    else:
        read = ""
    return "\n\n".join(part for part in (text or "", read) if part.strip())


def as_message(prompt: str, images: Sequence[str]) -> str | Message:
    """Return the prompt with images as one user message. Raises InvalidRequestError where there is nothing to send."""
    if not images:
        if not prompt:
            raise InvalidRequestError("nothing to send; give TEXT, -f FILE, or pipe text in")
        return prompt
    from llmrouter.types import Message, Text

    parts = [_image(path) for path in images]
    return Message("user", (*parts, Text(prompt)) if prompt else tuple(parts))


def _is_piped() -> bool:
    return sys.stdin is not None and not sys.stdin.isatty()


def _file_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or "not a file name"
        raise InvalidRequestError(f"cannot read {path}: {reason.lower()}") from None


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequestError(f"{name} is not UTF-8 text; an image goes with --image") from None


def _image(path: str) -> Image:
    from llmrouter.types import Image

    try:
        image = Image.from_bytes(_file_bytes(path))
    except InvalidRequestError as error:
        if "media_type" in str(error):
            raise InvalidRequestError(f"{path} is no image that is known: PNG, JPEG, GIF, WebP, BMP or HEIC") from None
        raise
    if not (image.media_type or "").startswith("image/"):
        raise InvalidRequestError(f"{path} is {image.media_type}, not an image")
    return image

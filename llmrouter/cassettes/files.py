"""Cassettes as files: YAML that vcrpy can read too, laid out so that a diff of two recordings is readable.

Bodies that are JSON are written indented, line by line; a stream is written as its lines. An interaction says whose it
was (`route`, `target`, the call's own parameters in `overrides`) and, for a stream, how it came (`timing`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from vcr.persisters.filesystem import CassetteNotFoundError  # type: ignore[import-untyped]  # vcrpy has no types
from vcr.request import Request  # type: ignore[import-untyped]

from llmrouter.cassettes.matching import pretty
from llmrouter.cassettes.scrub import Scrubber
from llmrouter.errors import ConfigError, Problem
from llmrouter.files import write_whole

_HEADER: Final = "# Recorded by llmrouter, with secrets taken out. To replay it or record it again: docs/testing.md\n"
_WHOSE: Final = ("route", "target", "overrides")
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # chosen at run time
    """Writes text of several lines as a block, and a list of plain values on one line."""


def _text(dumper: Any, text: str) -> Any:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


def _list(dumper: Any, values: list[Any]) -> Any:
    short = all(isinstance(each, str | int | float) and "\n" not in str(each) for each in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=short)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)


class Shelf:
    """Loads and saves cassettes, as vcrpy's persisters do; what is saved is scrubbed once more, as a whole."""

    def __init__(self, scrubber: Scrubber) -> None:
        self._scrubber = scrubber

    def load_cassette(self, path: str, serializer: object = None) -> tuple[list[Any], list[dict[str, Any]]]:
        """Return requests and responses. Raises CassetteNotFoundError, or ConfigError for a file that is none."""
        del serializer
        interactions = read(Path(path))
        return [request_of(each) for each in interactions], [_response(each) for each in interactions]

    def save_cassette(self, path: str, cassette_dict: Mapping[str, Sequence[Any]], serializer: object = None) -> None:
        """Write the file whole: a reader sees the old one or the new one."""
        del serializer
        pairs = zip(cassette_dict["requests"], cassette_dict["responses"], strict=True)
        interactions = [self._scrubber.everything(_interaction(*pair)) for pair in pairs]
        document = {"version": 1, "interactions": interactions}
        text = yaml.dump(document, Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=120)
        _write(Path(path), _HEADER + text)


def read(path: Path) -> list[dict[str, Any]]:
    """Return the interactions of a file. Raises CassetteNotFoundError, or ConfigError for a file that is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise CassetteNotFoundError from None
    except (OSError, UnicodeDecodeError) as error:
        raise _no_cassette(path, error) from None
    if not text.strip():
        raise CassetteNotFoundError
    try:
        found: list[dict[str, Any]] = yaml.load(text, Loader=_LOADER)["interactions"]  # noqa: S506 - the safe loader
        for each in found:
            request_of(each), _response(each)
    except (yaml.YAMLError, LookupError, TypeError, AttributeError, ValueError) as error:
        raise _no_cassette(path, error) from None
    return found


def _no_cassette(path: Path, error: Exception) -> ConfigError:
    reason = " ".join(str(error).split())
    message = f"this is no cassette ({type(error).__name__}: {reason}); delete it and record it again"
    if isinstance(error, OSError):
        message = f"this cassette cannot be read: {error.strerror}"
    return ConfigError([Problem(message, file=str(path))])


def request_of(interaction: Mapping[str, Any]) -> Any:
    """Return the recorded request of an interaction, as vcrpy's Request."""
    request = interaction["request"]
    return Request(request["method"], request["uri"], _as_bytes(request["body"]), dict(request.get("headers") or {}))


def _response(interaction: Mapping[str, Any]) -> dict[str, Any]:
    found = interaction["response"]
    status = {"code": int(found["status"]["code"]), "message": found["status"]["message"] or ""}
    whose = {name: interaction[name] for name in _WHOSE if name in interaction}
    body = {"string": _as_bytes(found["body"].get("string"))}
    return {**found, "status": status, "headers": dict(found["headers"] or {}), "body": body, **whose}


def _interaction(request: Any, response: Mapping[str, Any]) -> dict[str, Any]:
    """Return a pair of vcrpy as it is written."""
    whose = {name: response[name] for name in _WHOSE if response.get(name)}
    body = request.body if isinstance(request.body, bytes) else b""
    sent = {"method": request.method, "uri": request.uri, "headers": dict(request.headers), "body": _written(body)}
    received = {name: value for name, value in response.items() if name not in _WHOSE}
    content = (response.get("body") or {}).get("string") or b""
    received["body"] = {"string": _written(content if isinstance(content, bytes) else str(content).encode())}
    return {**whose, "request": sent, "response": received}


def _written(body: bytes) -> str | bytes:
    """Return a body as text, indented if it is JSON; as bytes where it is no text."""
    try:
        return pretty(body) or body.decode()
    except UnicodeDecodeError:
        return body


def _as_bytes(body: Any) -> bytes:
    if body is None:
        return b""
    return body if isinstance(body, bytes) else str(body).encode()


def check_writable(path: Path) -> None:
    """Raise OSError where no file can be made at `path`: before anything is paid for that could not be kept."""
    folder = next(each for each in path.absolute().parents if each.exists())
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a cassette cannot be recorded here", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, "a cassette cannot be recorded here", str(path))


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text, 0o644)  # it is committed, and read by anybody
    except OSError as error:  # what the disk says does not name the file
        reason = f"what was recorded could not be kept: {error.strerror}"
        raise OSError(error.errno, reason, str(path)) from error

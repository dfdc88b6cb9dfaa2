"""What keeps a test to itself: the network shut, and nothing left running."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

# Kept in the environment of every test: they say where the testbed finds its parts.
TESTBED_VARIABLES = {
    "LLMROUTER_AIMOCK",
    "LLMROUTER_REQUIRE_AIMOCK",
    "LLMROUTER_REQUIRE_CHROMIUM",
    "LLMROUTER_REQUIRE_POSTGRES",
    "LLMROUTER_REQUIRE_REDIS",
    "LLMROUTER_WIRE",
}
_CLEARED_PREFIXES = (
    "ANTHROPIC_", "AWS_", "AZURE_", "CLOUD_ML_", "DEEPSEEK_", "FIREWORKS_", "GCLOUD_", "GEMINI_", "GENAI_", "GOOGLE_",
    "GROQ_", "LLMROUTER_", "MISTRAL_", "OLLAMA_", "OPENAI_", "OPENROUTER_", "OTEL_", "TIKTOKEN_", "TOGETHER_",
    "VERTEX", "VERTEXAI_", "XAI_",
)  # fmt: skip
_CLEARED = {"ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_DIR", "SSL_CERT_FILE"}
_GRACE = 2.0  # seconds that a thread may need to end after its owner has let it go


def is_cleared(variable: str) -> bool:
    """Whether an environment variable could change what a test does, and is therefore removed."""
    name = variable.upper()
    return variable not in TESTBED_VARIABLES and (name in _CLEARED or name.startswith(_CLEARED_PREFIXES))


class NetworkForbiddenError(BaseException):
    """A test reached for an address outside this machine.

    Not an Exception: SDKs wrap those as connection errors, and a router would then quietly ask the next target.
    """


@contextmanager
def only_loopback() -> Iterator[None]:
    """Refuse every connection and every name but those of this machine. Names in `.invalid` do not resolve."""
    resolve = socket.getaddrinfo

    def connect(self: socket.socket, address: Any) -> None:
        _check(self, address)
        socket_connect(self, address)

    def connect_ex(self: socket.socket, address: Any) -> int:
        _check(self, address)
        return socket_connect_ex(self, address)

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.rstrip(".").endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not _is_loopback(name):
            raise NetworkForbiddenError(f"tests may not leave this machine: somebody looked up {name!r}")
        return resolve(host, *args, **kwargs)

    socket_connect, socket_connect_ex = socket.socket.connect, socket.socket.connect_ex
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", connect)
        patch.setattr(socket.socket, "connect_ex", connect_ex)
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


def _check(opened: socket.socket, address: Any) -> None:
    if opened.family in (socket.AF_INET, socket.AF_INET6) and not _is_loopback(address[0]):
        raise NetworkForbiddenError(f"tests may not leave this machine: somebody connected to {address!r}")


def _is_loopback(host: str | None) -> bool:
    if host in (None, "", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return host == socket.gethostname()


def threads_left(before: set[threading.Thread]) -> list[str]:
    """Return the names of threads that are not in `before` and do not end by themselves within two seconds."""
    until = time.monotonic() + _GRACE
    for thread in set(threading.enumerate()) - before:
        if thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
    return sorted(thread.name for thread in set(threading.enumerate()) - before if thread.is_alive())

"""One Redis for a cache or for tallies, which may be lost at any time. Imports redis: import this module only then.

A Redis that does not answer costs one warning and at most two short waits; then it is left alone for a moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import redis
from loguru import logger
from redis.backoff import NoBackoff
from redis.retry import Retry

T = TypeVar("T")

TIMEOUT_S: Final = 0.25  # of connecting and of each answer
REST_S: Final = 2.0
_WARN_EVERY_S: Final = 600.0


class LostError(Exception):
    """Redis cannot be used now; what was asked of it may have been done all the same."""


class RestingError(LostError):
    """Redis was lost a moment ago, and nothing was sent to it."""


class RedisLink:
    """The way to the Redis at `url`. Raises ValueError for a URL that is not one of Redis's.

    `use` is what it is for and `meanwhile` what is done without it, for the warning.
    """

    def __init__(self, url: str, use: str, meanwhile: str) -> None:
        self.name = shown(url)
        self.client = connect(url)
        self._use, self._meanwhile = use, meanwhile
        self._lost = False
        self._rest_until = self._warn_at = 0.0

    def run(self, action: Callable[[], T]) -> T:
        """Return what `action` gets from Redis; it may be taken twice. Raises LostError."""
        if self._lost:
            now = time.monotonic()
            if now < self._rest_until:
                raise RestingError
            self._rest_until = now + REST_S  # one caller tries, and the others need not wait for it
        try:
            result = _tried(action)
        except (redis.RedisError, OSError) as error:
            self._lose(error)
            raise LostError from error
        if self._lost:
            self._found()
        return result

    def close(self) -> None:
        """Close the connections; using the link again opens them again."""
        self.client.close()

    def _lose(self, error: Exception) -> None:
        now = time.monotonic()
        self._lost, self._rest_until = True, now + REST_S
        if now < self._warn_at:
            return
        self._warn_at = now + _WARN_EVERY_S
        # The error's own words may come from anywhere, and its kind says enough.
        logger.warning(
            "{} in {}: Redis does not answer ({}); until it is back, {}",
            self._use, self.name, type(error).__name__, self._meanwhile,
        )  # fmt: skip

    def _found(self) -> None:
        self._lost = False
        logger.info("{} in {}: Redis is back", self._use, self.name)


def _tried(action: Callable[[], T]) -> T:
    try:
        return action()
    except redis.TimeoutError:
        raise
    except redis.ConnectionError:  # an idle connection that the server closed: one more try, on a new one
        return action()


def connect(url: str, *, encoding_errors: str = "replace", **options: Any) -> Any:
    """Return a client that waits a fraction of a second at most, and never tries again by itself."""
    return redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_S,
        socket_connect_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        encoding_errors=encoding_errors,
        **options,
    )


def shown(url: str) -> str:
    """Return where `url` leads, without user and password."""
    try:
        parts = urlsplit(url)
        return f"redis at {parts.hostname or parts.path}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return "redis"

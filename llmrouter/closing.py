"""What makes anything with a `close` a context manager, in either world."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closing(ABC):
    """Closes itself at the end of a `with` block."""

    @abstractmethod
    def close(self) -> None:
        """Let go of everything that is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class AsyncClosing(ABC):
    """Closes itself at the end of an `async with` block."""

    @abstractmethod
    async def close(self) -> None:
        """Let go of everything that is open."""

    async def aclose(self) -> None:
        """Do as `close` does, under the name that `contextlib.aclosing` and others look for."""
        await self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

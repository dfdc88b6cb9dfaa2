"""Stores that cannot be used just now: what a backend raises, and whoever stands before it makes a warning of."""

from __future__ import annotations


class LedgerLostError(Exception):
    """The ledger's store cannot be used: `reason` is for the warning, `kind` tells one warning from another."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class StateLostError(Exception):
    """Shared state cannot be reached: `reason` is for the warning; it is left alone for `rest_s` seconds."""

    def __init__(self, reason: str, rest_s: float) -> None:
        super().__init__(reason)
        self.reason, self.rest_s = reason, rest_s
